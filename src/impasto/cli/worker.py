"""``impasto worker``: paint the jobs of the service."""

from __future__ import annotations

import tempfile
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.service import service_settings

app = App(name="worker")


@app.default
def worker(
    *,
    data_dir: Path | None = None,
    database: str | None = None,
    queue: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> None:
    """Paint the jobs of the service.

    SIGTERM or Ctrl-C stops it; a running job goes back to the queue. Everything else is set by IMPASTO_* variables,
    or in impasto.toml.

    Parameters
    ----------
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept, such as postgresql+psycopg://user@host/name; a file in the data folder by default.
    queue
        Which jobs to take; 'cpu' by default. Repeat it for several.
    """
    settings = service_settings("impasto worker", data_dir=data_dir, database=database, queues=queue or None)
    from impasto.service import logs, wiring
    from impasto.service.supervisor import run_worker

    logs.set_up(settings.log_format)
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # everything is read-only except the data folder
        wiring.keep_temporary_files(settings)
    run_worker(settings)
