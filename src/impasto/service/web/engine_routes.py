"""``/v1/engines``: the ways to paint, and their options."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from impasto.api import EngineBody, EngineList
from impasto.engines.catalog import ENGINES
from impasto.options import DEFAULT_ENGINE, FILES_OF_A_RUN, EngineOptions
from impasto.service.web.access import Tenant

router = APIRouter(prefix="/v1/engines", tags=["engines"])


def _schema(options: type[EngineOptions]) -> dict[str, Any]:
    schema = options.model_json_schema()
    offered = {name: each for name, each in schema["properties"].items() if name not in FILES_OF_A_RUN}
    return {**schema, "properties": offered}


@router.get("")
def list_engines(_tenant: Tenant) -> EngineList:
    """List the engines with the schemas of their options, of which forms can be made."""
    return EngineList(engines=engines())


def engines() -> list[EngineBody]:
    """Describe all engines, the default one first."""
    return [
        EngineBody(
            name=row.name,
            summary=(row.options.__doc__ or "").strip().partition("\n")[0],
            available=row.is_available,
            styles=row.styles,
            options=_schema(row.options),
        )
        for row in sorted(ENGINES.values(), key=lambda row: row.name != DEFAULT_ENGINE)
    ]
