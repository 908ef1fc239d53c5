"""Hints that the dispatcher sends through Celery and Redis."""

from __future__ import annotations

from contextlib import closing

import pytest

from impasto.errors import UsageError
from impasto.service import wiring
from impasto.service.jobs import NewJob
from impasto.service.queues.celery import Dispatcher
from impasto.service.settings import Settings
from service.servers import redis_server, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def parts(tmp_path):
    with closing(wiring.build(Settings(data_dir=tmp_path / "data"))) as built:
        yield built


def test_the_window_is_small(parts, tmp_path):
    submitted = (parts.submissions.submit(NewJob(tenant="one", params={}, request_sha256="0" * 64)) for _ in range(40))
    jobs = {job.id for job, _ in submitted}
    with (
        redis_server(tmp_path) as redis,
        closing(Dispatcher(parts.hints, parts.upkeep, redis.url, "test", slots=2)) as dispatcher,
    ):
        wait_for(lambda: dispatcher.dispatch() == 16, what="hints in Redis")
        assert dispatcher.dispatch() == 0
        redis.flush()
        assert dispatcher.dispatch() == 16, "Redis has forgotten: tell it all again"
        claimed = [parts.claims.claim("worker", ["cpu"], 10).id for _ in range(4)]
        assert dispatcher.dispatch() == 4 and set(claimed) < jobs
        redis.kill()
        assert dispatcher.dispatch() == 0
        redis.start()
        wait_for(lambda: dispatcher.dispatch() == 16, what="hints after the return of Redis")


def test_an_address_that_cannot_be_read_is_refused_without_its_password(parts):
    with pytest.raises(UsageError) as caught:
        Dispatcher(parts.hints, parts.upkeep, "redis://:pass/word@host", "test", slots=2)
    assert str(caught.value) == "setting broker is not a valid address; give one such as redis://host:6379/0"


def test_a_machine_that_cannot_reach_redis_leaves_the_hints_to_others(parts, tmp_path, monkeypatch):
    with parts.database.read() as (_, now):
        pass
    with (
        redis_server(tmp_path) as redis,
        closing(Dispatcher(parts.hints, parts.upkeep, "redis://127.0.0.1:9/0", "cut off", slots=2)) as cut_off,
        closing(Dispatcher(parts.hints, parts.upkeep, redis.url, "other", slots=2)) as other,
    ):
        parts.submissions.submit(NewJob(tenant="one", params={}, request_sha256="0" * 64))
        assert cut_off.dispatch() == 0 and parts.upkeep.led("dispatcher")
        assert other.dispatch() is None, "it has the role"
        for seconds in (4.0, 8.0, 12.0):
            monkeypatch.setattr(parts.database, "_clock", lambda seconds=seconds: now + seconds)
            assert cut_off.dispatch() == 0
        wait_for(lambda: other.dispatch() == 1, what="a hint")
