"""The commands of the service: ``serve``, ``worker``, ``keys``, and ``doctor``, which also checks it."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from pydantic import ValidationError

from impasto.cli.console import fail
from impasto.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.service.settings import Settings
    from impasto.service.wiring import Parts

serve_app = App(name="serve")
worker_app = App(name="worker")
keys_app = App(name="keys", help="Make, list and disable the keys of the service.")
doctor_app = App(name="doctor")

_PACKAGES = ("impasto", "numpy", "openvino", "onnxruntime", "pyvips", "torch", "fastapi", "sqlalchemy", "psycopg")


@serve_app.default
def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    data_dir: Path | None = None,
    database: str | None = None,
    auth: bool | None = None,
    root_path: str | None = None,
) -> None:
    """Run the service: an HTTP API, a web page, and the workers behind them.

    SIGTERM or Ctrl-C stops it; running jobs go back to the queue. Everything else is set by IMPASTO_* variables, or
    in impasto.toml.

    Parameters
    ----------
    host
        Address to listen on; 127.0.0.1 by default.
    port
        Port to listen on; 8765 by default.
    workers
        Worker processes on this machine; 1 by default, 0 if 'impasto worker' runs elsewhere.
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept, such as postgresql+psycopg://user@host/name; a file in the data folder by default.
    auth
        Require API keys; must be on unless the service listens on a loopback address.
    root_path
        Path under which a proxy offers the service, such as /paint.
    """
    with service_parts(
        "impasto serve",
        host=host,
        port=port,
        workers=workers,
        data_dir=data_dir,
        database=database,
        auth=auth,
        root_path=root_path,
    ) as parts:
        from impasto.service import logs, wiring
        from impasto.service.supervisor import supervised_workers
        from impasto.service.web.app import create_app, listen

        settings = parts.settings
        wiring.keep_temporary_files(settings)  # uploads may be large, and /tmp small or in memory
        logs.set_up(settings.log_format)
        if settings.is_public and not settings.auth:
            raise UsageError(
                f"{settings.host} can be reached by others, who could use everything; add --auth, or listen on "
                "127.0.0.1"
            )
        app = create_app(parts)  # before the workers start, because it refuses invalid settings
        # uvicorn shuts down on SIGTERM, then raises the signal again. This handler turns it into SystemExit, so that
        # the workers are stopped, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with supervised_workers(settings):
            listen(app, settings)


@worker_app.default
def worker(
    *,
    data_dir: Path | None = None,
    database: str | None = None,
    queue: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> None:
    """Paint the jobs of the service.

    SIGTERM or Ctrl-C stops it; a running job goes back to the queue. Everything else is set by IMPASTO_* variables,
    or in impasto.toml.

    Parameters
    ----------
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept, such as postgresql+psycopg://user@host/name; a file in the data folder by default.
    queue
        Which jobs to take; 'cpu' by default. Repeat it for several.
    """
    settings = service_settings("impasto worker", data_dir=data_dir, database=database, queues=queue or None)
    from impasto.service import logs, wiring
    from impasto.service.supervisor import run_worker

    logs.set_up(settings.log_format)
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # everything is read-only except the data folder
        wiring.keep_temporary_files(settings)
    run_worker(settings)


@keys_app.command
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


@keys_app.command(name="list")
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


@keys_app.command
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


@doctor_app.default
def doctor(
    *,
    audit_jobs: Annotated[bool, Parameter(negative="")] = False,
    data_dir: Path | None = None,
    database: str | None = None,
) -> int:
    """Show the versions of installed packages; --audit-jobs checks the service's jobs and pictures for inconsistencies.

    Parameters
    ----------
    audit_jobs
        Check the job table and the stored pictures for inconsistencies; safe while the service runs.
    data_dir
        Folder of everything that the service keeps.
    database
        Where jobs are kept; a file in the data folder by default.
    """
    for name in _PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        print(f"{name:<12} {found}")
    if not audit_jobs:
        return 0
    with service_parts("impasto doctor --audit-jobs", data_dir=data_dir, database=database) as parts:
        from impasto.service.stores.audit import audit

        broken = list(audit(parts.database, parts.blobs))
    for what, job in broken:
        print(f"{job}: {what}")
    if broken:
        return fail(f"{len(broken)} inconsistencies found", 1)
    print("jobs         no inconsistencies")
    return 0


def service_settings(command: str, **given: Any) -> Settings:
    """Return the settings. Those ``given``, unless None, take precedence over variables, and these over the file.

    Raises:
        MissingDependencyError: a package that the service needs is not installed.
        UsageError: a setting is invalid. The message leaves the value out, which may be secret.
    """
    with needs_extra(command, "serve"):
        from impasto.service.settings import Settings
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        setting, why = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise UsageError(f"setting {setting}: {why}") from error
    except (ValueError, OSError) as error:  # invalid JSON or TOML, or a file that is closed to the user
        raise UsageError(f"the settings cannot be read: {error}") from error


@contextmanager
def service_parts(command: str, **given: Any) -> Iterator[Parts]:
    """Connect to the service's data.

    Raises:
        MissingDependencyError: a package that the service needs is not installed.
        StorageError: the database cannot be reached.
        UsageError: a setting is invalid.
    """
    settings = service_settings(command, **given)
    with needs_extra(command, "serve"):
        from impasto.service import wiring
    with closing(wiring.build(settings)) as parts:
        yield parts
