"""``/healthz`` and ``/readyz``: probes for supervisors and load balancers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from impasto.api import Health
from impasto.errors import StorageError
from impasto.service.submit.accept import ROOM_FOR_A_JOB

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.service.wiring import Parts

router = APIRouter(tags=["health"])

_ROLES = {"upkeep": "workers", "dispatcher": "dispatcher"}
"""Roles that one worker at a time holds, each with the name of what is missing if no worker does."""


@router.get("/healthz")
def healthz() -> Health:
    """Say that the process is there."""
    return Health(status="ok", checks={})


@router.get("/readyz", responses={503: {"model": Health}})
def readyz(request: Request, response: Response) -> Health:
    """Say whether the service can be used: 503 if not; degraded if something is missing that it can do without."""
    parts: Parts = request.app.state.parts
    needed = {"database": _said(_database, parts), "pictures": _said(parts.blobs.room)}
    if any(said is not None for said in needed.values()):
        response.status_code = 503
        return Health(status="unavailable", checks={name: said or "ok" for name, said in needed.items()})
    missing = {}
    if parts.blobs.room() < ROOM_FOR_A_JOB:
        missing["pictures"] = "there is no room for more; no jobs are taken"
    for role, what in _ROLES.items():
        if (role == "upkeep" or parts.settings.broker is not None) and not parts.upkeep.led(role):
            missing[what] = "none is there; jobs wait"
    return Health(status="degraded" if missing else "ok", checks={**dict.fromkeys(needed, "ok"), **missing})


def _database(parts: Parts) -> None:
    parts.upkeep.lead("readiness", "any", 1.0)


def _said(check: Callable[..., object], *arguments: object) -> str | None:
    try:
        check(*arguments)
    except StorageError as error:
        return str(error)
    return None
