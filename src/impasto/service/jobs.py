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


class Beat(StrEnum):
    """The answer to a worker that renews its lease."""

    GO_ON = "go on"
    CANCEL = "cancel"
    """The job is not wanted any more."""
    LOST = "lost"
    """The lease ran out: somebody else has the job, or nobody needs it."""


class Channel(StrEnum):
    """A way to tell somebody that a job has ended."""

    EMAIL = "email"
    WEBHOOK = "webhook"


def new_id() -> str:
    """Make an id that nobody can guess (74 random bits) and that sorts by time: RFC 9562, version 7."""
    random = int.from_bytes(secrets.token_bytes(10))
    value = (int(time.time() * 1000) << 80) | random
    value = (value & ~(0xF << 76)) | (7 << 76)
    value = (value & ~(0x3 << 62)) | (2 << 62)
    return str(UUID(int=value))


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job as it is submitted."""

    id: str = field(default_factory=new_id)
    tenant: str
    """Whom it belongs to."""
    params: Mapping[str, Any]
    """Engine, styles and options, as JSON values."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Blob keys of the pictures, by what they are: 'content', 'style0', ..."""
    request_sha256: str
    """Of everything that was asked for: what tells a repeated request from another one."""
    idempotency_key: str | None = None
    """The sender's name for the request: sent twice, it makes one job."""
    priority: int = 0
    """From -2 (first) to 2 (last): each step is worth ten minutes of waiting."""
    queue: str = DEFAULT_QUEUE
    """Workers of which queue may take it."""
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
    """How often it was claimed: who finishes it has to know the latest number (the fencing token)."""
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
    """When everything that belongs to it is deleted."""

    @property
    def file_name(self) -> str:
        """The name for saving the result; it ends like the id, as the ends of ids differ between jobs of one minute."""
        form = (self.result_key or "").rpartition(".")[2]
        return f"impasto-{self.id[-8:]}.{'jpg' if form == 'jpeg' else form}"

    @property
    def blobs(self) -> list[str]:
        """Keys of everything that is stored for it."""
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
        """Keys under which attempts may have stored what nobody needs: a worker may be lost before it says so."""
        kinds = [("previews", "jpg"), ("results", self.params.get("format"))]
        attempts = range(1, self.attempt + 1)
        keys = [self._key(kind, attempt, suffix) for kind, suffix in kinds if suffix for attempt in attempts]
        return [key for key in keys if key not in (self.preview_key, self.result_key)]

    def _key(self, kind: str, attempt: int, suffix: str) -> str:
        return f"{kind}/{self.id}/{attempt}.{suffix}"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message about a job that ended, which this process has to send."""

    id: int
    job: Job
    channel: Channel
    destination: str
    attempt: int

    @property
    def identity(self) -> str:
        """The same however often it is sent; another one when the job was tried again and has ended once more."""
        return f"{self.job.id}.{self.job.attempt}.{self.channel}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on the jobs that wait or run at once."""

    backlog: int
    """Queued jobs in all."""
    tenant_backlog: int
    """Queued jobs of one tenant."""
    tenant_running: int
    """Running jobs of one tenant; 0 is as many as there are workers."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Seconds for which things are kept after a job has ended."""

    inputs: float
    results: float
    rows: float = 30 * 24 * 3600.0
    """Of jobs of which nothing but the row is left."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of the job table, for operators."""

    jobs: Mapping[str, int]
    """By state."""
    failed: Mapping[str, int]
    """By error code."""
    messages: Mapping[str, int]
    """By state."""
    oldest_queued: float
    """Seconds that the next job has waited."""
    wait_seconds: float
    """Mean, of the jobs that have ended within the last hour; also below."""
    run_seconds: float
    retried: int
    """Jobs that took more than one attempt."""
