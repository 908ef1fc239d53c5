"""The contract of job queues: whichever one it is, jobs reach workers and are painted once, whatever fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest

from impasto.api import JobState
from impasto.images import encode_picture, read_picture, resize_picture
from impasto.service import wiring
from impasto.service.jobs import NewJob, new_id
from impasto.service.queues import QUEUES
from impasto.service.retry import ATTEMPTS
from impasto.service.settings import Settings
from service.servers import RedisServer, free_port, redis_server, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

FAST = {"engine": "fast", "options": {"size": 64}, "styles": [{"name": "great-wave"}], "format": "jpeg"}
ENDLESS = {
    "engine": "nnst",
    "options": {"size": 96, "steps": 100_000},
    "styles": [{"input": "content"}],
    "format": "jpeg",
}


class NoBroker:
    """In place of a broker, for a queue that needs none."""

    url = ""

    def flush(self) -> None:
        pass

    kill = start = flush


@contextmanager
def no_broker(folder: Path):
    yield NoBroker()


BROKERS = {"poll": (no_broker, ""), "celery": (redis_server, "Redis cannot be reached")}
"""Server of each queue, and what workers log while it is away."""


@dataclass
class Worker:
    """A process ``impasto worker``."""

    process: subprocess.Popen
    log: Path

    def lines(self) -> list[dict[str, str]]:
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def painted(self) -> list[str]:
        return [line["job"] for line in self.lines() if line["event"].startswith("painted in")]


@dataclass
class Service:
    """The job table and the broker of a service, whose workers find their jobs in one of the queues."""

    parts: wiring.Parts
    broker: RedisServer | NoBroker
    broker_is_away: str
    folder: Path
    content: bytes

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "IMPASTO_DATA_DIR": str(self.parts.settings.data_dir),
            "IMPASTO_DATABASE": self.parts.settings.database_url,
            "IMPASTO_BROKER": self.broker.url,
            "IMPASTO_LEASE": "2",
            "IMPASTO_LOG_FORMAT": "json",
        }

    def submit(self, params=FAST, queue="cpu") -> str:
        job = new_id()
        inputs = {"content": f"inputs/{job}/content"}
        self.parts.blobs.put(inputs["content"], self.content)
        new = NewJob(id=job, tenant="one", params=params, inputs=inputs, queue=queue, request_sha256="0" * 64)
        return self.parts.submissions.submit(new)[0].id

    def find(self, job: str):
        return self.parts.submissions.find(job)

    def all_done(self, jobs) -> None:
        def done():
            return all(self.find(job).state is JobState.SUCCEEDED for job in jobs)

        wait_for(done, seconds=180, what="the end of all jobs")

    def runs(self, job: str):
        """Wait until a worker paints this job, and return it."""
        return wait_for(lambda: (found := self.find(job)).progress > 0 and found, what="progress")

    @contextmanager
    def worker(self, *flags: str):
        """A worker, which is asked to stop at the end of the block."""
        path = self.folder / f"{new_id()}.log"
        with path.open("wb") as log:
            command = [sys.executable, "-m", "impasto", "worker", *flags]
            process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        try:
            yield Worker(process, path)
            ended = process.poll()
            process.terminate()
            process.wait(60)
        finally:
            process.kill()
            process.wait()
        said = path.read_text()
        assert (ended, process.returncode) == (None, 0) and "Traceback" not in said, said

    @contextmanager
    def server(self, *flags: str):
        """A server, which is killed at the end of the block; gives its process, and a function for its health."""
        port = free_port()
        command = [sys.executable, "-m", "impasto", "serve", "--port", str(port), *flags]
        with (self.folder / "serve.log").open("wb") as log:
            process = psutil.Popen(command, env=self.environment, stdout=log, stderr=log)

        def health():
            try:
                return httpx.get(f"http://127.0.0.1:{port}/readyz").json()
            except httpx.ConnectError:
                return None

        try:
            wait_for(health, what="a server")
            yield process, health
        finally:
            process.kill()
            process.wait()


@pytest.fixture(params=[*((name, "sqlite") for name in QUEUES), ("poll", "postgresql")], ids=" over ".join)
def service(request, tmp_path, photo):
    name, database = request.param
    url = request.getfixturevalue("make_postgresql")() if database == "postgresql" else None
    server, is_away = BROKERS[name]
    content = encode_picture(resize_picture(read_picture(photo), 96, 64), "jpeg")
    with server(tmp_path) as broker:
        settings = Settings(data_dir=tmp_path / "data", database=url, broker=broker.url or None)
        with closing(wiring.build(settings)) as parts:
            assert parts.queue.name == name
            yield Service(parts, broker, is_away, tmp_path, content)


@contextmanager
def table_away(parts):
    """Let nobody reach the job table in this block."""
    url = parts.settings.database_url
    if url.startswith("sqlite"):
        with parts.database.begin() as (connection, _):
            connection.exec_driver_sql("ALTER TABLE jobs RENAME TO jobs_away")
        yield
        with parts.database.begin() as (connection, _):
            connection.exec_driver_sql("ALTER TABLE jobs_away RENAME TO jobs")
        return
    server, _, name = url.replace("+psycopg", "").rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_job_reaches_a_worker_and_two_workers_paint_each_job_once(service):
    with service.worker() as first, service.worker() as second:
        jobs = [service.submit() for _ in range(20)]
        service.all_done(jobs)
    assert sorted(first.painted() + second.painted()) == sorted(jobs)
    assert {service.find(job).attempt for job in jobs} == {1}
    assert "[queues]" not in first.log.read_text(), "Celery's banner is no line of a log"


def test_a_job_that_is_put_back_is_taken_again_after_the_delay(service):
    job = service.submit()
    claimed = service.parts.claims.claim("another", ["cpu"], 10)
    service.parts.claims.put_back(claimed, delay=4, counts=False)
    with service.worker():
        service.all_done([service.submit(), job])
    found = service.find(job)
    assert found.attempt == 2 and found.started >= found.not_before >= claimed.started + 4


def test_a_worker_that_is_asked_to_stop_puts_its_job_back(service):
    job = service.submit(ENDLESS)
    with service.worker():
        running = service.runs(job)
    back = service.find(job)
    assert (back.state, back.max_attempts - back.attempt) == (JobState.QUEUED, ATTEMPTS)
    with service.worker():
        assert service.runs(job).owner != running.owner


def test_workers_end_with_their_server_however_it_ends(service):
    with service.server() as (process, health):
        wait_for(lambda: health()["status"] == "ok", what="a worker in each role")
        service.all_done([service.submit()])
        everyone = process.children(recursive=True)
        assert len(everyone) >= 2
    _, alive = psutil.wait_procs(everyone, timeout=60)
    for survivor in alive:
        survivor.kill()
    assert alive == []


def test_without_workers_the_server_names_what_is_missing(service):
    with service.server("--workers", "0") as (_, health):
        missing = {name for name, check in health()["checks"].items() if check == "none is there; jobs wait"}
    assert missing == {"workers", *service.parts.queue.roles}


def test_a_worker_takes_only_its_queues(service):
    other, own = service.submit(), service.submit(queue="gpu")
    with service.worker("--queue", "gpu"):
        service.all_done([own])
        assert service.find(other).attempt == 0
        with service.worker():
            service.all_done([other])


def test_the_broker_may_forget(service):
    with service.worker(), service.worker():
        service.all_done([service.submit()])
        jobs = [service.submit() for _ in range(30)]
        service.broker.flush()
        service.all_done(jobs)
    assert {service.find(job).attempt for job in jobs} == {1}


def test_the_broker_may_be_away(service):
    with service.worker() as worker:
        service.all_done([service.submit()])
        service.broker.kill()
        jobs = [service.submit() for _ in range(3)]
        wait_for(lambda: service.broker_is_away in worker.log.read_text(), what="a word about the broker")
        service.broker.start()
        service.all_done(jobs)
    assert {service.find(job).attempt for job in jobs} == {1}


def test_the_job_table_may_be_away(service):
    with service.worker() as worker:
        service.all_done([service.submit()])
        jobs = [service.submit() for _ in range(20)]

        def asked_in_vain():
            """The queue could not claim or announce a job: lines about a job that it holds carry the job's id."""
            events = [line["event"].removeprefix("dispatcher: ") for line in worker.lines() if "job" not in line]
            return any(event.startswith("the job table cannot be reached") for event in events)

        with table_away(service.parts):
            wait_for(asked_in_vain, what="a question in vain")
        service.all_done(jobs)
