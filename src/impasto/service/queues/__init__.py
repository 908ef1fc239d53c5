"""Job queues, through which workers find their jobs in the job table: their protocol and their catalog.

The catalog has one row per queue, with everything that other modules need to know about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from impasto.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event


class Take(Protocol):
    """Claims and paints jobs for a worker."""

    def __call__(self, job: str | None = None) -> bool:
        """Claim and paint the job with this id, or the next job if it is None; return whether a job was claimed.

        Only jobs of the worker's queues are claimed, and none that another worker holds.

        Raises:
            StorageError: the job table cannot be reached.
        """


class JobQueue(Protocol):
    """A way for a worker to find its jobs. A queue may lose its data, because the jobs are in the job table.

    The constructor takes the `Parts` of the process and the name of the worker.
    """

    def consume(self, take: Take, stop: Event) -> None:
        """Call ``take`` for waiting jobs, one call at a time, until ``stop`` is set.

        If the job table or the broker cannot be reached, log it and try again. If a library handles the signals that
        end the process, set ``stop`` when one arrives, so that a job in progress is finished or requeued.
        """


@dataclass(frozen=True)
class QueueRow:
    """A row of the catalog."""

    name: str
    code: str
    """``module:attribute`` of the class, which is imported on first use."""
    schemes: tuple[str | None, ...]
    """Schemes of the setting ``broker`` that select this queue; None stands for no broker."""
    extra: str = "serve"
    """Extra that installs what the queue needs."""
    roles: tuple[str, ...] = ()
    """Roles that one worker at a time has to hold (`SQLUpkeep.lead`). While nobody holds them, jobs wait."""

    def load(self) -> Callable[..., JobQueue]:
        """Import the class of the queue.

        Raises:
            MissingDependencyError: the queue needs a package that is not installed.
        """
        module, _, attribute = self.code.partition(":")
        with needs_extra("a broker", self.extra):
            made: Callable[..., JobQueue] = getattr(import_module(module), attribute)
        return made


QUEUES: dict[str, QueueRow] = {
    row.name: row
    for row in (
        QueueRow("poll", "impasto.service.queues.poll:PollQueue", (None,)),
        QueueRow(
            "celery",
            "impasto.service.queues.celery:CeleryQueue",
            ("redis", "rediss"),
            extra="celery",
            roles=("dispatcher",),
        ),
    )
}


def queue_row(broker: str | None) -> QueueRow:
    """Return the row of the queue for ``broker``, an address such as 'redis://host:6379/0', or None.

    Raises:
        UsageError: no queue takes such an address.
    """
    scheme = None if broker is None else broker.partition("://")[0]
    for row in QUEUES.values():
        if scheme in row.schemes:
            return row
    known = " or ".join(f"{scheme}://" for row in QUEUES.values() for scheme in row.schemes if scheme is not None)
    # The address is left out, as it may contain a password.
    raise UsageError(f"setting broker has to begin with {known}; if it is left out, workers poll the job table")
