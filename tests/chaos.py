"""Jobs under faults: what was accepted must end, once, whatever happens to who paints it.

    python -m tests.chaos --jobs 300 --faults 100 [--on sqlite|postgresql|celery] [--side 384] [--seed 0]

Real servers, real workers, the real engine 'fast' on small pictures. Faults come one after the other, of every kind
in turn; a supervisor starts again what has died, as an operating system would.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread

import httpx
import numpy as np
import psutil
from aiosmtpd.controller import Controller

sys.path.insert(0, str(Path(__file__).parent))

from impasto.api import TERMINAL, JobState
from impasto.errors import StorageError
from impasto.images import encode_picture
from impasto.service import wiring
from impasto.service.retry import MESSAGE_LEASE
from impasto.service.settings import Settings
from impasto.service.stores.audit import audit
from impasto.types import Picture
from service.servers import RedisServer, free_port, postgresql, redis_server, wait_for

LEASE = 2.0
WORKERS = 3
SENDERS = 4
_ENDS_WITHIN = 600
_SECONDS_A_JOB = 0.5


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


@dataclass
class Service:
    """The processes of one service, which are started again when they die."""

    settings: Settings
    port: int
    environment: dict[str, str]
    log: Path
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    stop: Event = field(default_factory=Event)

    def start(self, name: str) -> None:
        flags = ["--data-dir", str(self.settings.data_dir), "--database", self.settings.database_url]
        what = ["serve", "--port", str(self.port), "--workers", "0"] if name == "api" else ["worker"]
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "impasto", *what, *flags]
            self.processes[name] = subprocess.Popen(command, env=self.environment, stderr=log, stdout=log)

    def supervise(self) -> None:
        names = ["api", *(f"worker {number}" for number in range(WORKERS))]
        while not self.stop.wait(0.1):
            with self.lock:
                for name in names:
                    if name not in self.processes or self.processes[name].poll() is not None:
                        self.start(name)

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
    """Those who send jobs, and send again what they got no answer to."""

    url: str
    picture: bytes
    jobs: int
    accepted: dict[str, str] = field(default_factory=dict)
    """Job ids by idempotency key."""
    sent_twice: int = 0
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
            for _ in range(repeats):
                self.sent_twice += repeats - 1
                found = self.submit(key)
                assert self.accepted.setdefault(key, found) == found, "one request became two jobs"
            time.sleep(pace * randoms.random() * 2)

    def submit(self, key: str) -> str:
        while True:
            try:
                answer = httpx.post(
                    f"{self.url}/v1/jobs",
                    files={"content": self.picture},
                    data={"engine": "fast", "style": "great-wave", "email": "somebody@example.org"},
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


class Faults:
    """What goes wrong."""

    def __init__(
        self,
        service: Service,
        parts: wiring.Parts,
        seed: int,
        postgres: psutil.Process | None,
        redis: RedisServer | None,
    ) -> None:
        self.service, self.parts, self.postgres, self.redis = service, parts, postgres, redis
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.stopped: list[psutil.Process] = []
        self.kinds = [
            self.worker_killed,
            self.child_killed,
            self.worker_stopped_beyond_its_lease,
            self.worker_asked_to_stop,
            self.api_killed,
            self.database_busy,
            self.child_stopped,
            self.everything_killed,
            self.memory_of_child_exhausted,
        ]
        if redis is not None:
            self.kinds += [self.redis_flushed, self.redis_killed]

    def make(self, count: int, pace: float) -> None:
        for kind in itertools.cycle(self.kinds):
            if self.done.total() >= count:  # who is to die may be dead already
                return
            with suppress(psutil.NoSuchProcess, ProcessLookupError, StorageError):
                kind()
                self.done[kind.__name__.replace("_", " ")] += 1
            time.sleep(pace * self.random.random() * 2)

    def worker(self) -> psutil.Process:
        with self.service.lock:
            name = f"worker {self.random.randrange(WORKERS)}"
            return psutil.Process(self.service.processes[name].pid)

    def child(self) -> psutil.Process:
        for _ in range(50):
            for child in self.worker().children():
                if "spawn_main" in " ".join(child.cmdline()):
                    return child
            time.sleep(0.05)
        raise psutil.NoSuchProcess(0)

    def worker_killed(self) -> None:
        self.worker().kill()

    def child_killed(self) -> None:
        self.child().kill()

    def worker_stopped_beyond_its_lease(self) -> None:
        worker = self.worker()
        worker.suspend()
        time.sleep(1.5 * LEASE)
        worker.resume()

    def worker_asked_to_stop(self) -> None:
        self.worker().terminate()

    def redis_flushed(self) -> None:
        self.redis.flush()

    def redis_killed(self) -> None:
        self.redis.kill()
        time.sleep(1.0)
        self.redis.start()

    def api_killed(self) -> None:
        with self.service.lock:
            self.service.processes["api"].kill()

    def database_busy(self) -> None:
        if self.postgres is not None:  # everybody is thrown out
            for backend in self.postgres.children():
                if "impasto" in " ".join(backend.cmdline()):
                    backend.terminate()
            return
        with self.parts.database.begin():
            time.sleep(1.0)

    def child_stopped(self) -> None:
        child = self.child()
        self.stopped.append(child)
        child.suspend()

    def end(self) -> None:
        """End who was stopped before it could ask to end with its parent."""
        for child in self.stopped:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def everything_killed(self) -> None:
        with self.service.lock:
            for process in self.service.processes.values():
                process.kill()

    def memory_of_child_exhausted(self) -> None:
        child = self.child()
        _, hard = child.rlimit(psutil.RLIMIT_AS)
        child.rlimit(psutil.RLIMIT_AS, (child.memory_info().vms, hard))


def wait_for_the_end(parts: wiring.Parts, clients: Clients) -> Counter[str]:
    """Wait until all accepted jobs have ended; those that lost three workers are tried again, as a person would."""
    limit = _ENDS_WITHIN + _SECONDS_A_JOB * clients.jobs
    deadline = time.monotonic() + limit
    while True:
        jobs = [parts.submissions.find(job) for job in clients.accepted.values()]
        assert all(jobs), "a job that was accepted is not there"
        for job in jobs:
            if job.state is JobState.FAILED:
                assert job.error_code in ("worker_lost", "crashed", "timeout", "out_of_memory"), job
                parts.submissions.retry(job.id, job.tenant)
        states = Counter(str(job.state) for job in jobs)
        if all(job.state in TERMINAL - {JobState.FAILED} for job in jobs):
            return states
        assert time.monotonic() < deadline, f"after {limit} s: {states}"
        with parts.database.begin() as (connection, _):  # what waits for its next attempt need not wait here
            connection.exec_driver_sql("UPDATE jobs SET not_before = 0 WHERE state = 'queued'")
        time.sleep(0.5)


def check(parts: wiring.Parts, clients: Clients, postman: Postman) -> dict[str, int]:
    """Count what should not be."""
    lost = two = wrong = 0
    results = Counter(key.split("/")[1] for key, _ in parts.blobs.entries() if key.startswith("results/"))
    for job_id in clients.accepted.values():
        job = parts.submissions.find(job_id)
        lost += job is None
        if job is not None and job.state is JobState.SUCCEEDED:
            wrong += hashlib.sha256(parts.blobs.get(job.result_key)).hexdigest() != job.result_sha256
        two += results[job_id] > 1
    ends = [(job, parts.submissions.find(job).attempt) for job in clients.accepted.values()]
    untold = sum(f"<{job}.{attempt}.email@127.0.0.1>" not in postman.taken for job, attempt in ends)
    broken = len(list(audit(parts.database, parts.blobs)))
    return {"lost": lost, "two results": two, "wrong results": wrong, "untold": untold, "broken promises": broken}


def run(jobs: int, faults: int, on: str, seed: int, folder: Path, side: int = 384) -> dict[str, object]:
    """Let ``faults`` happen while ``jobs`` of ``side`` pixels are painted; return what came of it."""
    with ExitStack() as stack:
        url, postgres = None, None
        if on == "postgresql":
            (folder / "postgresql").mkdir()
            url = stack.enter_context(postgresql(folder / "postgresql"))()
            server = int((folder / "postgresql" / "data" / "postmaster.pid").read_text().splitlines()[0])
            postgres = psutil.Process(server)
        postman = Postman(seed)
        controller = Controller(postman, hostname="127.0.0.1", port=free_port())
        controller.start()
        stack.callback(controller.stop)
        settings = Settings(
            data_dir=folder / "data", database=url, lease=LEASE, tenant_backlog=100_000, backlog=100_000
        )
        parts = stack.enter_context(closing(wiring.build(settings)))
        environment = {
            **os.environ,
            "IMPASTO_LEASE": str(LEASE),
            "IMPASTO_JOB_SECONDS": "15",
            "IMPASTO_SMTP_HOST": "127.0.0.1",
            "IMPASTO_SMTP_PORT": str(controller.port),
            "IMPASTO_SMTP_STARTTLS": "false",
            "IMPASTO_BACKLOG": "100000",
            "IMPASTO_PER_MINUTE": "100000",
            "IMPASTO_MAILS_PER_HOUR": "100000",
            "IMPASTO_TENANT_BACKLOG": "100000",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        redis = None
        if on == "celery":
            redis = stack.enter_context(redis_server(folder))
            environment |= {"IMPASTO_BROKER": redis.url, "IMPASTO_SLOTS": str(WORKERS)}
        service = Service(settings, free_port(), environment, folder / "log")
        supervisor = Thread(target=service.supervise, daemon=True)
        supervisor.start()
        stack.callback(service.end)
        pixels = np.random.default_rng(seed).random((side * 2 // 3, side, 3), dtype=np.float32)
        picture = encode_picture(Picture(pixels), "png")
        clients = Clients(f"http://127.0.0.1:{service.port}", picture, jobs)
        chaos = Faults(service, parts, seed, postgres, redis)
        stack.callback(chaos.end)
        started = time.monotonic()
        pace = 0.4 * faults / jobs  # so that some always wait
        senders = [Thread(target=clients.send, args=(seed + number, pace), daemon=True) for number in range(SENDERS)]
        for thread in senders:
            thread.start()
        wait_for(lambda: clients.accepted, what="the first job")
        chaos.make(faults, 0.3)
        for thread in senders:
            thread.join(_ENDS_WITHIN + _SECONDS_A_JOB * jobs)
        assert len(clients.accepted) == jobs, "somebody could not send"
        states = wait_for_the_end(parts, clients)
        told = time.monotonic() + MESSAGE_LEASE + 60  # somebody may have died while it sent one
        while time.monotonic() < told and (found := check(parts, clients, postman))["untold"]:
            with suppress(StorageError), parts.database.begin() as (connection, _):
                connection.exec_driver_sql("UPDATE outbox SET not_before = 0 WHERE state = 'pending'")
            time.sleep(1)
        wait_for(lambda: not parts.upkeep.garbage(), what="the end of what nobody needs")
        found = check(parts, clients, postman)
        attempts = [parts.submissions.find(job).attempt for job in clients.accepted.values()]
        return {
            "on": on,
            "jobs": len(clients.accepted),
            "states": dict(states),
            "sent twice": clients.sent_twice,
            "faults": sum(chaos.done.values()),
            "kinds": dict(chaos.done),
            "attempts beyond the first": sum(attempts) - len(attempts),
            "messages that came twice": sum(count > 1 for count in postman.taken.values()),
            "seconds": round(time.monotonic() - started),
            **found,
        }


def main() -> int:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--on", choices=["sqlite", "postgresql", "celery"], default="sqlite")
    parser.add_argument("--side", type=int, default=384, help="of the pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(arguments.jobs, arguments.faults, arguments.on, arguments.seed, Path(folder), arguments.side)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return int(any(found[name] for name in ("lost", "two results", "wrong results", "untold", "broken promises")))


if __name__ == "__main__":
    sys.exit(main())
