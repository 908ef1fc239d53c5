"""The parts of the service, put together as the settings say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.service.blobs.filesystem import FileBlobs
from impasto.service.stores.claims import SQLClaims
from impasto.service.stores.database import Database
from impasto.service.stores.migration import migrate
from impasto.service.stores.outbox import SQLOutbox
from impasto.service.stores.submissions import SQLSubmissions
from impasto.service.stores.upkeep import SQLUpkeep

if TYPE_CHECKING:
    from impasto.service.ports import BlobStore, Claims, Outbox, Upkeep
    from impasto.service.settings import Settings


@dataclass(frozen=True)
class Parts:
    """What one process of the service works with."""

    settings: Settings
    database: Database
    submissions: SQLSubmissions
    claims: Claims
    upkeep: Upkeep
    outbox: Outbox
    blobs: BlobStore

    def close(self) -> None:
        """Let go of everything."""
        self.database.close()


def build(settings: Settings) -> Parts:
    """Connect the parts, and bring the tables up to date.

    Raises:
        StorageError: the database cannot be reached, or belongs to a newer version.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database_url)
    migrate(database)
    return Parts(
        settings,
        database,
        SQLSubmissions(database),
        SQLClaims(database),
        SQLUpkeep(database),
        SQLOutbox(database),
        FileBlobs(settings.data_dir / "blobs"),
    )
