"""Messages about jobs that have ended. A message may be sent more than once, but always with the same id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_, update

from impasto.service.stores.schema import jobs, outbox, to_delivery, to_job

if TYPE_CHECKING:
    from impasto.service.jobs import Delivery
    from impasto.service.stores.database import Database


_AT_ONCE = 2
"""Messages of one tenant and channel that are sent at once. Slow recipients therefore do not delay other tenants."""


class SQLOutbox:
    """The messages that have to be sent."""

    def __init__(self, database: Database) -> None:
        """Hand out the messages in ``database``."""
        self._database = database

    def next(self, owner: str, lease: float) -> Delivery | None:
        """Take the next message for ``lease`` seconds."""
        with self._database.begin() as (connection, now):
            due = or_(
                and_(outbox.c.state == "pending", outbox.c.not_before <= now),
                and_(outbox.c.state == "sending", outbox.c.lease_until < now),
            )
            sender = tuple_(jobs.c.tenant, outbox.c.channel)
            busy = (
                select(jobs.c.tenant, outbox.c.channel)
                .join_from(outbox, jobs)
                .where(outbox.c.state == "sending", outbox.c.lease_until >= now)
                .group_by(jobs.c.tenant, outbox.c.channel)
                .having(func.count() >= _AT_ONCE)
            )
            first = select(outbox.c.id).join_from(outbox, jobs).where(due, sender.not_in(busy))
            for row in connection.execute(first.order_by(outbox.c.not_before).limit(8)).all():
                taken = connection.execute(
                    update(outbox)
                    .where(outbox.c.id == row.id, due)
                    .values(state="sending", attempt=outbox.c.attempt + 1, owner=owner, lease_until=now + lease)
                    .returning(outbox)
                ).first()
                if taken is not None:
                    job = connection.execute(select(jobs).where(jobs.c.id == taken.job_id)).one()
                    return to_delivery(taken, to_job(job), now)
        return None

    def delivered(self, delivery: Delivery, owner: str) -> bool:
        """Record that the recipient accepted the message."""
        with self._database.begin() as (connection, _):
            # The address is not needed any more.
            done = update(outbox).where(_held(delivery, owner)).values(state="delivered", destination="", error=None)
            return connection.execute(done.returning(outbox.c.id)).first() is not None

    def refused(self, delivery: Delivery, owner: str, reason: str, *, again_in: float | None) -> bool:
        """Record that the message was not accepted. Retry in ``again_in`` seconds, or never if it is None."""
        with self._database.begin() as (connection, now):
            values = {"state": "failed"} if again_in is None else {"state": "pending", "not_before": now + again_in}
            done = update(outbox).where(_held(delivery, owner)).values(error=reason[:500], owner=None, **values)
            return connection.execute(done.returning(outbox.c.id)).first() is not None


def _held(delivery: Delivery, owner: str) -> ColumnElement[bool]:
    return and_(
        outbox.c.id == delivery.id,
        outbox.c.state == "sending",
        outbox.c.owner == owner,
        outbox.c.attempt == delivery.attempt,
    )
