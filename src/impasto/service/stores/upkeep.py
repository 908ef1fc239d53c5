"""Periodic work: requeue lost jobs, forget old ones, delete their blobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, delete, func, insert, not_, select, update
from sqlalchemy.exc import IntegrityError

from impasto.api import OPEN, TERMINAL, JobState
from impasto.service.jobs import Counts, QueueCounts, Totals
from impasto.service.retry import LONGEST_JOB_DELAYS, LONGEST_MESSAGE_DELAYS, MESSAGE_LEASE
from impasto.service.stores.ending import end, forget, requeue
from impasto.service.stores.schema import garbage, jobs, leaders, outbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from sqlalchemy import Column, ColumnElement, Table

    from impasto.service.jobs import Retention
    from impasto.service.stores.database import Database

_AT_ONCE = 100
_LONGEST_ROLE = 10.0
"""Longest lease in seconds of a role that `led` is asked about: 'upkeep' and 'dispatcher'."""


class SQLUpkeep:
    """Periodic work on the job table, done by one process at a time."""

    def __init__(self, database: Database, retention: Retention, lease: float) -> None:
        """Maintain the job table in ``database``, whose jobs are claimed for ``lease`` seconds."""
        self._database = database
        self._retention = retention
        self._lease = lease

    def lead(self, role: str, owner: str, lease: float) -> bool:
        """Take or renew ``role`` for ``lease`` seconds; return whether ``owner`` holds it now. A role has one owner."""
        with self._database.begin() as (connection, now):
            connection.execute(
                delete(leaders).where(leaders.c.role == role, not_(_is_held(leaders.c.until, now, lease)))
            )
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
        """Return whether a process holds this ``role``, whose lease is at most `_LONGEST_ROLE`."""
        held = select(leaders.c.owner).where(leaders.c.role == role)
        with self._database.read() as (connection, now):
            return connection.execute(held.where(_is_held(leaders.c.until, now, _LONGEST_ROLE))).first() is not None

    def reap(self) -> int:
        """Requeue or fail the jobs whose lease has run out; return their number."""
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

    def correct_times(self) -> int:
        """Correct the times of jobs and messages that were set while the clock was ahead; return their number.

        Jobs that were accepted then keep their order, and the last of them counts as accepted now. A delay that is
        longer than any after so many attempts ends now. A lease that is longer than any begins anew, so that nothing
        is taken from a worker that is alive.
        """
        with self._database.read() as (connection, now):  # if many jobs wait, this takes a while: let others write
            wrong = [select(table.c.id).where(where).limit(1) for table, where, _ in self._corrections(now)]
            if not any(connection.execute(found).first() for found in wrong):
                return 0
        with self._database.begin() as (connection, now):
            early = and_(jobs.c.state == JobState.QUEUED, jobs.c.created > now)
            ahead = (connection.scalar(select(func.max(jobs.c.created)).where(early)) or now) - now
            times = (jobs.c.created, jobs.c.not_before, jobs.c.rank)
            changes = [update(jobs).where(early).values({time: time - ahead for time in times})]
            changes += [update(table).where(where).values(right) for table, where, right in self._corrections(now)]
            return sum(connection.execute(change).rowcount for change in changes)

    def _corrections(self, now: float) -> Iterator[tuple[Table, ColumnElement[bool], dict[str, Any]]]:
        """Return tables, conditions on rows with a time that is too far ahead, and the right values."""
        for table, waits, delays, held, lease in (
            (jobs, JobState.QUEUED, LONGEST_JOB_DELAYS, JobState.RUNNING, self._lease),
            (outbox, "pending", LONGEST_MESSAGE_DELAYS, "sending", MESSAGE_LEASE),
        ):
            longest = case(dict(enumerate(delays)), value=table.c.attempt, else_=delays[-1])
            yield table, and_(table.c.state == waits, table.c.not_before > now + longest), {"not_before": now}
            yield table, and_(table.c.state == held, table.c.lease_until > now + lease), {"lease_until": now + lease}

    def expire(self) -> int:
        """Expire the jobs whose retention time is over; return their number. Their blobs are then in `garbage`."""
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
        """Return the counts of the open jobs and of the last hour's, for operators."""
        recent = and_(jobs.c.state.in_([JobState.SUCCEEDED, JobState.FAILED]), jobs.c.started.is_not(None))
        waits, runs = func.sum(jobs.c.started - jobs.c.created), func.sum(jobs.c.finished - jobs.c.started)
        sums = select(jobs.c.queue, func.count(), waits, runs).where(recent).group_by(jobs.c.queue)
        states = select(jobs.c.queue, jobs.c.state, func.count()).group_by(jobs.c.queue, jobs.c.state)
        first = select(func.min(jobs.c.created)).where(jobs.c.state == JobState.QUEUED)
        with self._database.read() as (connection, now):
            oldest = connection.scalar(first)
            ended = connection.execute(sums.where(jobs.c.finished > now - 3600)).all()
            still = connection.execute(states.where(jobs.c.state.in_(OPEN))).all()
        queues = {queue: QueueCounts(run_seconds=ran / number) for queue, number, _, ran in ended}
        for queue, state, number in still:
            queues[queue] = replace(queues.get(queue, QueueCounts()), **{state: number})
        all_ended = max(1, sum(number for _, number, _, _ in ended))
        return Counts(
            oldest_queued=0.0 if oldest is None else now - oldest,
            wait_seconds=sum(waited for _, _, waited, _ in ended) / all_ended,
            run_seconds=sum(ran for _, _, _, ran in ended) / all_ended,
            queues=queues,
        )

    def totals(self) -> Totals:
        """Return the counts of the whole table, for operators. It takes a second for a million jobs."""
        with self._database.read() as (connection, _):

            def by(column: Column[str], *where: ColumnElement[bool]) -> dict[str, int]:
                rows = connection.execute(select(column, func.count()).where(*where).group_by(column)).all()
                return {str(label): int(number) for label, number in rows}

            return Totals(
                jobs={**dict.fromkeys(TERMINAL, 0), **by(jobs.c.state, jobs.c.state.in_(TERMINAL))},
                failed=by(jobs.c.error_code, jobs.c.state == JobState.FAILED),
                messages=by(outbox.c.state),
                retried=connection.scalar(select(func.count()).where(jobs.c.attempt > 1)) or 0,
            )

    def orphaned(self, keys: Sequence[str]) -> set[str]:
        """Return the orphaned keys among ``keys``: blob keys such as 'inputs/JOB/...' that no job refers to."""
        owners = {key.split("/")[1] for key in keys}
        with self._database.read() as (connection, _):
            stored = select(jobs.c.inputs, jobs.c.preview_key, jobs.c.result_key).where(jobs.c.id.in_(owners))
            rows = connection.execute(stored).all()
        return set(keys).difference(*((*row.inputs.values(), row.preview_key, row.result_key) for row in rows))

    def garbage(self) -> Sequence[str]:
        """Return keys of blobs that are due for deletion."""
        with self._database.read() as (connection, now):
            return list(connection.scalars(select(garbage.c.key).where(garbage.c.due <= now).limit(_AT_ONCE)))

    def collected(self, keys: Sequence[str]) -> None:
        """Record that these blobs have been deleted."""
        with self._database.begin() as (connection, _):
            connection.execute(delete(garbage).where(garbage.c.key.in_(keys)))


def _is_held(until: Column[float], now: float, lease: float) -> ColumnElement[bool]:
    """Return the condition that ``until`` is ahead, but not so far that it must come from a wrong clock."""
    return and_(until > now, until <= now + lease)
