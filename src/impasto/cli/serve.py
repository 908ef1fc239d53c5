"""``impasto serve``: the HTTP API, and the workers behind it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations

from cyclopts import App

from impasto.cli.service import service_parts
from impasto.errors import UsageError

app = App(name="serve")


@app.default
def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    data_dir: Path | None = None,
    database: str | None = None,
    auth: bool | None = None,
    root_path: str | None = None,
) -> None:
    """Run the service: an HTTP API, a web page, and the workers behind them.

    SIGTERM or Ctrl-C stops it; running jobs go back to the queue. Everything else is set by IMPASTO_* variables, or
    in impasto.toml.

    Parameters
    ----------
    host
        Address to listen on; 127.0.0.1 by default.
    port
        Port to listen on; 8765 by default.
    workers
        Worker processes on this machine; 1 by default, 0 if 'impasto worker' runs elsewhere.
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept, such as postgresql+psycopg://user@host/name; a file in the data folder by default.
    auth
        Require API keys; must be on unless the service listens on a loopback address.
    root_path
        Path under which a proxy offers the service, such as /paint.
    """
    with service_parts(
        "impasto serve",
        host=host,
        port=port,
        workers=workers,
        data_dir=data_dir,
        database=database,
        auth=auth,
        root_path=root_path,
    ) as parts:
        from impasto.service import logs, wiring
        from impasto.service.supervisor import supervised_workers
        from impasto.service.web.app import create_app
        from impasto.service.web.server import listen

        settings = parts.settings
        wiring.keep_temporary_files(settings)  # uploads may be large, and /tmp small or in memory
        logs.set_up(settings.log_format)
        if settings.is_public and not settings.auth:
            raise UsageError(
                f"{settings.host} can be reached by others, who could use everything; add --auth, or listen on "
                "127.0.0.1"
            )
        app = create_app(parts)  # before the workers start, because it refuses invalid settings
        # uvicorn shuts down on SIGTERM, then raises the signal again. This handler turns it into SystemExit, so that
        # the workers are stopped, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with supervised_workers(settings):
            listen(app, settings)
