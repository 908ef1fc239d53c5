"""The tables of 0.1.0."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("group", sa.String(128), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("notify", sa.JSON, nullable=False),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Double, nullable=False),
        sa.Column("dispatched", sa.Double),
        sa.Column("owner", sa.String(128)),
        sa.Column("lease_until", sa.Double),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("progress", sa.Double, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("preview_key", sa.String(255)),
        sa.Column("result_key", sa.String(255)),
        sa.Column("result_sha256", sa.String(64)),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_text", sa.Text),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("expires", sa.Double),
        sa.Column("erased", sa.Double),
        sa.UniqueConstraint("tenant", "idempotency_key", name="jobs_idempotency"),
    )
    op.create_index("jobs_next", "jobs", ["state", "rank"])
    op.create_index("jobs_of_tenant", "jobs", ["tenant", "state"])
    op.create_index("jobs_leases", "jobs", ["state", "lease_until"])
    op.create_index("jobs_expiry", "jobs", ["state", "expires"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Double, nullable=False),
        sa.Column("owner", sa.String(128)),
        sa.Column("lease_until", sa.Double),
        sa.Column("error", sa.Text),
        sa.UniqueConstraint("job_id", "channel", name="outbox_once"),
        # Otherwise SQLite could reuse the id of a deleted message, and that message's sender would update the wrong
        # row.
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_next", "outbox", ["state", "not_before"])
    op.create_table(
        "garbage",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("due", sa.Double, nullable=False),
    )
    op.create_index("garbage_due", "garbage", ["due"])
    op.create_table(
        "leaders",
        sa.Column("role", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("prefix", sa.String(16), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("disabled", sa.Double),
    )
