"""States of jobs and bodies of HTTP answers, shared by the service and its clients."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from impasto.types import StyleKinds

if TYPE_CHECKING:
    from impasto.service.jobs import Job


class JobState(StrEnum):
    """The state of a job; from a terminal state it only goes on to 'expired'."""

    QUEUED = "queued"
    """It waits for a worker."""
    RUNNING = "running"
    """A worker holds it by a lease."""
    SUCCEEDED = "succeeded"
    """Its result is stored."""
    FAILED = "failed"
    """It has no result; ``error_code`` says why."""
    CANCELED = "canceled"
    """Its owner cancelled it."""
    EXPIRED = "expired"
    """It was finished, and its data have been deleted."""


OPEN = frozenset({JobState.QUEUED, JobState.RUNNING})
TERMINAL = frozenset(JobState) - OPEN


class ProblemBody(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="urn:impasto:problem: and the code.")
    title: str
    status: int
    code: str = Field(description="Stable; the detail may change.")
    detail: str


class JobError(BaseModel):
    """Why a job failed."""

    code: str = Field(description="Stable; the text may change.")
    text: str


class JobBody(BaseModel):
    """A job."""

    id: str
    state: JobState
    engine: str | None
    progress: float = Field(ge=0, le=1)
    position: int | None = Field(
        description="How many jobs are taken before this one, at most 1,000; null unless it is queued."
    )
    seconds_left: float | None = Field(description="An estimate; null unless it is running.")
    attempt: int
    created: float = Field(description="In seconds since 1970, like all times.")
    started: float | None
    finished: float | None
    expires: float | None = Field(description="When everything about the job is deleted.")
    preview: str | None = Field(description="Path of a small picture of how far it is.")
    result: str | None = Field(description="Path of the result; signed, so that it can be passed on until it expires.")
    error: JobError | None

    @classmethod
    def of(cls, job: Job, *, position: int | None, now: float, result: str | None) -> JobBody:
        """Describe ``job``."""
        left = None
        if job.state is JobState.RUNNING and job.started and job.progress > 0:
            left = max(0.0, (now - job.started) * (1 / job.progress - 1))
        return cls(
            id=job.id,
            state=job.state,
            engine=job.params.get("engine"),
            progress=job.progress,
            position=position,
            seconds_left=left,
            attempt=job.attempt,
            created=job.created,
            started=job.started,
            finished=job.finished,
            expires=job.expires,
            preview=f"/v1/jobs/{job.id}/preview" if job.preview_key else None,
            result=result,
            error=JobError(code=job.error_code, text=job.error_text or "") if job.error_code else None,
        )


class JobList(BaseModel):
    """Jobs, the latest first."""

    jobs: list[JobBody]
    next: str | None = Field(description="Give this as 'before' to get the next page; null at the end.")


class StyleBody(BaseModel):
    """A style of the gallery."""

    name: str
    title: str
    artist: str
    year: str
    license: str
    thumbnail: str = Field(description="Path of its swatch.")

    @classmethod
    def of(cls, style: Any) -> StyleBody:
        """Describe ``style``."""
        return cls(
            name=style.name,
            title=style.title,
            artist=style.artist,
            year=style.year,
            license=style.license,
            thumbnail=f"/v1/styles/{style.name}/thumbnail",
        )


class StyleList(BaseModel):
    """The gallery."""

    styles: list[StyleBody]


class EngineBody(BaseModel):
    """A way to paint."""

    name: str
    summary: str
    available: bool = Field(description="Whether the server has what it needs.")
    styles: StyleKinds = Field(
        description="Which it takes: any, names of the gallery and pictures; or own, none but that of its network."
    )
    options: dict[str, Any] = Field(description="JSON schema of its options, the other fields of a job.")


class EngineList(BaseModel):
    """All ways to paint, the default first."""

    engines: list[EngineBody]


class Health(BaseModel):
    """The health of the service."""

    status: str = Field(description="ok; degraded: jobs are taken and may wait for long; or unavailable.")
    checks: dict[str, str]
