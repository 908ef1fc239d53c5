"""Authentication of requests."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from impasto.service.web.problems import Problem

LOCAL_TENANT = "local"
"""Tenant of all requests if the service requires no API keys."""

_bearer = HTTPBearer(auto_error=False, description="An API key, which 'impasto keys create' makes.")


def known_tenant(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str:
    """Return the tenant of a request.

    Raises:
        Problem: an API key is required, and the request has no valid one.
    """
    parts = request.app.state.parts
    if not parts.settings.auth:
        return LOCAL_TENANT
    tenant: str | None = parts.keys.tenant(credentials.credentials) if credentials else None
    if tenant is None:
        raise Problem(
            401, "unauthorized", "an API key is needed: Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"}
        )
    return tenant


async def _tenant(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> str:
    if request.app.state.parts.settings.auth:  # the check reads the database, so it runs in a thread
        return await to_thread.run_sync(known_tenant, request, credentials)
    return known_tenant(request, credentials)


Tenant = Annotated[str, Depends(_tenant)]
