"""Claims on jobs, and hints about waiting jobs.

A worker holds a job by a lease until it finishes the job or returns it. Each queue has a window, so that the broker
never holds the whole backlog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, not_, select, update

from impasto.api import JobState
from impasto.service.jobs import Beat
from impasto.service.stores.ending import discard, end, requeue
from impasto.service.stores.schema import jobs, to_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.service.jobs import Job, Limits, Retention
    from impasto.service.stores.database import Database

_LOOKED_AT = 16
_OVERTAKES = 5.0
"""Head start, in seconds of waiting, of a job whose network is in memory."""


class SQLClaims:
    """The job table for workers. Calls change no job whose owner or attempt is no longer that of the claim."""

    def __init__(self, database: Database, limits: Limits, retention: Retention) -> None:
        """Claim jobs from ``database``."""
        self._database = database
        self._limits = limits
        self._retention = retention

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
        with self._database.begin() as (connection, now):
            eligible = and_(
                jobs.c.state == JobState.QUEUED,
                jobs.c.queue.in_(queues),
                jobs.c.not_before <= now,
                not_(jobs.c.cancel_requested),
            )
            if job is not None:
                eligible = and_(eligible, jobs.c.id == job)
            if self._limits.tenant_running:
                busy = (
                    select(jobs.c.tenant)
                    .where(jobs.c.state == JobState.RUNNING)
                    .group_by(jobs.c.tenant)
                    .having(func.count() >= self._limits.tenant_running)
                )
                eligible = and_(eligible, jobs.c.tenant.not_in(busy))
            first = select(jobs.c.id, jobs.c.rank, jobs.c.group).where(eligible).order_by(jobs.c.rank)
            rows = connection.execute(first.limit(_LOOKED_AT)).all()
            for row in sorted(rows, key=lambda row: row.rank - (_OVERTAKES if group and row.group == group else 0)):
                claimed = connection.execute(
                    update(jobs)
                    .where(jobs.c.id == row.id, eligible)  # in PostgreSQL, another worker may have claimed the job
                    .values(
                        state=JobState.RUNNING,
                        attempt=jobs.c.attempt + 1,
                        owner=owner,
                        lease_until=now + lease,
                        started=now,
                        progress=0.0,
                        revision=jobs.c.revision + 1,
                    )
                    .returning(jobs)
                ).first()
                if claimed is not None:
                    return to_job(claimed)
        return None

    def beat(self, job: Job, lease: float, *, progress: float, preview: str | None = None) -> Beat:
        """Renew the lease, and report the progress."""
        with self._database.begin() as (connection, now):
            seen = {} if preview is None else {"preview_key": preview}
            row = connection.execute(
                update(jobs)
                .where(_held(job))
                .values(lease_until=now + lease, progress=progress, revision=jobs.c.revision + 1, **seen)
                .returning(jobs.c.cancel_requested)
            ).first()
        if row is None:
            return Beat.LOST
        return Beat.CANCEL if row.cancel_requested else Beat.GO_ON

    def finish(self, job: Job, result_key: str, sha256: str) -> bool:
        """Accept the result, and queue the messages. False means that the result is not wanted and must be deleted."""
        with self._database.begin() as transaction:
            wanted = and_(_held(job), not_(jobs.c.cancel_requested))
            return end(
                transaction,
                JobState.SUCCEEDED,
                wanted,
                self._retention,
                result_key=result_key,
                result_sha256=sha256,
                progress=1.0,
            )

    def fail(self, job: Job, code: str, text: str) -> bool:
        """End the job as failed."""
        with self._database.begin() as transaction:
            return end(transaction, JobState.FAILED, _held(job), self._retention, error_code=code, error_text=text)

    def put_back(self, job: Job, *, delay: float, counts: bool) -> bool:
        """Requeue the job for another attempt after ``delay`` seconds.

        If the attempt ``counts`` towards the job's limit and has reached it, the job stays as it is, and this returns
        False.
        """
        with self._database.begin() as transaction:
            held = and_(_held(job), jobs.c.attempt < jobs.c.max_attempts) if counts else _held(job)
            return requeue(transaction, held, self._retention, delay=delay, counts=counts)

    def canceled(self, job: Job) -> bool:
        """End the job as canceled, after its work has been stopped on request."""
        with self._database.begin() as transaction:
            return end(transaction, JobState.CANCELED, and_(_held(job), jobs.c.cancel_requested), self._retention)

    def unwanted(self, job: Job, *keys: str) -> None:
        """Schedule the blobs ``keys`` for deletion, except those that ``job`` refers to."""
        with self._database.begin() as transaction:
            connection, now = transaction
            row = connection.execute(select(jobs).where(jobs.c.id == job.id)).first()
            needed = set() if row is None else set(to_job(row).blobs)
            discard(transaction, {key: now for key in keys if key not in needed})


class SQLHints:
    """Hints to workers on other machines about waiting jobs."""

    def __init__(self, database: Database) -> None:
        """Give hints about the jobs of ``database``."""
        self._database = database

    def due(self, window: int, again_after: float) -> Sequence[tuple[str, str]]:
        """Return ids and queues of the next jobs for which no hint was sent within ``again_after`` seconds.

        Only the first ``window`` jobs of each queue are considered. Hints for the returned jobs count as sent from now
        on.
        """
        with self._database.begin() as (connection, now):
            eligible = and_(jobs.c.state == JobState.QUEUED, jobs.c.not_before <= now, not_(jobs.c.cancel_requested))
            queues = connection.scalars(select(jobs.c.queue).where(eligible).distinct()).all()
            first = (
                select(jobs.c.id, jobs.c.queue, jobs.c.dispatched).where(eligible).order_by(jobs.c.rank).limit(window)
            )
            # The window is per queue: jobs of a queue without workers must not hide those of another queue.
            rows = [row for queue in queues for row in connection.execute(first.where(jobs.c.queue == queue))]
            due = [row for row in rows if row.dispatched is None or not now - again_after <= row.dispatched <= now]
            if due:
                told = jobs.c.id.in_([row.id for row in due])
                connection.execute(update(jobs).where(told).values(dispatched=now))
            return [(row.id, row.queue) for row in due]

    def untold(self, job_ids: Sequence[str] | None = None) -> None:
        """Record that no hint was sent for these jobs, or for any job if ``job_ids`` is None."""
        with self._database.begin() as (connection, _):
            told = update(jobs).where(jobs.c.dispatched.is_not(None), jobs.c.state == JobState.QUEUED)
            if job_ids is not None:
                told = told.where(jobs.c.id.in_(job_ids))
            connection.execute(told.values(dispatched=None))


def _held(job: Job) -> ColumnElement[bool]:
    return and_(
        jobs.c.id == job.id,
        jobs.c.state == JobState.RUNNING,
        jobs.c.owner == job.owner,
        jobs.c.attempt == job.attempt,
    )
