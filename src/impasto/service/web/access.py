"""Who asks, and links that open one result for anybody until they expire."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from impasto.service.web.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path

LOCAL_TENANT = "local"
"""Everybody, where no keys are asked for."""

_bearer = HTTPBearer(auto_error=False, description="An API key: the operator of the service makes it.")


class Signer:
    """Signs paths."""

    def __init__(self, secret: bytes) -> None:
        """Sign with ``secret``."""
        self._secret = secret

    @classmethod
    def kept_in(cls, folder: Path) -> Signer:
        """Sign with the secret that ``folder`` keeps; make one if there is none."""
        path = folder / "secret"
        try:
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(secrets.token_bytes(32))
        except FileExistsError:
            pass
        return cls(path.read_bytes())

    def sign(self, path: str, until: float) -> str:
        """Return ``path`` with a signature that is good until then."""
        return f"{path}?until={int(until)}&signature={self._mac(path, int(until))}"

    def opens(self, path: str, until: int | None, signature: str | None) -> bool:
        """Return whether the signature is right, and still good."""
        if until is None or signature is None or until < time.time():
            return False
        return hmac.compare_digest(self._mac(path, until), signature)

    def _mac(self, path: str, until: int) -> str:
        return hmac.new(self._secret, f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()


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
