"""Assembly of the parts of the service according to the settings."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.errors import UsageError, needs_extra
from impasto.service.blobs.filesystem import FileBlobs, make_folder
from impasto.service.delivery.email import EmailSender
from impasto.service.delivery.webhook import WebhookSender
from impasto.service.jobs import Channel, Limits, Retention
from impasto.service.queues import queue_row
from impasto.service.signing import Signer
from impasto.service.stores.claims import SQLClaims, SQLHints
from impasto.service.stores.database import Database, migrate
from impasto.service.stores.keys import SQLKeys
from impasto.service.stores.outbox import SQLOutbox
from impasto.service.stores.submissions import SQLSubmissions
from impasto.service.stores.upkeep import SQLUpkeep

if TYPE_CHECKING:
    from impasto.service.blobs import BlobStore
    from impasto.service.delivery import Sender
    from impasto.service.queues import QueueRow
    from impasto.service.settings import Settings


@dataclass(frozen=True)
class Parts:
    """The parts of one process of the service."""

    settings: Settings
    database: Database
    submissions: SQLSubmissions
    claims: SQLClaims
    upkeep: SQLUpkeep
    hints: SQLHints
    outbox: SQLOutbox
    keys: SQLKeys
    blobs: BlobStore
    queue: QueueRow

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.close()


def senders(settings: Settings) -> dict[Channel, Sender]:
    """Return the senders of the channels that are set up."""
    signer = Signer.of(settings)
    found: dict[Channel, Sender] = {}
    if settings.smtp_host is not None:
        found[Channel.EMAIL] = EmailSender(settings, signer)
    if settings.webhook_secret is not None:
        found[Channel.WEBHOOK] = WebhookSender(settings, signer)
    return found


def keep_temporary_files(settings: Settings) -> None:
    """Keep the temporary files of this process, and of those that it starts, in the data folder.

    Raises:
        StorageError: the data folder cannot be used.
    """
    folder = settings.data_dir / "tmp"
    make_folder(folder)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)


def build(settings: Settings) -> Parts:
    """Connect the parts, and bring the tables up to date.

    Raises:
        StorageError: the database cannot be reached or belongs to a newer impasto, or the data folder cannot be used.
        UsageError: a setting is invalid.
    """
    queue = queue_row(settings.broker)
    make_folder(settings.data_dir)
    database = Database(settings.database_url)
    migrate(database)
    limits = Limits(
        backlog=settings.backlog, tenant_backlog=settings.tenant_backlog, tenant_running=settings.tenant_running
    )
    retention = Retention(inputs=settings.keep_inputs, results=settings.keep_results)
    blobs = _blobs(settings)
    return Parts(
        settings,
        database,
        SQLSubmissions(database, limits, retention, blobs.room),
        SQLClaims(database, limits, retention),
        SQLUpkeep(database, retention, settings.lease),
        SQLHints(database),
        SQLOutbox(database),
        SQLKeys(database),
        blobs,
        queue,
    )


def _blobs(settings: Settings) -> BlobStore:
    if settings.blobs is None:
        return FileBlobs(settings.data_dir / "blobs", settings.quota)
    if not settings.blobs.startswith("s3://"):
        raise UsageError(f"blobs is {settings.blobs!r}; give s3://bucket/folder, or leave it for the data folder")
    with needs_extra("pictures in S3", "s3"):
        from impasto.service.blobs.s3 import S3Blobs
    return S3Blobs(settings.blobs, settings.quota)
