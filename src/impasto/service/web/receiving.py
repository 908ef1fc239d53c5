"""Request bodies, which are received completely, on disk, before the application sees the request.

A slow sender therefore occupies neither memory nor a turn. A body that is too large is refused.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from anyio import to_thread
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from impasto.errors import StorageError
from impasto.service.web.access import SAFE
from impasto.service.web.admission import busy
from impasto.service.web.problems import RETRY_AFTER, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from impasto.service.web.admission import Space, Turns

_HEARD_OUT = 4
"""Multiple of the limit up to which a refused body is received. Browsers read no response before they sent it all."""
_IN_MEMORY = 16 << 10
"""Bytes of a body that are kept in memory; the rest goes to a temporary file."""
_PART = 256 << 10
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


class Bodies:
    """Receives the bodies of requests, waits for a turn, and passes them on to the application."""

    def __init__(
        self, app: ASGIApp, *, largest: int, exceptions: Mapping[str, int], turns: Turns, space: Space
    ) -> None:
        """Limit bodies to ``largest`` bytes, and to ``space``; ``exceptions`` maps paths to limits of their own."""
        self._app = app
        self._largest, self._exceptions = largest, exceptions
        self._turns = turns
        self._space = space

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        if not _is_plain(scope):
            refused = Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_charset", "send texts in UTF-8")
            await refused.response()(scope, receive, send)
            return
        tenant = scope["state"]["tenant"] or ""
        if self._turns.are_full(tenant):
            await busy().response()(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        largest = self._exceptions.get(path, self._largest)
        with SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            body = _Body(cast("BinaryIO", file), largest, partial(self._space.take, tenant))
            try:
                if not await body.receive(receive):
                    return
                if self._turns.are_full(tenant):
                    await busy().response()(scope, receive, send)
                    return
                async with self._turns.of(tenant):
                    await self._app(scope, body.passed_on(receive), send)
            finally:
                self._space.give_back(tenant, body.on_disk)


class _Body:
    """One body, in a file."""

    def __init__(self, file: BinaryIO, largest: int, take: Callable[[int], bool]) -> None:
        self._file = file
        self._largest = largest
        self._take = take
        self._size = 0
        self.on_disk = 0
        self._problem: HTTPException | None = None

    async def receive(self, receive: Receive) -> bool:
        """Receive the whole body; return False if its sender has gone."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            part, more = message.get("body", b""), message.get("more_body", False)
            self._size += len(part)
            if self._size > self._largest:
                detail = f"the request is larger than {self._largest >> 20} MiB; send a smaller picture"
                self._problem = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
                if self._size > _HEARD_OUT * self._largest:
                    return True
            elif self._problem is None:
                await self._keep(part)
        return True

    async def _keep(self, part: bytes) -> None:
        try:
            if self._size <= _IN_MEMORY:
                self._file.write(part)
            else:
                await to_thread.run_sync(self._write, part)
        except StorageError as error:  # not as it is: FastAPI takes other errors for a body that cannot be parsed
            self._problem = HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error), RETRY_AFTER)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            detail = f"the request cannot be kept: {reason}; try again later"
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            status = HTTPStatus.INSUFFICIENT_STORAGE if full else HTTPStatus.SERVICE_UNAVAILABLE
            self._problem = HTTPException(status, detail, RETRY_AFTER)

    def _write(self, part: bytes) -> None:
        """Write a part to the disk, together with what was kept in memory so far.

        Raises:
            OSError: it cannot be written, or would take space that is kept for others.
            StorageError: it is not known how much space that is.
        """
        size = self._size - self.on_disk
        if not self._take(size):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.on_disk += size
        self._file.write(part)

    def passed_on(self, receive: Receive) -> Receive:
        """Return a channel that gives the body to the application, or raises the problem if the body was refused."""
        self._file.seek(0)
        left = self._size

        async def passed() -> MutableMapping[str, Any]:
            nonlocal left
            if self._problem is not None:
                raise self._problem
            if left < 0:
                return await receive()
            part = await to_thread.run_sync(self._file.read, _PART) if left > _IN_MEMORY else self._file.read(_PART)
            left = left - len(part) or -1
            return {"type": "http.request", "body": part, "more_body": left > 0}

        return passed


def _is_plain(scope: Scope) -> bool:
    """Return whether the charset of the body is UTF-8 or ASCII. Some of Python's other codecs do more than decode."""
    # The parser of forms decides between two charsets in one header, so that nothing can pass both.
    _, options = parse_options_header(Headers(scope=scope).get("content-type"))
    return options.get(b"charset", b"utf-8").decode("latin-1").lower() in _CHARSETS


def _has_body(scope: Scope) -> bool:
    """Return whether there is a body that the application may read. It reads none if the method changes nothing."""
    headers = Headers(scope=scope)
    sent = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    return sent and scope["method"] not in SAFE
