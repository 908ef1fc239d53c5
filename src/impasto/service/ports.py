"""Protocols between the parts of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from impasto.api import JobState
    from impasto.service.jobs import Beat, Counts, Delivery, Job, NewJob


class Submissions(Protocol):
    """Interface of the job table for submitters of jobs."""

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Store ``new`` as a job; return the job and whether it is new.

        A repeated request with the same idempotency key returns the existing job. When this returns, the job survives
        any crash.

        Raises:
            ConflictError: another request has the same idempotency key.
            BacklogError: too many jobs wait already.
        """

    def find(self, job: str, tenant: str | None = None) -> Job | None:
        """Return the job with this id. If ``tenant`` is given, jobs of other tenants are not found."""

    def list(
        self, tenant: str, *, state: JobState | None = None, before: str | None = None, most: int = 50
    ) -> Sequence[Job]:
        """Return jobs of ``tenant``, latest first. If ``before`` is given, return only jobs older than this one."""

    def changed(self, known: Mapping[str, int]) -> Sequence[Job]:
        """Return the jobs whose revision differs from the one in ``known``, which maps ids to revisions."""

    def position(self, job: Job) -> int:
        """Return the number of queued jobs that will be taken before ``job``, counted up to 1,000."""


class Revocations(Protocol):
    """Cancelling, retrying and erasing of jobs by their submitters."""

    def cancel(self, job: str, tenant: str) -> Job | None:
        """Cancel a job: at once if it is queued, else at its worker's next heartbeat. A finished job is not changed."""

    def retry(self, job: str, tenant: str) -> Job | None:
        """Requeue a failed or canceled job, with its full number of attempts.

        Raises:
            ConflictError: the job is neither failed nor canceled, or its pictures have been deleted.
        """

    def erase(self, job: str, tenant: str) -> bool:
        """Delete everything about a job in any state. Its worker is told at the next heartbeat."""


class Claims(Protocol):
    """Interface of the job table for workers. Calls change nothing unless owner and attempt are those of the claim."""

    def claim(
        self, owner: str, queues: Sequence[str], lease: float, *, group: str = "", job: str | None = None
    ) -> Job | None:
        """Claim the next job for ``lease`` seconds. This is the only way to start work.

        Args:
            owner: unique name of the worker.
            queues: queues to take the job from.
            lease: duration of the lease in seconds.
            group: group whose networks this worker has in memory. Its jobs may overtake others by some seconds.
            job: id of the only job to claim; any job if None.
        """

    def beat(self, job: Job, lease: float, *, progress: float, preview: str | None = None) -> Beat:
        """Renew the lease, and report the progress."""

    def finish(self, job: Job, result_key: str, sha256: str) -> bool:
        """Accept the result, and queue the messages. If this returns False, the result is not wanted; delete it."""

    def fail(self, job: Job, code: str, text: str) -> bool:
        """End the job as failed."""

    def put_back(self, job: Job, *, delay: float, counts: bool) -> bool:
        """Requeue the job for another attempt after ``delay`` seconds.

        This attempt ``counts`` towards the job's limit if the job itself caused the failure.
        """

    def canceled(self, job: Job) -> bool:
        """End the job as canceled, after its work has been stopped on request."""

    def unwanted(self, job: Job, *keys: str) -> None:
        """Schedule for deletion the blobs ``keys`` that ``job`` does not refer to, such as after a lost lease."""


class Upkeep(Protocol):
    """Periodic work, done by one process at a time."""

    def lead(self, role: str, owner: str, lease: float) -> bool:
        """Take or renew ``role`` for ``lease`` seconds; return whether ``owner`` holds it now. Only one process can."""

    def led(self, role: str) -> bool:
        """Return whether a process holds this ``role``."""

    def reap(self) -> int:
        """Requeue or fail the jobs whose lease has run out; return their number."""

    def expire(self) -> int:
        """Expire the jobs whose retention time is over; return their number. Their blobs are then in `garbage`."""

    def counts(self) -> Counts:
        """Return the counts of the job table, for operators."""

    def orphaned(self, keys: Sequence[str]) -> set[str]:
        """Return the orphaned keys among ``keys``: blob keys such as 'inputs/JOB/...' that no job refers to."""

    def garbage(self) -> Sequence[str]:
        """Return keys of blobs that are due for deletion."""

    def collected(self, keys: Sequence[str]) -> None:
        """Record that these blobs have been deleted."""


class Hints(Protocol):
    """Hints to workers on other machines about waiting jobs."""

    def due(self, window: int, again_after: float) -> Sequence[tuple[str, str]]:
        """Return ids and queues of the next jobs for which no hint was sent within ``again_after`` seconds.

        Only the first ``window`` jobs of each queue are considered. Hints for the returned jobs count as sent from now
        on.
        """

    def untold(self, job_ids: Sequence[str] | None = None) -> None:
        """Record that no hint was sent for these jobs, or for any job if ``job_ids`` is None."""


class Outbox(Protocol):
    """The messages that have to be sent."""

    def next(self, owner: str, lease: float) -> Delivery | None:
        """Take the next message for ``lease`` seconds."""

    def delivered(self, delivery: Delivery, owner: str) -> bool:
        """Record that the recipient accepted the message."""

    def refused(self, delivery: Delivery, owner: str, reason: str, *, again_in: float | None) -> bool:
        """Record that the message was not accepted. Retry in ``again_in`` seconds, or never if it is None."""


class Keys(Protocol):
    """API keys."""

    def create(self, tenant: str) -> str:
        """Create a key for ``tenant``. It cannot be read again later."""

    def tenant(self, key: str) -> str | None:
        """Return the tenant of ``key``; None if the key is unknown or disabled."""

    def disable(self, prefix: str) -> bool:
        """Disable the key with this ``prefix``, its second part; return whether there was one."""


class BlobStore(Protocol):
    """A store for pictures. Keys are relative paths of letters, digits, '/', '-', '_' and '.'."""

    def put(self, key: str, data: bytes) -> None:
        """Store ``data`` as a whole, or not at all. It is durable when this returns.

        Raises:
            StorageError: the disk is full, or the store cannot be reached.
        """

    def get(self, key: str) -> bytes:
        """Return the data stored under ``key``.

        Raises:
            BlobMissingError: nothing was stored under ``key``, or it was deleted.
            StorageError: the store cannot be reached.
        """

    def delete(self, key: str) -> None:
        """Delete the blob, if there is one."""

    def entries(self) -> Iterator[tuple[str, float]]:
        """List the keys, each with the time of its last change."""

    def room(self) -> int:
        """Return how many bytes can still be stored. The value may be some seconds old.

        Raises:
            StorageError: the store cannot be reached.
        """
