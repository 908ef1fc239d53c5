"""Workers that ``impasto serve`` runs beside itself: those that die are replaced."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx
import psutil
import pytest

from service.servers import free_port, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def serve(tmp_path):
    """``impasto serve`` with one worker; gives its process and address, and keeps what it logs."""
    port = free_port()
    command = [sys.executable, "-m", "impasto", "serve", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with (tmp_path / "log").open("wb") as log:
        process = psutil.Popen(command, stderr=log, env={**psutil.Process().environ(), "IMPASTO_LOG_FORMAT": "json"})
    url = f"http://127.0.0.1:{port}"

    def ready():
        try:
            return httpx.get(f"{url}/readyz").status_code == 200
        except httpx.ConnectError:
            return False

    wait_for(ready, what="a ready server")
    yield process, url
    if process.is_running():
        process.terminate()
        process.wait(60)


def paint(url, photo):
    with photo.open("rb") as content:
        answer = httpx.post(f"{url}/v1/jobs", files={"content": content}, data={"style": "great-wave", "size": "64"})
    job = answer.json()["id"]
    wait_for(lambda: httpx.get(f"{url}/v1/jobs/{job}").json()["state"] == "succeeded", what=job)
    return job


def workers(process):
    """The children of ``process`` that have connected to the job table; not the tracker of multiprocessing."""
    return [child for child in process.children() if any("jobs.db" in each.path for each in child.open_files())]


def test_a_worker_that_dies_is_replaced(serve, photo, tmp_path):
    process, url = serve
    first = paint(url, photo)
    [worker] = workers(process)
    worker.kill()
    second = paint(url, photo)
    [another] = workers(process)
    assert another.pid != worker.pid
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["job"] for line in lines if line["event"].startswith("painted in")] == [first, second]
    assert any("another begins" in line["event"] for line in lines)


def test_a_worker_that_cannot_start_says_why_in_a_sentence(tmp_path):
    command = [sys.executable, "-m", "impasto", "worker", "--data-dir", str(tmp_path), "--database", "postgresql://"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and ended.stderr.count("\n") <= 3, ended.stderr
