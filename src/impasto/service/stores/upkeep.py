"""Periodic work: requeue lost jobs, forget old ones, delete their blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from impasto.api import TERMINAL, JobState
from impasto.service.jobs import Counts
from impasto.service.stores.ending import end, forget, requeue
from impasto.service.stores.schema import garbage, jobs, leaders, outbox, to_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Column, ColumnElement

    from impasto.service.jobs import Retention
    from impasto.service.stores.database import Database

_AT_ONCE = 100


class SQLUpkeep:
    """See `impasto.service.ports.Upkeep`."""

    def __init__(self, database: Database, retention: Retention) -> None:
        """Maintain the job table in ``database``."""
        self._database = database
        self._retention = retention

    def lead(self, role: str, owner: str, lease: float) -> bool:
        """See `impasto.service.ports.Upkeep.lead`."""
        with self._database.begin() as (connection, now):
            connection.execute(delete(leaders).where(leaders.c.role == role, leaders.c.until <= now))
            mine = update(leaders).where(leaders.c.role == role, leaders.c.owner == owner).values(until=now + lease)
            if connection.execute(mine.returning(leaders.c.role)).first() is not None:
                return True
            if connection.execute(select(leaders.c.owner).where(leaders.c.role == role)).first() is not None:
                return False
            nested = connection.begin_nested()
            try:
                connection.execute(insert(leaders).values(role=role, owner=owner, until=now + lease))
                nested.commit()
            except IntegrityError:  # another process took the role at the same time
                nested.rollback()
                return False
            return True

    def led(self, role: str) -> bool:
        """See `impasto.service.ports.Upkeep.led`."""
        held = select(leaders.c.owner).where(leaders.c.role == role)
        with self._database.read() as (connection, now):
            return connection.execute(held.where(leaders.c.until > now)).first() is not None

    def reap(self) -> int:
        """See `impasto.service.ports.Upkeep.reap`."""
        with self._database.begin() as transaction:
            connection, now = transaction
            lost = and_(jobs.c.state == JobState.RUNNING, jobs.c.lease_until < now)
            rows = connection.execute(select(jobs).where(lost).limit(_AT_ONCE)).all()
            for row in rows:
                still = and_(lost, jobs.c.id == row.id, jobs.c.attempt == row.attempt)
                if row.attempt >= row.max_attempts and not row.cancel_requested:
                    text = f"{row.attempt} workers were lost while they painted it; try another picture or smaller size"
                    end(
                        transaction,
                        JobState.FAILED,
                        still,
                        self._retention,
                        error_code="worker_lost",
                        error_text=text,
                    )
                else:
                    requeue(transaction, still, self._retention, delay=0.0)
            return len(rows)

    def expire(self) -> int:
        """See `impasto.service.ports.Upkeep.expire`."""
        with self._database.begin() as transaction:
            connection, now = transaction
            over = and_(jobs.c.state.in_(TERMINAL - {JobState.EXPIRED}), jobs.c.expires <= now)
            rows = connection.execute(select(jobs).where(over).limit(_AT_ONCE).with_for_update()).all()
            for row in rows:
                forget(transaction, row)
            empty = and_(jobs.c.state == JobState.EXPIRED, jobs.c.finished <= now - self._retention.rows)
            connection.execute(delete(jobs).where(empty))
            return len(rows)

    def counts(self) -> Counts:
        """See `impasto.service.ports.Upkeep.counts`."""
        recent = and_(jobs.c.state.in_([JobState.SUCCEEDED, JobState.FAILED]), jobs.c.started.is_not(None))
        with self._database.read() as (connection, now):

            def by(column: Column[str], where: ColumnElement[bool] | None = None) -> dict[str, int]:
                grouped = select(column, func.count()).group_by(column)
                rows = connection.execute(grouped if where is None else grouped.where(where)).all()
                return {str(label): int(number) for label, number in rows}

            first = select(func.min(jobs.c.created)).where(jobs.c.state == JobState.QUEUED)
            oldest = connection.scalar(first)
            means = select(func.avg(jobs.c.started - jobs.c.created), func.avg(jobs.c.finished - jobs.c.started))
            waited, ran = connection.execute(means.where(recent, jobs.c.finished > now - 3600)).one()
            return Counts(
                jobs={**dict.fromkeys(JobState, 0), **by(jobs.c.state)},
                failed=by(jobs.c.error_code, jobs.c.state == JobState.FAILED),
                messages=by(outbox.c.state),
                oldest_queued=0.0 if oldest is None else now - oldest,
                wait_seconds=waited or 0.0,
                run_seconds=ran or 0.0,
                retried=connection.scalar(select(func.count()).where(jobs.c.attempt > 1)) or 0,
            )

    def orphaned(self, keys: Sequence[str]) -> set[str]:
        """See `impasto.service.ports.Upkeep.orphaned`."""
        owners = {key.split("/")[1] for key in keys}
        with self._database.read() as (connection, _):
            rows = connection.execute(select(jobs).where(jobs.c.id.in_(owners))).all()
        return set(keys).difference(*(to_job(row).blobs for row in rows))

    def garbage(self) -> Sequence[str]:
        """See `impasto.service.ports.Upkeep.garbage`."""
        with self._database.read() as (connection, now):
            return list(connection.scalars(select(garbage.c.key).where(garbage.c.due <= now).limit(_AT_ONCE)))

    def collected(self, keys: Sequence[str]) -> None:
        """See `impasto.service.ports.Upkeep.collected`."""
        with self._database.begin() as (connection, _):
            connection.execute(delete(garbage).where(garbage.c.key.in_(keys)))
