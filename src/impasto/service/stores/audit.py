"""Consistency audit of the job table and the blobs."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from sqlalchemy import select, text

from impasto.api import OPEN, JobState
from impasto.errors import BlobDamagedError, BlobMissingError
from impasto.service.integrity import verified
from impasto.service.stores.schema import jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.service.blobs import BlobStore
    from impasto.service.stores.database import Database


def audit(database: Database, blobs: BlobStore) -> Iterator[tuple[str, str]]:
    """Find violated invariants; yield a description of each and the id of its job.

    Raises:
        StorageError: the database or the blobs cannot be reached.
    """
    script = (files("impasto.service.stores") / "audit.sql").read_text(encoding="utf-8")
    with database.read() as (connection, _):
        yield from ((row.broken, row.id) for row in connection.execute(text(script)))
        rows = connection.execute(select(jobs).where(jobs.c.state.in_([*OPEN, JobState.SUCCEEDED]))).all()
    for row in rows:
        has_result = row.state == JobState.SUCCEEDED and row.result_key and row.result_sha256
        try:
            if has_result:
                verified(blobs, row.result_key, row.result_sha256)
            elif row.state in OPEN:
                for key in row.inputs.values():
                    blobs.size(key)
        except BlobMissingError:
            yield f"a picture that is gone ({'results' if has_result else 'inputs'})", row.id
        except BlobDamagedError:
            yield "a result that is damaged", row.id
