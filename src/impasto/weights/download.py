"""Downloads one file over HTTP: resumable, checksummed, atomic.

The usual library, pooch, is not used: it starts again from nothing after a cut connection, and these files have half a
gigabyte.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from filelock import FileLock

from impasto.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    OnProgress = Callable[[int, int | None], None]

_CHUNK = 1 << 18
_PAUSES = (1.0, 3.0, 9.0)
_TEMPORARY_STATUS = {408, 425, 429, 500, 502, 503, 504}


class _Cut(Exception):  # noqa: N818 - an event: it leads to another attempt
    """The transfer ended early; another attempt may go on from there."""


class _Refused(Exception):  # noqa: N818 - an event: it leads to the next mirror
    """This address does not provide the file."""


def download(
    urls: Sequence[str],
    destination: Path,
    *,
    sha256: str,
    on_progress: OnProgress | None = None,
    timeout: float = 30.0,
    pauses: Sequence[float] = _PAUSES,
) -> Path:
    """Download one file and return ``destination``; does nothing if it is there already.

    A cut transfer goes on where it stopped, also in a later call, from ``destination`` + '.part'. Several
    processes may ask for the same file: one downloads, the others wait for it.

    Args:
        urls: addresses of the same file (http or https), tried in this order.
        destination: appears only when complete and verified.
        sha256: hex digest of the file.
        on_progress: called with the bytes received so far (resumed ones included), and the total if it is known.
        timeout: seconds without any byte after which a connection counts as cut.
        pauses: seconds to wait after 1, 2, ... attempts in a row that brought no new byte; after the last
            pause the next address is tried.

    Raises:
        DownloadError: no address gave the right file; the message says what happened at each.
        ValueError: ``sha256`` is not a digest.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hex digits, not {sha256!r}")
    part = destination.with_name(destination.name + ".part")
    failures = []
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(destination.with_name(destination.name + ".lock")):
            if destination.exists() and _digest(destination) == sha256:
                return destination
            for url in urls:
                try:
                    _fetch(_Transfer(url, part, on_progress, timeout), sha256, pauses)
                except _Refused as refusal:
                    failures.append(f"{_host(url)} {refusal}")
                else:
                    part.replace(destination)
                    return destination
    except OSError as error:
        raise DownloadError(f"cannot write {destination}: {error.strerror or error}") from error
    raise DownloadError(
        f"could not download {destination.name}: {'; '.join(failures) or 'no address is known'}; "
        "fetch the file by hand and run 'impasto models add FILE'"
    )


def _fetch(transfer: _Transfer, sha256: str, pauses: Sequence[float]) -> None:
    """Fill the part file and verify it; each attempt that brings no new bytes uses up one of the ``pauses``."""
    reached = transfer.size()
    pieced = reached > 0
    barren = 0
    restarted = False
    while True:
        try:
            transfer.run()
        except _Cut as cut:
            if transfer.size() > reached:
                reached, barren, pieced = transfer.size(), 0, True
                continue
            if barren < len(pauses):
                time.sleep(pauses[barren])
                barren += 1
                continue
            # Some servers announce more bytes than the file has.
            size = transfer.size()
            if not (size and _digest(transfer.part) == sha256):
                kept = f" ({size} bytes came; the next attempt goes on from there)" if size else ""
                raise _Refused(f"{cut}{kept}") from cut
        digest = _digest(transfer.part)
        if digest == sha256:
            transfer.forget()
            return
        transfer.discard()
        if not pieced or restarted:
            raise _Refused(f"sent a file with sha256 {digest[:16]}... instead of {sha256[:16]}...")
        # The pieces may come from different versions of the file: download it once more, in one piece.
        reached, barren, restarted = 0, 0, True


class _Transfer:
    """One address, and the part file that receives its bytes."""

    def __init__(self, url: str, part: Path, on_progress: OnProgress | None, timeout: float) -> None:
        self.url = url
        self.part = part
        self.on_progress = on_progress
        self.timeout = timeout
        # This file keeps the version (ETag) of the part file, so that a later process can resume.
        self.version = part.with_name(part.name + ".etag")

    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def forget(self) -> None:
        self.version.unlink(missing_ok=True)

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.forget()

    def run(self) -> None:
        """Append the missing bytes.

        Raises:
            _Cut: the transfer stopped before the end.
            _Refused: the address does not provide the file.
        """
        if urllib.parse.urlsplit(self.url).scheme not in ("http", "https"):
            raise _Refused("is no http or https address")
        try:
            response = urllib.request.urlopen(self._request(), timeout=self.timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and self.size():
                return  # there are no more bytes: the checksum decides
            answer = f"answered {error.code} {error.reason}"
            raise (_Cut if error.code in _TEMPORARY_STATUS else _Refused)(answer) from error
        except urllib.error.URLError as error:
            raise _connection_failure(error.reason) from error
        except (OSError, http.client.HTTPException) as error:
            raise _connection_failure(error) from error
        with response:
            self._receive(response)

    def _request(self) -> urllib.request.Request:
        request = urllib.request.Request(self.url, headers={"Accept-Encoding": "identity", "User-Agent": "impasto"})
        if offset := self.size():
            request.add_header("Range", f"bytes={offset}-")
            url, _, etag = self.version.read_text().partition("\n") if self.version.exists() else ("", "", "")
            # Other mirrors have other ETags. After a change of mirror, only the checksum detects mixed versions.
            if url == self.url:
                request.add_header("If-Range", etag)
        return request

    def _receive(self, response: http.client.HTTPResponse) -> None:
        offset, total = self._place(response)
        etag = response.headers.get("ETag", "")
        if offset == 0:
            self.forget()
            if etag and not etag.startswith("W/"):  # a weak ETag may not be used for ranges
                self.version.write_text(f"{self.url}\n{etag}")
        with self.part.open("ab" if offset else "wb") as file:
            while True:
                if self.on_progress:
                    self.on_progress(file.tell(), total)
                # Only a failed read counts as a cut connection; a failed write is a disk error.
                try:
                    chunk = response.read1(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise _connection_failure(error) from error
                if not chunk:
                    break
                file.write(chunk)
            received = file.tell()
        if total is not None and received < total:
            raise _Cut(f"sent {received} of {total} bytes")

    def _place(self, response: http.client.HTTPResponse) -> tuple[int, int | None]:
        """Offset of the response in the file, and the length of the whole file if the server states it."""
        length = response.headers.get("Content-Length", "")
        if response.status != 206:
            return 0, int(length) if length.isdecimal() else None
        offset = self.size()
        content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if content_range is None or int(content_range[1]) != offset:
            self.discard()
            raise _Cut("answered with another range than was asked for")
        return offset, None if content_range[2] == "*" else int(content_range[2])


def _connection_failure(reason: object) -> _Cut | _Refused:
    if isinstance(reason, socket.gaierror):
        return _Refused("cannot be found (is there a network?)")
    if isinstance(reason, ConnectionRefusedError):
        return _Refused("refuses connections (is there a network?)")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _Refused(f"cannot prove its identity ({reason.verify_message})")
    return _Cut(f"cut the connection ({getattr(reason, 'strerror', None) or reason or type(reason).__name__})")


def _host(url: str) -> str:
    """Host and port, without a password that may stand before them."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2] or url


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
