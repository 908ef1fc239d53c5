"""The application: routes, errors, headers, and what they share."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI, Response
from fastapi.middleware.cors import CORSMiddleware

from impasto.errors import StorageError
from impasto.service.signing import Signer
from impasto.service.submit.accept import Acceptance, Bounds, Rates
from impasto.service.submit.checking import CheckLimits, PictureCheck
from impasto.service.web import gallery_routes, job_routes, legacy_routes, metrics
from impasto.service.web.bodies import Health
from impasto.service.web.problems import answer_with_problems
from impasto.service.web.watching import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi import Request

    from impasto.service.wiring import Parts

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_SMALLEST_DISK = 1 << 30


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
        form_limits={"max_files": 5, "max_fields": 60, "max_part_size": 64 << 10},
    )
    app.state.parts = parts
    app.state.watch = watch
    app.state.metrics = metrics.Metrics(parts.upkeep)
    app.state.signer = Signer.of(settings)
    rates = Rates(settings.per_minute, settings.mails_per_hour)
    bounds = Bounds(size=settings.max_size, steps=settings.max_steps)
    app.state.acceptance = Acceptance(parts.submissions, parts.blobs, check, bounds, rates)
    answer_with_problems(app)
    app.include_router(job_routes.router)
    app.include_router(gallery_routes.router)
    app.include_router(legacy_routes.router)
    app.include_router(metrics.router)
    app.middleware("http")(app.state.metrics.observe)
    if settings.cors:
        app.add_middleware(CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["*"], allow_headers=["*"])

    @app.middleware("http")
    async def headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.get("/healthz", tags=["health"])
    def healthz() -> Health:
        """Say that the process is there."""
        return Health(status="ok", checks={})

    @app.get("/readyz", tags=["health"], responses={503: {"model": Health}})
    def readyz(response: Response) -> Health:
        """Say whether jobs can be accepted."""
        checks = {}
        try:
            parts.upkeep.lead("readiness", "any", 1.0)
            checks["database"] = "ok"
        except StorageError as error:
            checks["database"] = str(error)
        free = shutil.disk_usage(settings.data_dir).free
        checks["disk"] = "ok" if free > _SMALLEST_DISK else f"only {free >> 20} MiB are free"
        ready = all(value == "ok" for value in checks.values())
        response.status_code = 200 if ready else 503
        return Health(status="ok" if ready else "unavailable", checks=checks)

    return app
