"""The application with its routes, error handlers, middleware and shared state, and its server."""

from __future__ import annotations

import asyncio
import logging
import resource
import shutil
import tempfile
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.routing import iter_route_contexts

from impasto.service.acceptance import Acceptance
from impasto.service.blobs.filesystem import LEFT_FREE
from impasto.service.checking import CHILDREN, CheckLimits, PictureCheck
from impasto.service.integrity import PartVerifier
from impasto.service.signing import Signer
from impasto.service.web import health_routes, job_routes, legacy_routes, offer_routes, page_routes
from impasto.service.web.access import Authentication, Guard
from impasto.service.web.admission import MOST, AdmissionLimit, Space, Turns
from impasto.service.web.connections import Connection, Connections
from impasto.service.web.prefix import Heads, Prefix, check_root_path
from impasto.service.web.problems import answer_with_problems
from impasto.service.web.receiving import Bodies
from impasto.service.web.watching import Watch

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator
    from types import FrameType

    from impasto.service.settings import Settings
    from impasto.service.wiring import Parts

_LOOPBACK = ("127.0.0.1", "localhost", "[", "[::1]")
_AT_ONCE = CHILDREN
"""Requests processed at once, with their pictures in memory. With SQLite and files, eight slow each other down: the
slowest wait three times as long. Remote storage was not measured."""
_MOST_WITH_BODIES = 256
"""Largest number of requests whose bodies have arrived, about three seconds of work for one process."""
_BESIDE_PICTURES = 1 << 20
"""Bytes allowed for everything in a request except pictures."""

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 4096
_OTHER_FILES = 256
"""Open files of the process besides connections and the bodies that arrive on them."""
_FILES, _MANY = resource.RLIMIT_NOFILE, 1 << 20
_TICKS = 10
"""Number of the server's ticks in a second."""


def create_app(parts: Parts) -> FastAPI:
    """Make the application that works with ``parts``.

    Raises:
        UsageError: a setting is invalid.
    """
    settings = parts.settings
    check = PictureCheck(CheckLimits(bytes=settings.max_upload))
    watch = Watch(parts.submissions)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(watch.run())
        await asyncio.to_thread(check.start)
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
        redirect_slashes=False,  # such a redirect would contain the client's Host header
        form_limits={
            "max_files": 1 + 2 * settings.max_styles,
            "max_fields": 60 + 2 * settings.max_styles,
            "max_part_size": 64 << 10,
        },
    )
    app.state.parts = parts
    app.state.watch = watch
    app.state.pages = page_routes.Pages(settings)
    app.state.metrics = health_routes.Metrics(parts.upkeep)
    app.state.signer = Signer.of(settings)
    app.state.verifier = PartVerifier(parts.blobs)
    app.state.acceptance = Acceptance(parts.submissions, parts.blobs, check, settings)
    answer_with_problems(app)
    app.include_router(job_routes.router)
    app.include_router(offer_routes.gallery_router)
    app.include_router(offer_routes.engine_router)
    app.include_router(legacy_routes.router)
    app.include_router(health_routes.router)
    app.include_router(page_routes.router)
    app.add_middleware(AdmissionLimit, most_of_one=MOST // 2 if settings.auth else MOST)
    app.add_middleware(
        Bodies,
        largest=settings.max_upload + _BESIDE_PICTURES,
        exceptions={legacy_routes.PATH: settings.max_upload * 4 // 3 + _BESIDE_PICTURES},  # base64: 4 bytes for 3
        turns=_turns(several_tenants=settings.auth),
        space=Space(partial(_free_for_bodies, parts), of_one=1 / 2 if settings.auth else 1),
    )
    app.add_middleware(Authentication, keys=parts.keys if settings.auth else None)
    app.add_middleware(health_routes.Observer, metrics=app.state.metrics)
    if settings.cors:
        app.add_middleware(CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["*"], allow_headers=["*"])
    if not settings.auth:  # without keys, requests must name this host, against DNS rebinding
        names = [*_LOOPBACK, settings.host, urlsplit(settings.public_url).hostname or ""]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)

    parts_of_url = urlsplit(settings.public_url)
    app.add_middleware(Guard, friends=[*settings.cors, f"{parts_of_url.scheme}://{parts_of_url.netloc}"])
    app.add_middleware(Heads)
    own = [str(route.path) for route in iter_route_contexts(app.routes) if "GET" in (route.methods or ())]
    check_root_path(settings.root_path, own)
    app.add_middleware(Prefix, root_path=settings.root_path, trusted=settings.trusted_proxies, own=own)
    return app


def listen(app: FastAPI, settings: Settings) -> None:
    """Answer requests with ``app`` until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection,
        ws="none",
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    _Server(config, settings, app.state.watch).run()


def _free_for_bodies(parts: Parts) -> int:
    """Return the bytes that are free where bodies are received, beside those left to jobs and to other programs."""
    reserved = parts.submissions.reserved() if parts.settings.blobs is None else 0  # else they are on other disks
    return shutil.disk_usage(tempfile.gettempdir()).free - LEFT_FREE - reserved


def _turns(*, several_tenants: bool) -> Turns:
    """Return the turns. If there are ``several_tenants``, none of them can have all."""
    if several_tenants:
        return Turns(
            at_once=_AT_ONCE, at_once_of_one=_AT_ONCE - 1, most=_MOST_WITH_BODIES, most_of_one=_MOST_WITH_BODIES // 2
        )
    return Turns(at_once=_AT_ONCE, at_once_of_one=_AT_ONCE, most=_MOST_WITH_BODIES, most_of_one=_MOST_WITH_BODIES)


def _most_connections() -> int:
    """Raise the limit of open files as far as it is needed and allowed; return how many connections fit."""
    soft, hard = (_MANY if files == resource.RLIM_INFINITY else files for files in resource.getrlimit(_FILES))
    files = max(soft, min(2 * _MOST_CONNECTIONS + _OTHER_FILES, hard))
    if files > soft:
        resource.setrlimit(_FILES, (files, resource.getrlimit(_FILES)[1]))
    return min(_MOST_CONNECTIONS, (files - _OTHER_FILES) // 2)


class _Server(uvicorn.Server):
    """Limits its connections. Ends event streams on a stop signal, because uvicorn would otherwise wait for them."""

    def __init__(self, config: uvicorn.Config, settings: Settings, watch: Watch) -> None:
        super().__init__(config)
        self._settings = settings
        self.server_state: Connections = Connections(_most_connections())
        self._watch = watch

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        _log.info("the page is at %s/", self._settings.model_copy(update={"port": port}).public_url)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            self.server_state.sweep()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._watch.end()
        super().handle_exit(sig, frame)
