"""``impasto doctor``: installed versions, and an audit of the service's data."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import Annotated

from cyclopts import App, Parameter

from impasto.cli.console import fail
from impasto.cli.service import service_parts

app = App(name="doctor")

_PACKAGES = ("impasto", "numpy", "openvino", "onnxruntime", "pyvips", "torch", "fastapi", "sqlalchemy", "psycopg")


@app.default
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
