"""What a database cannot store, what it says, and what happens when it is gone or its clock was wrong."""

from __future__ import annotations

import time
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import event, text

from impasto.errors import StorageError
from impasto.service import wiring
from impasto.service.jobs import Beat, Channel, NewJob
from impasto.service.retry import (
    LONGEST_JOB_DELAYS,
    LONGEST_MESSAGE_DELAYS,
    MESSAGE_LEASE,
    job_delay,
    message_delay,
)
from impasto.service.settings import Settings
from impasto.service.stores import database as databases
from impasto.service.stores.claims import SQLClaims, SQLHints
from impasto.service.stores.database import Database, DefectError, migrate
from impasto.service.stores.outbox import SQLOutbox
from impasto.service.stores.upkeep import SQLUpkeep
from service.stores.test_stores import LIMITS, RETENTION

DAY = 24 * 3600.0
SECRET = "whoever-reads-this-in-a-log"


@pytest.fixture
def parts(tmp_path, database_url):
    with closing(wiring.build(Settings(data_dir=tmp_path / "data", database=database_url))) as built:
        yield built


def new_job(**given):
    return NewJob(**{"tenant": "one", "params": {}, "request_sha256": "0" * 64, **given})


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "\0"])
def test_texts_that_postgresql_cannot_store(parts, odd):
    assert parts.submissions.find(odd) is None and parts.submissions.find("a", odd) is None
    assert parts.submissions.list(odd, before=odd) == []
    assert not parts.submissions.erase(odd, odd) and parts.submissions.cancel(odd, odd) is None
    assert parts.keys.tenant(f"imp_0123456789ab_{odd}") is None
    notify = {Channel.WEBHOOK: f"https://localhost/{odd}"}
    first, is_new = parts.submissions.submit(new_job(idempotency_key=odd, notify=notify, params={"a": odd}))
    again, is_new_again = parts.submissions.submit(new_job(idempotency_key=odd, notify=notify, params={"a": odd}))
    assert (first.id, is_new, is_new_again) == (again.id, True, False)
    job = parts.claims.claim("worker", ["cpu"], 10)
    assert parts.claims.fail(job, "bad_image", f"it says {odd}")
    delivery = parts.outbox.next("courier", 10)
    assert parts.outbox.refused(delivery, "courier", f"it says {odd}", again_in=None)
    assert parts.outbox.next("courier", 10) is None, "it is not tried for ever"


def test_no_error_of_the_database_repeats_values(parts):
    statements = [
        "SELECT CAST(:value AS integer) + nothing FROM jobs",
        "INSERT INTO api_keys (prefix, sha256, tenant, created) VALUES (:value, :value, :value, NULL)",
        "SELECT nothing FROM nowhere WHERE a = :value",
    ]
    for statement in statements:
        with pytest.raises(Exception) as raised, parts.database.begin() as (connection, _):
            connection.execute(text(statement), {"value": SECRET})
        assert isinstance(raised.value, (StorageError, DefectError)) or "Duplicate" in type(raised.value).__name__
        assert SECRET not in str(raised.value), raised.value


