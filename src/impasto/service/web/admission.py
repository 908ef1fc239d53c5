"""Admission limit on concurrent requests. Requests over it get 503 with Retry-After before they send much.

Requests over the limit would not be answered sooner. They would only wait longer, and use memory meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.service.web.problems import RETRY_AFTER, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MOST = 2000
"""Requests of any kind, most of them event streams."""
MOST_SENDING = 256
"""POST requests: about three seconds of work for one process."""


class AdmissionLimit:
    """Refuses requests while the application is already answering too many."""

    def __init__(self, app: ASGIApp) -> None:
        """Count the requests that ``app`` answers."""
        self._app = app
        self._all = self._sending = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = scope["method"] == "POST"
        if self._all >= MOST or (sending and self._sending >= MOST_SENDING):
            busy = Problem(503, "busy", "too many requests at once; try again in a few seconds", RETRY_AFTER)
            await busy.response()(scope, receive, send)
            return
        self._all += 1
        self._sending += sending
        try:
            await self._app(scope, receive, send)
        finally:
            self._all -= 1
            self._sending -= sending
