"""Legacy API, for programs that were written for it: ``/index``, ``/help`` and ``/transform``."""

from __future__ import annotations

import base64
from functools import partial

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from impasto.gallery import StyleCatalog
from impasto.images.formats import SUFFIXES
from impasto.painting import StyleChoice
from impasto.service.web.access import Tenant
from impasto.service.web.problems import Problem
from impasto.service.web.sending import keep, notices

router = APIRouter(tags=["sources"])

PATH = "/transform"

_INDEX = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>impasto</title></head><body>
<h1>impasto</h1><p>POST /transform with JSON (email, filename, image, model) to have a picture painted;
<a href="help">/help</a> lists the models.</p></body></html>"""


class Sample(BaseModel):
    """A style, and what it looks like."""

    model: str
    title: str
    sample: str = Field(description="A small picture, as a data URL.")


class Help(BaseModel):
    """The styles that 'model' of /transform can name."""

    models: list[Sample]


class Transform(BaseModel):
    """A picture to paint."""

    email: str | None = Field(None, description="Where to send the result.")
    filename: str = Field(max_length=255, description="Its ending is the format of the result.")
    image: str = Field(description="The picture file in base64, also as a data URL.")
    model: str = Field(description="A style of the gallery.")


class Transformed(BaseModel):
    """The job that was created for the request."""

    id: str
    status: str
    job: str = Field(description="Path of the job.")


def _decoded(text: str) -> bytes:
    """Decode ``text`` from base64, which may have line ends, the alphabet for URLs, or no padding.

    Raises:
        ValueError: ``text`` is not base64.
    """
    plain = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


@router.get("/index", response_class=HTMLResponse)
def index() -> HTMLResponse:
    """Say what is here."""
    return HTMLResponse(_INDEX)


@router.get("/help")
def models(_tenant: Tenant) -> Help:
    """List the styles with sample pictures."""
    found = []
    for style in StyleCatalog().readable():
        sample = f"data:image/webp;base64,{base64.b64encode(style.swatch).decode()}"
        found.append(Sample(model=style.name, title=style.title, sample=sample))
    return Help(models=found)


@router.post(PATH, status_code=202)
async def transform(request: Request, tenant: Tenant, body: Transform) -> Transformed:
    """Have a picture painted, and the result sent by e-mail."""
    notify = notices(request.app.state.parts.settings, body.email)
    form = body.filename.rpartition(".")[2].lower()
    if form not in SUFFIXES:
        raise Problem(422, "bad_request", f"filename {body.filename!r} ends in no format that can be written")
    try:
        content = _decoded(body.image.partition(";base64,")[2] or body.image)
    except ValueError as error:
        raise Problem(422, "bad_request", "image is not base64") from error
    styles = [StyleChoice(name=body.model)]
    keeping = partial(keep, request, tenant=tenant, content=content, styles=styles, format=form, notify=notify)
    job, _ = await to_thread.run_sync(keeping)
    return Transformed(id=job.id, status="accepted", job=f"{request.scope['root_path']}/v1/jobs/{job.id}")
