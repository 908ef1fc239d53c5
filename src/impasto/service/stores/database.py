"""Transactions in SQLite and PostgreSQL, their clock, and migration of a database to the tables of this version."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, func, make_url, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.pool import StaticPool

from impasto.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

_DEFECTS = (DataError, NotSupportedError, ProgrammingError)
_TABLES_ARE_GONE = ("42P01", "3D000", "3F000")
"""SQLSTATE codes of PostgreSQL: no such table, no such database, no such schema."""

_LOCK = 0x696D7061  # "impa"

_DEAD_PEER = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Parameters of libpq after which a server that has gone silent counts as lost: 20 to 25 seconds, not two hours."""
_ABANDONED_AFTER = 15.0
"""Seconds after which PostgreSQL ends a transaction whose client has gone silent. Until then, its locks hold up all
others who need the same rows, such as the worker that requeues lost jobs."""


class DuplicateError(Exception):
    """A row with the same unique values is there already."""


class DefectError(Exception):
    """The database refuses a statement, which is a bug. The message contains no values."""


class Transaction(NamedTuple):
    """One transaction."""

    connection: Connection
    now: float
    """Start time by the clock of the database server, so that the clocks of several machines need not agree."""


class Database:
    """A database that holds the tables of the service."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None, busy_seconds: float = 15.0) -> None:
        """Prepare to connect.

        Args:
            url: such as 'sqlite:///jobs.db' (a local disk, one machine) or 'postgresql+psycopg://user@host/database'.
            clock: source of the time in seconds since 1970, instead of the database's clock.
            busy_seconds: longest time that a transaction in SQLite waits while another process writes.
        """
        options: dict[str, Any] = {"pool_pre_ping": True}
        self._sqlite = url.startswith("sqlite")
        if not self._sqlite:
            given = make_url(url).query
            options["connect_args"] = {name: value for name, value in _DEAD_PEER.items() if name not in given}
        else:
            options = {"connect_args": {"timeout": busy_seconds, "check_same_thread": False}}
            if url == "sqlite://":
                options["poolclass"] = StaticPool
        self.engine = create_engine(url, hide_parameters=True, **options)
        event.listen(self.engine, "before_cursor_execute", _clean_parameters, retval=True)
        name = self.engine.url.database if self._sqlite else None
        self._file = Path(name) if name and name != ":memory:" else None
        self._inode: int | None = None
        # SQLite allows one writer at a time, and the others retry. With many writers, some would wait for seconds, so
        # the writers of this process wait for a lock instead.
        self._turn: AbstractContextManager[object] = threading.Lock() if self._sqlite else nullcontext()
        self._clock = clock or (time.time if self._sqlite else None)
        self._ahead = time.time() - time.monotonic()
        if self._sqlite:
            event.listen(self.engine, "connect", self._prepare)
            event.listen(self.engine, "begin", _begin)
        else:
            event.listen(self.engine, "connect", _end_abandoned)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Begin a transaction that writes. It is committed and durable when the block ends.

        Raises:
            StorageError: the database cannot be reached, or is too busy.
        """
        with self._reached(), self._turn:
            self._check_file()
            with self.engine.begin() as connection:
                yield Transaction(connection, self._now(connection))

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Begin a transaction that only reads.

        Raises:
            StorageError: the database cannot be reached.
        """
        with self._reached():
            self._check_file()
            with self.engine.connect().execution_options(reads=True) as connection:
                yield Transaction(connection, self._now(connection))

    def time(self) -> float:
        """Return the time by the clock of the database server, as far as the last transaction tells."""
        return self._clock() if self._clock is not None else self._ahead + time.monotonic()

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        now = float(connection.scalar(select(func.extract("epoch", func.now()))) or 0.0)
        self._ahead = now - time.monotonic()
        return now

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise DuplicateError from None
        except DBAPIError as error:
            if _is_defect(error):
                # The message of the database may repeat values, such as an address, and the caller may log it.
                raise DefectError(f"{type(error.orig).__name__} in: {error.statement}") from None
            raise _unreachable(error.orig) from error
        except sqlite3.Error as error:  # while connecting
            raise _unreachable(error) from error

    def _check_file(self) -> None:
        """Check that the SQLite file is there, because a connection would go on writing to a deleted file.

        Raises:
            StorageError: the file is gone.
        """
        if self._file is None:
            return
        try:
            found = self._file.stat()
        except OSError:
            if self._inode is not None:
                raise StorageError("the file of the job table is gone; bring it back, or restart the service") from None
            return
        if self._inode not in (None, found.st_ino):  # the file was replaced, for example by a backup
            self._inode = found.st_ino
            self.engine.dispose()

    def _prepare(self, connection: Any, _: object) -> None:
        connection.isolation_level = None  # else sqlite3 would begin transactions itself, without IMMEDIATE
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if self._file is not None:
            self._inode = self._file.stat().st_ino


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


def _is_defect(error: DBAPIError) -> bool:
    # Without a statement, the connection broke while it was made or tested; psycopg may then say that it is misused.
    tables_are_gone = getattr(error.orig, "sqlstate", None) in _TABLES_ARE_GONE
    return isinstance(error, _DEFECTS) and error.statement is not None and not tables_are_gone


def _unreachable(error: BaseException | None) -> StorageError:
    # Any client may receive this message, and PostgreSQL's own messages name its host and user.
    reason = str(error).strip() if isinstance(error, sqlite3.Error) else type(error).__name__
    return StorageError(f"the job table cannot be reached: {reason}; try again")


def _clean_parameters(
    _connection: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool
) -> tuple[str, Any]:
    return statement, _cleaned(parameters)


def _cleaned(value: Any) -> Any:
    """Replace characters that PostgreSQL cannot store, NUL and halves of surrogate pairs, in all texts of ``value``."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {name: _cleaned(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_cleaned, value))
    return value


def _end_abandoned(connection: Any, _: object) -> None:
    # Not as a parameter of the connection, because PgBouncer refuses those that it does not know. In its transaction
    # mode, this setting may reach other sessions than this one; docs/deployment.md has PgBouncer end them instead.
    connection.autocommit = True
    connection.execute(f"SET idle_in_transaction_session_timeout = {int(1000 * _ABANDONED_AFTER)}")
    connection.autocommit = False


def _begin(connection: Connection) -> None:
    # Without IMMEDIATE, a transaction that reads and then writes may get SQLITE_BUSY at once, whatever the timeout is.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
