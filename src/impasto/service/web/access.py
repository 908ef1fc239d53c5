"""Who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from impasto.service.web.problems import Problem

LOCAL_TENANT = "local"
"""Everybody, where no keys are asked for."""

_bearer = HTTPBearer(auto_error=False, description="An API key, which 'impasto keys create' makes.")


def tenant_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> str:
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


Tenant = Annotated[str, Depends(tenant_of)]
