"""Hints about waiting jobs. Each queue has a window, so that the broker never holds the whole backlog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, not_, select, update

from impasto.api import JobState
from impasto.service.stores.schema import jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.service.stores.database import Database


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
