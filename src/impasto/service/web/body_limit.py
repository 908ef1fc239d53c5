"""Size limit for request bodies. The rest of a larger body is discarded, and the response is an error."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEARD_OUT = 4
"""Multiple of the limit up to which a body is received: a browser reads no response before it has sent everything."""


class BodyLimit:
    """Raises an HTTPException, which the application answers, when a body that is too large is read."""

    def __init__(self, app: ASGIApp, largest: int, exceptions: Mapping[str, int]) -> None:
        """Limit requests to ``app`` to ``largest`` bytes; ``exceptions`` maps paths to limits of their own."""
        self._app = app
        self._largest, self._exceptions = largest, exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        largest = self._exceptions.get(scope["path"], self._largest)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            while largest < received <= _HEARD_OUT * largest and message.get("more_body"):
                message = await receive()
                received += len(message.get("body", b""))
            if received > largest:
                detail = f"the request is larger than {largest >> 20} MiB; send a smaller picture"
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            return message

        await self._app(scope, counted, send)
