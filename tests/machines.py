"""Jobs on two machines under faults of the network, the servers and a clock: all must end, once.

    python -m tests.machines --jobs 2000 --faults 40 [--cut 30] [--side 128] [--seed 0]

The machines are network namespaces, so it takes root. PostgreSQL, Redis, an S3 server and two workers are on the
first; two web processes, to which jobs are sent, and two workers, one with a wrong clock, are on the second.
"""

from __future__ import annotations

import argparse
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
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import numpy as np
from aiosmtpd.controller import Controller
from standardwebhooks import Webhook, WebhookVerificationError

sys.path.insert(0, str(Path(__file__).parent))

from impasto.images import encode_picture
from impasto.service import wiring
from impasto.service.settings import Settings
from impasto.types import Picture
from service.servers import PostgreSQLServer, RedisServer, free_port, postgresql, redis_server, wait_for
from service.two_machines import NETWORK, SERVERS, Machine, faketime, obstacle, two_machines
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
    from collections.abc import Iterator

    from impasto.service.jobs import Job

LEASE = 5.0
SENDERS = 4
WEBS = 2
WORKERS = 2
"""On each machine."""
HOUR = 3600
PAUSE = 4.0
"""Mean time between two faults, in seconds."""
WRONG_TIME = "webhooks with a wrong time"
TOO_SKEWED = "requests that S3 refused for their time"
"""It must not be zero, or the wrong clock has no effect."""
SECRET = "a secret of enough letters for the tests"


