"""The application: routes, error handlers, middleware and shared state."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from impasto.service.signing import Signer
from impasto.service.submit.accept import Acceptance
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
from impasto.service.web.admission import AdmissionLimit
from impasto.service.web.body_limit import BodyLimit
from impasto.service.web.guard import Guard
from impasto.service.web.problems import answer_with_problems
from impasto.service.web.watching import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from impasto.service.wiring import Parts

_LOOPBACK = ("127.0.0.1", "localhost", "[", "[::1]")
_AT_ONCE = 4
"""Requests processed at once, with their pictures in memory. With SQLite and files, eight slow each other down: the
slowest wait three times as long. Remote storage was not measured."""
_BESIDE_PICTURES = 1 << 20
"""Bytes allowed for everything in a request except pictures."""


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
        form_limits={
            "max_files": 1 + 2 * settings.max_styles,
            "max_fields": 60 + 2 * settings.max_styles,
            "max_part_size": 64 << 10,
        },
    )
    app.state.parts = parts
    app.state.watch = watch
    app.state.pages = page_routes.Pages(settings)
    app.state.at_once = asyncio.Semaphore(_AT_ONCE)
    app.state.metrics = metrics.Metrics(parts.upkeep)
    app.state.signer = Signer.of(settings)
    app.state.acceptance = Acceptance(parts.submissions, parts.blobs, check, settings)
    answer_with_problems(app)
    app.include_router(job_routes.router)
    app.include_router(gallery_routes.router)
    app.include_router(engine_routes.router)
    app.include_router(legacy_routes.router)
    app.include_router(metrics.router)
    app.include_router(health_routes.router)
    app.include_router(page_routes.router)
    app.add_middleware(
        BodyLimit,
        largest=settings.max_upload + _BESIDE_PICTURES,
        exceptions={legacy_routes.PATH: settings.max_upload * 4 // 3 + _BESIDE_PICTURES},  # base64: 4 bytes for 3
    )
    app.add_middleware(AdmissionLimit)
    app.add_middleware(metrics.Observer, metrics=app.state.metrics)
    if settings.cors:
        app.add_middleware(CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["*"], allow_headers=["*"])
    if not settings.auth:  # without keys, requests must name this host, against DNS rebinding
        names = [*_LOOPBACK, settings.host, urlsplit(settings.base_url).hostname or ""]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)

    app.add_middleware(Guard, friends=settings.cors)
    return app
