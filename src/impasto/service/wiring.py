"""Assembly of the parts of the service according to the settings."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.errors import UsageError, needs_extra
from impasto.service.blobs.filesystem import FileBlobs
from impasto.service.delivery.email import EmailSender
from impasto.service.delivery.webhook import WebhookSender
from impasto.service.jobs import Channel, Limits, Retention
from impasto.service.signing import Signer
from impasto.service.stores.claims import SQLClaims
from impasto.service.stores.database import Database
from impasto.service.stores.hints import SQLHints
from impasto.service.stores.keys import SQLKeys
from impasto.service.stores.migration import migrate
from impasto.service.stores.outbox import SQLOutbox
from impasto.service.stores.submissions import SQLSubmissions
from impasto.service.stores.upkeep import SQLUpkeep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.service.delivery.courier import Sender
    from impasto.service.ports import BlobStore, Claims, Hints, Keys, Outbox, Upkeep
    from impasto.service.queues.celery import Dispatcher
    from impasto.service.settings import Settings


@dataclass(frozen=True)
class Parts:
    """The parts of one process of the service."""

    settings: Settings
    database: Database
    submissions: SQLSubmissions
    claims: Claims
    upkeep: Upkeep
    hints: Hints
    outbox: Outbox
    keys: Keys
    blobs: BlobStore

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.close()


@contextmanager
def dispatcher(parts: Parts, name: str) -> Iterator[Dispatcher | None]:
    """Provide the dispatcher, which sends hints to workers; None without a broker, as workers then poll.

    Raises:
        MissingDependencyError: Celery is not installed.
    """
    settings = parts.settings
    if settings.broker is None:
        yield None
        return
    with needs_extra("a broker", "celery"):
        from impasto.service.queues.celery import Dispatcher
    with closing(Dispatcher(parts.hints, parts.upkeep, settings.broker, name, settings.slots)) as made:
        yield made


def senders(settings: Settings) -> dict[Channel, Sender]:
    """Return the senders of the channels that are set up."""
    signer = Signer.of(settings)
    found: dict[Channel, Sender] = {}
    if settings.smtp_host is not None:
        found[Channel.EMAIL] = EmailSender(settings, signer)
    if settings.webhook_secret is not None:
        found[Channel.WEBHOOK] = WebhookSender(settings, signer)
    return found


def build(settings: Settings) -> Parts:
    """Connect the parts, and bring the tables up to date.

    Raises:
        StorageError: the database cannot be reached, or belongs to a newer version.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database_url)
    migrate(database)
    limits = Limits(
        backlog=settings.backlog, tenant_backlog=settings.tenant_backlog, tenant_running=settings.tenant_running
    )
    retention = Retention(inputs=settings.keep_inputs, results=settings.keep_results)
    return Parts(
        settings,
        database,
        SQLSubmissions(database, limits, retention),
        SQLClaims(database, limits, retention),
        SQLUpkeep(database, retention),
        SQLHints(database),
        SQLOutbox(database),
        SQLKeys(database),
        _blobs(settings),
    )


def _blobs(settings: Settings) -> BlobStore:
    if settings.blobs is None:
        return FileBlobs(settings.data_dir / "blobs", settings.quota)
    if not settings.blobs.startswith("s3://"):
        raise UsageError(f"blobs is {settings.blobs!r}; give s3://bucket/folder, or leave it for the data folder")
    with needs_extra("pictures in S3", "s3"):
        from impasto.service.blobs.s3 import S3Blobs
    return S3Blobs(settings.blobs, settings.quota)
