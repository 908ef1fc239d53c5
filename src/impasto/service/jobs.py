"""The record of a job."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.api import JobState

DEFAULT_QUEUE = "cpu"
PREVIEW_SIDE = 640
"""Largest width and height of a preview in pixels."""


class Beat(StrEnum):
    """The answer to a worker that renews its lease."""

    GO_ON = "go on"
    CANCEL = "cancel"
    """Cancellation of the job was requested."""
    LOST = "lost"
    """The lease ran out: another worker has the job, or it is no longer needed."""


class Channel(StrEnum):
    """A way to tell somebody that a job has ended."""

    EMAIL = "email"
    WEBHOOK = "webhook"


def new_id(now: float | None = None) -> str:
    """Make a UUID of version 7 (RFC 9562). Ids sort by time, and their 74 random bits cannot be guessed.

    ``now`` is the time in seconds since 1970; that of this machine's clock if it is None.
    """
    random = int.from_bytes(secrets.token_bytes(10))
    value = (int((time.time() if now is None else now) * 1000) << 80) | random
    value = (value & ~(0xF << 76)) | (7 << 76)
    value = (value & ~(0x3 << 62)) | (2 << 62)
    return str(UUID(int=value))


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job as it is submitted."""

    id: str = field(default_factory=new_id)
    tenant: str
    """Owner of the job."""
    params: Mapping[str, Any]
    """Engine, styles and options, as JSON values."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Blob keys of the pictures, by role: 'content', 'style0', ..."""
    reserved: int = 0
    """Largest size in bytes of the result and the preview together. It counts as used until the job has ended."""
    request_sha256: str
    """Hash of the whole request, to tell a repeated request from a different one."""
    idempotency_key: str | None = None
    """Idempotency key from the client: requests with the same key make one job."""
    priority: int = 0
    """From -2 (first) to 2 (last): each step is worth ten minutes of waiting."""
    queue: str = DEFAULT_QUEUE
    """Queue whose workers may take the job."""
    group: str = ""
    """Jobs of one group need the same networks in memory."""
    notify: Mapping[Channel, str] = field(default_factory=dict)
    """Address or URL to tell when the job has ended, by channel."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of the job table. Times are seconds since 1970."""

    id: str
    tenant: str
    state: JobState
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    queue: str
    group: str
    priority: int
    attempt: int
    """Number of claims so far. It is the fencing token: only the worker with the latest number may finish the job."""
    max_attempts: int
    not_before: float
    owner: str | None
    lease_until: float | None
    cancel_requested: bool
    progress: float
    """From 0 to 1."""
    revision: int
    """Rises with every change that a watcher can see."""
    preview_key: str | None
    result_key: str | None
    result_sha256: str | None
    error_code: str | None
    error_text: str | None
    created: float
    started: float | None
    finished: float | None
    expires: float | None
    """Time at which everything that belongs to the job is deleted."""

    @property
    def file_name(self) -> str:
        """File name for saving the result. It contains the end of the id, because ids of one minute begin alike."""
        form = (self.result_key or "").rpartition(".")[2]
        return f"impasto-{self.id[-8:]}.{'jpg' if form == 'jpeg' else form}"

    @property
    def blobs(self) -> list[str]:
        """Keys of all blobs that are stored for the job."""
        return [key for key in (*self.inputs.values(), self.preview_key, self.result_key) if key]

    @property
    def own_preview_key(self) -> str:
        """The key for the preview of this attempt."""
        return self._key("previews", self.attempt, "jpg")

    @property
    def own_result_key(self) -> str:
        """The key for the result of this attempt."""
        return self._key("results", self.attempt, self.params["format"])

    @property
    def leftovers(self) -> list[str]:
        """Keys of previews and results that attempts may have stored, but that the job does not refer to.

        A worker may store such a blob and be lost before it reports the key.
        """
        kinds = [("previews", "jpg"), ("results", self.params.get("format"))]
        attempts = range(1, self.attempt + 1)
        keys = [self._key(kind, attempt, suffix) for kind, suffix in kinds if suffix for attempt in attempts]
        return [key for key in keys if key not in (self.preview_key, self.result_key)]

    def _key(self, kind: str, attempt: int, suffix: str) -> str:
        return f"{kind}/{self.id}/{attempt}.{suffix}"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that this process has to send, about a job that has ended."""

    id: int
    job: Job
    channel: Channel
    destination: str
    attempt: int
    begun: float
    """Start time of the attempt by the clock of the database, as the clock of this machine may be wrong."""

    @property
    def identity(self) -> str:
        """Id of the message, the same in every attempt to send it. A message about a retried job gets another id."""
        return f"{self.job.id}.{self.job.attempt}.{self.channel}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on the jobs that wait or run at once."""

    backlog: int
    """Queued jobs in all."""
    tenant_backlog: int
    """Queued jobs of one tenant."""
    tenant_running: int
    """Running jobs of one tenant; 0 means no limit."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Retention times in seconds after the end of a job."""

    inputs: float
    results: float
    rows: float = 30 * 24 * 3600.0
    """Rows of jobs that have expired."""


@dataclass(frozen=True, kw_only=True)
class QueueCounts:
    """Counts of the jobs of one queue."""

    queued: int = 0
    running: int = 0
    run_seconds: float = 0.0
    """Mean running time of the jobs that succeeded or failed within the last hour."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of the open jobs and of the last hour's, for operators."""

    oldest_queued: float
    """Seconds that the oldest queued job has waited."""
    wait_seconds: float
    """Mean waiting time of the jobs that succeeded or failed within the last hour."""
    run_seconds: float
    """Mean running time of the same jobs."""
    queues: Mapping[str, QueueCounts]
    """By name, of the queues with open jobs or jobs that ended within the last hour."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts of the whole job table, for operators."""

    jobs: Mapping[str, int]
    """Jobs that have ended, by state."""
    failed: Mapping[str, int]
    """By error code."""
    messages: Mapping[str, int]
    """By state."""
    retried: int
    """Jobs that took more than one attempt."""
