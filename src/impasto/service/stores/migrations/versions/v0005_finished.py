"""An index for the jobs of the last hour, which the metrics are about."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("jobs_finished", "jobs", ["finished"])
