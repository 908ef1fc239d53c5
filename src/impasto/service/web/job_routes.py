"""``/v1/jobs``: submit pictures, follow the progress of jobs, fetch results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, File, Form, Header, Query, Request, Response, UploadFile
from fastapi.sse import EventSourceResponse, ServerSentEvent

from impasto.api import TERMINAL, JobBody, JobList, JobState
from impasto.errors import BlobMissingError
from impasto.images.formats import SUFFIXES
from impasto.options import DEFAULT_ENGINE
from impasto.painting import StyleChoice
from impasto.service.jobs import Job
from impasto.service.web.access import Tenant, known_tenant
from impasto.service.web.pictures import is_known, picture_response
from impasto.service.web.problems import Problem
from impasto.service.web.sending import keep, notices

if TYPE_CHECKING:
    from impasto.service.wiring import Parts

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_KNOWN_FIELDS = {
    "content", "style", "style_image", "mask", "mask_alpha", "weight", "engine", "format", "priority",
    "email", "webhook",
}  # fmt: skip
_SANDBOX = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-store",
}


@router.post("", status_code=202, responses={200: {"model": JobBody, "description": "The same request as before."}})
async def submit(
    request: Request,
    response: Response,
    tenant: Tenant,
    content: Annotated[UploadFile, File(description="The picture to paint.")],
    style: Annotated[list[str], Form(description="Names of styles of the gallery.")] = [],  # noqa: B006 - FastAPI copies
    style_image: Annotated[list[UploadFile], File(description="Pictures to take the style from.")] = [],  # noqa: B006
    mask: Annotated[
        list[UploadFile], File(description="Where each style applies, white, names first; everywhere if missing.")
    ] = [],  # noqa: B006
    mask_alpha: Annotated[bool, Form(description="Let styles apply where the content is not transparent.")] = False,
    weight: Annotated[list[float], Form(description="One for each style, names first; all the same if missing.")] = [],  # noqa: B006
    engine: Annotated[str, Form(description="How to paint.")] = DEFAULT_ENGINE,
    format: Annotated[str | None, Form(description="Of the result, such as png; the content's if missing.")] = None,
    priority: Annotated[int, Form(ge=-2, le=2, description="-2 is first, 2 is last.")] = 0,
    email: Annotated[str | None, Form(description="Where to send the result.")] = None,
    webhook: Annotated[str | None, Form(description="URL to tell when the job has ended.")] = None,
    idempotency_key: Annotated[str | None, Header(max_length=255, description="Sent twice, it makes one job.")] = None,
) -> JobBody:
    """Have a picture painted. All other fields that are not empty are options of the engine, by their names."""
    form = await request.form()
    options = {name: value for name, value in form.items() if name not in _KNOWN_FIELDS and value != ""}
    styles = len(style) + len(style_image)
    if weight and len(weight) != styles:
        raise Problem(422, "bad_option", f"{len(weight)} weights are given for {styles} styles")
    if mask and mask_alpha:
        raise Problem(422, "bad_option", "masks are given as pictures and by transparency; choose one of the two")
    notify = notices(_parts(request).settings, email, webhook)
    images = [await image.read() for image in style_image]
    weights = weight or [1.0] * styles
    keeping = partial(
        _keep,
        request,
        tenant=tenant,
        content=await content.read(),
        names=list(zip(style, weights, strict=False)),
        images=list(zip(images, weights[len(style) :], strict=True)),
        masks=["alpha"] * max(1, styles) if mask_alpha else [await picture.read() for picture in mask],
        engine=engine,
        options=options,
        format=format,
        priority=priority,
        notify=notify,
        idempotency_key=idempotency_key,
    )
    body, is_new = await to_thread.run_sync(keeping)
    if not is_new:
        response.status_code = 200
    response.headers["Location"] = f"{request.scope['root_path']}/v1/jobs/{body.id}"
    return body


@router.get("")
def list_jobs(
    request: Request,
    tenant: Tenant,
    state: JobState | None = None,
    before: str | None = None,
    most: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobList:
    """List one's jobs, the latest first."""
    found = _parts(request).submissions.list(tenant, state=state, before=before, most=most)
    more = found[-1].id if len(found) == most else None
    return JobList(jobs=[body_of(request, job) for job in found], next=more)


@router.get("/{job}")
def get_job(request: Request, tenant: Tenant, job: str) -> JobBody:
    """Say how far a job is."""
    return body_of(request, _job(request, tenant, job))


