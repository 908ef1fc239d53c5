"""``impasto keys``: who may use the service."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Any

from cyclopts import App

from impasto.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.service.wiring import Parts

app = App(name="keys", help="Make and disable the keys of the service.")


@app.command
def create(tenant: str, *, data_dir: Path | None = None, database: str | None = None) -> None:
    """Make a key, and print it: it is shown this once.

    Parameters
    ----------
    tenant
        Whose jobs it opens: letters, digits, '-' and '_'.
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept; a file in the data folder by default.
    """
    if not tenant.replace("-", "").replace("_", "").isalnum() or len(tenant) > 64:
        raise UsageError(f"tenant {tenant!r} is no name: letters, digits, '-' and '_', at most 64")
    with service_parts("impasto keys", data_dir=data_dir, database=database) as parts:
        print(parts.keys.create(tenant))


@app.command
def disable(prefix: str, *, data_dir: Path | None = None, database: str | None = None) -> None:
    """Let a key open nothing any more.

    Parameters
    ----------
    prefix
        Its second part: of imp_0123456789ab_... it is 0123456789ab.
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept; a file in the data folder by default.
    """
    with service_parts("impasto keys", data_dir=data_dir, database=database) as parts:
        if not parts.keys.disable(prefix):
            raise UsageError(f"there is no key {prefix!r} that opens anything; give the part between the underscores")


@contextmanager
def service_parts(command: str, **given: Any) -> Iterator[Parts]:
    """Connect to the service's data: settings that are not None win over variables and file.

    Raises:
        MissingDependencyError: what the service needs is not installed.
        StorageError: the database cannot be reached.
    """
    with needs_extra(command, "serve"):
        from impasto.service import wiring
        from impasto.service.settings import Settings
    parts = wiring.build(Settings(**{name: value for name, value in given.items() if value is not None}))
    try:
        yield parts
    finally:
        parts.close()
