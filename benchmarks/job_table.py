"""A job table in PostgreSQL, as a busy service fills it: how long its transactions take.

    python benchmarks/job_table.py [--rows 1000000] [--queued 10000] [--times 500]

The rows are of jobs that have succeeded or expired. Prints one JSON object: median and 99th percentile in
milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from impasto.service import wiring
from impasto.service.jobs import NewJob
from impasto.service.settings import Settings
from service.servers import postgresql

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.service.jobs import Job
    from impasto.service.wiring import Parts

_COLUMNS = """tenant, queue, "group", priority, rank, params, inputs, notify, request_sha256, attempt, max_attempts,
    not_before, cancel_requested, progress, revision, result_key, result_sha256"""
_TIMES = "created, started, finished, expires"


def fill(parts: Parts, rows: int) -> None:
    """Copy one job that has succeeded until there are ``rows``, of 30 days; nine of ten have expired."""
    parts.submissions.submit(new_job())
    job = claim(parts)
    parts.claims.finish(job, job.own_result_key, "0" * 64)
    times = ", ".join(f"{name} - number * 30.0 * 24 * 3600 / :rows" for name in _TIMES.split(", "))
    copy = f"""INSERT INTO jobs (id, state, reserved, {_COLUMNS}, {_TIMES})
        SELECT md5(number::text), CASE WHEN number % 10 = 0 THEN 'succeeded' ELSE 'expired' END, 0, {_COLUMNS}, {times}
        FROM jobs CROSS JOIN generate_series(1, :rows) AS number"""
    with parts.database.begin() as (connection, _):
        connection.execute(text(copy), {"rows": rows})
    with parts.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE jobs"))


def new_job() -> NewJob:
    """Make a job as the engine 'fast' gets it."""
    params = {"engine": "fast", "options": {"size": 512}, "styles": [{"name": "great-wave"}], "format": "jpeg"}
    return NewJob(tenant="one", params=params, request_sha256="0" * 64, inputs={"content": "inputs/job/content"})


def claim(parts: Parts) -> Job:
    """Claim the next job."""
    job = parts.claims.claim("worker", ["cpu"], 30.0)
    assert job is not None
    return job


def taken(times: int, call: Callable[[], object]) -> dict[str, float]:
    """Call ``times`` times; return the median and the 99th percentile of the milliseconds."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(1000 * (time.perf_counter() - began))
    return {"p50": round(statistics.median(found), 2), "p99": round(statistics.quantiles(found, n=100)[98], 2)}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgresql(Path(folder)) as server:
        limit = arguments.queued + arguments.times + 1
        settings = Settings(
            data_dir=Path(folder, "service"), database=server.new_database(), backlog=limit, tenant_backlog=limit
        )
        with closing(wiring.build(settings)) as parts:
            fill(parts, arguments.rows)
            for _ in range(arguments.queued):
                parts.submissions.submit(new_job())
            found = {"submit": taken(arguments.times, lambda: parts.submissions.submit(new_job()))}
            jobs: list[Job] = []
            found["claim"] = taken(arguments.times, lambda: jobs.append(claim(parts)))
            found["finish"] = taken(
                arguments.times, lambda: parts.claims.finish(job := jobs.pop(), job.own_result_key, "0" * 64)
            )
            found["look for a message"] = taken(arguments.times, lambda: parts.outbox.next("courier", 60.0))
            found["lead a role"] = taken(arguments.times, lambda: parts.upkeep.lead("upkeep", "worker", 3.0))
            found["counts for /metrics"] = taken(20, parts.upkeep.counts)
            found["totals for /metrics"] = taken(5, parts.upkeep.totals)
            with parts.database.read() as (connection, _):
                size = connection.scalar(text("SELECT pg_total_relation_size('jobs')"))
            print(
                json.dumps({"rows": arguments.rows, "queued": arguments.queued, "MiB": size >> 20, **found}, indent=1)
            )


if __name__ == "__main__":
    main()
