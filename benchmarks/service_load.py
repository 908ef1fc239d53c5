"""The service under load, on this machine: real server, real workers, the default engine.

    python benchmarks/service_load.py [PART...] [--seconds 120] [--jobs 2000]

Parts: sizes, load, streams, overload, memory, recovery, throughput. Prints one JSON object for each that is named, or
for all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from impasto.images import encode_picture, resize_picture
from impasto.types import Picture
from service.servers import free_port, redis_server, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = {"IMPASTO_BACKLOG": "1000000", "IMPASTO_TENANT_BACKLOG": "1000000", "IMPASTO_PER_MINUTE": "1000000"}


def photograph(width: int, height: int) -> bytes:
    """A JPEG file with details at every scale, about as large as a photograph."""
    randoms = np.random.default_rng(0)
    pixels = np.zeros((height, width, 3), np.float32)
    for side in (4, 16, 64, 256):
        coarse = Picture(randoms.random((side, side, 3), dtype=np.float32))
        pixels += resize_picture(coarse, width, height).pixels / 4
    return encode_picture(Picture(pixels), "jpeg", quality=90)


@contextmanager
def serving(*flags: str, **settings: str) -> Iterator[tuple[str, psutil.Process]]:
    """``impasto serve`` in a new folder; gives its address and process."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "impasto", "serve", "--port", str(port), "--data-dir", folder, *flags]
        process = psutil.Popen(command, env={**os.environ, **LIMITS, **settings}, stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            try:
                return httpx.get(f"{url}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(ready, what="a ready server")
        try:
            yield url, process
        finally:
            process.terminate()
            process.wait(60)


def form(size: int) -> dict[str, str]:
    """The fields of a job."""
    return {"style": "great-wave", "size": str(size)}


def quantile(values: list[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed, in milliseconds."""
    return round(1000 * float(np.quantile(values, share)), 1)


async def submit_at(url: str, rate: float, seconds: float, picture: bytes, size: int) -> dict[str, Any]:
    """Send jobs at a steady rate, whether or not the earlier ones are answered."""
    latencies: list[float] = []
    answers: Counter[int | str] = Counter()
    retry_after, accepted = 0, []

    async def send(client: httpx.AsyncClient, due: float) -> None:
        nonlocal retry_after
        try:
            answer = await client.post(f"{url}/v1/jobs", files={"content": picture}, data=form(size))
        except httpx.TransportError as error:
            answers[type(error).__name__] += 1
            return
        latencies.append(time.perf_counter() - due)  # from when it was due: a late start counts, too
        answers[answer.status_code] += 1
        retry_after += "retry-after" in answer.headers
        if answer.status_code == 202:
            accepted.append(answer.json()["id"])

    limits = httpx.Limits(max_connections=500, max_keepalive_connections=500)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(send(client, due))
    return {
        "sent": int(rate * seconds),
        "rate": rate,
        "bytes of a picture": len(picture),
        "answers": {str(code): count for code, count in answers.items()},
        "with Retry-After": retry_after,
        "p50 ms": quantile(latencies, 0.5),
        "p99 ms": quantile(latencies, 0.99),
        "largest ms": quantile(latencies, 1.0),
        "accepted": accepted,
    }


def states(url: str) -> dict[str, int]:
    """Jobs by state, as /metrics says."""
    found = {}
    for line in httpx.get(f"{url}/metrics", timeout=60).text.splitlines():
        if line.startswith("impasto_jobs{"):
            found[line.split('"')[1]] = int(float(line.rsplit(" ", 1)[1]))
    return found


def memory(process: psutil.Process) -> int:
    """Resident memory of the server and everybody below it, in MiB."""
    return int(sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])) >> 20


def load(arguments: argparse.Namespace) -> dict[str, Any]:
    """100 submits a second while a worker paints."""
    with serving(IMPASTO_QUOTA=str(1 << 40)) as (url, process):
        warm(url)
        before = memory(process)
        picture = photograph(640, 480)
        found = asyncio.run(submit_at(url, arguments.rate, arguments.seconds, picture, 256))
        painted = states(url)["succeeded"]
        del found["accepted"]
        return found | {"painted meanwhile": painted, "MiB before": before, "MiB after": memory(process)}


def warm(url: str) -> None:
    """Have one job painted."""
    answer = httpx.post(f"{url}/v1/jobs", files={"content": photograph(640, 480)}, data=form(256), timeout=60)
    job = answer.json()["id"]
    wait_for(lambda: httpx.get(f"{url}/v1/jobs/{job}").json()["state"] == "succeeded", what="the first job")


async def watch(url: str, jobs: list[str], lags: list[float], opened: asyncio.Semaphore) -> None:
    """Follow each job by a stream of its own; note how late the last event came."""
    limits = httpx.Limits(max_connections=1000)

    async def follow(client: httpx.AsyncClient, job: str) -> None:
        async with client.stream("GET", f"{url}/v1/jobs/{job}/events") as answer:
            opened.release()
            last = {}
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    last = json.loads(line[5:])
            lags.append(time.time() - last["finished"])

    async with httpx.AsyncClient(timeout=None, limits=limits) as client, asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(follow(client, job))


def streams(arguments: argparse.Namespace) -> dict[str, Any]:
    """200 event streams, each of a job that waits, is painted and ends."""
    with serving() as (url, process):
        warm(url)
        jobs = asyncio.run(submit_at(url, 50, arguments.streams / 50, photograph(320, 240), 128))["accepted"]
        lags: list[float] = []
        used = sum(process.cpu_times()[:2])
        began = time.perf_counter()
        asyncio.run(watch(url, jobs, lags, asyncio.Semaphore(0)))
        seconds = time.perf_counter() - began
        used = sum(process.cpu_times()[:2]) - used
        return {
            "streams": len(jobs),
            "ended well": len(lags),
            "p50 ms after the end": quantile(lags, 0.5),
            "p95 ms after the end": quantile(lags, 0.95),
            "cores used by the server": round(used / seconds, 2),
        }


def overload(arguments: argparse.Namespace) -> dict[str, Any]:
    """Ten times what can be painted, with a short queue."""
    with serving(IMPASTO_BACKLOG="50", IMPASTO_TENANT_BACKLOG="50") as (url, process):
        warm(url)
        picture = photograph(640, 480)
        began, before = time.perf_counter(), states(url)["succeeded"]
        asyncio.run(submit_at(url, 10, 10, picture, 1024))
        wait_for(lambda: states(url)["queued"] == 0, seconds=300)
        capacity = (states(url)["succeeded"] - before) / (time.perf_counter() - began)
        first = memory(process)
        found = asyncio.run(submit_at(url, max(20.0, 10 * capacity), arguments.seconds, picture, 1024))
        jobs = found.pop("accepted")
        wait_for(lambda: states(url)["queued"] + states(url)["running"] == 0, seconds=600)
        ended = Counter(httpx.get(f"{url}/v1/jobs/{job}").json()["state"] for job in jobs)
        return found | {
            "painted a second": round(capacity, 2),
            "accepted jobs": dict(ended),
            "MiB before": first,
            "MiB after": memory(process),
        }


def memory_flat(arguments: argparse.Namespace) -> dict[str, Any]:
    """Memory of server, worker and its child over many jobs."""
    with serving() as (url, process):
        warm(url)
        picture, samples = photograph(320, 240), []
        for _ in range(10):
            asyncio.run(submit_at(url, 50, arguments.jobs / 10 / 50, picture, 128))
            wait_for(lambda: states(url)["queued"] + states(url)["running"] == 0, seconds=600)
            samples.append(memory(process))
        return {
            "jobs": states(url)["succeeded"],
            "MiB after every tenth": samples,
            "growth from the second to the last tenth, %": round(100 * (samples[-1] / samples[1] - 1), 1),
        }


def recovery(arguments: argparse.Namespace) -> dict[str, Any]:
    """What it takes until a job goes on: its worker killed, Redis emptied; and until a canceled one has ended."""
    del arguments
    lease, restarts, flushed, canceled = 4.0, [], [], []
    slow = {"engine": "gatys", "descriptor": "compact", "size": "256", "steps": "2000"}
    picture = photograph(640, 480)

    def begin(url: str, fields: dict[str, str], *, style: bool = True) -> str:
        files = {"content": picture} | ({"style_image": picture} if style else {})
        return str(httpx.post(f"{url}/v1/jobs", files=files, data=fields, timeout=60).json()["id"])

    def job(url: str, name: str) -> dict[str, Any]:
        return dict(httpx.get(f"{url}/v1/jobs/{name}").json())

    with serving("--workers", "2", IMPASTO_LEASE=str(lease)) as (url, process):
        warm(url)
        for _ in range(5):
            name = begin(url, slow)
            wait_for(lambda name=name: job(url, name)["progress"] > 0, what="a start")
            asked = time.perf_counter()
            busiest = max(
                (child for child in process.children(recursive=True) if child.children()),
                key=lambda child: sum(each.cpu_percent(0.2) for each in child.children()),
            )
            asked = time.perf_counter()
            busiest.kill()
            wait_for(lambda name=name: job(url, name)["attempt"] == 2, what="a new start")
            restarts.append((time.perf_counter() - asked) / lease)
            asked = time.perf_counter()
            httpx.post(f"{url}/v1/jobs/{name}/cancel")
            wait_for(lambda name=name: job(url, name)["state"] == "canceled", what="the end")
            canceled.append(time.perf_counter() - asked)
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(Path(folder)) as redis,
        serving("--workers", "1", IMPASTO_BROKER=redis.url) as (url, _),
    ):
        warm(url)
        for _ in range(5):
            name = begin(url, slow)
            wait_for(lambda name=name: job(url, name)["progress"] > 0, what="a start")
            waits = [begin(url, form(128), style=False) for _ in range(3)]
            time.sleep(1.0)  # their hints are sent
            httpx.post(f"{url}/v1/jobs/{name}/cancel")
            redis.flush()
            asked = time.perf_counter()
            wait_for(lambda waits=waits: job(url, waits[0])["state"] == "succeeded", what="the next job")
            flushed.append(time.perf_counter() - asked)
            wait_for(lambda waits=waits: job(url, waits[-1])["state"] == "succeeded", what="the last job")
    return {
        "restart after a worker was killed, in leases": [round(value, 2) for value in restarts],
        "end of a canceled job, s": [round(value, 2) for value in canceled],
        "next result after FLUSHALL, s": [round(value, 2) for value in flushed],
    }


def throughput(arguments: argparse.Namespace) -> dict[str, Any]:
    """512x512 jobs a minute: a warm worker against a process for each."""
    del arguments
    picture, warm_rates, cold_rates = photograph(512, 512), [], []
    with serving() as (url, process), tempfile.TemporaryDirectory() as folder:
        warm(url)
        file = Path(folder, "photo.jpg")
        file.write_bytes(picture)
        command = [sys.executable, "-m", "impasto", "stylize", str(file), "-s", "great-wave", "-o", f"{folder}/o.jpg"]
        everyone = [process, *process.children(recursive=True)]
        for _ in range(3):
            before, began = states(url)["succeeded"], time.perf_counter()
            asyncio.run(submit_at(url, 100, 0.3, picture, 512))
            wait_for(lambda before=before: states(url)["succeeded"] == before + 30, seconds=300)
            warm_rates.append(60 * 30 / (time.perf_counter() - began))
            for each in everyone:
                each.send_signal(signal.SIGSTOP)
            began = time.perf_counter()
            for _ in range(5):
                subprocess.run(command, check=True, capture_output=True)
            cold_rates.append(60 * 5 / (time.perf_counter() - began))
            for each in everyone:
                each.send_signal(signal.SIGCONT)
    ratios = [one / other for one, other in zip(warm_rates, cold_rates, strict=True)]
    return {
        "jobs a minute, warm": [round(rate) for rate in warm_rates],
        "jobs a minute, a process for each": [round(rate) for rate in cold_rates],
        "median ratio": round(statistics.median(ratios), 1),
    }


def sizes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Jobs a minute of one worker, and the memory of everything, by the long side of the pictures."""
    del arguments
    found = {}
    for side, jobs in ((512, 20), (1024, 8), (2048, 3), (4096, 1)):
        with serving(IMPASTO_MAX_SIZE="4096") as (url, process):
            warm(url)
            picture = photograph(side, side * 3 // 4)
            before, began, most = states(url)["succeeded"], time.perf_counter(), 0
            asyncio.run(submit_at(url, 100, jobs / 100, picture, side))
            while states(url)["succeeded"] < before + jobs:
                most = max(most, memory(process))
                time.sleep(0.2)
            found[f"{side}x{side * 3 // 4}"] = {
                "jobs a minute": round(60 * jobs / (time.perf_counter() - began), 1),
                "MiB at most": most,
            }
    return found


PARTS = {
    "sizes": sizes,
    "load": load,
    "streams": streams,
    "overload": overload,
    "memory": memory_flat,
    "recovery": recovery,
    "throughput": throughput,
}


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2000)
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS:
        sys.stdout.write(json.dumps({part: PARTS[part](arguments)}, indent=1) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
