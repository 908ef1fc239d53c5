"""Authentication of requests, before their bodies are read, and protection against cross-site requests.

The guard also sets security headers on every response. It is plain ASGI middleware, because FastAPI's middleware
decorator passes each part of a body from task to task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers, MutableHeaders

from impasto.errors import StorageError
from impasto.service.web.problems import Problem, problem_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from impasto.service.stores.keys import SQLKeys

LOCAL_TENANT = "local"
"""Tenant of all requests if the service requires no API keys."""
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""

_bearer = HTTPBearer(auto_error=False, description="An API key, which 'impasto keys create' makes.")

_FOREIGN = ("cross-site", "same-site")
"""Values of Sec-Fetch-Site for requests from other origins. Another port of this machine counts as same-site."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Authentication:
    """Finds the tenant of each request, and refuses requests that would change something but have no valid key."""

    def __init__(self, app: ASGIApp, keys: SQLKeys | None) -> None:
        """Check requests to ``app`` with ``keys``; None means that no keys are required."""
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        try:
            state["tenant"] = tenant = await self._tenant(scope)
        except StorageError as error:
            await problem_of(error).response()(scope, receive, send)
            return
        if tenant is None and scope["method"] not in SAFE:
            await _unauthorized().response()(scope, receive, send)
            return
        if tenant is not None and self._keys is not None and "connection" in state:
            state["connection"].belongs_to(tenant)
        await self._app(scope, receive, send)

    async def _tenant(self, scope: Scope) -> str | None:
        if self._keys is None:
            return LOCAL_TENANT
        scheme, _, key = Headers(scope=scope).get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return await to_thread.run_sync(self._keys.tenant, key.strip())  # it reads the database


def known_tenant(request: Request) -> str:
    """Return the tenant of a request.

    Raises:
        Problem: an API key is required, and the request has no valid one.
    """
    tenant: str | None = request.state.tenant
    if tenant is None:
        raise _unauthorized()
    return tenant


def _unauthorized() -> Problem:
    return Problem(
        401, "unauthorized", "an API key is needed: Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"}
    )


async def _tenant(
    request: Request,
    _described: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,  # for the description only
) -> str:
    return known_tenant(request)


Tenant = Annotated[str, Depends(_tenant)]


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
