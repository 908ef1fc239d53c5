"""``/healthz`` and ``/readyz``: probes for supervisors and load balancers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from impasto.api import Health
from impasto.errors import QuotaError, StorageError
from impasto.images import largest_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.service.wiring import Parts

router = APIRouter(tags=["health"])


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
    largest = parts.settings.max_size
    try:
        parts.submissions.check_room(largest_file(largest, largest, "tiff", bit_depth=32, alpha=True))
    except QuotaError:
        missing["pictures"] = "there is little room for more; large jobs are refused"
    # One worker at a time holds each of these roles.
    for role, what in {"upkeep": "workers", **{role: role for role in parts.queue.roles}}.items():
        if not parts.upkeep.led(role):
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
