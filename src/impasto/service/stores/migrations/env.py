"""The script that Alembic runs, with the connection from `impasto.service.stores.database`."""

from __future__ import annotations

from alembic import context

from impasto.service.stores.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=False
)
context.run_migrations()
