"""The protocol of job queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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
