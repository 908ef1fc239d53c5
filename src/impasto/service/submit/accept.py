"""Whether a request can become a job is said now, not after it has waited."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from impasto.engines.base import check_masks
from impasto.engines.catalog import ENGINES, OPTIONS, engine_row, parse_options
from impasto.errors import (
    BacklogError,
    ConflictError,
    QuotaError,
    RateError,
    RejectedError,
    UnknownNameError,
    UsageError,
)
from impasto.gallery import StyleCatalog
from impasto.images.encoding import SUFFIXES
from impasto.options import (
    DEFAULT_ENGINE,
    FILES_OF_A_RUN,
    PLAIN_NAME,
    EngineOptions,
)
from impasto.service.jobs import DEFAULT_QUEUE, Channel, NewJob, new_id
from impasto.service.submit.checking import Checked, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from impasto.service.jobs import Job
    from impasto.service.ports import BlobStore, Submissions
    from impasto.service.settings import Settings
    from impasto.service.submit.checking import PictureCheck

ROOM_FOR_A_JOB = 256 << 20
"""Bytes, of its pictures and its result."""
_STARTS = ("content", "noise", "content+noise", "style")
_NAMED = ("descriptor", "network")
"""Options that elsewhere may also be files: here they are names only."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody wants to have painted."""

    tenant: str
    content: bytes
    engine: str = DEFAULT_ENGINE
    styles: Sequence[tuple[str | bytes, float]] = ()
    """Names of the gallery or picture files, each with its weight."""
    masks: Sequence[bytes | Literal["alpha"]] = ()
    """One for each style, or none: picture files, or what is not transparent in the content."""
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str | None = None
    """Of the result, such as 'png'; None is the content's."""
    priority: int = 0
    notify: Mapping[Channel, str] = field(default_factory=dict)
    idempotency_key: str | None = None


class Rates:
    """How often one may ask, counted by this process."""

    def __init__(self, per_minute: int, mails_per_hour: int) -> None:
        """Allow so many jobs of one tenant, and so many e-mails to one address."""
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._jobs, self._mails = RateLimitItemPerMinute(per_minute), RateLimitItemPerHour(mails_per_hour)

    def check(self, request: Request) -> None:
        """Count ``request``.

        Raises:
            RateError: it is one too many.
        """
        if not self._limiter.hit(self._jobs, "jobs", request.tenant):
            raise RateError(f"more than {self._jobs.amount} jobs in a minute; wait a little")
        address = request.notify.get(Channel.EMAIL)
        if address is not None and not self._limiter.hit(self._mails, "mails", address.casefold()):
            raise RateError(f"more than {self._mails.amount} e-mails to one address in an hour; leave 'email'")


