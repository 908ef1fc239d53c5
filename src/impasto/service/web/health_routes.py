"""The state of the service: ``/metrics`` for Prometheus, and ``/healthz`` and ``/readyz``.

The metrics are those of the job table and of this process. The two probes are for supervisors and load balancers.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from impasto.api import Health, JobState
from impasto.errors import QuotaError, StorageError
from impasto.images import largest_file
from impasto.service.measured import Measured
from impasto.service.web.access import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from impasto.service.stores.upkeep import SQLUpkeep
    from impasto.service.wiring import Parts

_TOTALS_EVERY = 5.0

router = APIRouter(tags=["health"])


class Metrics:
    """The metrics of one process. Those of the job table are the same in all processes."""

    def __init__(self, upkeep: SQLUpkeep) -> None:
        """Read the job table through ``upkeep`` at every scrape."""
        self._upkeep = upkeep
        self._totals = Measured(upkeep.totals, every=_TOTALS_EVERY, what="the jobs in the table")
        registry = self._registry = CollectorRegistry()
        self._jobs = Gauge("impasto_jobs", "Jobs in the table.", ["state"], registry=registry)
        self._failed = Gauge("impasto_jobs_failed", "Failed jobs in the table.", ["code"], registry=registry)
        self._messages = Gauge("impasto_messages", "Messages in the outbox.", ["state"], registry=registry)
        self._oldest = Gauge("impasto_oldest_queued_seconds", "How long the next job has waited.", registry=registry)
        self._waited = Gauge("impasto_job_wait_seconds", "Mean wait, of the last hour's jobs.", registry=registry)
        self._ran = Gauge("impasto_job_run_seconds", "Mean time of painting, of the last hour.", registry=registry)
        self._in_queue = Gauge(
            "impasto_queue_jobs", "Queued and running jobs of each queue.", ["queue", "state"], registry=registry
        )
        self._ran_in_queue = Gauge(
            "impasto_queue_run_seconds",
            "Mean time of painting of each queue, of the last hour.",
            ["queue"],
            registry=registry,
        )
        self._retried = Gauge("impasto_jobs_retried", "Jobs that took more than one attempt.", registry=registry)
        self.accepted = Counter(
            "impasto_jobs_accepted", "Jobs accepted by this process.", ["engine"], registry=registry
        )
        self.streams = Gauge("impasto_event_streams", "Event streams that are open.", registry=registry)
        self._answers = Counter(
            "impasto_http_answers", "Answers by this process.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram("impasto_http_seconds", "Time to the answer.", ["route"], registry=registry)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus.

        Raises:
            StorageError: the job table cannot be reached, or its jobs are not counted yet.
        """
        counts, totals = self._upkeep.counts(), self._totals.value()
        queues = counts.queues.values()
        still: dict[str, int] = {
            JobState.QUEUED: sum(queue.queued for queue in queues),
            JobState.RUNNING: sum(queue.running for queue in queues),
        }
        for gauge, found in (
            (self._jobs, {**still, **totals.jobs}),
            (self._failed, totals.failed),
            (self._messages, totals.messages),
        ):
            gauge.clear()
            for label, number in found.items():
                gauge.labels(label).set(number)
        self._in_queue.clear()
        self._ran_in_queue.clear()
        for name, queue in counts.queues.items():
            self._in_queue.labels(name, JobState.QUEUED).set(queue.queued)
            self._in_queue.labels(name, JobState.RUNNING).set(queue.running)
            self._ran_in_queue.labels(name).set(queue.run_seconds)
        self._oldest.set(counts.oldest_queued)
        self._waited.set(counts.wait_seconds)
        self._ran.set(counts.run_seconds)
        self._retried.set(totals.retried)
        return generate_latest(self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer, and the time that it took."""
        self._answers.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Observer:
    """Counts and times the answers of an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Record the answers of ``app`` in ``metrics``."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                self._metrics.answered(scope["method"], route, message["status"], time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, send_counted)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, _tenant: Tenant) -> Response:
    """Return the metrics of the service."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/healthz")
async def healthz() -> Health:  # not in a thread: all of them may wait for the database or the pictures
    """Say that the process is there."""
    return Health(status="ok", checks={})


@router.get("/readyz", responses={503: {"model": Health}})
def readyz(request: Request, response: Response) -> Health:
    """Say whether the service can be used: 503 if not; degraded if something is missing that it can do without."""
    parts: Parts = request.app.state.parts
    missing: dict[str, str] = {}
    needed = {"database": _said(_check_database, parts, missing), "pictures": _said(parts.blobs.check)}
    if not any(needed.values()):
        needed["pictures"] = _said(_check_room, parts, missing)
    if any(needed.values()):
        response.status_code = 503
        return Health(status="unavailable", checks={name: said or "ok" for name, said in needed.items()})
    return Health(status="degraded" if missing else "ok", checks={**dict.fromkeys(needed, "ok"), **missing})


def _check_database(parts: Parts, missing: dict[str, str]) -> None:
    parts.upkeep.lead("readiness", "any", 1.0)
    # One worker at a time holds each of these roles.
    for role, what in {"upkeep": "workers", **{role: role for role in parts.queue.roles}}.items():
        if not parts.upkeep.led(role):
            missing[what] = "none is there; jobs wait"


def _check_room(parts: Parts, missing: dict[str, str]) -> None:
    largest = parts.settings.max_size
    try:
        parts.submissions.check_room(largest_file(largest, largest, "tiff", bit_depth=32, alpha=True))
    except QuotaError:
        missing["pictures"] = "there is little room for more; large jobs are refused"


def _said(check: Callable[..., object], *arguments: object) -> str | None:
    try:
        check(*arguments)
    except StorageError as error:
        return str(error)
    return None
