"""The server of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

    from impasto.service.settings import Settings
    from impasto.service.web.watching import Watch


def listen(app: FastAPI, settings: Settings) -> None:
    """Answer requests with ``app`` until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    _Server(config, app.state.watch).run()


class _Server(uvicorn.Server):
    """Ends event streams on a stop signal, because uvicorn would otherwise wait for them."""

    def __init__(self, config: uvicorn.Config, watch: Watch) -> None:
        super().__init__(config)
        self._watch = watch

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._watch.end()
        super().handle_exit(sig, frame)
