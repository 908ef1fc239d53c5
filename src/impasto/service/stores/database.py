"""Transactions in SQLite and PostgreSQL, and their clock."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import create_engine, event, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from impasto.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

_BUSY_SECONDS = 15


class Transaction(NamedTuple):
    """One transaction."""

    connection: Connection
    now: float
    """Start time by the clock of the database server, so that the clocks of several machines need not agree."""


class Database:
    """A database that holds the tables of the service."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        """Prepare to connect.

        Args:
            url: such as 'sqlite:///jobs.db' (a local disk, one machine) or 'postgresql+psycopg://user@host/database'.
            clock: source of the time in seconds since 1970, instead of the database's clock.
        """
        options: dict[str, Any] = {"pool_pre_ping": True}
        self._sqlite = url.startswith("sqlite")
        if self._sqlite:
            options = {"connect_args": {"timeout": _BUSY_SECONDS, "check_same_thread": False}}
            if url == "sqlite://":
                options["poolclass"] = StaticPool
        self.engine = create_engine(url, **options)
        # SQLite allows one writer at a time, and the others retry. With many writers, some would wait for seconds, so
        # the writers of this process wait for a lock instead.
        self._turn: AbstractContextManager[object] = threading.Lock() if self._sqlite else nullcontext()
        self._clock = clock or (time.time if self._sqlite else None)
        if self._sqlite:
            event.listen(self.engine, "connect", _prepare)
            event.listen(self.engine, "begin", _begin)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Begin a transaction that writes. It is committed and durable when the block ends.

        Raises:
            StorageError: the database cannot be reached, or is too busy.
        """
        with self._reached(), self._turn, self.engine.begin() as connection:
            yield Transaction(connection, self._now(connection))

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Begin a transaction that only reads.

        Raises:
            StorageError: the database cannot be reached.
        """
        with self._reached(), self.engine.connect().execution_options(reads=True) as connection:
            yield Transaction(connection, self._now(connection))

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        return float(connection.scalar(select(func.extract("epoch", func.now()))) or 0.0)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (OperationalError, DBAPIError) as error:
            if isinstance(error, OperationalError) or error.connection_invalidated:
                reason = str(error.orig).strip().splitlines()[0]
                raise StorageError(f"the job table cannot be reached: {reason}; try again") from error
            raise


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = None  # else sqlite3 would begin transactions itself, without IMMEDIATE
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes would get SQLITE_BUSY at once, whatever the timeout is.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
