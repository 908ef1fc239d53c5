"""Random sequences of everything that can happen to the job table, against a model of a few lines.

``IMPASTO_MODEL_STEPS`` sets how many steps are tried in each store; ``.ci/run`` tries more.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from impasto.api import OPEN, JobState
from impasto.errors import ConflictError
from impasto.service.jobs import Beat, Channel, Limits, NewJob, Retention
from impasto.service.stores import database
from impasto.service.stores.claims import SQLClaims
from impasto.service.stores.database import Database, migrate
from impasto.service.stores.outbox import SQLOutbox
from impasto.service.stores.schema import jobs, outbox
from impasto.service.stores.submissions import SQLSubmissions
from impasto.service.stores.upkeep import SQLUpkeep

pytestmark = pytest.mark.slow

STEPS = int(os.environ.get("IMPASTO_MODEL_STEPS", "10000"))
PER_RUN = 100
LEASE, RETENTION = 10.0, Retention(inputs=200.0, results=400.0, rows=1e9)
LIMITS = Limits(backlog=10_000, tenant_backlog=1000, tenant_running=0)
STARTED = 1_000_000.0


@dataclass
class Modelled:
    """What should be true of one job."""

    tenant: str
    key: str | None
    state: JobState = JobState.QUEUED
    attempt: int = 0
    most: int = 3
    owner: str | None = None
    lease: float = 0.0
    not_before: float = 0.0
    cancel: bool = False
    result: str | None = None
    finished: float = 0.0
    erased: bool = False
    told: str | None = None
    """Of the message about it: 'waits', 'on its way' or 'arrived'."""

    def end(self, state: JobState, now: float) -> None:
        self.state, self.owner, self.finished = state, None, now
        if state in (JobState.SUCCEEDED, JobState.FAILED):
            self.told = "waits"

    def requeue(self, now: float) -> None:
        self.state, self.owner, self.not_before = JobState.QUEUED, None, now


class JobTable(RuleBasedStateMachine):
    """The job table, and the model of it."""

    url: str
    seen = Bundle("seen")
    """Jobs as workers got them: some are out of date."""
    sent = Bundle("sent")
    """Messages that somebody is sending, or was."""

    def __init__(self) -> None:
        super().__init__()
        self.now = STARTED
        self.database = Database(self.url, clock=lambda: self.now)
        migrate(self.database)
        self.submissions = SQLSubmissions(self.database, LIMITS, RETENTION, lambda: 0)
        self.claims = SQLClaims(self.database, LIMITS, RETENTION)
        self.upkeep = SQLUpkeep(self.database, RETENTION, LEASE)
        self.outbox = SQLOutbox(self.database)
        self.model: dict[str, Modelled] = {}
        self.accepted: dict[str, str] = {}

    def teardown(self) -> None:
        with self.database.begin() as (connection, _):
            for table in reversed(jobs.metadata.sorted_tables):
                connection.execute(table.delete())
        self.database.close()

    def some(self, number: int) -> str | None:
        names = list(self.model)
        return names[number % len(names)] if names else None

    def held(self, job) -> Modelled | None:
        known = self.model[job.id]
        right = known.state is JobState.RUNNING and (known.owner, known.attempt) == (job.owner, job.attempt)
        return known if right else None

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0, 250.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(tenant=st.sampled_from("ab"), key=st.sampled_from([None, None, "k1", "k2"]))
    def submit(self, tenant, key):
        new = NewJob(
            tenant=tenant,
            params={},
            inputs={"content": "inputs/x"} if key is None else {},
            request_sha256="0",
            idempotency_key=key,
            notify={Channel.EMAIL: "a@example.org"},
        )
        known = [name for name, job in self.model.items() if key and (job.tenant, job.key) == (tenant, key)]
        job, is_new = self.submissions.submit(new)
        assert is_new is not bool(known) and (not known or [job.id] == known)
        if is_new:
            self.model[job.id] = Modelled(tenant, key, not_before=self.now)

    @rule(target=seen, owner=st.sampled_from("pq"), one=st.none() | st.integers(0, 50))
    def claim(self, owner, one):
        wanted = None if one is None else self.some(one)
        able = {
            name
            for name, job in self.model.items()
            if job.state is JobState.QUEUED and job.not_before <= self.now and wanted in (None, name)
        }
        job = self.claims.claim(owner, ["cpu"], LEASE, job=wanted)
        assert (job is None) is not bool(able)
        if job is None:
            return None
        assert job.id in able
        known = self.model[job.id]
        known.state, known.owner, known.lease = JobState.RUNNING, owner, self.now + LEASE
        known.attempt += 1
        assert job.attempt == known.attempt
        return job

    @rule(job=seen)
    def beat(self, job):
        if job is None:
            return
        known = self.held(job)
        found = self.claims.beat(job, LEASE, progress=0.5)
        assert found is (Beat.LOST if known is None else Beat.CANCEL if known.cancel else Beat.GO_ON)
        if known:
            known.lease = self.now + LEASE

    @rule(job=seen)
    def finish(self, job):
        if job is None:
            return
        known = self.held(job)
        key = f"results/{job.id}/{job.attempt}"
        accepted = self.claims.finish(job, key, "f")
        assert accepted is (known is not None and not known.cancel)
        if accepted:
            assert job.id not in self.accepted, "a second result"
            self.accepted[job.id] = key
            known.end(JobState.SUCCEEDED, self.now)
            known.result = key

    @rule(job=seen)
    def fail(self, job):
        if job is None:
            return
        known = self.held(job)
        assert self.claims.fail(job, "broken", "") is (known is not None)
        if known:
            known.end(JobState.FAILED, self.now)

    @rule(well=st.booleans())
    def paint(self, well):
        (self.finish if well else self.fail)(self.claim("p", None))

    @rule(job=seen, counts=st.booleans(), delay=st.sampled_from([0.0, 5.0]))
    def put_back(self, job, counts, delay):
        if job is None:
            return
        known = self.held(job)
        able = known is not None and not (counts and known.attempt >= known.most)
        assert self.claims.put_back(job, delay=delay, counts=counts) is able
        if able:
            known.requeue(self.now + delay)
            known.most += not counts
            # A canceled job that is put back is canceled.
            if known.cancel:
                known.end(JobState.CANCELED, self.now)

    @rule(job=seen)
    def canceled(self, job):
        if job is None:
            return
        known = self.held(job)
        able = known is not None and known.cancel
        assert self.claims.canceled(job) is able
        if able:
            known.end(JobState.CANCELED, self.now)

    @rule(number=st.integers(0, 50))
    def cancel(self, number):
        if (name := self.some(number)) is None:
            return
        known = self.model[name]
        found = self.submissions.cancel(name, known.tenant)
        assert (found is None) is known.erased
        if known.state is JobState.QUEUED:
            known.end(JobState.CANCELED, self.now)
        elif known.state is JobState.RUNNING:
            known.cancel = True

    @rule(number=st.integers(0, 50))
    def retry(self, number):
        if (name := self.some(number)) is None:
            return
        known = self.model[name]
        kept = known.key is not None  # those have no pictures
        try:
            found = self.submissions.retry(name, known.tenant)
        except ConflictError:
            assert known.state not in (JobState.FAILED, JobState.CANCELED) or not kept
            return
        assert (found is None) is known.erased
        if found:
            assert known.state in (JobState.FAILED, JobState.CANCELED)
            known.requeue(self.now)
            known.most, known.cancel, known.told = known.attempt + 3, False, None

    @rule(number=st.integers(0, 50))
    def erase(self, number):
        if (name := self.some(number)) is None:
            return
        known = self.model[name]
        assert self.submissions.erase(name, known.tenant) is not known.erased
        if not known.erased:
            if known.state in OPEN:
                known.finished = self.now
            known.state, known.erased, known.key, known.result = JobState.EXPIRED, True, None, None
            known.told = None

    @rule()
    def reap(self):
        lost = [job for job in self.model.values() if job.state is JobState.RUNNING and job.lease < self.now]
        assert self.upkeep.reap() == len(lost)
        for job in lost:
            if job.cancel:
                job.end(JobState.CANCELED, self.now)
            elif job.attempt >= job.most:
                job.end(JobState.FAILED, self.now)
            else:
                job.requeue(self.now)

    @rule()
    def correct_times(self):
        assert self.upkeep.correct_times() == 0, "the clock was never ahead"

    @rule()
    def expire(self):
        over = [
            job
            for job in self.model.values()
            if job.state not in (*OPEN, JobState.EXPIRED) and job.finished + RETENTION.results <= self.now
        ]
        assert self.upkeep.expire() == len(over)
        for job in over:
            job.state, job.key, job.result = JobState.EXPIRED, None, None
            job.told = None

    @rule(target=sent)
    def send(self):
        delivery = self.outbox.next("sender", LEASE)
        if delivery is None:
            return None
        known = self.model[delivery.job.id]
        assert known.told in ("waits", "on its way")
        known.told = "on its way"
        return delivery

    @rule(delivery=sent, arrives=st.booleans())
    def answer(self, delivery, arrives):
        if delivery is None:
            return
        known = self.model[delivery.job.id]
        if arrives:
            done = self.outbox.delivered(delivery, "sender")
        else:
            done = self.outbox.refused(delivery, "sender", "no", again_in=1.0)
        assert known.told == "on its way" or not done
        if done:
            known.told = "arrived" if arrives else "waits"

    @invariant()
    def the_table_is_as_the_model(self):
        with self.database.read() as (connection, _):
            table = {row.id: row for row in connection.execute(select(jobs).where(jobs.c.erased.is_(None)))}
            messages = {row.job_id: row.state for row in connection.execute(select(outbox))}
        assert set(table) == {name for name, known in self.model.items() if not known.erased}
        for name, job in table.items():
            known = self.model[name]
            assert (job.state, job.attempt, job.owner, job.result_key) == (
                known.state,
                known.attempt,
                known.owner,
                known.result,
            )
            assert (job.finished is None) is (known.state in OPEN)
        states = {"pending": "waits", "sending": "on its way", "delivered": "arrived"}
        told = {name: known.told for name, known in self.model.items() if known.told}
        assert {name: states[state] for name, state in messages.items()} == told


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_the_job_table_does_what_the_model_does(store, request, monkeypatch):
    # A machine that is stopped for a while, with this test in a transaction, is no fault.
    monkeypatch.setattr(database, "_ABANDONED_AFTER", 0)
    url = "sqlite://" if store == "sqlite" else request.getfixturevalue("make_postgresql")()
    run_state_machine_as_test(
        type("JobTable", (JobTable,), {"url": url}),
        settings=settings(
            max_examples=max(1, STEPS // PER_RUN),
            stateful_step_count=PER_RUN,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # shrinking takes minutes; add Phase.shrink when a run fails
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
