"""Admission limits on concurrent requests. Requests over them get 503 with Retry-After.

Without limits, no request would be answered sooner: all would only wait longer, and use memory meanwhile. Uvicorn's
``limit_concurrency`` does not suffice. It is one limit, which counts idle connections and event streams like uploads,
and its answer is plain text without Retry-After.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from threading import Lock
from typing import TYPE_CHECKING

from impasto.service.web.problems import RETRY_AFTER, Problem

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

MOST = 2000
"""Largest number of requests that are answered at once, of any kind. Most are event streams."""


def busy() -> Problem:
    """Return the problem of a request over a limit."""
    return Problem(503, "busy", "too many requests at once; try again in a few seconds", RETRY_AFTER)


class AdmissionLimit:
    """Refuses requests while the application is already answering too many, in all or of one tenant."""

    def __init__(self, app: ASGIApp, *, most_of_one: int) -> None:
        """Pass requests to ``app``, up to ``most_of_one`` of one tenant at once."""
        self._app = app
        self._most_of_one = most_of_one
        self._answering = Counter[str | None]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tenant = scope["state"]["tenant"]
        if self._answering.total() >= MOST or self._answering[tenant] >= self._most_of_one:
            await busy().response()(scope, receive, send)
            return
        self._answering[tenant] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._answering[tenant] -= 1
            if not self._answering[tenant]:
                del self._answering[tenant]


class Space:
    """Disk space for the bodies of requests. All of them take up to half of it, so that the other half stays free."""

    def __init__(self, free: Callable[[], int], *, of_one: float) -> None:
        """Share what is ``free``, in bytes. Bodies of one tenant take up to the share ``of_one`` of those of all."""
        self._free = free
        self._of_one = of_one
        self._taken = Counter[str]()
        self._lock = Lock()

    def take(self, tenant: str, size: int) -> bool:
        """Take ``size`` bytes for a body of ``tenant``; return whether there were so many."""
        free = self._free()
        with self._lock:  # several threads write bodies
            most = (free + self._taken.total()) / 2
            if self._taken.total() + size > most or self._taken[tenant] + size > most * self._of_one:
                return False
            self._taken[tenant] += size
            return True

    def give_back(self, tenant: str, size: int) -> None:
        """Give back ``size`` bytes of a body of ``tenant``, which is deleted."""
        with self._lock:
            self._taken[tenant] -= size
            if not self._taken[tenant]:
                del self._taken[tenant]


class Turns:
    """Lets a few requests be processed at once. The others wait in one queue per tenant; queues are served in turn."""

    def __init__(self, *, at_once: int, at_once_of_one: int, most: int, most_of_one: int) -> None:
        """Process up to ``at_once`` requests, and up to ``at_once_of_one`` of one tenant.

        Waiting requests included, there may be up to ``most`` in all, and up to ``most_of_one`` of one tenant.
        """
        self._at_once, self._at_once_of_one = at_once, at_once_of_one
        self._most, self._most_of_one = most, most_of_one
        self._working = Counter[str]()
        self._waiting: dict[str, deque[Future[None]]] = {}

    def are_full(self, tenant: str) -> bool:
        """Return whether a further request of ``tenant`` is over the limit."""
        waiting = sum(map(len, self._waiting.values()))
        own = self._working[tenant] + len(self._waiting.get(tenant, ()))
        return self._working.total() + waiting >= self._most or own >= self._most_of_one

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._give()
        try:
            await turn
            yield
        finally:
            if turn.cancelled():
                self._withdraw(tenant, turn)
            else:
                self._working[tenant] -= 1
            self._give()

    def _withdraw(self, tenant: str, turn: Future[None]) -> None:
        queue = self._waiting[tenant]
        queue.remove(turn)
        if not queue:
            del self._waiting[tenant]

    def _give(self) -> None:
        """Give away free turns, first to the tenant whose last turn was longest ago."""
        for tenant, queue in list(self._waiting.items()):
            if self._working.total() < self._at_once and self._working[tenant] < self._at_once_of_one:
                del self._waiting[tenant]
                queue.popleft().set_result(None)
                self._working[tenant] += 1
                if queue:
                    self._waiting[tenant] = queue  # at the end of the order
