"""Real servers, started by the tests."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import httpx
import pytest
from redis import Redis

if TYPE_CHECKING:
    from collections.abc import Sequence

_STARTS_WITHIN = 60


def missing(server: str) -> None:
    """Skip at home; in CI a server that is not there is an error."""
    if os.environ.get("CI"):
        pytest.fail(f"{server} is not installed")
    pytest.skip(f"{server} is not installed")


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port


def wait_for(condition, *, seconds: float = _STARTS_WITHIN, what: str = "it"):
    """Wait until ``condition()`` is true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not happen within {seconds:g} s")


@dataclass
class RedisServer:
    """A Redis server without persistence, which can be killed and started again."""

    folder: Path
    port: int
    address: str = "127.0.0.1"
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.address}:{self.port}/0"

    def start(self) -> None:
        options = ["--save", "", "--bind", self.address, "--protected-mode", "no"]
        command = [_program("redis-server"), "--port", str(self.port), *options]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def flush(self) -> None:
        with Redis.from_url(self.url) as client:
            client.flushall()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def redis_server(folder: Path, **where: str):
    """A running Redis server."""
    if _program("redis-server") is None:
        missing("redis-server")
    server = RedisServer(folder, free_port(), **where)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def running_server(
    data: Path,
    *flags: str,
    port: int | None = None,
    environment: dict[str, str] | None = None,
    python: Sequence[str] = (sys.executable,),
):
    """Run ``impasto serve`` with its data in a folder; gives a client of it."""
    port = port or free_port()
    command = [*python, "-m", "impasto", "serve", "--port", str(port), "--data-dir", str(data), *flags]
    with TemporaryFile() as log, subprocess.Popen(command, stderr=log, env=environment) as process:

        def said():
            log.seek(0)
            return log.read().decode()

        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            def ready():
                assert process.poll() is None, said()
                try:
                    return client.get("/readyz").status_code == 200
                except httpx.ConnectError:
                    return False

            try:
                wait_for(ready, what="a ready server")
                yield client
            finally:
                process.terminate()
        assert process.wait(60) == 0 and "Traceback" not in said(), said()


def _program(name: str) -> str | None:
    found = shutil.which(name)
    if found is None:
        found = next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    return found


@dataclass
class PostgreSQLServer:
    """A PostgreSQL server, which can be stopped and started again."""

    folder: Path
    port: int
    address: str = "127.0.0.1"
    network: str = "127.0.0.1/32"
    """The addresses from which anybody may connect."""
    account: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    databases: int = 0

    def prepare(self) -> None:
        """Make the files of the server."""
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            names = {entry.pw_name for entry in pwd.getpwall()}
            self.account = {"user": next(each for each in ("postgres", "nobody") if each in names)}
            shutil.chown(self.folder, self.account["user"])
            for parent in self.folder.parents:
                if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        options = ["-U", "impasto", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        command = [_program("initdb"), "-D", self.folder / "data", *options]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self.account)
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {self.network} trust\n")

    def start(self) -> None:
        options = ["-p", str(self.port), "-h", self.address, "-k", self.folder, "-c", "max_connections=200"]
        command = [_program("postgres"), "-D", self.folder / "data", *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self.account)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop the server: by SIGINT without waiting for those who are connected, by SIGQUIT as in a crash."""
        self.process.send_signal(how)
        self.process.wait(30)

    def new_database(self) -> str:
        """Make a database; return its URL."""
        import psycopg

        where = f"host={self.address} port={self.port} user=impasto dbname=postgres"

        def connected():
            try:
                return psycopg.connect(where, autocommit=True)
            except psycopg.OperationalError:
                return None

        name = f"test{self.databases}"
        self.databases += 1
        with wait_for(connected, what="a connection to PostgreSQL") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://impasto@{self.address}:{self.port}/{name}"


@contextmanager
def postgresql(folder: Path, **where: str):
    """A running PostgreSQL server."""
    if _program("initdb") is None or _program("postgres") is None:
        missing("PostgreSQL")
    server = PostgreSQLServer(folder, free_port(), **where)
    server.prepare()
    server.start()
    try:
        yield server
    finally:
        server.stop()
