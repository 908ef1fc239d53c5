"""HEAD requests, answered by every route that answers GET."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    """Passes HEAD to the application as GET, and leaves out the body of the response."""

    def __init__(self, app: ASGIApp) -> None:
        """Answer with the headers of ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                # The response is complete, so the application sees a disconnect and stops sending.
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]  # which HEAD does not know
        await self._app({**scope, "method": "GET", "headers": headers}, receive, send_head)