@router.delete("/{job}", status_code=204)
def delete_job(request: Request, tenant: Tenant, job: str) -> None:
    """Cancel a job if it is not finished, and delete everything about it."""
    if not _parts(request).submissions.erase(job, tenant):
        raise _unknown(job)


@router.post("/{job}/cancel")
def cancel_job(request: Request, tenant: Tenant, job: str) -> JobBody:
    """Cancel a job, and keep what is known about it."""
    found = _parts(request).submissions.cancel(job, tenant)
    if found is None:
        raise _unknown(job)
    return body_of(request, found)


@router.post("/{job}/retry")
def retry_job(request: Request, tenant: Tenant, job: str) -> JobBody:
    """Queue a failed or canceled job again."""
    found = _parts(request).submissions.retry(job, tenant)
    if found is None:
        raise _unknown(job)
    return body_of(request, found)


@router.get("/{job}/preview", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def get_preview(request: Request, tenant: Tenant, job: str) -> Response:
    """Return a small picture of how far a job is."""
    key = _job(request, tenant, job).preview_key
    if key is None:
        raise Problem(404, "no_preview", f"job {job} has no preview now")
    # Workers replace previews under the same key, so it is read as a whole.
    return Response(_parts(request).blobs.get(key), media_type="image/jpeg", headers=_SANDBOX)


@router.get("/{job}/result", response_class=Response, responses={200: {"content": {"image/*": {}}}})
def get_result(request: Request, job: str, until: int | None = None, signature: str | None = None) -> Response:
    """Return the painted picture: to whom the job belongs, or to anybody with a signed link."""
    now = _parts(request).database.time()
    if request.app.state.signer.opens(f"/v1/jobs/{job}/result", until, signature, now=now):
        found = _parts(request).submissions.find(job)
    else:
        found = _parts(request).submissions.find(job, known_tenant(request))
    if found is None:
        raise _unknown(job)
    if found.state is JobState.EXPIRED:
        raise Problem(410, "expired", f"the result of job {job} has been deleted; send the picture again")
    if found.result_key is None:
        raise Problem(409, "not_ready", f"job {job} is {found.state}; it has no result")
    etag = f'"{found.result_sha256}"'
    if is_known(request, etag):
        return Response(status_code=304, headers={**_SANDBOX, "ETag": etag})
    headers = {**_SANDBOX, "Content-Disposition": f'attachment; filename="{found.file_name}"', "ETag": etag}
    form = SUFFIXES[found.result_key.rpartition(".")[2]]
    try:
        return picture_response(
            request,
            _parts(request).blobs,
            request.app.state.verifier,
            found.result_key,
            found.result_sha256 or "",
            f"image/{form}",
            headers,
        )
    except BlobMissingError as error:
        raise Problem(410, "expired", f"the result of job {job} has been deleted") from error


def _watched(request: Request, tenant: Tenant, job: str) -> Job:
    return _job(request, tenant, job)


@router.get("/{job}/events", response_class=EventSourceResponse)
async def get_events(
    request: Request,
    found: Annotated[Job, Depends(_watched)],  # runs early, so that the response can still be an error
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: an event 'job' for every change, until it has ended. The id of an event is the job's revision."""
    with request.app.state.metrics.streams.track_inprogress():
        async with request.app.state.watch.of(found) as changes:
            if last_event_id != str(found.revision):
                yield await to_thread.run_sync(_event, request, found)
            while found.state not in TERMINAL and (changed := await changes.get()) is not None:
                found = changed
                yield await to_thread.run_sync(_event, request, found)


def _event(request: Request, job: Job) -> ServerSentEvent:
    return ServerSentEvent(data=body_of(request, job).model_dump(mode="json"), event="job", id=str(job.revision))


def _keep(
    request: Request, *, names: list[tuple[str, float]], images: list[tuple[bytes, float]], **asked: Any
) -> tuple[JobBody, bool]:
    choices = [StyleChoice(name=name, weight=weight) for name, weight in names]
    job, is_new = keep(request, styles=[*choices, *images], **asked)
    return body_of(request, job), is_new


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _job(request: Request, tenant: str, job: str) -> Job:
    found = _parts(request).submissions.find(job, tenant)
    if found is None:
        raise _unknown(job)
    return found


def _unknown(job: str) -> Problem:
    return Problem(404, "not_found", f"there is no job {job[:64]!r}")


def body_of(request: Request, job: Job) -> JobBody:
    """Convert ``job`` to a body of the API."""
    position = _parts(request).submissions.position(job) if job.state is JobState.QUEUED else None
    result, now = request.app.state.signer.result(job), _parts(request).database.time()
    return JobBody.of(job, position=position, now=now, result=result, root=request.scope["root_path"])
