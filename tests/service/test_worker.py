"""Workers with the real default engine: jobs are painted, canceled, given up, and outlive whoever had them."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from threading import Event, Thread
from types import SimpleNamespace

import psutil
import pytest

from impasto.api import TERMINAL, JobState
from impasto.errors import StorageError
from impasto.images import encode_picture, read_picture, resize_picture
from impasto.service import wiring, worker
from impasto.service.child import Child
from impasto.service.jobs import NewJob, new_id
from impasto.service.painter import Painted, PaintTask, Progress, is_answer, serve, understand
from impasto.service.retry import STORAGE_ATTEMPTS
from impasto.service.settings import Settings
from impasto.service.worker import Worker, work
from service.servers import wait_for

FAST = {"engine": "fast", "options": {"size": 64}, "styles": [{"name": "great-wave"}], "format": "jpeg"}
SLOW = {**FAST, "engine": "nnst", "options": {"size": 96, "steps": 100_000}, "styles": [{"input": "style0"}]}
ONE_SCALE = {**SLOW, "engine": "gatys", "options": {"descriptor": "compact", "scales": 1, **SLOW["options"]}}


@pytest.fixture
def settings(tmp_path, database_url):
    return Settings(data_dir=tmp_path / "data", database=database_url, lease=2.0)


@pytest.fixture
def parts(settings):
    with closing(wiring.build(settings)) as built:
        yield built


@pytest.fixture
def small(photo):
    return encode_picture(resize_picture(read_picture(photo), 96, 64), "jpeg")


@pytest.fixture
def submit(parts, small):
    def submitted(params=FAST, content=small):
        job = new_id()
        inputs = {"content": content}
        if params["styles"] == SLOW["styles"]:
            inputs["style0"] = small
        keys = {name: f"inputs/{job}/{name}" for name in inputs}
        for name, data in inputs.items():
            parts.blobs.put(keys[name], data)
        new = NewJob(id=job, tenant="one", params=params, inputs=keys, request_sha256="0" * 64)
        return parts.submissions.submit(new)[0].id

    return submitted


@pytest.fixture
def working(parts):
    """A worker in this process, until the end of the test."""
    stop = Event()
    thread = Thread(target=work, args=(parts, stop))
    thread.start()
    yield thread
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def reaches(parts, job, *states):
    def reached():
        found = parts.submissions.find(job)
        return found if found.state in states else None

    return wait_for(reached, what=f"one of {states}")


def test_a_job_is_painted(parts, submit, working):
    job = reaches(parts, submit(), *TERMINAL)
    assert (job.state, job.error_text) == (JobState.SUCCEEDED, None)
    data = parts.blobs.get(job.result_key)
    assert hashlib.sha256(data).hexdigest() == job.result_sha256
    picture = read_picture(data)
    assert (picture.width, picture.height, picture.format) == (64, 43, "jpeg")


def test_a_broken_picture_is_the_senders_affair(parts, submit, working, small):
    job = reaches(parts, submit(content=small[:300]), JobState.FAILED, JobState.SUCCEEDED)
    assert (job.state, job.error_code, job.attempt) == (JobState.FAILED, "bad_image", 1)
    assert "broken or truncated JPEG" in job.error_text
    missing = reaches(parts, submit({**FAST, "styles": [{"name": "grate-wave"}]}), JobState.FAILED)
    assert missing.error_code == "unknown_name" and "did you mean 'great-wave'" in missing.error_text


@pytest.mark.slow
def test_a_picture_that_is_gone(parts, submit, working):
    with parts.database.begin() as (connection, _):
        connection.exec_driver_sql("SELECT 1")
    job = submit({**SLOW, "options": {"descriptor": "nothing-of-this-name"}})
    assert reaches(parts, job, JobState.FAILED).error_code == "unknown_name"
    lost = NewJob(tenant="one", params=FAST, inputs={"content": "inputs/lost"}, request_sha256="0" * 64)
    parts.submissions.submit(lost)
    assert reaches(parts, lost.id, JobState.FAILED).error_code == "input_missing"


def test_cancel(parts, submit, working):
    job = submit(SLOW)
    wait_for(lambda: parts.submissions.find(job).progress > 0, what="progress")
    assert parts.submissions.cancel(job, "one").cancel_requested
    assert reaches(parts, job, JobState.CANCELED).result_key is None
    assert reaches(parts, submit(), JobState.SUCCEEDED)


@pytest.mark.slow
def test_previews(parts, submit, working):
    job = submit(ONE_SCALE)
    found = wait_for(lambda: parts.submissions.find(job).preview_key, what="a preview")
    picture = read_picture(parts.blobs.get(found))
    assert (picture.width, picture.format) == (96, "jpeg")
    assert parts.submissions.erase(job, "one")
    wait_for(lambda: not list(parts.blobs.entries()), what="nothing left of it")


def test_a_child_that_is_killed(parts, submit, working):
    job = submit(SLOW)
    wait_for(lambda: parts.submissions.find(job).progress > 0, what="progress")
    for child in psutil.Process().children(recursive=True):
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    put_back = reaches(parts, job, JobState.QUEUED)
    assert put_back.attempt == 1 and put_back.not_before > put_back.created
    assert reaches(parts, submit(), JobState.SUCCEEDED), "the worker goes on"


class UnreachableBlobs:
    """A store that refuses the first results."""

    def __init__(self, blobs, refused):
        self._blobs, self._refused = blobs, refused

    def put(self, key, data):
        if key.startswith("results/") and self._refused > 0:
            self._refused -= 1
            raise StorageError("the store cannot be reached; try again")
        self._blobs.put(key, data)

    def __getattr__(self, name):
        return getattr(self._blobs, name)


@pytest.mark.parametrize(("refused", "state", "attempt"), [(5, "succeeded", 6), (1000, "failed", STORAGE_ATTEMPTS)])
def test_a_store_that_cannot_be_reached(parts, submit, monkeypatch, refused, state, attempt):
    monkeypatch.setattr("impasto.service.worker.job_delay", lambda attempt: 0.0)
    stop = Event()
    thread = Thread(target=work, args=(replace(parts, blobs=UnreachableBlobs(parts.blobs, refused)), stop))
    thread.start()
    job = reaches(parts, submit(), *TERMINAL)
    stop.set()
    thread.join(30)
    assert (job.state, job.attempt) == (state, attempt)
    assert job.error_code == (None if state == "succeeded" else "storage")


class AwayBlobs:
    """A store that answers one machine no request, as that of Amazon does if its clock is wrong."""

    def __init__(self, blobs):
        self._blobs = blobs
        self.asked = Event()

    def get(self, *keys):
        self.asked.set()
        raise StorageError("the store cannot be reached; try again")

    delete = get

    def __getattr__(self, name):
        return getattr(self._blobs, name)


class Pauses(Event):
    """An event that records for how long it was waited for."""

    def __init__(self):
        super().__init__()
        self.seconds, self.begun = [], Event()

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        self.begun.set()
        return super().wait(timeout)


def test_a_worker_pauses_once_after_a_failed_attempt_and_never_before_a_claim(parts, submit, monkeypatch):
    """Else it could remain paused: other workers take the jobs while it sleeps, and the next hint is stale again."""
    monkeypatch.setattr("impasto.service.worker.job_delay", lambda _: 0.0)
    job = submit()
    stop = Pauses()
    cut_off = Worker(replace(parts, blobs=AwayBlobs(parts.blobs)), stop)
    assert cut_off.take() and stop.seconds == [0.0]
    assert parts.claims.claim("another worker", ["cpu"], 60.0).id == job
    assert not cut_off.take(job), "the hint is stale"
    assert not cut_off.take()
    assert stop.seconds == [0.0]
    cut_off.end()


def test_a_worker_that_cannot_reach_the_store_takes_no_more_jobs(parts, submit, monkeypatch):
    monkeypatch.setattr("impasto.service.worker.job_delay", lambda _: 3600.0)
    jobs = [submit(), submit()]
    stop = Pauses()
    cut_off = Worker(replace(parts, blobs=AwayBlobs(parts.blobs)), stop)
    waits = Thread(target=cut_off.take)
    waits.start()
    assert stop.begun.wait(30)
    assert waits.is_alive() and stop.seconds == [3600.0]
    stop.set()
    waits.join(30)
    cut_off.end()
    assert not waits.is_alive()
    found = [parts.submissions.find(job) for job in jobs]
    assert [(job.state, job.attempt, job.max_attempts) for job in found] == [("queued", 1, 4), ("queued", 0, 3)]


def test_a_worker_that_cannot_reach_the_store_leaves_deleting_to_others(parts, submit, monkeypatch):
    monkeypatch.setattr(worker, "_CLEANING_LEASE", 1.0)
    monkeypatch.setattr(worker, "_CLEANING_PAUSE", 3600.0)
    assert parts.submissions.erase(submit(), "one")
    assert list(parts.blobs.entries())
    stop, away = Event(), AwayBlobs(parts.blobs)
    cut_off = Thread(target=worker._clean, args=(replace(parts, blobs=away), "cut off", stop))
    cut_off.start()
    assert away.asked.wait(30)
    other = Thread(target=worker._clean, args=(parts, "other", stop))
    other.start()
    wait_for(lambda: not list(parts.blobs.entries()) and not parts.upkeep.garbage(), what="nothing left")
    stop.set()
    for thread in (cut_off, other):
        thread.join(30)


def test_a_message_is_not_taken_after_the_stop():
    stop = Event()

    class Turn:
        """A lock for which a thread waits until the worker is stopped."""

        def __enter__(self):
            stop.set()

        def __exit__(self, *_):
            pass

    class Courier:
        def next(self):
            pytest.fail("a message was taken")

    worker._deliver(Courier(), Turn(), stop)


def test_threads_that_do_not_end_are_waited_for_together(monkeypatch):
    time, waited = iter(range(0, 1000, 15)), []
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: float(next(time))))
    worker._join([SimpleNamespace(join=waited.append)] * 5)
    assert waited == [25.0, 10.0, 0.0, 0.0, 0.0]


class ManyBlobs:
    """A store that lists orphaned pictures without end, and records which are deleted."""

    def __init__(self, stop, most):
        self._stop, self._most = stop, most
        self.listed, self.deleted = 0, []

    def entries(self):
        for self.listed in itertools.count(1):
            yield f"inputs/{self.listed}/content", 0.0

    def delete(self, *keys):
        self.deleted.append(len(keys))
        if len(self.deleted) == self._most:
            self._stop.set()


def test_the_search_for_orphaned_pictures_goes_in_batches_and_can_be_stopped(parts):
    stop = Event()
    many = ManyBlobs(stop, 3)
    worker._sweep_orphaned(replace(parts, blobs=many), stop)
    assert many.deleted == [500, 500, 500] and many.listed == 1500


def test_too_long_and_too_large(parts, settings, submit):
    for limits, code in (({"job_seconds": 1.0}, "timeout"), ({"job_memory": 1 << 20}, "out_of_memory")):
        stop = Event()
        job = submit(SLOW)
        with closing(wiring.build(settings.model_copy(update=limits))) as limited:
            thread = Thread(target=work, args=(limited, stop))
            thread.start()
            assert reaches(parts, job, JobState.FAILED).error_code == code
            stop.set()
            thread.join(30)


def started(settings):
    command = [sys.executable, "-m", "impasto", "worker", "--data-dir", settings.data_dir]
    return subprocess.Popen([*command, "--database", settings.database_url], stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_worker_that_is_killed(parts, settings, submit, monkeypatch):
    monkeypatch.setenv("IMPASTO_LEASE", "2")
    job = submit(SLOW)
    with started(settings) as first:
        running = reaches(parts, job, JobState.RUNNING)
        wait_for(lambda: parts.submissions.find(job).progress > 0, what="progress")
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
    assert children and not psutil.wait_procs(children, timeout=10)[1], "the child has ended with it"
    with started(settings) as second:
        again = wait_for(lambda: (f := parts.submissions.find(job)).attempt == 2 and f, what="the next attempt")
        assert again.owner != running.owner
        second.terminate()


def test_a_child_that_stops_in_the_middle_of_a_message(small):
    child = Child(serve, understand=understand)
    child.begin(PaintTask(FAST, {"content": small, "never used": bytes(1 << 24)}), is_answer)
    process = next(each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline()))
    process.suspend()
    assert child.receive(0.1) is None, "whoever waits for it can still beat"
    child.kill()
    child.begin(PaintTask(FAST, {"content": small}), is_answer)
    while isinstance(said := child.receive(60), Progress):
        pass
    assert isinstance(said, Painted)
    child.begin(PaintTask(FAST, {"content": small}), is_answer)
    child.kill()


def test_a_child_that_is_stopped_keeps_its_networks(small):
    """And what has ended already, or does not end in time, does no harm to the next task."""
    child = Child(serve, understand=understand)
    endless = {"engine": "nnst", "options": {"steps": 100_000}, "styles": [{"name": "great-wave"}], "format": "png"}
    draft = {**endless, "engine": "fast", "options": {}}
    try:
        for params, seconds, stays in ((endless, 30.0, True), (draft, 30.0, True), (endless, 0.0, False)):
            child.begin(PaintTask(params, {"content": small}), is_answer)
            while params is endless and not isinstance(child.receive(60), Progress):
                pass
            assert child._sent.wait(60)
            process = child._process.pid
            child.stop(seconds)
            child.begin(PaintTask(draft, {"content": small}), is_answer)
            while isinstance(said := child.receive(60), Progress):
                pass
            assert isinstance(said, Painted)
            assert (child._process.pid == process) is stays
    finally:
        child.kill()


def test_a_task_that_was_left_does_not_answer_for_the_next(small):
    child = Child(serve, understand=understand)
    gatys = {**FAST, "engine": "gatys", "options": {"steps": 1, "scales": 1, "size": 48, "descriptor": "compact"}}
    try:
        child.begin(PaintTask({**gatys, "styles": [{"input": "content"}]}, {"content": small}), is_answer)
        child.begin(PaintTask(FAST, {"content": small}), is_answer)
        while isinstance(said := child.receive(60), Progress):
            pass
        assert read_picture(said.data).metadata["engine"] == "fast"
    finally:
        child.kill()


def test_a_defect_of_ours_ends_one_attempt_and_not_the_worker(parts, submit, working, monkeypatch):
    broken = parts.claims.finish

    def finish(*_):
        monkeypatch.setattr(parts.claims, "finish", broken)
        raise KeyError("nobody expected this")

    monkeypatch.setattr(parts.claims, "finish", finish)
    job = submit()
    wait_for(lambda: parts.submissions.find(job).attempt == 1 and parts.submissions.find(job).owner is None, what="it")
    found = parts.submissions.find(job)
    assert found.state is JobState.QUEUED and working.is_alive()
