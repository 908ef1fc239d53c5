"""Protection against cross-site requests, and security headers on every response.

This is plain ASGI middleware, because FastAPI's middleware decorator passes each part of a body from task to task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from impasto.service.web.access import SAFE
from impasto.service.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FOREIGN = ("cross-site", "same-site")
"""Values of Sec-Fetch-Site for requests from other origins. Another port of this machine counts as same-site."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def _is_foreign(given: Headers) -> bool:
    """Return whether a page of another origin has sent the request."""
    if "Sec-Fetch-Site" in given:
        return given["Sec-Fetch-Site"] in _FOREIGN
    return "Origin" in given and given["Origin"].partition("://")[2] != given.get("Host")  # an older browser


class Guard:
    """Refuses unsafe requests from pages of other sites, and adds missing security headers to responses."""

    def __init__(self, app: ASGIApp, friends: Collection[str]) -> None:
        """Guard ``app``. Requests from the origins ``friends`` are always allowed."""
        self._app = app
        self._friends = friends

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        given = Headers(scope=scope)
        if scope["method"] not in SAFE and _is_foreign(given) and given.get("Origin") not in self._friends:
            refused = Problem(403, "cross_site", "another site may not send this in your name").response()
            await refused(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)