class Acceptance:
    """Turns requests into jobs."""

    def __init__(self, submissions: Submissions, blobs: BlobStore, check: PictureCheck, settings: Settings) -> None:
        """Check pictures with ``check``, and keep them in ``blobs``; take what ``settings`` allow.

        Raises:
            UnknownNameError: ``settings`` name an engine that there is not.
        """
        for name in settings.engine_queues:
            engine_row(name)
        self._rates = Rates(settings.per_minute, settings.mails_per_hour)
        self._submissions = submissions
        self._blobs = blobs
        self._check = check
        self._settings = settings

    def accept(self, request: Request) -> tuple[Job, bool]:
        """Keep ``request`` as a job; return it and whether it is new. When this returns, it survives any crash.

        Raises:
            UsageError: it cannot be painted as it is.
            RejectedError: one of its pictures is not taken.
            ConflictError: another request has its idempotency key.
            BacklogError: too many jobs wait.
            QuotaError: there is no room for its pictures.
            RateError: its sender asks too often.
            StorageError: it cannot be kept.
        """
        self._rates.check(request)
        if self._blobs.room() < ROOM_FOR_A_JOB:
            raise QuotaError("there is no room for more pictures; try again when older ones are deleted")
        options = self._options(request)
        job, pictures = new_id(), {"content": request.content}
        styles: list[dict[str, object]] = []
        for index, (source, weight) in enumerate(self._styles(request)):
            if isinstance(source, bytes):
                pictures[f"style{index}"] = source
                styles.append({"input": f"style{index}", "weight": weight})
            else:
                styles.append({"name": source, "weight": weight})
        check_masks(len(request.masks), len(styles))
        masks = ["alpha" if mask == "alpha" else f"mask{index}" for index, mask in enumerate(request.masks)]
        pictures |= {name: mask for name, mask in zip(masks, request.masks, strict=True) if isinstance(mask, bytes)}
        checked = {name: self._checked(data) for name, data in pictures.items()}
        largest = max(checked["content"].width, checked["content"].height)
        if options.size is None and largest > self._settings.max_size:
            raise UsageError(
                f"the picture has {largest} pixels on its long side, and no size is given; at most "
                f"{self._settings.max_size} are painted here"
            )
        if "alpha" in masks and not checked["content"].alpha:
            raise UsageError("the content has no transparency that could be its mask; send a picture as mask")
        params = {
            "engine": request.engine,
            "options": options.model_dump(mode="json", exclude_unset=True),
            "styles": styles,
            "masks": masks,
            "format": request.format or checked["content"].format,
        }
        inputs = {name: f"inputs/{job}/{name}" for name in pictures}
        for name, data in pictures.items():
            self._blobs.put(inputs[name], data)
        new = NewJob(
            id=job,
            tenant=request.tenant,
            params=params,
            inputs=inputs,
            request_sha256=_fingerprint(request, params, pictures),
            idempotency_key=request.idempotency_key,
            priority=request.priority,
            queue=self._settings.engine_queues.get(request.engine, DEFAULT_QUEUE),
            group=" ".join([request.engine, *options.network_key])[:128],
            notify=request.notify,
        )
        try:
            accepted, is_new = self._submissions.submit(new)
        except (BacklogError, ConflictError):  # after any other error, it may have been accepted all the same
            self._drop(inputs)
            raise
        if not is_new:
            self._drop(inputs)
        return accepted, is_new

    def _checked(self, data: bytes) -> Checked:
        answer = self._check.check(data)
        if isinstance(answer, Rejected):
            raise RejectedError(answer.code, answer.text)
        return answer

    def _drop(self, inputs: Mapping[str, str]) -> None:
        for key in inputs.values():
            self._blobs.delete(key)

    def _options(self, request: Request) -> EngineOptions:
        if request.format is not None and request.format not in SUFFIXES:
            raise UnknownNameError("format", request.format, SUFFIXES)
        if not -2 <= request.priority <= 2:
            raise UsageError(f"priority is {request.priority}; it is from -2, first, to 2, last")
        for name in sorted(FILES_OF_A_RUN.intersection(request.options)):
            raise UsageError(f"{name} is of the command line; a job leaves its result and previews only")
        options = parse_options(request.engine, request.options, OPTIONS)
        for name in _NAMED:
            value = getattr(options, name, None)
            if value is not None and not PLAIN_NAME.fullmatch(value):
                raise UsageError(f"{name} is {value!r}; it has to be a name here, not a file")
        if options.size is not None and options.size > self._settings.max_size:
            raise UsageError(f"size is {options.size}; at most {self._settings.max_size} pixels are painted here")
        if (start := getattr(options, "init", "content")) not in _STARTS:
            raise UsageError(f"init is {start!r}; here it is one of {', '.join(_STARTS)}")
        if options.expected_steps > self._settings.max_steps:
            raise UsageError(f"steps is {options.expected_steps}; at most {self._settings.max_steps} are done here")
        return options

    def _styles(self, request: Request) -> Sequence[tuple[str | bytes, float]]:
        row = ENGINES[request.engine]
        if row.styles == "own":
            if request.styles:
                raise UsageError(f"a network of engine {request.engine!r} has one style of its own; name none")
        elif not request.styles:
            raise UsageError("no style is given; name one of the gallery, or send a picture")
        if len(request.styles) > self._settings.max_styles:
            raise UsageError(
                f"{len(request.styles)} styles are given; at most {self._settings.max_styles} are mixed here"
            )
        catalog = StyleCatalog()
        for source, weight in request.styles:
            if not 0 < weight < float("inf"):
                raise UsageError(f"style weight is {weight:g}; it must be positive")
            if isinstance(source, str):
                style = catalog.get(source)
                if not (style.image or row.codes):
                    raise UsageError(
                        f"style {source!r} is only a code for engine 'fast'; engine {request.engine!r} needs a picture"
                    )
        return request.styles


def _fingerprint(request: Request, params: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    shas = {name: hashlib.sha256(data).hexdigest() for name, data in pictures.items()}
    everything = [request.tenant, params, shas, request.priority, dict(request.notify)]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
