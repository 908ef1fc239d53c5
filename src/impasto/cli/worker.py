"""``impasto worker``: paint the jobs of the service."""

from __future__ import annotations

import logging
import signal
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from threading import Event
from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.keys import service_parts

app = App(name="worker", help="Paint the jobs of the service.")


@app.default
def worker(
    *,
    data_dir: Path | None = None,
    database: str | None = None,
    queue: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> None:
    """Paint the jobs of the service, until SIGTERM or Ctrl-C; a job in hand goes back to the queue then.

    Everything else is set by IMPASTO_* variables, or in impasto.toml.

    Parameters
    ----------
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept, such as postgresql+psycopg://user@host/name; a file in the data folder by default.
    queue
        Which jobs to take; 'cpu' by default. Repeat it for several.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with service_parts("impasto worker", data_dir=data_dir, database=database, queues=queue or None) as parts:
        from impasto.service.worker import work

        work(parts, stop)
