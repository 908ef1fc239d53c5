"""The service under load, on this machine: real server, real workers.

    python benchmarks/service_load.py [PART...] [--engine fast] [--seconds 120] [--jobs 2000]

Parts: sizes, rate, load, streams, overload, memory, recovery, throughput. Prints one JSON object for each named part,
or for all.
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
    from collections.abc import Callable, Iterator

LIMITS = {"IMPASTO_BACKLOG": "1000000", "IMPASTO_TENANT_BACKLOG": "1000000", "IMPASTO_PER_MINUTE": "1000000"}


def photograph(width: int, height: int) -> bytes:
    """A JPEG file with details at every scale, as large as a photograph: at 640x480, 75 KB is the median of many."""
    randoms = np.random.default_rng(0)
    pixels = np.zeros((height, width, 3), np.float32)
    for side, share in ((4, 0.62), (16, 0.25), (64, 0.09), (256, 0.04)):
        coarse = Picture(randoms.random((side, side, 3), dtype=np.float32))
        pixels += share * resize_picture(coarse, width, height).pixels
    return encode_picture(Picture(pixels), "jpeg", quality=90)


@contextmanager
def serving(*flags: str, **settings: str) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """``impasto serve`` in a new folder; gives a client of it, and its process."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "impasto", "serve", "--port", str(port), "--data-dir", folder, *flags]
        process = psutil.Popen(command, env={**os.environ, **LIMITS, **settings}, stderr=subprocess.DEVNULL)
        # One client: each takes 20 ms of the processor that is measured.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as api:

            def ready() -> bool:
                try:
                    return api.get("/readyz").status_code == 200
                except httpx.TransportError:
                    return False

            wait_for(ready, what="a ready server")
            try:
                yield api, process
            finally:
                process.terminate()
                process.wait(60)


def form(size: int, engine: str) -> dict[str, str]:
    """The fields of a job."""
    return {"style": "great-wave", "size": str(size), "engine": engine}


