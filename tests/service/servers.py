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
from dataclasses import dataclass
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
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [_program("redis-server"), "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def flush(self) -> None:
        with Redis.from_url(self.url) as client:
            client.flushall()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def redis_server(folder: Path):
    """A running Redis server."""
    if _program("redis-server") is None:
        missing("redis-server")
    server = RedisServer(folder, free_port())
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


@contextmanager
def postgresql(folder: Path):
    """A PostgreSQL server; gives a function that makes a new database and returns its URL."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        missing("PostgreSQL")
    user = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        account = next(
            each for each in ("postgres", "nobody") if any(each == entry.pw_name for entry in pwd.getpwall())
        )
        user = {"user": account}
        shutil.chown(folder, account)
        for parent in folder.parents:
            if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    data, port = folder / "data", free_port()
    subprocess.run(
        [initdb, "-D", data, "-U", "impasto", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        check=True,
        capture_output=True,
        cwd="/",
        **user,
    )
    options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "max_connections=200"]
    log = (folder / "log").open("wb")
    server = subprocess.Popen([postgres, *options], stdout=log, stderr=log, cwd="/", **user)
    url = f"postgresql+psycopg://impasto@127.0.0.1:{port}"
    try:
        import psycopg

        def connected():
            try:
                return psycopg.connect(f"host=127.0.0.1 port={port} user=impasto dbname=postgres", autocommit=True)
            except psycopg.OperationalError:
                return None

        made = []

        def make() -> str:
            name = f"test{len(made)}"
            made.append(name)
            with wait_for(connected, what="a connection to PostgreSQL") as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return f"{url}/{name}"

        yield make
    finally:
        server.send_signal(signal.SIGINT)  # do not wait for those who are connected
        server.wait(30)
        log.close()
