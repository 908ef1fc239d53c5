"""The application: routes, errors, headers, and what they share."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from impasto.service.signing import Signer
from impasto.service.submit.accept import Acceptance, Bounds, Rates
from impasto.service.submit.checking import CheckLimits, PictureCheck
from impasto.service.web import (
    engine_routes,
    gallery_routes,
    health_routes,
    job_routes,
    legacy_routes,
    metrics,
    page_routes,
)
from impasto.service.web.problems import Problem, answer_with_problems
from impasto.service.web.watching import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi import Request

    from impasto.service.wiring import Parts

_LOOPBACK = ("127.0.0.1", "localhost", "[", "[::1]")
_AT_ONCE = 8
"""Requests whose pictures are in memory."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def create_app(parts: Parts) -> FastAPI:
    """Make the application that works with ``parts``."""
    settings = parts.settings
    check = PictureCheck(CheckLimits(bytes=settings.max_upload))
    watch = Watch(parts.submissions)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(watch.run())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        check.close()

    app = FastAPI(
        title="impasto",
        summary="Paints one image in the style of another.",
        version=version("impasto"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        max_body_size=settings.max_upload + (1 << 20),
        form_limits={"max_files": 9, "max_fields": 60, "max_part_size": 64 << 10},
    )
    app.state.parts = parts
    app.state.watch = watch
    app.state.pages = page_routes.Pages(settings)
    app.state.at_once = asyncio.Semaphore(_AT_ONCE)
    app.state.metrics = metrics.Metrics(parts.upkeep)
    app.state.signer = Signer.of(settings)
    rates = Rates(settings.per_minute, settings.mails_per_hour)
    bounds = Bounds(size=settings.max_size, steps=settings.max_steps)
    app.state.acceptance = Acceptance(parts.submissions, parts.blobs, check, bounds, rates)
    answer_with_problems(app)
    app.include_router(job_routes.router)
    app.include_router(gallery_routes.router)
    app.include_router(engine_routes.router)
    app.include_router(legacy_routes.router)
    app.include_router(metrics.router)
    app.include_router(health_routes.router)
    app.include_router(page_routes.router)
    app.middleware("http")(app.state.metrics.observe)
    if settings.cors:
        app.add_middleware(CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["*"], allow_headers=["*"])

    if not settings.auth:  # nobody else's name may lead here: who has no key is known by being on this machine
        names = [*_LOOPBACK, settings.host, urlsplit(settings.base_url).hostname or ""]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)

    @app.middleware("http")
    async def own_site(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        """Refuse what the page of another site sends in a visitor's name."""
        foreign = request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method not in _SAFE
        if foreign and request.headers.get("Origin") not in settings.cors:
            return Problem(403, "cross_site", "another site may not send this in your name").response()
        return await call(request)

    @app.middleware("http")
    async def headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app