@pytest.mark.parametrize("ahead", [5 * 60, DAY / 24, DAY, 400 * DAY])
def test_a_clock_that_was_ahead_and_is_set_right(database, clock, ahead):
    """Whatever was due then, is due now."""
    submissions = wiring.SQLSubmissions(database, LIMITS, RETENTION, lambda: 0)
    claims, upkeep = SQLClaims(database, LIMITS, RETENTION), SQLUpkeep(database, RETENTION, 30.0)
    outbox, hints = SQLOutbox(database), SQLHints(database)

    def submit(number):
        return submissions.submit(new_job(tenant=str(number), notify={Channel.EMAIL: "a@example.org"}))[0].id

    jobs = [submit(number) for number in range(5)]
    clock.time += ahead
    accepted = submit(5)
    lost, put_back, *ended = (claims.claim("worker", ["cpu"], 30, job=job) for job in jobs)
    for job in ended:
        claims.fail(job, "bad_image", "broken")
    sending, refused = (outbox.next("courier", MESSAGE_LEASE) for _ in range(2))
    outbox.refused(refused, "courier", "later", again_in=message_delay(refused.attempt))
    claims.put_back(put_back, delay=job_delay(put_back.attempt), counts=False)
    assert len(hints.due(16, 10)) == 1 and upkeep.lead("upkeep", "worker", 3)
    assert upkeep.correct_times() == 0, "nothing is too far ahead yet"
    clock.time -= ahead
    assert upkeep.lead("upkeep", "another", 3) and upkeep.led("upkeep")
    assert upkeep.correct_times() > 0 and upkeep.correct_times() == 0
    assert {job for job, _ in hints.due(16, 10)} == {put_back.id, accepted}
    assert {claims.claim("worker", ["cpu"], 30).id for _ in range(2)} == {put_back.id, accepted}
    told = [outbox.next("courier", MESSAGE_LEASE) for _ in range(2)]
    assert {message.job.id for message in (*told, sending)} == {job.id for job in ended}
    assert upkeep.reap() == 0 and outbox.next("courier", MESSAGE_LEASE) is None, "who has them may be alive"
    assert claims.beat(lost, 30, progress=0.5) is Beat.GO_ON
    clock.time += 31
    assert upkeep.reap() == 3 and claims.claim("worker", ["cpu"], 30, job=lost.id) is not None
    clock.time += MESSAGE_LEASE
    assert all(outbox.next("courier", MESSAGE_LEASE) for _ in ended)


def test_times_that_are_right_are_not_changed(database, clock):
    submissions = wiring.SQLSubmissions(database, LIMITS, RETENTION, lambda: 0)
    claims, upkeep = SQLClaims(database, LIMITS, RETENTION), SQLUpkeep(database, RETENTION, 30.0)
    outbox = SQLOutbox(database)
    submissions.submit(new_job(notify={Channel.EMAIL: "a@example.org"}))
    for attempt, longest in enumerate(LONGEST_JOB_DELAYS[1:], 1):
        job = claims.claim("worker", ["cpu"], 30)
        assert job.attempt == attempt and upkeep.correct_times() == 0
        claims.put_back(job, delay=longest, counts=False)
        assert upkeep.correct_times() == 0 and longest >= job_delay(attempt)
        clock.time += longest
    claims.fail(claims.claim("worker", ["cpu"], 30), "bad_image", "broken")
    for attempt, longest in enumerate(LONGEST_MESSAGE_DELAYS[1:], 1):
        message = outbox.next("courier", MESSAGE_LEASE)
        assert message.attempt == attempt and upkeep.correct_times() == 0
        outbox.refused(message, "courier", "later", again_in=longest)
        assert upkeep.correct_times() == 0 and longest == message_delay(attempt)
        clock.time += longest


@pytest.mark.parametrize("ahead", [60, DAY / 24, DAY, 400 * DAY])
def test_jobs_accepted_while_the_clock_was_ahead_keep_their_place(database, clock, ahead):
    submissions = wiring.SQLSubmissions(database, LIMITS, RETENTION, lambda: 0)
    claims = SQLClaims(database, LIMITS, RETENTION)
    upkeep = SQLUpkeep(database, RETENTION, 30.0)

    def submit(**fields):
        clock.time += 1
        return submissions.submit(new_job(**fields))[0].id

    clock.time += ahead
    unimportant, first, second, urgent = submit(priority=2), submit(), submit(), submit(priority=-2)
    clock.time -= ahead
    third = submit()
    assert upkeep.correct_times() == 4 and upkeep.correct_times() == 0
    taken = [claims.claim("worker", ["cpu"], 30).id for _ in range(5)]
    assert taken == [urgent, first, second, third, unimportant]


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 100])
def test_a_file_that_is_gone_or_no_database(tmp_path, content):
    path = tmp_path / "jobs.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        migrate(database)
        for each in tmp_path.glob("jobs.db*"):
            each.unlink()
        if content is not None:
            path.write_bytes(content)
        for use in (database.begin, database.read):
            with pytest.raises(StorageError, match="job table"), use() as (connection, _):
                connection.execute(text("SELECT id FROM jobs"))


