"""Authentication of requests."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from impasto.service.web.problems import Problem

LOCAL_TENANT = "local"
"""Everybody, where no keys are asked for."""

_bearer = HTTPBearer(auto_error=False, description="An API key, which 'impasto keys create' makes.")


def known_tenant(request: Request, credentials: HTTPAuthorizationCredentials | None) -> str:
    """Return whose request it is.

    Raises:
        Problem: a key is asked for, and this is none.
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
    if request.app.state.parts.settings.auth:  # which looks into the job table
        return await to_thread.run_sync(known_tenant, request, credentials)
    return known_tenant(request, credentials)


Tenant = Annotated[str, Depends(_tenant)]
