"""Celery and Redis as those who tell: they may forget everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest

from impasto.api import JobState
from impasto.images import encode_picture, read_picture, resize_picture
from impasto.service import wiring
from impasto.service.jobs import NewJob, new_id
from impasto.service.settings import Settings
from service.servers import redis_server, wait_for

pytestmark = pytest.mark.slow

FAST = {"engine": "fast", "options": {"size": 64}, "styles": [{"name": "great-wave"}], "format": "jpeg"}


@pytest.fixture
def redis(tmp_path):
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def parts(tmp_path):
    with closing(wiring.build(Settings(data_dir=tmp_path / "data", lease=2.0))) as built:
        yield built


@contextmanager
def worker(parts, redis):
    environment = {**os.environ, "IMPASTO_BROKER": redis.url, "IMPASTO_LEASE": "2", "IMPASTO_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "impasto", "worker", "--data-dir", str(parts.settings.data_dir)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        lines = []
        try:
            yield lines
        finally:
            process.terminate()
            said = process.communicate(timeout=60)[0].decode()
            lines += said.splitlines()
    assert "Traceback" not in said, said


@pytest.fixture
def submit(parts, photo):
    content = encode_picture(resize_picture(read_picture(photo), 96, 64), "jpeg")

    def submitted():
        job = new_id()
        parts.blobs.put(f"inputs/{job}/content", content)
        inputs = {"content": f"inputs/{job}/content"}
        parts.submissions.submit(NewJob(id=job, tenant="one", params=FAST, inputs=inputs, request_sha256="0" * 64))
        return job

    return submitted


def all_done(parts, jobs, seconds=60):
    wait_for(
        lambda: all(parts.submissions.find(job).state is JobState.SUCCEEDED for job in jobs),
        seconds=seconds,
        what="the end",
    )


def test_a_worker_says_what_it_does_as_it_was_told_to(parts, redis, submit):
    with worker(parts, redis) as lines:
        job = submit()
        all_done(parts, [job])
    said = [json.loads(line) for line in lines if line.startswith("{")]
    assert [line["job"] for line in said if line["event"].startswith("painted in")] == [job]
    assert not [line for line in lines if "[queues]" in line], "Celery's banner is no line of a log"


def test_jobs_are_painted_and_redis_may_forget(parts, redis, submit):
    with worker(parts, redis), worker(parts, redis):
        all_done(parts, [submit() for _ in range(8)])
        jobs = [submit() for _ in range(30)]
        redis.flush()
        all_done(parts, jobs)
        redis.kill()
        while_away = [submit() for _ in range(3)]
        time.sleep(1)
        redis.start()
        all_done(parts, while_away, seconds=90)
    assert all(parts.submissions.find(job).attempt == 1 for job in (*jobs, *while_away))


def test_the_window_is_small(parts, redis, submit):
    jobs = {submit() for _ in range(40)}
    with wiring.dispatcher(
        wiring.Parts(
            **{**parts.__dict__, "settings": parts.settings.model_copy(update={"broker": redis.url, "slots": 2})}
        ),
        "test",
    ) as telling:
        assert telling.dispatch() == 16 and telling.dispatch() == 0
        redis.flush()
        assert telling.dispatch() == 16, "Redis has forgotten: tell it all again"
        claimed = [parts.claims.claim("worker", ["cpu"], 10).id for _ in range(4)]
        assert telling.dispatch() == 4 and set(claimed) < jobs
        redis.kill()
        assert telling.dispatch() == 0
        redis.start()
        wait_for(lambda: telling.dispatch() == 16, what="hints after the return of Redis")
