"""SQLite never gives the id of a deleted message to another: its sender would answer for the wrong one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = "id, job_id, channel, destination, state, attempt, not_before, owner, lease_until, error"


def upgrade() -> None:
    """Make the table of messages anew; PostgreSQL needs nothing."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.drop_index("outbox_next", "outbox")
    op.rename_table("outbox", "outbox_before")
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
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO outbox ({_COLUMNS}) SELECT {_COLUMNS} FROM outbox_before")
    op.drop_table("outbox_before")
    op.create_index("outbox_next", "outbox", ["state", "not_before"])
