"""Submission, lookup and revocation of jobs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, delete, func, insert, select, update

from impasto.api import OPEN, JobState
from impasto.errors import BacklogError, ConflictError, QuotaError
from impasto.service.jobs import new_id
from impasto.service.retry import ATTEMPTS
from impasto.service.stores.database import DuplicateError
from impasto.service.stores.ending import end, forget
from impasto.service.stores.schema import garbage, jobs, outbox, to_job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from impasto.service.jobs import Job, Limits, NewJob, Retention
    from impasto.service.stores.database import Database, Transaction

_SOON = 60.0
_PRIORITY_SECONDS = 600.0
_TENANT_SECONDS = 2.0
"""Seconds by which each waiting job of a tenant delays the tenant's next job, so that a thousand jobs of one tenant do
not block those of others."""


_COUNTED = 1000
"""Largest queue position that is counted. A position beyond it need not be exact."""
_FRESH = 1.0
"""Seconds for which a count is used."""
_KNOWN_TENANTS = 1000


@dataclass
class _Count:
    """A number of jobs or bytes: the last count, plus what was accepted since."""

    number: int
    at: float = field(default_factory=time.monotonic)

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() < self.at + _FRESH


def _count(*where: ColumnElement[bool]) -> Select[int]:
    """Count rows up to the parameter 'most', which bounds the time of the query."""
    found = select(jobs.c.id).where(*where).limit(bindparam("most", type_=Integer)).subquery()
    return select(func.count()).select_from(found)


# Statements that every request uses. They are built once, because building one takes longer than executing it.
_NEW = insert(jobs).returning(jobs)
_QUEUED = jobs.c.state == JobState.QUEUED
_WAITING = _count(_QUEUED)
_WAITING_OF_TENANT = _count(_QUEUED, jobs.c.tenant == bindparam("tenant"))
_RESERVED = select(func.sum(jobs.c.reserved)).where(jobs.c.state.in_(OPEN))
_RANK = select(jobs.c.rank).where(jobs.c.id == bindparam("job")).scalar_subquery()
_EARLIER = _count(_QUEUED, jobs.c.queue == bindparam("queue"), jobs.c.rank < _RANK)


class SQLSubmissions:
    """The job table for those who submit jobs, look for them, and cancel, retry or erase them."""

    def __init__(self, database: Database, limits: Limits, retention: Retention, room: Callable[[], int]) -> None:
        """Keep jobs in ``database``.

        Refuse a job that would exceed ``limits``, or whose result might not fit into the ``room()`` bytes that are
        free.
        """
        self._database = database
        self._limits = limits
        self._retention = retention
        self._room = room
        self._waiting: dict[str | None, _Count] = {}
        self._reserved = _Count(0, at=float("-inf"))

    def submit(self, new: NewJob) -> tuple[Job, bool]:
        """Store ``new`` as a job; return the job and whether it is new.

        A repeated request with the same idempotency key returns the existing job. When this returns, the job survives
        any crash.

        Raises:
            ConflictError: another request has the same idempotency key.
            BacklogError: too many jobs are already waiting.
            QuotaError: there is no room for its result.
            StorageError: the database or the blobs cannot be reached.
        """
        room = self._room()
        try:
            return self._submit(new, room)
        except DuplicateError:  # the same request came twice at once, and the first is stored now
            return self._submit(new, room)

    def _submit(self, new: NewJob, room: int) -> tuple[Job, bool]:
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
            self._reserve(transaction, new.reserved, room)
            row = {
                "id": new.id,
                "tenant": new.tenant,
                "state": JobState.QUEUED,
                "queue": new.queue,
                "group": new.group,
                "priority": new.priority,
                # In the end, waiting time outweighs priority and the number of a tenant's jobs, so no job starves.
                "rank": now + _PRIORITY_SECONDS * new.priority + _TENANT_SECONDS * own_waiting,
                "params": dict(new.params),
                "inputs": dict(new.inputs),
                "notify": dict(new.notify),
                "reserved": new.reserved,
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
        if all_waiting.number >= limits.backlog:
            raise BacklogError(f"{all_waiting.number} jobs are already waiting; try again in a while")
        own = self._count_waiting(transaction, tenant, limits.tenant_backlog)
        if own.number >= limits.tenant_backlog:
            raise BacklogError(f"{own.number} of your jobs are already waiting; try again when some are done")
        all_waiting.number += 1
        own.number += 1
        return own.number - 1

    def _count_waiting(self, transaction: Transaction, tenant: str | None, limit: int) -> _Count:
        """Count the waiting jobs of ``tenant``, or of all tenants if it is None.

        The count is cached for a short time. It is always renewed before a job is refused.
        """
        known = self._waiting.get(tenant)
        if known is None or not known.is_fresh or known.number >= limit:
            statement = _WAITING if tenant is None else _WAITING_OF_TENANT
            if len(self._waiting) > _KNOWN_TENANTS:
                self._waiting.clear()
            known = _Count(transaction.connection.scalar(statement, {"tenant": tenant, "most": limit}) or 0)
            self._waiting[tenant] = known
        return known

    def reserved(self) -> int:
        """Return the bytes that the open jobs may still store, as counted within the last second."""
        if not self._reserved.is_fresh:
            with self._database.read() as transaction:
                self._count_reserved(transaction)
        return self._reserved.number

    def new_id(self) -> str:
        """Make an id for a job. Ids sort by time, even if the clocks of the web processes differ."""
        return new_id(self._database.time())

    def check_room(self, size: int) -> None:
        """Check that ``size`` bytes can be stored beside those that the open jobs may still store.

        Raises:
            QuotaError: there is no such room.
            StorageError: the database or the blobs cannot be reached.
        """
        room = self._room()
        with self._database.read() as transaction:
            self._check_room(transaction, size, room)

    def _reserve(self, transaction: Transaction, size: int, room: int) -> None:
        self._check_room(transaction, size, room)
        self._reserved.number += size

    def _check_room(self, transaction: Transaction, size: int, room: int) -> None:
        """Like `check_room`, within ``transaction``. The reserved bytes are counted again before a job is refused."""
        left = room - size
        if not self._reserved.is_fresh or self._reserved.number > left:
            self._count_reserved(transaction)
        if self._reserved.number > left:
            raise QuotaError(
                f"there is no room for the pictures of this job, up to {size / 2**20:.1f} MiB, beside those of other "
                "jobs; choose a smaller size, or try again later"
            )

    def _count_reserved(self, transaction: Transaction) -> None:
        self._reserved = _Count(int(transaction.connection.scalar(_RESERVED) or 0))

    def find(self, job: str, tenant: str | None = None) -> Job | None:
        """Return the job with this id. If ``tenant`` is given, jobs of other tenants are not found."""
        chosen = _of(job, tenant)
        with self._database.read() as transaction:
            row = transaction.connection.execute(select(jobs).where(chosen)).first()
        return None if row is None else to_job(row)

    def list(
        self, tenant: str, *, state: JobState | None = None, before: str | None = None, most: int = 50
    ) -> Sequence[Job]:
        """Return jobs of ``tenant``, latest first. If ``before`` is given, return only jobs older than this one."""
        chosen = select(jobs).where(jobs.c.tenant == tenant, jobs.c.erased.is_(None)).order_by(jobs.c.id.desc())
        if state is not None:
            chosen = chosen.where(jobs.c.state == state)
        if before is not None:
            chosen = chosen.where(jobs.c.id < before)
        with self._database.read() as transaction:
            return [to_job(row) for row in transaction.connection.execute(chosen.limit(most))]

    def changed(self, known: Mapping[str, int]) -> Sequence[Job]:
        """Return the jobs whose revision differs from the one in ``known``, which maps ids to revisions."""
        with self._database.read() as transaction:
            rows = transaction.connection.execute(select(jobs).where(jobs.c.id.in_(known))).all()
        return [to_job(row) for row in rows if row.revision != known[row.id]]

    def position(self, job: Job) -> int:
        """Return the number of queued jobs that will be taken before ``job``, counted up to 1,000."""
        of_job = {"job": job.id, "queue": job.queue, "most": _COUNTED}
        with self._database.read() as transaction:
            return transaction.connection.scalar(_EARLIER, of_job) or 0

    def cancel(self, job: str, tenant: str) -> Job | None:
        """Cancel a job: at once if it is queued, else at its worker's next heartbeat. A finished job is not changed."""
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
        """Requeue a failed or canceled job, with its full number of attempts.

        Raises:
            ConflictError: the job is neither failed nor canceled, or its pictures have been deleted.
            BacklogError: too many jobs are already waiting.
            QuotaError: there is no room for its result.
            StorageError: the database or the blobs cannot be reached.
        """
        room = self._room()
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
            self._reserve(transaction, row.reserved, room)
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
        """Delete everything about a job in any state. Its worker is told at the next heartbeat."""
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
