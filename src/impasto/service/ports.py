"""Protocols between the parts of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from impasto.api import JobState
    from impasto.service.jobs import Beat, Counts, Delivery, Job, NewJob


class Submissions(Protocol):
    """The job table as those who send jobs see it."""

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Keep ``new``; return it and whether it is new: the same request with the same key is the same job.

        When this returns, the job survives any crash.

        Raises:
            ConflictError: another request has the same idempotency key.
            BacklogError: too many jobs wait already.
        """

    def find(self, job: str, tenant: str | None = None) -> Job | None:
        """Return the job with this id; of ``tenant`` only, if that is given."""

    def list(
        self, tenant: str, *, state: JobState | None = None, before: str | None = None, most: int = 50
    ) -> Sequence[Job]:
        """Return jobs of ``tenant``, the latest first; those older than the job ``before``."""

    def changed(self, known: Mapping[str, int]) -> Sequence[Job]:
        """Return those of the jobs ``known`` by their ids whose revision is another."""

    def position(self, job: Job) -> int:
        """Return how many queued jobs will be taken before ``job``; they are counted up to 1,000."""


class Revocations(Protocol):
    """Cancelling, retrying and erasing jobs, for those who sent them."""

    def cancel(self, job: str, tenant: str) -> Job | None:
        """Cancel: at once if the job waits, else at its worker's next heartbeat. A finished job stays as it is."""

    def retry(self, job: str, tenant: str) -> Job | None:
        """Queue a failed or canceled job again, with all its attempts.

        Raises:
            ConflictError: it did not end so, or its pictures are gone.
        """

    def erase(self, job: str, tenant: str) -> bool:
        """Delete everything about a job, wherever it is; its worker learns it at the next heartbeat."""


class Claims(Protocol):
    """The job table as a worker sees it. Owner and attempt must be those of the claim, or nothing is changed."""

    def claim(
        self, owner: str, queues: Sequence[str], lease: float, *, group: str = "", job: str | None = None
    ) -> Job | None:
        """Take the next job for ``lease`` seconds: the only way to start work.

        Args:
            owner: a name that no other worker has.
            queues: from which.
            lease: seconds.
            group: of the networks that this worker has in memory; such a job may overtake others by some seconds.
            job: take this one, or none.
        """

    def beat(self, job: Job, lease: float, *, progress: float, preview: str | None = None) -> Beat:
        """Renew the lease, and say how far the work is."""

    def finish(self, job: Job, result_key: str, sha256: str) -> bool:
        """Accept the result, and queue the messages; if it is False, the result is not wanted: delete it."""

    def fail(self, job: Job, code: str, text: str) -> bool:
        """Give the job up for good."""

    def put_back(self, job: Job, *, delay: float, counts: bool) -> bool:
        """Let others try again after ``delay`` seconds; the attempt ``counts`` if it is the job's own fault."""

    def canceled(self, job: Job) -> bool:
        """Say that the work has been stopped as it was asked for."""

    def unwanted(self, job: Job, *keys: str) -> None:
        """Let blobs be deleted that were kept for ``job`` and that it does not refer to: its lease was lost before."""


class Upkeep(Protocol):
    """Periodic work, done by one process at a time."""

    def lead(self, role: str, owner: str, lease: float) -> bool:
        """Return whether ``owner`` is the one process with this ``role`` for the next ``lease`` seconds."""

    def led(self, role: str) -> bool:
        """Return whether some process has this ``role``."""

    def reap(self) -> int:
        """Take back the jobs whose lease has run out; return how many."""

    def expire(self) -> int:
        """Forget jobs whose time is over; return how many. Their blobs are in `garbage` then."""

    def counts(self) -> Counts:
        """Return what operators want to know."""

    def orphaned(self, keys: Sequence[str]) -> set[str]:
        """Return those of ``keys`` of blobs, 'inputs/JOB/...' and the like, that no job needs."""

    def garbage(self) -> Sequence[str]:
        """Return keys of blobs that nobody needs any more."""

    def collected(self, keys: Sequence[str]) -> None:
        """Say that these blobs have been deleted."""


class Hints(Protocol):
    """Hints to workers on other machines about waiting jobs."""

    def due(self, window: int, again_after: float) -> Sequence[tuple[str, str]]:
        """Return ids and queues of the next jobs that nobody was told about for so many seconds.

        Of each queue, the first ``window`` are looked at. What is returned counts as told from now on.
        """

    def untold(self, job_ids: Sequence[str] | None = None) -> None:
        """Say that nobody was told about these after all, or about any."""


class Outbox(Protocol):
    """The messages that have to be sent."""

    def next(self, owner: str, lease: float) -> Delivery | None:
        """Take the next message for ``lease`` seconds."""

    def delivered(self, delivery: Delivery, owner: str) -> bool:
        """Say that it was accepted by the other side."""

    def refused(self, delivery: Delivery, owner: str, reason: str, *, again_in: float | None) -> bool:
        """Say that it was not; try again in so many seconds, or never."""


class Keys(Protocol):
    """Keys of the API."""

    def create(self, tenant: str) -> str:
        """Make a key for ``tenant``; it is shown this once."""

    def tenant(self, key: str) -> str | None:
        """Return whose key this is; None if it is nobody's, or disabled."""

    def disable(self, prefix: str) -> bool:
        """Let a key open nothing any more; return whether there was one with this second part."""


class BlobStore(Protocol):
    """A store for pictures. Keys are relative paths of letters, digits, '/', '-', '_' and '.'."""

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data``, whole and durable when this returns, or not at all.

        Raises:
            StorageError: the disk is full, or the store cannot be reached.
        """

    def get(self, key: str) -> bytes:
        """Return what was put.

        Raises:
            BlobMissingError: nothing was, or it was deleted.
            StorageError: the store cannot be reached.
        """

    def delete(self, key: str) -> None:
        """Delete it, if it is there."""

    def entries(self) -> Iterator[tuple[str, float]]:
        """List the keys, each with the time of its last change."""

    def room(self) -> int:
        """Return how many bytes can still be put; it may be some seconds old.

        Raises:
            StorageError: the store cannot be reached.
        """