def quantile(values: list[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed, in milliseconds."""
    return round(1000 * float(np.quantile(values, share)), 1)


def request_of(api: httpx.Client, picture: bytes, size: int, engine: str) -> bytes:
    """A whole HTTP request that submits a job: to build it a thousand times would take what is measured."""
    request = api.build_request("POST", "/v1/jobs", files={"content": picture}, data=form(size, engine))
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST /v1/jobs HTTP/1.1\r\n{head}\r\n".encode() + request.read()


class Connections:
    """Keeps connections for the next request."""

    def __init__(self, api: httpx.Client) -> None:
        """Connect to the server of ``api``."""
        self._host, self._port = api.base_url.host, api.base_url.port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> tuple[int, bool, bytes]:
        """Return the status of the answer, whether it says when to try again, and its body."""
        while self._free and self._free[-1][0].at_eof():  # the server closes what is idle
            self._free.pop()[1].close()
        connection = self._free.pop() if self._free else await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            writer.close()
        else:
            self._free.append(connection)
        return int(head.split()[1]), b"\r\nretry-after:" in head, body

    def close(self) -> None:
        """Close them all."""
        for _, writer in self._free:
            writer.close()


async def submit_at(
    api: httpx.Client, rate: float, seconds: float, picture: bytes, size: int, engine: str
) -> dict[str, Any]:
    """Send jobs at a steady rate, whether or not the earlier ones are answered."""
    latencies: list[float] = []
    answers: Counter[int | str] = Counter()
    retry_after, accepted = 0, []
    request, connections = request_of(api, picture, size, engine), Connections(api)

    async def send(due: float) -> None:
        nonlocal retry_after
        try:
            status, later, body = await connections.send(request)
        except (OSError, asyncio.IncompleteReadError) as error:
            answers[type(error).__name__] += 1
            return
        latencies.append(time.perf_counter() - due)  # from when it was due: a late start counts, too
        answers[status] += 1
        retry_after += later
        if status == 202:
            accepted.append(json.loads(body)["id"])

    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(send(due))
    connections.close()
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


def states(api: httpx.Client) -> dict[str, int]:
    """Jobs by state, as /metrics says."""
    found = {}
    for line in api.get("/metrics").text.splitlines():
        if line.startswith("impasto_jobs{"):
            found[line.split('"')[1]] = int(float(line.rsplit(" ", 1)[1]))
    return found


def finish(api: httpx.Client, condition: Callable[[dict[str, int]], bool]) -> None:
    """Wait until ``condition`` is true of the jobs by state; seldom ask, since that takes time from the painting."""
    while not condition(states(api)):
        time.sleep(0.25)


def memory(process: psutil.Process) -> int:
    """Resident memory of the server and everybody below it, in MiB."""
    return int(sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])) >> 20


def load(arguments: argparse.Namespace) -> dict[str, Any]:
    """100 submits a second while a worker paints."""
    with serving(IMPASTO_QUOTA=str(1 << 40)) as (api, process):
        warm(api, arguments.engine)
        before = memory(process)
        picture = photograph(640, 480)
        found = asyncio.run(submit_at(api, arguments.rate, arguments.seconds, picture, 256, arguments.engine))
        painted = states(api)["succeeded"]
        del found["accepted"]
        return found | {"painted meanwhile": painted, "MiB before": before, "MiB after": memory(process)}


def warm(api: httpx.Client, engine: str) -> None:
    """Have one job painted."""
    answer = api.post("/v1/jobs", files={"content": photograph(640, 480)}, data=form(256, engine))
    job = answer.json()["id"]
    wait_for(lambda: api.get(f"/v1/jobs/{job}").json()["state"] == "succeeded", what="the first job")


async def watch(api: httpx.Client, jobs: list[str], lags: list[float], begin: Callable[[], None]) -> None:
    """Follow each job by a stream of its own; when all are open, ``begin``; note how late the last events came."""
    limits, opened = httpx.Limits(max_connections=1000), asyncio.Semaphore(0)

    async def follow(client: httpx.AsyncClient, job: str) -> None:
        async with client.stream("GET", f"/v1/jobs/{job}/events") as answer:
            opened.release()
            last = {}
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    last = json.loads(line[5:])
            lags.append(time.time() - last["finished"])

    async with (
        httpx.AsyncClient(base_url=api.base_url, timeout=None, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for job in jobs:
            group.create_task(follow(client, job))
        for _ in jobs:
            await opened.acquire()
        begin()


def streams(arguments: argparse.Namespace) -> dict[str, Any]:
    """200 event streams, each of a job that waits, is painted and ends."""
    with serving() as (api, process):
        warm(api, arguments.engine)
        workers = [child for child in process.children(recursive=True) if child.children()]

        def begin() -> None:
            for worker in workers:
                worker.resume()

        for worker in workers:
            worker.suspend()
        jobs = asyncio.run(submit_at(api, 50, arguments.streams / 50, photograph(320, 240), 128, arguments.engine))[
            "accepted"
        ]
        lags: list[float] = []
        used = sum(process.cpu_times()[:2])
        began = time.perf_counter()
        asyncio.run(watch(api, jobs, lags, begin))
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
    with serving(IMPASTO_BACKLOG="50", IMPASTO_TENANT_BACKLOG="50") as (api, process):
        warm(api, arguments.engine)
        picture = photograph(640, 480)
        began, before = time.perf_counter(), states(api)["succeeded"]
        asyncio.run(submit_at(api, 10, 10, picture, 1024, arguments.engine))
        finish(api, lambda jobs: jobs["queued"] == 0)
        capacity = (states(api)["succeeded"] - before) / (time.perf_counter() - began)
        first = memory(process)
        found = asyncio.run(
            submit_at(api, max(20.0, 10 * capacity), arguments.seconds, picture, 1024, arguments.engine)
        )
        jobs = found.pop("accepted")
        finish(api, lambda jobs: jobs["queued"] + jobs["running"] == 0)
        ended = Counter(api.get(f"/v1/jobs/{job}").json()["state"] for job in jobs)
        return found | {
            "painted a second": round(capacity, 2),
            "accepted jobs": dict(ended),
            "MiB before": first,
            "MiB after": memory(process),
        }


def memory_flat(arguments: argparse.Namespace) -> dict[str, Any]:
    """Memory of server, worker and its child over many jobs."""
    with serving() as (api, process):
        warm(api, arguments.engine)
        picture, samples = photograph(320, 240), []
        for _ in range(10):
            asyncio.run(submit_at(api, 50, arguments.jobs / 10 / 50, picture, 128, arguments.engine))
            finish(api, lambda jobs: jobs["queued"] + jobs["running"] == 0)
            samples.append(memory(process))
        return {
            "jobs": states(api)["succeeded"],
            "MiB after every tenth": samples,
            "growth from the second to the last tenth, %": round(100 * (samples[-1] / samples[1] - 1), 1),
        }


def recovery(arguments: argparse.Namespace) -> dict[str, Any]:
    """What it takes until a job goes on: its worker killed, Redis emptied; and until a canceled one has ended."""
    lease, restarts, flushed, canceled = 4.0, [], [], []
    slow = {"engine": "gatys", "descriptor": "compact", "size": "256", "steps": "2000"}
    picture = photograph(640, 480)

    def begin(api: httpx.Client, fields: dict[str, str], *, style: bool = True) -> str:
        files = {"content": picture} | ({"style_image": picture} if style else {})
        return str(api.post("/v1/jobs", files=files, data=fields).json()["id"])

    def job(api: httpx.Client, name: str) -> dict[str, Any]:
        return dict(api.get(f"/v1/jobs/{name}").json())

    with serving("--workers", "2", IMPASTO_LEASE=str(lease)) as (api, process):
        warm(api, arguments.engine)
        for _ in range(5):
            name = begin(api, slow)
            wait_for(lambda name=name: job(api, name)["progress"] > 0, what="a start")
            asked = time.perf_counter()
            busiest = max(
                (child for child in process.children(recursive=True) if child.children()),
                key=lambda child: sum(each.cpu_percent(0.2) for each in child.children()),
            )
            asked = time.perf_counter()
            busiest.kill()
            wait_for(lambda name=name: job(api, name)["attempt"] == 2, what="a new start")
            restarts.append((time.perf_counter() - asked) / lease)
            asked = time.perf_counter()
            api.post(f"/v1/jobs/{name}/cancel")
            wait_for(lambda name=name: job(api, name)["state"] == "canceled", what="the end")
            canceled.append(time.perf_counter() - asked)
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(Path(folder)) as redis,
        serving("--workers", "1", IMPASTO_BROKER=redis.url) as (api, _),
    ):
        warm(api, arguments.engine)
        for _ in range(5):
            name = begin(api, slow)
            wait_for(lambda name=name: job(api, name)["progress"] > 0, what="a start")
            waits = [begin(api, form(128, arguments.engine), style=False) for _ in range(3)]
            time.sleep(1.0)  # their hints are sent
            api.post(f"/v1/jobs/{name}/cancel")
            redis.flush()
            asked = time.perf_counter()
            wait_for(lambda waits=waits: job(api, waits[0])["state"] == "succeeded", what="the next job")
            flushed.append(time.perf_counter() - asked)
            wait_for(lambda waits=waits: job(api, waits[-1])["state"] == "succeeded", what="the last job")
    return {
        "restart after a worker was killed, in leases": [round(value, 2) for value in restarts],
        "end of a canceled job, s": [round(value, 2) for value in canceled],
        "next result after FLUSHALL, s": [round(value, 2) for value in flushed],
    }


def throughput(arguments: argparse.Namespace) -> dict[str, Any]:
    """512x512 jobs a minute: a warm worker against a process for each."""
    picture, warm_rates, cold_rates = photograph(512, 512), [], []
    with serving() as (api, process), tempfile.TemporaryDirectory() as folder:
        warm(api, arguments.engine)
        file = Path(folder, "photo.jpg")
        file.write_bytes(picture)
        command = [sys.executable, "-m", "impasto", "stylize", str(file), "-s", "great-wave", "-o", f"{folder}/o.jpg"]
        command += ["--engine", arguments.engine]
        everyone = [process, *process.children(recursive=True)]
        for _ in range(3):
            began = time.perf_counter()
            asyncio.run(submit_at(api, 100, 0.9, picture, 512, arguments.engine))
            finish(api, lambda jobs: jobs["queued"] + jobs["running"] == 0)
            warm_rates.append(60 * 90 / (time.perf_counter() - began))
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
    found = {}
    for side, jobs in ((512, 20), (1024, 8), (2048, 3), (4096, 1)):
        with serving(IMPASTO_MAX_SIZE="4096") as (api, process):
            warm(api, arguments.engine)
            picture = photograph(side, side * 3 // 4)
            before, began, most = states(api)["succeeded"], time.perf_counter(), 0
            asyncio.run(submit_at(api, 100, jobs / 100, picture, side, arguments.engine))
            while states(api)["succeeded"] < before + jobs:
                most = max(most, memory(process))
                time.sleep(0.2)
            found[f"{side}x{side * 3 // 4}"] = {
                "jobs a minute": round(60 * jobs / (time.perf_counter() - began), 1),
                "MiB at most": most,
            }
    return found


def rate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Jobs a minute of one worker at one size, and the memory of everything after each tenth of them."""
    with serving() as (api, process):
        warm(api, arguments.engine)
        jobs, side = arguments.jobs, arguments.side
        samples: list[int] = []
        before, began = states(api)["succeeded"], time.perf_counter()
        asyncio.run(submit_at(api, 50, jobs / 50, photograph(side, side), side, arguments.engine))
        while (done := states(api)["succeeded"] - before) < jobs:
            if 10 * done // jobs > len(samples):
                samples.append(memory(process))
            time.sleep(0.25)
        return {
            "jobs a minute": round(60 * jobs / (time.perf_counter() - began), 1),
            "MiB after every tenth": samples,
        }


PARTS = {
    "sizes": sizes,
    "rate": rate,
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
    parser.add_argument("--engine", default="fast")
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--side", type=int, default=512, help="of the pictures of 'rate', in pixels")
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS:
        sys.stdout.write(json.dumps({part: PARTS[part](arguments)}, indent=1) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