class Hook:
    """A receiver of webhooks that checks signatures and their times, as the libraries of the standard do."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.refused = 0
        checks, hook = Webhook(SECRET.encode()), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    checks.verify(body, dict(self.headers))
                except WebhookVerificationError:
                    hook.refused += 1
                    self.send_response(401)
                else:
                    hook.taken[self.headers["webhook-id"]] += 1
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((SERVERS, 0), Handler)
        self.url = f"http://{SERVERS}:{self.server.server_address[1]}/hook"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """An S3 server with a bucket 'pictures'; gives the variables that lead to it."""
    port = free_port()
    script = Path(__file__).parent / "service" / "object_store.py"
    with subprocess.Popen([sys.executable, script, SERVERS, str(port)], stderr=subprocess.DEVNULL) as process:
        url = f"http://{SERVERS}:{port}"

        def made() -> bool:
            try:
                return httpx.put(f"{url}/pictures").is_success
            except httpx.TransportError:
                return False

        try:
            wait_for(made, what="a bucket")
            yield {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_REGION": "us-east-1",
            }
        finally:
            process.terminate()


@dataclass
class Faults:
    """What goes wrong."""

    machines: tuple[Machine, Machine]
    postgres: PostgreSQLServer
    redis: RedisServer
    clock: Path
    """Where the worker with the wrong clock finds by how many seconds it is wrong."""
    cut: float
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def make(self, count: int) -> None:
        kinds = [
            self.second_machine_cut_off,
            self.postgresql_restarted,
            self.clock_ahead,
            self.redis_flushed,
            self.first_machine_cut_off,
            self.postgresql_crashed,
            self.clock_behind,
            self.redis_flushed,
        ]
        for kind in itertools.islice(itertools.cycle(kinds), count):
            kind()
            self.done[kind.__name__.replace("_", " ")] += 1
            time.sleep(PAUSE * self.random.random() * 2)

    def first_machine_cut_off(self) -> None:
        self._cut_off(self.machines[0])

    def second_machine_cut_off(self) -> None:
        self._cut_off(self.machines[1])

    def _cut_off(self, machine: Machine) -> None:
        machine.set_link(up=False)
        time.sleep(self.cut)
        machine.set_link(up=True)

    def postgresql_restarted(self) -> None:
        self.postgres.stop()
        self.postgres.start()

    def postgresql_crashed(self) -> None:
        self.postgres.stop(signal.SIGQUIT)
        self.postgres.start()

    def redis_flushed(self) -> None:
        self.redis.flush()

    def clock_ahead(self) -> None:
        self.clock.write_text(f"+{HOUR}")

    def clock_behind(self) -> None:
        self.clock.write_text(f"-{HOUR}")


def programs(
    folder: Path, ports: list[int], environment: dict[str, str], machines: tuple[Machine, Machine], clock: Path
) -> dict[str, Program]:
    """Web processes on the second machine, workers on both."""
    impasto = [sys.executable, "-m", "impasto"]
    found = {}
    for number, port in enumerate(ports):
        flags = ["serve", "--workers", "0", "--port", str(port), "--data-dir", str(folder / "second")]
        found[f"web {number}"] = Program(machines[1].command(*impasto, *flags), environment)
    for place, machine in zip(("first", "second"), machines, strict=True):
        for number in range(WORKERS):
            command = machine.command(*impasto, "worker", "--data-dir", str(folder / place))
            found[f"worker {number} on the {place}"] = Program(command, environment)
    last = found.popitem()
    found[f"{last[0]}, with a wrong clock"] = Program(last[1].command, environment | with_clock(clock))
    return found


def with_clock(clock: Path) -> dict[str, str]:
    """Return variables that give a process of Python a clock that is wrong by the seconds in the file ``clock``."""
    # Under libfaketime 0.9.10, clock_nanosleep with the monotonic clock fails, which Python's sleep is built on.
    (clock.parent / "sitecustomize.py").write_text(
        "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
    )
    return {
        "LD_PRELOAD": str(faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": os.pathsep.join([str(clock.parent), os.environ.get("PYTHONPATH", "")]),
    }


def run(jobs: int, faults: int, folder: Path, *, cut: float, side: int, seed: int) -> dict[str, object]:
    """Let ``faults`` happen while ``jobs`` of ``side`` pixels are painted; return what came of it.

    The calling thread is on the first machine from then on.
    """
    with ExitStack() as stack:
        machines = first, second = stack.enter_context(two_machines())
        first.enter()
        for name in ("postgresql", "redis", "first", "second"):
            (folder / name).mkdir()
        postgres = stack.enter_context(postgresql(folder / "postgresql", address=SERVERS, network=NETWORK))
        redis = stack.enter_context(redis_server(folder / "redis", address=SERVERS))
        store = stack.enter_context(object_store())
        postman, hook = Postman(seed), stack.enter_context(closing(Hook()))
        controller = Controller(postman, hostname=SERVERS, port=free_port())
        controller.start()
        stack.callback(controller.stop)
        os.environ.update(store)
        environment = {
            **os.environ,
            **NO_LIMITS,
            "IMPASTO_DATABASE": postgres.new_database(),
            "IMPASTO_BROKER": redis.url,
            "IMPASTO_SLOTS": str(2 * WORKERS),
            "IMPASTO_BLOBS": "s3://pictures/jobs",
            "IMPASTO_SECRET": SECRET,
            "IMPASTO_LEASE": str(LEASE),
            "IMPASTO_BASE_URL": "https://paint.example.org",
            "IMPASTO_SMTP_HOST": SERVERS,
            "IMPASTO_SMTP_PORT": str(controller.port),
            "IMPASTO_SMTP_STARTTLS": "false",
            "IMPASTO_WEBHOOK_SECRET": SECRET,
            "IMPASTO_WEBHOOK_PRIVATE": "true",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        settings = Settings(
            data_dir=folder / "first",
            database=environment["IMPASTO_DATABASE"],
            blobs="s3://pictures/jobs",
            lease=LEASE,
            backlog=100_000,
            tenant_backlog=100_000,
        )
        parts = stack.enter_context(closing(wiring.build(settings)))
        clock = folder / "clock"
        chaos = Faults(machines, postgres, redis, clock, cut, random.Random(seed))
        chaos.clock_behind()
        ports = [free_port() for _ in range(WEBS)]
        service = Supervisor(programs(folder, ports, environment, machines, clock), folder / "log")
        Thread(target=service.run, daemon=True).start()
        stack.callback(service.end)
        pixels = np.random.default_rng(seed).random((side * 2 // 3, side, 3), dtype=np.float32)
        fields = {"email": "somebody@example.org", "webhook": hook.url}
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        clients = Clients(urls, encode_picture(Picture(pixels), "png"), jobs, fields)
        lasts = faults * (PAUSE + cut / 4)  # every fourth fault is a cut
        pace = SENDERS * lasts / jobs / 3  # so that some always wait

        def send(number: int) -> None:
            second.enter()
            clients.send(seed + number, pace)

        started = time.monotonic()
        senders = [Thread(target=send, args=(number,), daemon=True) for number in range(SENDERS)]
        for thread in senders:
            thread.start()
        wait_for(lambda: clients.accepted, what="the first job")
        chaos.make(faults)
        for thread in senders:
            thread.join(ENDS_WITHIN + SECONDS_A_JOB * jobs)
        assert len(clients.accepted) == jobs, "somebody could not send"
        states = wait_for_the_end(parts, clients)

        def was_told(job: Job) -> bool:
            identity = f"{job.id}.{job.attempt}."
            return f"{identity}webhook" in hook.taken and f"<{identity}email@paint.example.org>" in postman.taken

        found = reckon(parts, clients, was_told)
        return {
            "jobs": len(clients.accepted),
            "states": dict(states),
            "sent twice": clients.sent_twice,
            "faults": sum(chaos.done.values()),
            "kinds": dict(chaos.done),
            "messages that came twice": sum(n > 1 for n in (*postman.taken.values(), *hook.taken.values())),
            WRONG_TIME: hook.refused,
            TOO_SKEWED: int(httpx.get(f"{store['AWS_ENDPOINT_URL']}/refused").text),
            "seconds": round(time.monotonic() - started),
            **found,
        }


def main() -> int:
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--faults", type=int, default=16)
    parser.add_argument("--cut", type=float, default=30.0, help="seconds for which a machine is cut off")
    parser.add_argument("--side", type=int, default=128, help="of the pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="file to which the processes' lines are copied")
    arguments = parser.parse_args()
    if (why := obstacle()) is not None:
        sys.stderr.write(f"{why}\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = run(
                arguments.jobs,
                arguments.faults,
                Path(folder),
                cut=arguments.cut,
                side=arguments.side,
                seed=arguments.seed,
            )
        finally:
            if arguments.log is not None:
                arguments.log.write_bytes(Path(folder, "log").read_bytes())
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return int(any(found[name] for name in (*MUST_BE_ZERO, WRONG_TIME)) or not found[TOO_SKEWED])


if __name__ == "__main__":
    sys.exit(main())