def test_no_database_from_the_start(tmp_path):
    (tmp_path / "jobs.db").write_bytes(b"no database at all" * 100)
    with (
        pytest.raises(StorageError, match="not a database"),
        closing(Database(f"sqlite:///{tmp_path / 'jobs.db'}")) as made,
    ):
        migrate(made)


def test_messages_to_slow_recipients_delay_no_other(parts):
    for tenant, channel in (("one", "webhook"),) * 5 + (("one", "email"), ("two", "webhook")):
        parts.submissions.submit(new_job(tenant=tenant, notify={Channel(channel): "somewhere"}))
        parts.claims.fail(parts.claims.claim("worker", ["cpu"], 10), "bad_image", "broken")
    taken = [parts.outbox.next("courier", 100) for _ in range(5)]
    found = [(each.job.tenant, each.channel) for each in taken if each]
    assert sorted(found) == [("one", "email"), ("one", "webhook"), ("one", "webhook"), ("two", "webhook")]
    parts.outbox.delivered(next(each for each in taken if each.channel == "webhook"), "courier")
    assert parts.outbox.next("courier", 100).channel == "webhook"


@pytest.mark.slow
def test_locks_of_a_machine_that_is_lost_in_a_transaction_end(make_postgresql, monkeypatch):
    """PostgreSQL would keep them for two hours, and with them the job from whoever requeues it."""
    monkeypatch.setattr(databases, "_ABANDONED_AFTER", 0.5)
    with closing(Database(make_postgresql())) as lost, closing(Database(lost.engine.url.render_as_string())) as other:
        migrate(lost)
        change = text("UPDATE leaders SET until = until + 1 RETURNING until")
        with other.begin() as (connection, _):
            connection.execute(text("INSERT INTO leaders VALUES ('upkeep', 'one', 0)"))
        changed = None
        with pytest.raises(StorageError), lost.begin() as (connection, _):
            connection.execute(change)
            with other.begin() as (waits, _):
                waits.execute(text("SET LOCAL lock_timeout = '20s'"))
                changed = waits.execute(change).scalar()
        assert changed == 1.0, "the lost transaction has changed nothing, and holds up nothing"


@pytest.mark.slow
def test_a_server_that_goes_silent_counts_as_lost(make_postgresql):
    with closing(Database(make_postgresql() + "?tcp_user_timeout=5000")) as database, database.begin() as (used, _):
        found = used.connection.driver_connection.info.get_parameters()
    assert (found["tcp_user_timeout"], found["keepalives_idle"], found["connect_timeout"]) == ("5000", "10", "10")


@pytest.mark.slow
def test_a_machine_whose_clock_is_wrong_knows_the_time(make_postgresql, monkeypatch):
    right = time.time()
    with monkeypatch.context() as wrong, closing(Database(make_postgresql())) as database:
        wrong.setattr(time, "time", lambda: right - 3600.0)
        with database.read() as (_, now):
            assert now == pytest.approx(right, abs=600.0)
        assert database.time() == pytest.approx(right, abs=600.0)


@pytest.mark.slow
def test_a_connection_that_breaks_while_it_is_made_is_no_defect(make_postgresql):
    """Psycopg says this of one that breaks in the statement by which SQLAlchemy tests it."""

    def breaks(*_):
        raise psycopg.ProgrammingError("can't change 'autocommit' now: connection in transaction status UNKNOWN")

    with closing(Database(make_postgresql())) as database:
        event.listen(database.engine, "connect", breaks, insert=True)
        with pytest.raises(StorageError, match="the job table cannot be reached"), database.begin():
            pass
