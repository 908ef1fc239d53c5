"""Worker processes, and their supervisor in ``impasto serve``."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
from contextlib import closing, contextmanager
from multiprocessing.connection import wait
from threading import Event, Thread
from typing import TYPE_CHECKING

from impasto.errors import ImpastoError, StorageError
from impasto.service import logs, wiring
from impasto.service.worker import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.service.settings import Settings

_log = logging.getLogger(__name__)

_EVERY = 1.0
_STOPS_WITHIN = 40.0
_UNREACHABLE_DELAY = 5.0


def run_worker(settings: Settings) -> None:
    """Paint jobs until SIGTERM, SIGINT or, in a process of `supervised_workers`, the end of the parent process.

    Raises:
        StorageError: the job table cannot be reached.
        UsageError: a setting is invalid.
    """
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if (parent := multiprocessing.parent_process()) is None:
        parts = wiring.build(settings)
    else:
        Thread(target=_outlive, args=(parent.sentinel, stop), name="parent", daemon=True).start()
        parts = _wait_for_parts(settings, stop)
    with closing(parts):
        work(parts, stop)


def _wait_for_parts(settings: Settings, stop: Event) -> wiring.Parts:
    """Build the parts as soon as the job table can be reached. A worker that ended instead would only be restarted."""
    while True:
        try:
            return wiring.build(settings)
        except StorageError as error:
            _log.warning("%s", error)
            if stop.wait(_UNREACHABLE_DELAY):
                raise


def _outlive(sentinel: int, stop: Event) -> None:
    wait([sentinel])
    stop.set()


@contextmanager
def supervised_workers(settings: Settings) -> Iterator[None]:
    """Run the number of workers in ``settings``. A worker that dies is replaced; all end with this process."""
    stop = Event()
    keeper = Thread(target=_keep, args=(settings, stop), name="supervisor")
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def _keep(settings: Settings, stop: Event) -> None:
    context = multiprocessing.get_context("spawn")
    alive: list[multiprocessing.process.BaseProcess] = []
    while True:
        for process in alive:
            if not process.is_alive() and process.exitcode:
                _log.warning("a worker has ended with %d; another begins", process.exitcode)
        alive = [process for process in alive if process.is_alive()]
        while len(alive) < settings.workers:
            alive.append(context.Process(target=_main, args=(settings,)))
            alive[-1].start()
        if stop.wait(_EVERY):
            break
    for process in alive:
        process.terminate()
    for process in alive:
        process.join(_STOPS_WITHIN)
        process.kill()


def _main(settings: Settings) -> None:
    logs.set_up(settings.log_format)
    try:
        run_worker(settings)
    except ImpastoError as error:
        _log.error("%s", error)
        sys.exit(1)
