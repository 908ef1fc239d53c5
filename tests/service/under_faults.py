"""What the tests under faults share: senders of jobs, a supervisor, a mail server that fails, and the reckoning."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING

import httpx

from impasto.api import TERMINAL, JobState
from impasto.errors import StorageError
from impasto.service.retry import MESSAGE_LEASE
from impasto.service.stores.audit import audit
from service.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from impasto.service import wiring
    from impasto.service.jobs import Job

ENDS_WITHIN = 600
SECONDS_A_JOB = 0.5
MUST_BE_ZERO = ("lost", "two results", "wrong results", "untold", "broken promises")
NO_LIMITS = dict.fromkeys(
    ("IMPASTO_BACKLOG", "IMPASTO_TENANT_BACKLOG", "IMPASTO_PER_MINUTE", "IMPASTO_MAILS_PER_HOUR"), "100000"
)


class Postman:
    """An SMTP server that refuses or drops a third of what it gets; keeps the ids of what it took."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.taken: Counter[str] = Counter()

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - the library's name
        fate = self.random.random()
        if fate < 0.2:
            return "451 later"
        line = next(line for line in envelope.content.splitlines() if line.lower().startswith(b"message-id:"))
        self.taken[line.split(b":", 1)[1].strip().decode()] += 1
        if fate < 0.3:
            server.transport.abort()  # it was taken, and the sender cannot know
        return "250 OK"


@dataclass(frozen=True)
class Program:
    """A process that a supervisor keeps running."""

    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass
class Supervisor:
    """The processes of one service, which are started again when they die, as an operating system would."""

    programs: Mapping[str, Program]
    log: Path
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    stop: Event = field(default_factory=Event)

    def run(self) -> None:
        while not self.stop.wait(0.1):
            with self.lock:
                for name, program in self.programs.items():
                    if name not in self.processes or self.processes[name].poll() is not None:
                        with self.log.open("ab") as log:
                            self.processes[name] = subprocess.Popen(
                                program.command, env=program.environment, stderr=log, stdout=log
                            )

    def end(self) -> None:
        self.stop.set()
        with self.lock:
            for process in self.processes.values():
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.terminate()
            for process in self.processes.values():
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@dataclass
class Clients:
    """Those who send jobs, and send again what they got no answer to, to any of the addresses."""

    urls: Sequence[str]
    picture: bytes
    jobs: int
    fields: Mapping[str, str]
    accepted: dict[str, str] = field(default_factory=dict)
    """Job ids by idempotency key."""
    sent_twice: int = 0
    tried_again: int = 0
    """Failures after which a job was tried again."""
    sent: int = 0
    lock: Lock = field(default_factory=Lock)

    def send(self, seed: int, pace: float) -> None:
        randoms = random.Random(seed)
        while True:
            with self.lock:
                if self.sent >= self.jobs:
                    return
                self.sent += 1
                key = f"job {self.sent}"
                repeats = 2 if randoms.random() < 0.1 else 1
                self.sent_twice += repeats - 1
            for _ in range(repeats):
                found = self.submit(key, randoms)
                assert self.accepted.setdefault(key, found) == found, "one request became two jobs"
            time.sleep(pace * randoms.random() * 2)

    def submit(self, key: str, randoms: random.Random) -> str:
        while True:
            try:
                answer = httpx.post(
                    f"{randoms.choice(self.urls)}/v1/jobs",
                    files={"content": self.picture},
                    data={"engine": "fast", "style": "great-wave", **self.fields},
                    headers={"Idempotency-Key": key},
                    timeout=20,
                )
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code in (200, 202):
                return answer.json()["id"]
            assert answer.status_code == 503, answer.text
            time.sleep(0.2)


def wait_for_the_end(parts: wiring.Parts, clients: Clients) -> Counter[str]:
    """Wait until all accepted jobs have ended; those that lost three workers are tried again, as a person would."""
    limit = ENDS_WITHIN + SECONDS_A_JOB * clients.jobs
    deadline = time.monotonic() + limit
    while True:
        jobs = [parts.submissions.find(job) for job in clients.accepted.values()]
        assert all(jobs), "a job that was accepted is not there"
        for job in jobs:
            if job.state is JobState.FAILED:
                assert job.error_code in ("worker_lost", "crashed", "timeout", "out_of_memory"), job
                parts.submissions.retry(job.id, job.tenant)
                clients.tried_again += 1
        states = Counter(str(job.state) for job in jobs)
        if all(job.state in TERMINAL - {JobState.FAILED} for job in jobs):
            return states
        assert time.monotonic() < deadline, f"after {limit} s: {states}"
        with parts.database.begin() as (connection, _):  # what waits for its next attempt need not wait here
            connection.exec_driver_sql("UPDATE jobs SET not_before = 0 WHERE state = 'queued'")
        time.sleep(0.5)


def reckon(parts: wiring.Parts, clients: Clients, was_told: Callable[[Job], bool]) -> dict[str, int]:
    """Wait until everybody has been told, and nothing is left to be deleted; then count what should not be."""
    ended = [parts.submissions.find(job) for job in clients.accepted.values()]
    # Somebody may have died while it sent a message.
    deadline = time.monotonic() + MESSAGE_LEASE + 60 + SECONDS_A_JOB * len(ended)
    while time.monotonic() < deadline and not all(map(was_told, ended)):
        with suppress(StorageError), parts.database.begin() as (connection, _):
            connection.exec_driver_sql("UPDATE outbox SET not_before = 0 WHERE state = 'pending'")
        time.sleep(1)
    wait_for(lambda: not parts.upkeep.garbage(), what="the end of what nobody needs")
    return _count(parts, clients, was_told)


def _count(parts: wiring.Parts, clients: Clients, was_told: Callable[[Job], bool]) -> dict[str, int]:
    jobs = [parts.submissions.find(job) for job in clients.accepted.values()]
    known = [job for job in jobs if job is not None]
    results = Counter(key.split("/")[1] for key, _ in parts.blobs.entries() if key.startswith("results/"))
    done = [job for job in known if job.state is JobState.SUCCEEDED]
    return {
        "lost": len(jobs) - len(known),
        "two results": sum(results[job.id] > 1 for job in known),
        "wrong results": sum(
            hashlib.sha256(parts.blobs.get(job.result_key)).hexdigest() != job.result_sha256 for job in done
        ),
        "untold": sum(not was_told(job) for job in known),
        "broken promises": len(list(audit(parts.database, parts.blobs))),
        "failed and tried again": clients.tried_again,
        "attempts beyond the first": sum(job.attempt - 1 for job in known),
    }
