"""The web page: ``/``, its files, and the routes for use without JavaScript."""

from __future__ import annotations

import json
from functools import cached_property, partial
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from impasto.api import JobBody
from impasto.errors import ImpastoError
from impasto.painting import StyleChoice
from impasto.service.checking import CheckLimits
from impasto.service.web.access import LOCAL_TENANT
from impasto.service.web.job_routes import body_of
from impasto.service.web.offer_routes import gallery
from impasto.service.web.page_texts import (
    DEFAULT_LANGUAGE,
    EXPLANATIONS,
    LANGUAGES,
    STATES,
    texts_of_scripts,
    translations,
)
from impasto.service.web.problems import Problem, problem_of
from impasto.service.web.sending import keep, notices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from gettext import NullTranslations
    from importlib.resources.abc import Traversable

    from impasto.service.settings import Settings

router = APIRouter(include_in_schema=False)

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "png": "image/png"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
_OPTIONS = ("strength", "keep_colors", "size")
"""Options in the form without JavaScript."""


class Pages:
    """The files of the page."""

    def __init__(self, settings: Settings) -> None:
        """Make pages for a service with these ``settings``."""
        self._settings = settings
        self._folder = files("impasto.service.web") / "page"
        self._catalogues = {language: translations(language) for language in LANGUAGES}
        self._templates = {language: _templates(catalogue) for language, catalogue in self._catalogues.items()}

    @cached_property
    def static(self) -> dict[str, bytes]:
        """Static files by name. The path of a file contains the version, so its content never changes."""
        folder: Traversable = self._folder / "static"
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)}

    @cached_property
    def version(self) -> str:
        """Hash of the static files, which identifies their version."""
        return sha256(b"".join(self.static.values())).hexdigest()[:16]

    def page(self, request: Request, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Fill a template, in the language of ``request``."""
        language, root = _language(request), request.scope["root_path"]
        template = self._templates[language].get_template(name)
        text = template.render(
            texts=texts_of_scripts(self._catalogues[language]),
            language=language,
            languages=LANGUAGES.items(),
            root=root,
            static=f"{root}/static/{self.version}",
            config={**self._config(), "root": root},
            **values,
        )
        return HTMLResponse(text, status, _HEADERS)

    def state(self, language: str, name: str) -> str:
        """Return the text of the state ``name`` in ``language``, with placeholders in braces."""
        return self._catalogues[language].gettext(STATES[name])

    def explained(self, language: str, code: str, detail: str) -> str:
        """Return the explanation of the error ``code`` in ``language``, followed by its ``detail`` in English."""
        if code not in EXPLANATIONS:
            return detail
        return f"{self._catalogues[language].gettext(EXPLANATIONS[code])} ({detail})"

    def _config(self) -> dict[str, object]:
        limits = CheckLimits(bytes=self._settings.max_upload)
        return {
            "auth": self._settings.auth,
            "email": self._settings.smtp_host is not None,
            "maxBytes": limits.bytes,
            "maxPixels": limits.pixels,
            "maxSide": limits.longest_side,
            "maxSize": self._settings.max_size,
            "maxStyles": self._settings.max_styles,
        }


def _templates(catalogue: NullTranslations) -> Environment:
    loader = PackageLoader("impasto.service.web", "page")
    made = Environment(loader=loader, autoescape=True, extensions=["jinja2.ext.i18n"])
    made.install_gettext_translations(catalogue)  # type: ignore[attr-defined]  # the extension adds it
    return made


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages


def _language(request: Request) -> str:
    """Return the language that was chosen, or else the one that the browser prefers."""
    for asked in (request.query_params.get("lang"), request.cookies.get("language")):
        if asked in LANGUAGES:
            return asked
    liked = []
    for part in request.headers.get("Accept-Language", "").split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            liked.append((-float(weight or 1), tag[:2].lower()))
        except ValueError:
            continue
    return next((code for _, code in sorted(liked, key=lambda row: row[0]) if code in LANGUAGES), DEFAULT_LANGUAGE)


@router.get("/")
def page(request: Request) -> Response:
    """Show the page."""
    answer = _pages(request).page(request, "index.html", styles=gallery(request), given={})
    if request.query_params.get("lang") in LANGUAGES:
        path = f"{request.scope['root_path']}/"
        answer.set_cookie("language", _language(request), 365 * 86400, path=path, samesite="lax", httponly=True)
    return answer


@router.post("/paint")
async def paint(request: Request) -> Response:
    """Take the form of the page without JavaScript."""
    settings: Settings = request.app.state.parts.settings
    if settings.auth:
        raise Problem(403, "forbidden", "this service asks for keys; use the page with JavaScript, or the API")
    given: Mapping[str, Any] = {}
    try:
        given = form = await request.form()
        content, email = form.get("content"), str(form.get("email") or "") or None
        notify = notices(settings, email)
        keeping = partial(
            keep,
            request,
            tenant=LOCAL_TENANT,
            content=await content.read() if isinstance(content, UploadFile) else b"",
            styles=[StyleChoice(name=str(form.get("style")))],
            options={name: form[name] for name in _OPTIONS if form.get(name)},
            notify=notify,
        )
        job, _ = await to_thread.run_sync(keeping)
    except (ImpastoError, HTTPException, Problem) as error:
        problem, styles = problem_of(error), await to_thread.run_sync(gallery, request)
        return _pages(request).page(
            request,
            "index.html",
            status=problem.status,
            styles=styles,
            error=_pages(request).explained(_language(request), problem.code, problem.detail),
            given=given,
        )
    return RedirectResponse(f"{request.scope['root_path']}/jobs/{job.id}", 303)


@router.get("/jobs/{job}")
def job_page(request: Request, job: str) -> Response:
    """Show how far a job is, without JavaScript."""
    settings: Settings = request.app.state.parts.settings
    found = None if settings.auth else request.app.state.parts.submissions.find(job, LOCAL_TENANT)
    pages, language = _pages(request), _language(request)
    if found is None:
        return pages.page(request, "job.html", status=404, job=None, state=pages.state(language, "expired"))
    body = body_of(request, found)
    return pages.page(request, "job.html", job=body, state=_state(body, pages, language))


def _state(job: JobBody, pages: Pages, language: str) -> str:
    name = "queued_next" if job.state == "queued" and not job.position else job.state
    reason = pages.explained(language, job.error.code, job.error.text) if job.error else ""
    return pages.state(language, name).format(ahead=job.position, percent=round(100 * job.progress), reason=reason)


@router.get("/static/{version}/{name}")
def static(request: Request, version: str, name: str) -> Response:
    """Return a file of the page."""
    data = _pages(request).static.get(name)
    if data is None or version != _pages(request).version:
        raise Problem(404, "not_found", f"there is no file {name!r} in version {version!r} of the page")
    return Response(data, media_type=_TYPES[name.rpartition(".")[2]], headers=_FOR_EVER)


@router.get("/sw.js")
def service_worker(request: Request) -> Response:
    """Return what keeps the shell of the page."""
    pages, root = _pages(request), request.scope["root_path"]
    shell = ["/", "/manifest.webmanifest", *(f"/static/{pages.version}/{name}" for name in pages.static)]
    paths = json.dumps([root + path for path in shell])
    script = pages.static["sw.js"].decode().replace("VERSION", pages.version).replace("FILES", paths)
    return Response(script, media_type="text/javascript", headers=_HEADERS)


@router.get("/manifest.webmanifest")
def manifest(request: Request) -> Response:
    """Return what makes the page an app."""
    root = request.scope["root_path"]
    static = f"{root}/static/{_pages(request).version}"
    icon = {"src": f"{static}/icon.svg", "sizes": "any", "type": "image/svg+xml"}
    raster = {"src": f"{static}/icon-180.png", "sizes": "180x180", "type": "image/png"}
    found = {
        "id": f"{root}/",
        "name": "impasto",
        "start_url": f"{root}/",
        "scope": f"{root}/",
        "display": "standalone",
        "background_color": "#faf8f5",
        "theme_color": "#1d3557",
        "icons": [icon, {**icon, "purpose": "maskable"}, raster],
    }
    return Response(json.dumps(found), media_type="application/manifest+json", headers=_HEADERS)
