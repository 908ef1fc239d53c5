"""Authentication of requests, before their bodies are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from impasto.errors import StorageError
from impasto.service.web.problems import Problem, problem_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from impasto.service.stores.keys import SQLKeys

LOCAL_TENANT = "local"
"""Tenant of all requests if the service requires no API keys."""
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""

_bearer = HTTPBearer(auto_error=False, description="An API key, which 'impasto keys create' makes.")


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
