"""Migration of a database to the tables of this version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from impasto.errors import StorageError

if TYPE_CHECKING:
    from impasto.service.stores.database import Database

_LOCK = 0x696D7061  # "impa"


def migrate(database: Database, to: str = "head") -> None:
    """Create the tables, or migrate them ``to`` a version. If several processes call this at once, one migrates.

    Raises:
        StorageError: the database cannot be reached, or belongs to a newer version of impasto.
    """
    config = Config()
    config.set_main_option("script_location", "impasto.service.stores:migrations")
    with database.begin() as (connection, _):
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found is not None and found not in known:
            raise StorageError(f"the database has the tables of a newer impasto (version {found}); update impasto")
        config.attributes["connection"] = connection
        command.upgrade(config, to)
