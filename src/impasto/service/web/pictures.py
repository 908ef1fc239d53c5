"""Responses with a picture from the store, which is read and sent part by part."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from anyio import to_thread
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from impasto.errors import BlobMissingError
from impasto.service.integrity import verified
from impasto.service.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from impasto.service.blobs import BlobStore
    from impasto.service.integrity import PartVerifier

_PART = 64 << 10
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def picture_response(
    request: Request,
    blobs: BlobStore,
    parts: PartVerifier,
    key: str,
    sha256: str,
    media_type: str,
    headers: Mapping[str, str],
) -> Response:
    """Return the blob ``key``, whose content has the hash ``sha256``, or the part of it that ``request`` asks for.

    Raises:
        BlobDamagedError: what would be sent is damaged.
        BlobMissingError: there is no such blob.
        Problem: the picture has no such part.
        StorageError: the store cannot be reached.
    """
    sent = {**headers, "Accept-Ranges": "bytes"}
    asked = _asked(request, headers.get("ETag"))
    if asked is None:
        size = verified(blobs, key, sha256).size
        start, end = 0, size
    else:
        size = parts.size(key, sha256)
        start, end = _bounds(asked, size)
        parts.verify(key, sha256, start, end)
    status = 200 if (start, end) == (0, size) else 206
    if status == 206:
        sent["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    sent["Content-Length"] = str(end - start)
    return StreamingResponse(_parts(blobs, key, start, end), status, sent, media_type)


def is_known(request: Request, etag: str) -> bool:
    """Return whether the client has the version ``etag`` already."""
    known = [each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")]
    return etag in known or "*" in known


async def _parts(blobs: BlobStore, key: str, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        try:
            part = await to_thread.run_sync(blobs.read, key, start, min(_PART, end - start))
        except BlobMissingError:  # deleted meanwhile
            part = b""
        if not part:  # the response stays shorter than announced, which the client notices
            return
        start += len(part)
        yield part


def _asked(request: Request, etag: str | None) -> tuple[str, str] | None:
    """Return first and last byte of the one valid range that ``request`` asks for, either of which may be empty."""
    found = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if found is None or found[0] == "bytes=-" or request.headers.get("If-Range", etag) != etag:
        return None
    return found[1], found[2]


def _bounds(asked: tuple[str, str], size: int) -> tuple[int, int]:
    """Return start and end of the bytes ``asked`` for; all of them if the range is invalid.

    Raises:
        Problem: the range lies beyond the end.
    """
    first, last = asked
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size:
        raise Problem(416, "no_such_range", f"the picture has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return (start, end) if start < end else (0, size)
