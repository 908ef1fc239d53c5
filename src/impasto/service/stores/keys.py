"""API keys. The table holds only their hashes."""

from __future__ import annotations

import hashlib
import secrets
from hmac import compare_digest
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import insert, select, update

from impasto.service.stores.schema import api_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.service.stores.database import Database

_MARK = "imp"


class Key(NamedTuple):
    """The record of an API key. Times are seconds since 1970."""

    prefix: str
    tenant: str
    created: float
    disabled: float | None


class SQLKeys:
    """API keys."""

    def __init__(self, database: Database) -> None:
        """Keep keys in ``database``."""
        self._database = database

    def create(self, tenant: str) -> str:
        """Create a key for ``tenant``. It cannot be read again later."""
        prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(24)
        with self._database.begin() as (connection, now):
            # 192 random bits need no slow hash.
            sha256 = hashlib.sha256(secret.encode()).hexdigest()
            connection.execute(insert(api_keys).values(prefix=prefix, sha256=sha256, tenant=tenant, created=now))
        return f"{_MARK}_{prefix}_{secret}"

    def tenant(self, key: str) -> str | None:
        """Return the tenant of ``key``; None if the key is unknown or disabled."""
        mark, _, rest = key.partition("_")
        prefix, _, secret = rest.partition("_")
        if mark != _MARK or not prefix.isalnum():
            return None
        with self._database.read() as (connection, _):
            known = select(api_keys).where(api_keys.c.prefix == prefix, api_keys.c.disabled.is_(None))
            row = connection.execute(known).first()
        sha256 = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
        return row.tenant if row is not None and compare_digest(row.sha256, sha256) else None

    def known(self) -> Sequence[Key]:
        """Return all keys, grouped by tenant."""
        found = select(api_keys).order_by(api_keys.c.tenant, api_keys.c.created)
        with self._database.read() as (connection, _):
            return [Key(row.prefix, row.tenant, row.created, row.disabled) for row in connection.execute(found)]

    def disable(self, prefix: str) -> bool:
        """Disable the key ``imp_PREFIX_...`` with this ``prefix``; return False if no enabled key has it."""
        with self._database.begin() as (connection, now):
            done = update(api_keys).where(api_keys.c.prefix == prefix, api_keys.c.disabled.is_(None))
            return connection.execute(done.values(disabled=now).returning(api_keys.c.prefix)).first() is not None
