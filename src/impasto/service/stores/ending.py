"""State transitions after which no worker holds the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from impasto.api import TERMINAL, JobState
from impasto.service.jobs import Channel
from impasto.service.stores.schema import garbage, jobs, outbox, to_job

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row

    from impasto.service.jobs import Retention
    from impasto.service.stores.database import Transaction

_TOLD = (JobState.SUCCEEDED, JobState.FAILED)
"""Final states about which messages are sent."""


def end(
    transaction: Transaction, state: JobState, where: ColumnElement[bool], retention: Retention, **values: Any
) -> bool:
    """End the one job that satisfies ``where``. Queue its messages, and schedule its pictures for deletion.

    Returns:
        True if there was such a job.
    """
    connection, now = transaction
    row = connection.execute(
        update(jobs)
        .where(where, jobs.c.state.not_in(TERMINAL))
        .values(
            state=state,
            finished=now,
            expires=now + retention.results,
            owner=None,
            lease_until=None,
            revision=jobs.c.revision + 1,
            **values,
        )
        .returning(jobs)
    ).first()
    if row is None:
        return False
    inputs = dict.fromkeys(row.inputs.values(), now + retention.inputs)
    if row.preview_key is not None:
        inputs[row.preview_key] = now
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(preview_key=None))
    discard(transaction, {**dict.fromkeys(to_job(row).leftovers, now), **inputs})
    if state in _TOLD:
        for channel, destination in row.notify.items():
            connection.execute(
                insert(outbox).values(
                    job_id=row.id, channel=Channel(channel), destination=destination, state="pending", not_before=now
                )
            )
    return True


def requeue(
    transaction: Transaction, where: ColumnElement[bool], retention: Retention, *, delay: float, counts: bool = True
) -> bool:
    """Requeue the one running job that satisfies ``where``, or cancel it if its cancellation was requested.

    Returns:
        True if there was such a job.
    """
    connection, now = transaction
    row = connection.execute(select(jobs.c.preview_key, jobs.c.cancel_requested).where(where)).first()
    if row is None:
        return False
    if row.cancel_requested:
        return end(transaction, JobState.CANCELED, where, retention)
    if row.preview_key is not None:
        discard(transaction, {row.preview_key: now})
    changed = connection.execute(
        update(jobs)
        .where(where)
        .values(
            state=JobState.QUEUED,
            max_attempts=jobs.c.max_attempts + (0 if counts else 1),
            not_before=now + delay,
            dispatched=None,
            owner=None,
            lease_until=None,
            progress=0.0,
            preview_key=None,
            revision=jobs.c.revision + 1,
        )
        .returning(jobs.c.id)
    )
    return changed.first() is not None


def forget(transaction: Transaction, row: Row[Any]) -> None:
    """Reduce the job in ``row`` to an expired record without addresses, pictures and options."""
    connection, now = transaction
    job = to_job(row)
    discard(transaction, dict.fromkeys([*job.blobs, *job.leftovers], now))
    connection.execute(delete(outbox).where(outbox.c.job_id == row.id))
    connection.execute(
        update(jobs)
        .where(jobs.c.id == row.id)
        .values(
            state=JobState.EXPIRED,
            params={},
            inputs={},
            notify={},
            idempotency_key=None,
            owner=None,
            lease_until=None,
            preview_key=None,
            result_key=None,
            result_sha256=None,
            error_text=None,
            finished=row.finished or now,
            revision=jobs.c.revision + 1,
        )
    )


def discard(transaction: Transaction, due: dict[str, float]) -> None:
    """Schedule blobs for deletion; ``due`` maps keys to times."""
    connection, _ = transaction
    if due:
        connection.execute(delete(garbage).where(garbage.c.key.in_(due)))
        connection.execute(insert(garbage), [{"key": key, "due": time} for key, time in due.items()])
