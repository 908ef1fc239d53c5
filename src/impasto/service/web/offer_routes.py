"""``/v1/styles`` and ``/v1/engines``: the styles of the gallery, and the engines with their options."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from impasto.api import EngineBody, EngineList, StyleBody, StyleList
from impasto.engines.catalog import ENGINES
from impasto.errors import UnknownNameError
from impasto.gallery import StyleCatalog
from impasto.options import DEFAULT_ENGINE, FILES_OF_A_RUN, EngineOptions
from impasto.service.web.access import Tenant
from impasto.service.web.problems import Problem

gallery_router = APIRouter(prefix="/v1/styles", tags=["styles"])

engine_router = APIRouter(prefix="/v1/engines", tags=["engines"])


@gallery_router.get("")
def list_styles(request: Request, _tenant: Tenant) -> StyleList:
    """List the styles of the gallery, sorted by look and name."""
    return StyleList(styles=gallery(request))


def gallery(request: Request) -> list[StyleBody]:
    """Describe all styles."""
    return [StyleBody.of(style, root=request.scope["root_path"]) for style in StyleCatalog().readable()]


@gallery_router.get("/{name}/thumbnail", response_class=Response, responses={200: {"content": {"image/webp": {}}}})
def get_thumbnail(name: str, _tenant: Tenant) -> Response:
    """Return a small picture in a style."""
    try:
        swatch = StyleCatalog().get(name).swatch
    except UnknownNameError as error:
        raise Problem(404, "not_found", str(error)) from error
    if not swatch:
        raise Problem(404, "no_thumbnail", f"style {name!r} has no swatch")
    return Response(swatch, media_type="image/webp", headers={"Cache-Control": "public, max-age=86400"})


def _schema(options: type[EngineOptions]) -> dict[str, Any]:
    schema = options.model_json_schema()
    offered = {name: each for name, each in schema["properties"].items() if name not in FILES_OF_A_RUN}
    return {**schema, "properties": offered}


@engine_router.get("")
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
