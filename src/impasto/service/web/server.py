"""The server of the application."""

from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING

import uvicorn

from impasto.service.web.connections import Connection, Connections

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from fastapi import FastAPI

    from impasto.service.settings import Settings
    from impasto.service.web.watching import Watch

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 4096
_OTHER_FILES = 256
"""Open files of the process besides connections and the bodies that arrive on them."""
_FILES, _MANY = resource.RLIMIT_NOFILE, 1 << 20
_TICKS = 10
"""Number of the server's ticks in a second."""


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
