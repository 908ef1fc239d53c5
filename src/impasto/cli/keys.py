"""``impasto keys``: the API keys of the service."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations

from cyclopts import App

from impasto.cli.service import service_parts
from impasto.errors import UsageError

app = App(name="keys", help="Make, list and disable the keys of the service.")


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
        raise UsageError(f"tenant {tenant!r} is not a name: letters, digits, '-' and '_', at most 64")
    with service_parts("impasto keys", data_dir=data_dir, database=database) as parts:
        print(parts.keys.create(tenant))


@app.command(name="list")
def list_keys(*, data_dir: Path | None = None, database: str | None = None) -> None:
    """List the keys: part for 'disable', tenant, day of creation, and of disabling. Secrets are not kept.

    Parameters
    ----------
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept; a file in the data folder by default.
    """
    with service_parts("impasto keys", data_dir=data_dir, database=database) as parts:
        for key in parts.keys.known():
            ended = "" if key.disabled is None else f"  disabled {_day(key.disabled)}"
            print(f"{key.prefix}  {key.tenant:<16}  {_day(key.created)}{ended}")


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


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
