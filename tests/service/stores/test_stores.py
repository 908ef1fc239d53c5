"""The protocol of the job table, in SQLite and in PostgreSQL: nothing accepted is lost, nothing is done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text, update

from impasto.api import JobState
from impasto.errors import BacklogError, ConflictError, QuotaError, StorageError
from impasto.service.jobs import Beat, Channel, Limits, NewJob, Retention, new_id
from impasto.service.stores.claims import SQLClaims, SQLHints
from impasto.service.stores.database import Database, migrate
from impasto.service.stores.outbox import SQLOutbox
from impasto.service.stores.schema import api_keys, garbage, jobs, leaders, metadata, outbox
from impasto.service.stores.submissions import SQLSubmissions
from impasto.service.stores.upkeep import SQLUpkeep

ATTEMPT_BLOBS = (("previews", "jpg"), ("results", "png"))
LIMITS = Limits(backlog=40, tenant_backlog=30, tenant_running=0)
RETENTION = Retention(inputs=100, results=1000, rows=10_000)


def new(tenant="one", **values):
    return NewJob(
        **{"tenant": tenant, "params": {"engine": "fast", "format": "png"}, "request_sha256": "0" * 64, **values}
    )


@pytest.fixture
def room():
    """Room for blobs, which the test may change."""
    return SimpleNamespace(bytes=0)


@pytest.fixture
def submissions(database, room):
    return SQLSubmissions(database, LIMITS, RETENTION, lambda: room.bytes)


@pytest.fixture
def claims(database):
    return SQLClaims(database, LIMITS, RETENTION)


@pytest.fixture
def upkeep(database):
    return SQLUpkeep(database, RETENTION, 30.0)


@pytest.fixture
def messages(database):
    return SQLOutbox(database)


def claim(claims, owner="worker", lease=10.0, **options):
    return claims.claim(owner, ["cpu"], lease, **options)


def test_the_migrations_make_the_tables_of_the_code(database):
    with database.begin() as (connection, _):
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    migrate(database)  # again: nothing to do


def test_a_database_of_0_1_0_is_taken_with_its_jobs(database_url):
    """Its tables have version 0003, at the end of migrations that came before any release."""
    waits = {
        "id": new_id(), "tenant": "one", "state": "queued", "queue": "cpu", "group": "", "priority": 0, "rank": 1,
        "params": "{}", "inputs": "{}", "notify": "{}", "request_sha256": "", "attempt": 0, "max_attempts": 3,
        "not_before": 1, "cancel_requested": False, "progress": 0, "revision": 0, "created": 1,
    }  # fmt: skip
    with closing(Database(database_url)) as database:
        migrate(database, "0003")
        with database.begin() as (connection, _):
            names, values = (", ".join(form % name for name in waits) for form in ('"%s"', ":%s"))
            connection.execute(text(f"INSERT INTO jobs ({names}) VALUES ({values})"), waits)
        migrate(database)
        submissions = SQLSubmissions(database, LIMITS, RETENTION, lambda: 10)
        submissions.submit(new(reserved=10))
        claims = SQLClaims(database, LIMITS, RETENTION)
        assert claim(claims).id == waits["id"] and claim(claims) is not None


def test_tables_of_a_newer_version_are_refused(database):
    with database.begin() as (connection, _):
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="newer impasto"):
        migrate(database)


def test_a_database_that_is_not_there():
    with pytest.raises(StorageError, match="try again"):
        migrate(Database("postgresql+psycopg://impasto@127.0.0.1:9/nothing"))


def test_the_time_is_the_servers(database_url):
    with closing(Database(database_url)) as database, database.read() as (_, now):
        assert 1.7e9 < now < 5e9


def test_from_submission_to_result(submissions, claims):
    job, is_new = submissions.submit(new(inputs={"content": "inputs/a"}, params={"engine": "fast", "strength": 0.5}))
    assert is_new and job.state is JobState.QUEUED and job.attempt == 0
    assert submissions.find(job.id) == submissions.find(job.id, "one") == job
    assert submissions.find(job.id, "another") is None
    running = claim(claims)
    assert (running.id, running.state, running.attempt, running.owner) == (job.id, JobState.RUNNING, 1, "worker")
    assert running.params == {"engine": "fast", "strength": 0.5} and running.inputs == {"content": "inputs/a"}
    assert claim(claims) is None
    assert claims.beat(running, 10, progress=0.5, preview="previews/a") is Beat.GO_ON
    seen = submissions.find(job.id)
    assert (seen.progress, seen.preview_key) == (0.5, "previews/a")
    assert seen.revision > running.revision
    assert claims.finish(running, "results/a", "f" * 64)
    done = submissions.find(job.id)
    assert (done.state, done.result_key, done.result_sha256) == (JobState.SUCCEEDED, "results/a", "f" * 64)
    assert (done.owner, done.lease_until, done.preview_key, done.progress) == (None, None, None, 1.0)
    assert not claims.finish(running, "results/b", "e" * 64)
    assert not claims.fail(running, "late", "")
    assert not claims.put_back(running, delay=0, counts=True)
    assert claims.beat(running, 10, progress=0.9) is Beat.LOST


def test_the_same_request_is_the_same_job(submissions):
    job, _ = submissions.submit(new(idempotency_key="a"))
    assert submissions.submit(new(idempotency_key="a")) == (job, False)
    other, is_new = submissions.submit(new("two", idempotency_key="a"))
    assert is_new and other.id != job.id
    with pytest.raises(ConflictError, match="'a' belongs to another request"):
        submissions.submit(new(idempotency_key="a", request_sha256="1" * 64))


def test_the_same_request_at_the_same_time(submissions):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: submissions.submit(new(idempotency_key="a")), range(16)))
    assert len({job.id for job, _ in found}) == 1 and sum(is_new for _, is_new in found) == 1


def test_writers_of_one_process_take_turns(tmp_path):
    # A writer that SQLite lets wait fails at once.
    with closing(Database(f"sqlite:///{tmp_path / 'jobs.db'}", busy_seconds=0)) as database:
        migrate(database)
        submissions = SQLSubmissions(database, LIMITS, RETENTION, lambda: 0)
        with ThreadPoolExecutor(16) as pool:
            accepted = list(pool.map(lambda _: submissions.submit(new()), range(30)))
    assert len({job.id for job, _ in accepted}) == 30


def test_every_job_is_claimed_once(submissions, claims):
    made = {submissions.submit(new())[0].id for _ in range(24)}

    def work(number):
        mine = []
        while job := claim(claims, f"worker {number}"):
            mine.append(job.id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        claimed = [job for each in pool.map(work, range(6)) for job in each]
    assert sorted(claimed) == sorted(made)


def test_a_late_worker_is_fenced(submissions, claims, upkeep, clock):
    submissions.submit(new())
    first = claim(claims, "slow")
    clock.time += 11
    assert upkeep.reap() == 1
    second = claim(claims, "quick")
    assert second.id == first.id and second.attempt == 2
    assert claims.beat(first, 10, progress=1) is Beat.LOST
    assert not claims.finish(first, "results/1", "1" * 64)
    assert claims.finish(second, "results/2", "2" * 64)
    assert submissions.find(first.id).result_key == "results/2"


def test_the_same_worker_after_its_own_lease(submissions, claims, upkeep, clock):
    submissions.submit(new())
    first = claim(claims)
    clock.time += 11
    upkeep.reap()
    second = claim(claims)
    assert first.owner == second.owner and not claims.finish(first, "results/1", "1" * 64)


def test_a_lease_that_is_renewed_is_not_taken_back(submissions, claims, upkeep, clock):
    submissions.submit(new())
    job = claim(claims)
    for _ in range(5):
        clock.time += 8
        assert claims.beat(job, 10, progress=0) is Beat.GO_ON
        assert upkeep.reap() == 0
    assert claims.finish(job, "results/1", "1" * 64)


def test_a_picture_that_kills_workers_is_given_up(submissions, claims, upkeep, clock):
    made, _ = submissions.submit(new(notify={Channel.EMAIL: "a@example.org"}))
    for attempt in (1, 2, 3):
        assert claim(claims).attempt == attempt
        clock.time += 11
        assert upkeep.reap() == 1
    job = submissions.find(made.id)
    assert (job.state, job.error_code) == (JobState.FAILED, "worker_lost") and "3 workers were lost" in job.error_text
    assert claim(claims) is None


def test_attempts_that_do_not_count(submissions, claims, clock):
    made, _ = submissions.submit(new())
    for _ in range(5):
        job = claim(claims)
        assert claims.put_back(job, delay=30, counts=False)
        assert claim(claims) is None
        clock.time += 31
    for _ in range(2):
        assert claims.put_back(claim(claims), delay=0, counts=True)
    last = claim(claims)
    assert not claims.put_back(last, delay=0, counts=True)
    assert claims.fail(last, "broken", "the picture is broken")
    assert submissions.find(made.id).error_text == "the picture is broken"


def test_order(submissions, claims, clock):
    names = {}
    for name, values in (
        ("first", {}),
        ("second", {}),
        ("urgent", {"priority": -1}),
        ("another tenant's", {"tenant": "two"}),
        ("third", {}),
    ):
        names[submissions.submit(new(**values))[0].id] = name
        clock.time += 0.5
    found = []
    while job := claim(claims):
        found.append(names[job.id])
    assert found == ["urgent", "first", "another tenant's", "second", "third"]


def test_nobody_waits_for_ever_behind_those_with_priority(submissions, claims, clock):
    patient, _ = submissions.submit(new(priority=2))
    for _ in range(10):
        clock.time += 200
        submissions.submit(new("two", priority=-1))
        if claim(claims).id == patient.id:
            return
    raise AssertionError("it still waits")


def test_a_job_whose_network_is_in_memory_may_overtake_for_some_seconds(submissions, claims, clock):
    older, _ = submissions.submit(new("one", group="a"))
    clock.time += 3
    younger, _ = submissions.submit(new("two", group="b"))
    assert claim(claims, group="b").id == younger.id
    clock.time += 3
    submissions.submit(new("three", group="b"))
    assert claim(claims, group="b").id == older.id


def test_position(submissions, claims, clock):
    made = []
    for number in range(3):
        made.append(submissions.submit(new(str(number)))[0])
        clock.time += 1
    assert [submissions.position(job) for job in made] == [0, 1, 2]
    claim(claims)
    assert [submissions.position(job) for job in made[1:]] == [0, 1]


def test_queues(submissions, claims):
    submissions.submit(new(queue="gpu"))
    assert claim(claims) is None
    assert claims.claim("worker", ["cpu", "gpu"], 10) is not None


def test_one_job_by_its_id(submissions, claims):
    made = [submissions.submit(new())[0] for _ in range(3)]
    assert claim(claims, job=made[2].id).id == made[2].id
    assert claim(claims, job=made[2].id) is None


def test_limits(submissions, database):
    for _ in range(30):
        submissions.submit(new())
    with pytest.raises(BacklogError, match="30 of your jobs are already waiting"):
        submissions.submit(new())
    for _ in range(10):
        submissions.submit(new("two"))
    with pytest.raises(BacklogError, match="40 jobs are already waiting"):
        submissions.submit(new("three"))
    claims = SQLClaims(database, replace(LIMITS, tenant_running=2), RETENTION)
    assert [claim(claims).tenant for _ in range(4)].count("one") == 2
    assert claim(claims) is None


def test_open_jobs_reserve_room_for_their_results(submissions, claims, upkeep, room, clock):
    room.bytes = 100

    def is_refused(size):
        with pytest.raises(QuotaError, match="no room for the pictures of this job"):
            submissions.submit(new(reserved=size))
        return True

    first, second, third = (submissions.submit(new(reserved=30))[0] for _ in range(3))
    submissions.check_room(10)
    assert submissions.reserved() == 90 and is_refused(11) and submissions.submit(new(reserved=10))
    assert is_refused(1), "all is reserved"
    claims.fail(claim(claims, job=first.id), "broken", "")
    running = claim(claims, job=second.id)
    assert is_refused(31) and submissions.submit(new(reserved=30)), "as much as the one that failed had"
    with pytest.raises(QuotaError, match="no room"):
        submissions.retry(first.id, "one")
    room.bytes = 70  # the result of the running job is stored
    claims.finish(running, "results/a", "f" * 64)
    assert is_refused(1)
    submissions.cancel(third.id, "one")
    assert submissions.retry(first.id, "one") and is_refused(1)
    claim(claims, job=first.id)
    clock.time += 11
    upkeep.reap()
    assert is_refused(1), "a job that goes back to the queue keeps its room"
    submissions.erase(first.id, "one")
    assert submissions.submit(new(reserved=30)) and is_refused(1)


def test_room_that_another_process_reserved(submissions, database, room):
    room.bytes = 100
    other = SQLSubmissions(database, LIMITS, RETENTION, lambda: room.bytes)
    submissions.submit(new(reserved=10))
    waits, _ = other.submit(new(reserved=90))
    with pytest.raises(QuotaError):
        other.submit(new(reserved=1))
    submissions.cancel(waits.id, "one")
    assert other.submit(new(reserved=90)), "a count from before is not believed before a job is refused"


def test_the_same_request_needs_no_room_twice(submissions, room):
    room.bytes = 100
    job, _ = submissions.submit(new(reserved=100, idempotency_key="a"))
    assert submissions.submit(new(reserved=100, idempotency_key="a")) == (job, False)


def test_cancel_while_it_waits(submissions, claims):
    job, _ = submissions.submit(new())
    assert submissions.cancel(job.id, "another") is None
    assert submissions.cancel(job.id, "one").state is JobState.CANCELED
    assert claim(claims) is None
    assert submissions.cancel(job.id, "one").state is JobState.CANCELED


def test_cancel_while_it_runs(submissions, claims):
    made, _ = submissions.submit(new())
    job = claim(claims)
    assert submissions.cancel(made.id, "one").cancel_requested
    assert not claims.finish(job, "results/1", "1" * 64), "a canceled job has no result"
    assert claims.beat(job, 10, progress=0) is Beat.CANCEL
    assert claims.canceled(job)
    assert submissions.find(made.id).state is JobState.CANCELED


def test_cancel_of_a_job_whose_worker_is_lost(submissions, claims, upkeep, clock):
    made, _ = submissions.submit(new())
    claim(claims)
    submissions.cancel(made.id, "one")
    clock.time += 11
    upkeep.reap()
    assert submissions.find(made.id).state is JobState.CANCELED


def test_only_what_was_asked_to_be_canceled_is(submissions, claims):
    submissions.submit(new())
    assert not claims.canceled(claim(claims))


def test_retry(submissions, claims, upkeep, clock):
    submissions.submit(new(inputs={"content": "inputs/b"}))
    claims.fail(claim(claims), "broken", "it is broken")
    made, _ = submissions.submit(new(inputs={"content": "inputs/a"}))
    with pytest.raises(ConflictError, match="is queued"):
        submissions.retry(made.id, "one")
    claims.fail(claim(claims), "broken", "it is broken")
    assert submissions.retry(made.id, "another") is None
    again = submissions.retry(made.id, "one")
    assert (again.state, again.error_code, again.finished) == (JobState.QUEUED, None, None)
    clock.time += 10_000
    assert "inputs/a" not in upkeep.garbage(), "what is queued again keeps its pictures"
    assert "inputs/b" in upkeep.garbage(), "another job's are deleted all the same"
    for _ in range(3):
        job = claim(claims)
        assert claims.put_back(job, delay=0, counts=True) is (job.attempt < job.max_attempts)
    claims.fail(job, "broken", "it is broken")
    clock.time += 101
    with pytest.raises(ConflictError, match="have been deleted"):
        submissions.retry(made.id, "one")
    assert submissions.find(made.id).state is JobState.FAILED


def test_a_queue_that_nobody_takes_from_hides_no_other(submissions, database):
    for _ in range(20):
        submissions.submit(new("two", queue="gpu"))
    last, _ = submissions.submit(new())
    hints = SQLHints(database)
    told = hints.due(16, 10)
    assert [queue for _, queue in told].count("gpu") == 16 and (last.id, "cpu") in told
    assert hints.due(16, 10) == []


def test_erase(submissions, claims, upkeep, database):
    made, _ = submissions.submit(
        new(inputs={"content": "inputs/a"}, notify={Channel.EMAIL: "a@example.org"}, idempotency_key="mine")
    )
    job = claim(claims)
    claims.beat(job, 10, progress=0.1, preview="previews/a")
    claims.finish(job, "results/a", "1" * 64)
    upkeep.collected(upkeep.garbage())
    assert not submissions.erase(made.id, "another")
    assert submissions.erase(made.id, "one") and not submissions.erase(made.id, "one")
    assert submissions.find(made.id) is None and submissions.list("one") == []
    assert set(upkeep.garbage()) == {"inputs/a", "results/a", *attempt_keys(made, 1)}
    with database.read() as (connection, _):
        left = [str(row) for table in metadata.sorted_tables for row in connection.execute(select(table))]
    assert not any(word in line for line in left for word in ("example.org", "mine", "engine"))


def test_erase_of_a_running_job(submissions, claims, upkeep):
    made, _ = submissions.submit(new(inputs={"content": "inputs/a"}))
    job = claim(claims)
    assert submissions.erase(made.id, "one")
    assert claims.beat(job, 10, progress=0, preview="previews/late") is Beat.LOST
    assert not claims.finish(job, "results/late", "1" * 64)
    claims.unwanted(job, "results/late")
    assert set(upkeep.garbage()) == {"inputs/a", "results/late", *attempt_keys(made, 1)}


def attempt_keys(job, *attempts):
    return {
        f"{kind}/{job.id}/{n}.{suffix}" for n in attempts for kind, suffix in (("previews", "jpg"), ("results", "png"))
    }


def test_what_a_lost_worker_stored_is_deleted(submissions, claims, upkeep, clock):
    made, _ = submissions.submit(new())
    lost = claim(claims)
    clock.time += 11
    upkeep.reap()
    job = claim(claims)
    assert upkeep.garbage() == [] and {lost.own_preview_key, lost.own_result_key} == attempt_keys(made, 1)
    claims.finish(job, job.own_result_key, "1" * 64)
    assert set(upkeep.garbage()) == attempt_keys(made, 1) | {job.own_preview_key}
    upkeep.collected(upkeep.garbage())
    assert submissions.erase(made.id, "one") and set(upkeep.garbage()) == attempt_keys(made, 1, 2)


def test_unreferenced_blobs_are_what_no_job_needs(submissions, claims, upkeep):
    name = new_id()
    content = f"inputs/{name}/content"
    submissions.submit(new(id=name, inputs={"content": content}))
    job = claim(claims)
    claims.finish(job, job.own_result_key, "1" * 64)
    strange = {f"results/{name}/7.png", f"inputs/{new_id()}/content"}
    assert upkeep.orphaned([content, job.own_result_key, *strange]) == strange


def test_ids_sort_by_the_time_of_the_database(submissions, clock):
    first = submissions.new_id()
    clock.time += 1
    second = submissions.new_id()
    assert first < second < new_id(clock.time + 1)
    assert int(first[:13].replace("-", ""), 16) == 1_000_000_000, "milliseconds"


def test_what_a_job_refers_to_is_wanted(submissions, claims, upkeep):
    submissions.submit(new())
    job = claim(claims)
    claims.finish(job, "results/1", "1" * 64)
    claims.unwanted(job, "results/1", "results/0")
    assert set(upkeep.garbage()) == {"results/0", *attempt_keys(job, 1)}


def test_expiry(submissions, claims, upkeep, clock, database):
    made, _ = submissions.submit(new(inputs={"content": "inputs/a"}, notify={Channel.EMAIL: "a@example.org"}))
    claims.finish(claim(claims), "results/a", "1" * 64)
    waiting, _ = submissions.submit(new())
    upkeep.collected(upkeep.garbage())
    clock.time += 101
    assert upkeep.garbage() == ["inputs/a"] and upkeep.expire() == 0
    upkeep.collected(["inputs/a"])
    clock.time += 1000
    assert upkeep.expire() == 1 and set(upkeep.garbage()) >= {"results/a"}
    assert upkeep.expire() == 0, "only once"
    assert submissions.find(made.id).state is JobState.EXPIRED
    assert submissions.find(waiting.id).state is JobState.QUEUED
    clock.time += 10_000
    upkeep.expire()
    assert submissions.find(made.id) is None and submissions.find(waiting.id) is not None
    with database.read() as (connection, _):
        assert connection.execute(select(outbox)).first() is None


def test_one_leader(upkeep, database, clock):
    assert upkeep.lead("dispatcher", "a", 10) and not upkeep.lead("dispatcher", "b", 10)
    assert upkeep.lead("sweeper", "b", 10)
    clock.time += 8
    assert upkeep.lead("dispatcher", "a", 10)
    clock.time += 8
    assert not upkeep.lead("dispatcher", "b", 10)
    clock.time += 3
    assert upkeep.lead("dispatcher", "b", 10) and not upkeep.lead("dispatcher", "a", 10)
    with database.read() as (connection, _):
        assert len(connection.execute(select(leaders)).all()) == 2


def test_one_leader_of_many_at_once(upkeep):
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda number: upkeep.lead("dispatcher", str(number), 10), range(16))) == 1


def test_messages(submissions, claims, messages, clock):
    told = {Channel.EMAIL: "a@example.org", Channel.WEBHOOK: "https://example.org/hook"}
    made, _ = submissions.submit(new(notify=told))
    assert messages.next("sender", 10) is None
    claims.finish(claim(claims), "results/a", "1" * 64)
    first, second = messages.next("sender", 10), messages.next("sender", 10)
    assert {first.channel: first.destination, second.channel: second.destination} == told
    assert first.job.id == made.id and messages.next("sender", 10) is None
    assert messages.delivered(first, "sender") and not messages.delivered(first, "sender")
    assert not messages.delivered(second, "another")
    assert messages.refused(second, "sender", "451 later", again_in=60)
    assert messages.next("sender", 10) is None
    clock.time += 61
    again = messages.next("sender", 10)
    assert (again.id, again.attempt) == (second.id, 2)
    clock.time += 11  # this sender was killed
    last = messages.next("another", 10)
    assert (last.id, last.attempt) == (second.id, 3) and not messages.delivered(again, "sender")
    assert messages.refused(last, "another", "550 unknown", again_in=None)
    clock.time += 1000
    assert messages.next("another", 10) is None


def test_who_sends_a_message_that_is_gone_answers_for_no_other(submissions, claims, messages):
    told = {Channel.EMAIL: "a@example.org"}
    first, _ = submissions.submit(new(notify=told, inputs={}))
    claims.fail(claim(claims), "broken", "")
    gone = messages.next("sender", 10)
    submissions.erase(first.id, "one")
    second, _ = submissions.submit(new(notify=told))
    claims.fail(claim(claims), "broken", "")
    wanted = messages.next("sender", 10)
    assert (wanted.job.id, wanted.attempt) == (second.id, gone.attempt) and wanted.id != gone.id
    assert not messages.delivered(gone, "sender") and messages.delivered(wanted, "sender")


def test_a_failed_job_is_told_and_a_canceled_one_is_not(submissions, claims, messages):
    told = {Channel.EMAIL: "a@example.org"}
    submissions.submit(new(notify=told))
    claims.fail(claim(claims), "broken", "it is broken")
    canceled, _ = submissions.submit(new(notify=told))
    submissions.cancel(canceled.id, "one")
    assert messages.next("sender", 10).job.state is JobState.FAILED
    assert messages.next("sender", 10) is None


def test_lists(submissions):
    made = [submissions.submit(new())[0] for _ in range(5)]
    submissions.submit(new("two"))
    submissions.cancel(made[1].id, "one")
    assert {job.id for job in submissions.list("one")} == {job.id for job in made}
    assert [job.id for job in submissions.list("one", state=JobState.CANCELED)] == [made[1].id]
    page = submissions.list("one", most=2)
    rest = submissions.list("one", before=page[-1].id)
    assert sorted(job.id for job in (*page, *rest)) == sorted(job.id for job in made)


def test_a_transaction_that_fails_leaves_nothing(database, submissions):
    job, _ = submissions.submit(new())
    with pytest.raises(ZeroDivisionError), database.begin() as (connection, _):
        connection.execute(update(jobs).values(state="failed"))
        raise ZeroDivisionError
    assert submissions.find(job.id).state is JobState.QUEUED
    with database.read() as (connection, _):
        assert connection.execute(select(garbage)).first() is connection.execute(select(api_keys)).first() is None
