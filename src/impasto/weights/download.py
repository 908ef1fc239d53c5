"""Downloads one file over HTTP: resumable, checksummed, atomic.

The usual library, pooch, is not used: it starts again from nothing after a cut connection. A file of 548 MiB that broke
off twice took 1,206 MiB with pooch and 548 MiB with this module (benchmarks/RESULTS.md, "Downloads that break off").
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
from functools import partial
from typing import TYPE_CHECKING

from filelock import FileLock

from impasto.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

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
    timeout: float = 15.0,
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
        timeout: seconds without any byte after which a connection counts as cut, or, if none has come from this
            address, after which the next address is tried.
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
                    _fetch(partial(_append, url, part, on_progress, timeout), part, sha256, pauses)
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


def _fetch(append: Callable[[], None], part: Path, sha256: str, pauses: Sequence[float]) -> None:
    """Fill ``part`` and verify it; each attempt that brings no new bytes uses up one of the ``pauses``."""
    reached = _size(part)
    pieced = reached > 0
    barren = 0
    restarted = False
    while True:
        try:
            append()
        except _Cut as cut:
            size = _size(part)
            if size > reached:
                reached, barren, pieced = size, 0, True
                continue
            if barren < len(pauses):
                time.sleep(pauses[barren])
                barren += 1
                continue
            # Some servers announce more bytes than the file has.
            if not (size and _digest(part) == sha256):
                kept = f" ({size} bytes came; the next attempt goes on from there)" if size else ""
                raise _Refused(f"{cut}{kept}") from cut
        digest = _digest(part)
        if digest == sha256:
            return
        part.unlink()
        if not pieced or restarted:
            raise _Refused(f"sent a file with sha256 {digest[:16]}... instead of {sha256[:16]}...")
        # The pieces may come from different versions of the file: download it once more, from the start.
        reached, barren, restarted = 0, 0, True


def _append(url: str, part: Path, on_progress: OnProgress | None, timeout: float) -> None:
    """Append the missing bytes to ``part``.

    Raises:
        _Cut: the transfer stopped before the end.
        _Refused: the address does not provide the file.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise _Refused("is not an http or https address")
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "impasto"})
    if size := _size(part):
        request.add_header("Range", f"bytes={size}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and size:
            return  # there are no more bytes: the checksum decides
        answer = f"answered {error.code} {error.reason}"
        raise (_Cut if error.code in _TEMPORARY_STATUS else _Refused)(answer) from error
    except (OSError, http.client.HTTPException) as error:  # a URLError is an OSError with a reason
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):  # as behind a firewall; asking again would take as long
            raise _Refused(f"does not answer within {timeout:g} s (is there a firewall?)") from error
        raise _connection_failure(reason) from error
    with response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
            part.unlink(missing_ok=True)
            raise _Cut("answered with another range than was asked for")
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, on_progress)


def _copy(response: http.client.HTTPResponse, file: BinaryIO, on_progress: OnProgress | None) -> None:
    coming = response.headers.get("Content-Length", "")
    total = file.tell() + int(coming) if coming.isdecimal() else None
    while True:
        if on_progress:
            on_progress(file.tell(), total)
        # Only a failed read counts as a cut connection; a failed write is a disk error.
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _connection_failure(error) from error
        if not chunk:
            break
        file.write(chunk)
    if total is not None and file.tell() < total:
        raise _Cut(f"sent {file.tell()} of {total} bytes")


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


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
