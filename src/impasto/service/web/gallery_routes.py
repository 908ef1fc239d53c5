"""``/v1/styles``: the gallery."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from impasto.api import StyleBody, StyleList
from impasto.errors import UnknownNameError
from impasto.gallery import StyleCatalog
from impasto.service.web.access import Tenant
from impasto.service.web.problems import Problem

router = APIRouter(prefix="/v1/styles", tags=["styles"])


@router.get("")
def list_styles(request: Request, _tenant: Tenant) -> StyleList:
    """List the styles of the gallery, sorted by look and name."""
    return StyleList(styles=gallery(request))


def gallery(request: Request) -> list[StyleBody]:
    """Describe all styles."""
    return [StyleBody.of(style, root=request.scope["root_path"]) for style in StyleCatalog().readable()]


@router.get("/{name}/thumbnail", response_class=Response, responses={200: {"content": {"image/webp": {}}}})
def get_thumbnail(name: str, _tenant: Tenant) -> Response:
    """Return a small picture in a style."""
    try:
        swatch = StyleCatalog().get(name).swatch
    except UnknownNameError as error:
        raise Problem(404, "not_found", str(error)) from error
    if not swatch:
        raise Problem(404, "no_thumbnail", f"style {name!r} has no swatch")
    return Response(swatch, media_type="image/webp", headers={"Cache-Control": "public, max-age=86400"})
