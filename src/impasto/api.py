"""States of jobs and bodies of HTTP answers, shared by the service and its clients."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from impasto.types import StyleKinds

if TYPE_CHECKING:
    from impasto.service.jobs import Job


class JobState(StrEnum):
    """The state of a job. From a terminal state, it can only change to 'expired'."""

    QUEUED = "queued"
    """The job waits for a worker."""
    RUNNING = "running"
    """A worker holds a lease on the job."""
    SUCCEEDED = "succeeded"
    """The result of the job is stored."""
    FAILED = "failed"
    """The job has no result; ``error_code`` says why."""
    CANCELED = "canceled"
    """The owner of the job cancelled it."""
    EXPIRED = "expired"
    """The job had ended, and its data have been deleted."""


OPEN = frozenset({JobState.QUEUED, JobState.RUNNING})
TERMINAL = frozenset(JobState) - OPEN


class ProblemBody(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="'urn:impasto:problem:', followed by the code.")
    title: str
    status: int
    code: str = Field(description="Never changes, while the detail may.")
    detail: str


class JobError(BaseModel):
    """The reason that a job failed."""

    code: str = Field(description="Never changes, while the text may.")
    text: str


class JobBody(BaseModel):
    """A job."""

    id: str
    state: JobState
    engine: str | None
    progress: float = Field(ge=0, le=1)
    position: int | None = Field(description="Number of jobs before this one, at most 1,000; null unless it is queued.")
    seconds_left: float | None = Field(description="An estimate; null unless it is running.")
    attempt: int
    created: float = Field(description="In seconds since 1970, like all times.")
    started: float | None
    finished: float | None
    expires: float | None = Field(description="Time at which everything about the job is deleted.")
    preview: str | None = Field(description="Path of a small picture of the current state.")
    result: str | None = Field(description="Signed path of the result, which can be passed on until it expires.")
    error: JobError | None

    @classmethod
    def of(cls, job: Job, *, position: int | None, now: float, result: str | None, root: str = "") -> JobBody:
        """Describe ``job``; ``root`` is the path of the service, with which all paths begin."""
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
            preview=f"{root}/v1/jobs/{job.id}/preview" if job.preview_key else None,
            result=root + result if result else None,
            error=JobError(code=job.error_code, text=job.error_text or "") if job.error_code else None,
        )


class JobList(BaseModel):
    """Jobs, the latest first."""

    jobs: list[JobBody]
    next: str | None = Field(description="The value of 'before' for the next page; null on the last page.")


class StyleBody(BaseModel):
    """A style of the gallery."""

    name: str
    title: str
    artist: str
    year: str
    license: str
    look: str = Field(description="bold, drawn, soft, pale or dark; empty for a style of an older version.")
    thumbnail: str = Field(description="Path of a small picture in this style.")

    @classmethod
    def of(cls, style: Any, *, root: str = "") -> StyleBody:
        """Describe ``style``; ``root`` is the path of the service, with which all paths begin."""
        return cls(
            name=style.name,
            title=style.title,
            artist=style.artist,
            year=style.year,
            license=style.license,
            look=style.look,
            thumbnail=f"{root}/v1/styles/{style.name}/thumbnail",
        )


class StyleList(BaseModel):
    """The gallery."""

    styles: list[StyleBody]


class EngineBody(BaseModel):
    """An engine."""

    name: str
    summary: str
    available: bool = Field(description="True if the server has everything that the engine needs.")
    styles: StyleKinds = Field(
        description="Styles that it takes: any (names of the gallery, and pictures), or own (that of its network)."
    )
    options: dict[str, Any] = Field(description="JSON schema of its options, which are the other fields of a job.")


class EngineList(BaseModel):
    """All engines, the default first."""

    engines: list[EngineBody]


class Health(BaseModel):
    """The health of the service."""

    status: str = Field(description="ok; degraded, when jobs are accepted but may wait for long; or unavailable.")
    checks: dict[str, str]
