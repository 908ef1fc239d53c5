"""Submission, lookup and revocation of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from impasto.api import JobState
from impasto.errors import BacklogError, ConflictError
from impasto.service.retry import ATTEMPTS
from impasto.service.stores.ending import end, forget
from impasto.service.stores.schema import garbage, jobs, outbox, to_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from impasto.service.jobs import Job, Limits, NewJob, Retention
    from impasto.service.stores.database import Database, Transaction

_SOON = 60.0
_PRIORITY_SECONDS = 600.0
_TENANT_SECONDS = 2.0
"""Delay in seconds of a tenant's next job for each of its waiting jobs, so that a thousand jobs of one tenant do not
block the others."""


_COUNTED = 1000
"""Largest queue position that is counted. A position beyond it need not be exact."""
_FRESH = 1.0
_KNOWN_TENANTS = 1000


@dataclass
class _Waiting:
    """Number of waiting jobs: the last count, plus the jobs accepted since."""

    at: float
    jobs: int


def _count(*where: ColumnElement[bool]) -> Select[int]:
    """Count rows up to the parameter 'most', which bounds the time of the query."""
    found = select(jobs.c.id).where(*where).limit(bindparam("most", type_=Integer)).subquery()
    return select(func.count()).select_from(found)


# Statements that every request uses. They are built once, because building one takes longer than executing it.
_NEW = insert(jobs).returning(jobs)
_QUEUED = jobs.c.state == JobState.QUEUED
_WAITING = _count(_QUEUED)
_WAITING_OF_TENANT = _count(_QUEUED, jobs.c.tenant == bindparam("tenant"))
_RANK = select(jobs.c.rank).where(jobs.c.id == bindparam("job")).scalar_subquery()
_EARLIER = _count(_QUEUED, jobs.c.queue == bindparam("queue"), jobs.c.rank < _RANK)


class SQLSubmissions:
    """See `impasto.service.ports.Submissions` and `Revocations`."""

    def __init__(self, database: Database, limits: Limits, retention: Retention) -> None:
        """Keep jobs in ``database``, up to ``limits``."""
        self._database = database
        self._limits = limits
        self._retention = retention
        self._waiting: dict[str | None, _Waiting] = {}

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """See `impasto.service.ports.Submissions.submit`."""
        try:
            return self._submit(new)
        except IntegrityError:  # the same request came twice at once, and the first is stored now
            return self._submit(new)

    def _submit(self, new: NewJob) -> tuple[Job, bool]:
        with self._database.begin() as transaction:
            connection, now = transaction
            if new.idempotency_key is not None:
                own = and_(jobs.c.tenant == new.tenant, jobs.c.idempotency_key == new.idempotency_key)
                if (known := connection.execute(select(jobs).where(own)).first()) is not None:
                    if known.request_sha256 != new.request_sha256:
                        raise ConflictError(
                            f"idempotency key {new.idempotency_key!r} belongs to another request; choose another key"
                        )
                    return to_job(known), False
            own_waiting = self._join_backlog(transaction, new.tenant)
            row = {
                "id": new.id,
                "tenant": new.tenant,
                "state": JobState.QUEUED,
                "queue": new.queue,
                "group": new.group,
                "priority": new.priority,
                # Waiting time in the end outweighs priority and the number of a tenant's jobs, so no job starves.
                "rank": now + _PRIORITY_SECONDS * new.priority + _TENANT_SECONDS * own_waiting,
                "params": dict(new.params),
                "inputs": dict(new.inputs),
                "notify": dict(new.notify),
                "request_sha256": new.request_sha256,
                "idempotency_key": new.idempotency_key,
                "max_attempts": ATTEMPTS,
                "not_before": now,
                "created": now,
            }
            return to_job(connection.execute(_NEW, row).one()), True

    def _join_backlog(self, transaction: Transaction, tenant: str) -> int:
        """Add a job to the backlog of ``tenant``; return how many jobs of ``tenant`` were waiting before.

        Raises:
            BacklogError: too many jobs of this tenant, or of all tenants, are waiting.
        """
        limits = self._limits
        all_waiting = self._count_waiting(transaction, None, limits.backlog)
        if all_waiting.jobs >= limits.backlog:
            raise BacklogError(f"{all_waiting.jobs} jobs wait already; try again in a while")
        own = self._count_waiting(transaction, tenant, limits.tenant_backlog)
        if own.jobs >= limits.tenant_backlog:
            raise BacklogError(f"{own.jobs} of your jobs wait already; try again when some are done")
        all_waiting.jobs += 1
        own.jobs += 1
        return own.jobs - 1

    def _count_waiting(self, transaction: Transaction, tenant: str | None, limit: int) -> _Waiting:
        """Count the waiting jobs of ``tenant``, or of all tenants if it is None.

        The count is cached for a short time. It is always renewed before a job is refused.
        """
        connection, now = transaction
        known = self._waiting.get(tenant)
        if known is None or not known.at <= now < known.at + _FRESH or known.jobs >= limit:
            statement = _WAITING if tenant is None else _WAITING_OF_TENANT
            if len(self._waiting) > _KNOWN_TENANTS:
                self._waiting.clear()
            known = _Waiting(now, connection.scalar(statement, {"tenant": tenant, "most": limit}) or 0)
            self._waiting[tenant] = known
        return known

    def find(self, job: str, tenant: str | None = None) -> Job | None:
        """See `impasto.service.ports.Submissions.find`."""
        chosen = _of(job, tenant)
        with self._database.read() as transaction:
            row = transaction.connection.execute(select(jobs).where(chosen)).first()
        return None if row is None else to_job(row)

    def list(
        self, tenant: str, *, state: JobState | None = None, before: str | None = None, most: int = 50
    ) -> Sequence[Job]:
        """See `impasto.service.ports.Submissions.list`."""
        chosen = select(jobs).where(jobs.c.tenant == tenant, jobs.c.erased.is_(None)).order_by(jobs.c.id.desc())
        if state is not None:
            chosen = chosen.where(jobs.c.state == state)
        if before is not None:
            chosen = chosen.where(jobs.c.id < before)
        with self._database.read() as transaction:
            return [to_job(row) for row in transaction.connection.execute(chosen.limit(most))]

    def changed(self, known: Mapping[str, int]) -> Sequence[Job]:
        """See `impasto.service.ports.Submissions.changed`."""
        with self._database.read() as transaction:
            rows = transaction.connection.execute(select(jobs).where(jobs.c.id.in_(known))).all()
        return [to_job(row) for row in rows if row.revision != known[row.id]]

    def position(self, job: Job) -> int:
        """See `impasto.service.ports.Submissions.position`."""
        of_job = {"job": job.id, "queue": job.queue, "most": _COUNTED}
        with self._database.read() as transaction:
            return transaction.connection.scalar(_EARLIER, of_job) or 0

    def cancel(self, job: str, tenant: str) -> Job | None:
        """See `impasto.service.ports.Revocations.cancel`."""
        with self._database.begin() as transaction:
            connection, _ = transaction
            waiting = and_(_of(job, tenant), jobs.c.state == JobState.QUEUED)
            if not end(transaction, JobState.CANCELED, waiting, self._retention):
                connection.execute(
                    update(jobs)
                    .where(_of(job, tenant), jobs.c.state == JobState.RUNNING)
                    .values(cancel_requested=True, revision=jobs.c.revision + 1)
                )
            row = connection.execute(select(jobs).where(_of(job, tenant))).first()
            return None if row is None else to_job(row)

    def retry(self, job: str, tenant: str) -> Job | None:
        """See `impasto.service.ports.Revocations.retry`."""
        with self._database.begin() as transaction:
            connection, now = transaction
            row = connection.execute(select(jobs).where(_of(job, tenant)).with_for_update()).first()
            if row is None:
                return None
            if row.state not in (JobState.FAILED, JobState.CANCELED):
                raise ConflictError(f"job {job} is {row.state}; only failed and canceled jobs can be tried again")
            keys = list(row.inputs.values())
            # The deletion of a blob that is due soon may already be in progress.
            kept_on = delete(garbage).where(garbage.c.key.in_(keys), garbage.c.due > now + _SOON)
            kept = connection.execute(kept_on.returning(garbage.c.key)).all()
            if len(kept) < len(keys):
                raise ConflictError(f"the pictures of job {job} have been deleted; send them again as a new job")
            self._join_backlog(transaction, tenant)
            connection.execute(delete(outbox).where(outbox.c.job_id == job))
            again = connection.execute(
                update(jobs)
                .where(jobs.c.id == job)
                .values(
                    state=JobState.QUEUED,
                    max_attempts=jobs.c.attempt + ATTEMPTS,
                    rank=now + _PRIORITY_SECONDS * row.priority,
                    not_before=now,
                    dispatched=None,
                    cancel_requested=False,
                    progress=0.0,
                    preview_key=None,
                    error_code=None,
                    error_text=None,
                    started=None,
                    finished=None,
                    expires=None,
                    revision=jobs.c.revision + 1,
                )
                .returning(jobs)
            ).one()
            return to_job(again)

    def erase(self, job: str, tenant: str) -> bool:
        """See `impasto.service.ports.Revocations.erase`."""
        with self._database.begin() as transaction:
            connection, now = transaction
            row = connection.execute(select(jobs).where(_of(job, tenant)).with_for_update()).first()
            if row is None:
                return False
            forget(transaction, row)
            connection.execute(update(jobs).where(jobs.c.id == job).values(erased=now))
            return True


def _of(job: str, tenant: str | None) -> ColumnElement[bool]:
    chosen = and_(jobs.c.id == job, jobs.c.erased.is_(None))
    return chosen if tenant is None else and_(chosen, jobs.c.tenant == tenant)
