"""The catalog of job queues: one row per queue, with everything that other modules need to know about it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from impasto.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.service.queues.base import JobQueue


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
