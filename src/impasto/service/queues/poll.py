"""Workers ask the job table for jobs. This needs no server besides the database."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from impasto.errors import StorageError

if TYPE_CHECKING:
    from threading import Event

    from impasto.service.queues import Take
    from impasto.service.wiring import Parts

_log = logging.getLogger(__name__)

_POLL_EVERY = 0.05
_UNREACHABLE_DELAY = 1.0


class PollQueue:
    """Asks for the next job whenever the worker is free."""

    def __init__(self, parts: Parts, name: str) -> None:
        """Make the queue. It needs neither ``parts`` nor ``name``."""

    def consume(self, take: Take, stop: Event) -> None:
        """See `impasto.service.queues.JobQueue.consume`."""
        while not stop.is_set():
            try:
                taken = take()
            except StorageError as error:
                _log.warning("%s", error)
                stop.wait(_UNREACHABLE_DELAY)
            else:
                if not taken:
                    stop.wait(_POLL_EVERY)
