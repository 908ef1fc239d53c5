"""Jobs reserve room for their results. Those of 0.1.0 reserve none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("jobs_reserved", "jobs", ["state", "reserved"])
