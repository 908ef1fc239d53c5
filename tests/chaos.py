"""Jobs under faults: what was accepted must end, once, whatever happens to who paints it.

    python -m tests.chaos --jobs 300 --faults 100 [--on sqlite|postgresql|celery] [--side 384] [--seed 0]

Real servers, real workers, the real engine 'fast' on small pictures. Faults come one after the other, of every kind
in turn; a supervisor starts again what has died, as an operating system would.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import psutil
from aiosmtpd.controller import Controller

sys.path.insert(0, str(Path(__file__).parent))

from impasto.errors import StorageError
from impasto.images import encode_picture
from impasto.service import wiring
from impasto.service.settings import Settings
from impasto.types import Picture
from service.servers import PostgreSQLServer, RedisServer, free_port, postgresql, redis_server, wait_for
from service.under_faults import (
    ENDS_WITHIN,
    MUST_BE_ZERO,
    NO_LIMITS,
    SECONDS_A_JOB,
    Clients,
    Postman,
    Program,
    Supervisor,
    reckon,
    wait_for_the_end,
)

if TYPE_CHECKING:
    from impasto.service.jobs import Job

LEASE = 2.0
WORKERS = 3
SENDERS = 4


class Faults:
    """What goes wrong."""

    def __init__(
        self,
        service: Supervisor,
        parts: wiring.Parts,
        seed: int,
        postgres: PostgreSQLServer | None,
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
            for backend in psutil.Process(self.postgres.process.pid).children():
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


def programs(settings: Settings, port: int, environment: dict[str, str]) -> dict[str, Program]:
    """The API and the workers."""
    impasto = [sys.executable, "-m", "impasto"]
    flags = ["--data-dir", str(settings.data_dir), "--database", settings.database_url]
    api = Program([*impasto, "serve", "--port", str(port), "--workers", "0", *flags], environment)
    worker = Program([*impasto, "worker", *flags], environment)
    return {"api": api, **{f"worker {number}": worker for number in range(WORKERS)}}


def run(jobs: int, faults: int, on: str, seed: int, folder: Path, side: int = 384) -> dict[str, object]:
    """Let ``faults`` happen while ``jobs`` of ``side`` pixels are painted; return what came of it."""
    with ExitStack() as stack:
        url, postgres = None, None
        if on == "postgresql":
            (folder / "postgresql").mkdir()
            postgres = stack.enter_context(postgresql(folder / "postgresql"))
            url = postgres.new_database()
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
            **NO_LIMITS,
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        redis = None
        if on == "celery":
            redis = stack.enter_context(redis_server(folder))
            environment |= {"IMPASTO_BROKER": redis.url, "IMPASTO_SLOTS": str(WORKERS)}
        port = free_port()
        service = Supervisor(programs(settings, port, environment), folder / "log")
        Thread(target=service.run, daemon=True).start()
        stack.callback(service.end)
        pixels = np.random.default_rng(seed).random((side * 2 // 3, side, 3), dtype=np.float32)
        picture = encode_picture(Picture(pixels), "png")
        clients = Clients([f"http://127.0.0.1:{port}"], picture, jobs, {"email": "somebody@example.org"})
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
            thread.join(ENDS_WITHIN + SECONDS_A_JOB * jobs)
        assert len(clients.accepted) == jobs, "somebody could not send"
        states = wait_for_the_end(parts, clients)

        def was_told(job: Job) -> bool:
            return f"<{job.id}.{job.attempt}.email@127.0.0.1>" in postman.taken

        found = reckon(parts, clients, was_told)
        return {
            "on": on,
            "jobs": len(clients.accepted),
            "states": dict(states),
            "sent twice": clients.sent_twice,
            "faults": sum(chaos.done.values()),
            "kinds": dict(chaos.done),
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
    return int(any(found[name] for name in MUST_BE_ZERO))


if __name__ == "__main__":
    sys.exit(main())
