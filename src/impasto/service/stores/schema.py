"""Tables of the database, the same in SQLite and PostgreSQL. Times are seconds since 1970."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from impasto.api import JobState
from impasto.service.jobs import Channel, Delivery, Job

if TYPE_CHECKING:
    from sqlalchemy import Row

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("queue", String(32), nullable=False),
    Column("group", String(128), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("rank", Double, nullable=False),
    Column("params", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("notify", JSON, nullable=False),
    Column("request_sha256", String(64), nullable=False),
    Column("idempotency_key", String(255)),
    Column("attempt", Integer, nullable=False, default=0),
    Column("max_attempts", Integer, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("dispatched", Double),
    Column("owner", String(128)),
    Column("lease_until", Double),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("progress", Double, nullable=False, default=0.0),
    Column("revision", Integer, nullable=False, default=0),
    Column("preview_key", String(255)),
    Column("result_key", String(255)),
    Column("result_sha256", String(64)),
    Column("error_code", String(64)),
    Column("error_text", Text),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Column("expires", Double),
    Column("erased", Double),
    Column("reserved", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("tenant", "idempotency_key", name="jobs_idempotency"),
    Index("jobs_next", "state", "rank"),
    Index("jobs_of_tenant", "tenant", "state"),
    Index("jobs_leases", "state", "lease_until"),
    Index("jobs_expiry", "state", "expires"),
    Index("jobs_reserved", "state", "reserved"),
    Index("jobs_finished", "finished"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("destination", Text, nullable=False),
    Column("state", String(16), nullable=False),  # pending, sending, delivered, failed
    Column("attempt", Integer, nullable=False, default=0),
    Column("not_before", Double, nullable=False),
    Column("owner", String(128)),
    Column("lease_until", Double),
    Column("error", Text),
    UniqueConstraint("job_id", "channel", name="outbox_once"),
    Index("outbox_next", "state", "not_before"),
    sqlite_autoincrement=True,  # an id is never reused: the sender of a deleted message may still report its result
)

garbage = Table(
    "garbage",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("due", Double, nullable=False),
    Index("garbage_due", "due"),
)

leaders = Table(
    "leaders",
    metadata,
    Column("role", String(32), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("until", Double, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("prefix", String(16), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("disabled", Double),
)


def to_job(row: Row[tuple[object, ...]]) -> Job:
    """Turn a row of `jobs` into a Job."""
    columns = dict(row._mapping)
    for private in _PRIVATE:
        columns.pop(private)
    return Job(**{**columns, "state": JobState(columns["state"])})


def to_delivery(row: Row[tuple[object, ...]], job: Job, begun: float) -> Delivery:
    """Turn a row of `outbox` into a Delivery whose attempt has ``begun`` at that time."""
    columns = row._mapping
    return Delivery(
        id=columns["id"],
        job=job,
        channel=Channel(columns["channel"]),
        destination=columns["destination"],
        attempt=columns["attempt"],
        begun=begun,
    )


_PRIVATE = ("rank", "notify", "request_sha256", "idempotency_key", "dispatched", "erased", "reserved")
