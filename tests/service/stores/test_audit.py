"""``impasto doctor --audit-jobs``: every inconsistency that is made by hand is found."""

from __future__ import annotations

import hashlib
from contextlib import closing

import pytest
from sqlalchemy import text

from impasto.cli.main import run
from impasto.service import wiring
from impasto.service.jobs import NewJob
from impasto.service.settings import Settings
from impasto.service.stores.audit import audit


@pytest.fixture
def parts(tmp_path, database_url):
    with closing(wiring.build(Settings(data_dir=tmp_path / "data", database=database_url))) as built:
        yield built


@pytest.fixture
def job(parts):
    """One job that has succeeded, one that failed, one that runs and one that waits."""
    made = []
    for _ in range(4):
        new = NewJob(tenant="one", params={}, request_sha256="0" * 64)
        parts.submissions.submit(new)
        made.append(new.id)
    first, second, _ = (parts.claims.claim("worker", ["cpu"], 100) for _ in range(3))
    parts.blobs.put("results/1", b"x")
    parts.claims.finish(first, "results/1", hashlib.sha256(b"x").hexdigest())
    parts.claims.fail(second, "bad_image", "broken")
    return first.id


def test_nothing_is_wrong(parts, job):
    assert list(audit(parts.database, parts.blobs)) == []


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE jobs SET state = 'lost' WHERE state = 'queued'", "a job in no known state"),
        ("UPDATE jobs SET owner = NULL WHERE state = 'running'", "a running job that nobody holds"),
        ("UPDATE jobs SET owner = 'a' WHERE state = 'queued'", "a job that is held and not running"),
        ("UPDATE jobs SET result_sha256 = NULL WHERE state = 'succeeded'", "a succeeded job without a result"),
        ("UPDATE jobs SET result_key = 'r' WHERE state = 'failed'", "a result of a job that has not succeeded"),
        ("INSERT INTO garbage VALUES ('results/1', 1)", "a result that will be deleted"),
        (
            "INSERT INTO garbage SELECT 'inputs/' || id || '/content', 1 FROM jobs WHERE state = 'queued'",
            "pictures of an open job that will be deleted",
        ),
        ("UPDATE jobs SET result_key = 'results/1'", "two jobs with one result"),
        ("UPDATE jobs SET error_code = NULL", "a failed job that does not say why"),
        ("UPDATE jobs SET finished = NULL", "a job that has ended, at no time"),
        ("UPDATE jobs SET finished = 1", "an open job that has ended"),
        ("UPDATE jobs SET cancel_requested = (1 = 1)", "a waiting job that nobody may take"),
        ("UPDATE jobs SET attempt = 9", "more attempts than allowed"),
        (
            "INSERT INTO outbox (job_id, channel, destination, state, attempt, not_before) "
            "SELECT id, 'email', 'a', 'pending', 0, 1 FROM jobs WHERE state = 'queued'",
            "a message about an open job",
        ),
        ("UPDATE jobs SET state = 'expired' WHERE state = 'succeeded'", "something left of a job that has expired"),
        ("UPDATE jobs SET result_key = 'results/2' WHERE state = 'succeeded'", "a picture that is gone (results)"),
    ],
)
def test_what_is_wrong_is_found(parts, job, change, broken):
    with parts.database.begin() as (connection, _):
        connection.execute(text(change))
    assert broken in {what for what, _ in audit(parts.database, parts.blobs)}


@pytest.mark.parametrize("damaged", [b"", b"y", b"xx"])
def test_a_damaged_result_is_found(parts, job, damaged):
    parts.blobs.put("results/1", damaged)
    assert list(audit(parts.database, parts.blobs)) == [("a result that is damaged", job)]


def test_the_command(parts, job, capsys):
    where = ["--data-dir", str(parts.settings.data_dir), "--database", parts.settings.database_url]
    assert run(["doctor", "--audit-jobs", *where]) == 0
    assert "no inconsistencies" in capsys.readouterr().out
    with parts.database.begin() as (connection, _):
        connection.execute(text("UPDATE jobs SET finished = NULL"))
    assert run(["doctor", "--audit-jobs", *where]) == 1
    said = capsys.readouterr()
    assert f"{job}: a job that has ended, at no time" in said.out and "inconsistencies found" in said.err


def test_without_a_service(capsys):
    assert run(["doctor"]) == 0 and "openvino" in capsys.readouterr().out
