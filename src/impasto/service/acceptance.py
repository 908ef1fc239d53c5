"""Acceptance of requests. A request that cannot be painted is refused before it is queued."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from impasto.engines.catalog import engine_row
from impasto.errors import (
    BacklogError,
    ConflictError,
    QuotaError,
    RateError,
    RejectedError,
    UnknownNameError,
    UsageError,
)
from impasto.images import fit_size, largest_file
from impasto.options import FILES_OF_A_RUN, PLAIN_NAME, EngineOptions
from impasto.painting import ALPHA, CONTENT
from impasto.runtimes.network_folder import bundled_networks
from impasto.service.checking import Checked, Rejected
from impasto.service.jobs import DEFAULT_QUEUE, PREVIEW_SIDE, Channel, NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.painting import Painting
    from impasto.service.blobs import BlobStore
    from impasto.service.checking import PictureCheck
    from impasto.service.jobs import Job
    from impasto.service.settings import Settings
    from impasto.service.stores.submissions import SQLSubmissions

_STARTS = ("content", "noise", "content+noise", "style")
_NAMED = ("descriptor", "network")
"""Options that accept only names in the service. Elsewhere they may also be files."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for a job."""

    tenant: str
    arrange: Callable[[], tuple[Painting, Mapping[str, bytes]]]
    """Returns the painting and its picture files by key. It is called only if the rate limits allow the request."""
    priority: int = 0
    notify: Mapping[Channel, str] = field(default_factory=dict)
    idempotency_key: str | None = None


class Rates:
    """Rate limits, counted by this process."""

    def __init__(self, per_minute: int, mails_per_hour: int) -> None:
        """Allow ``per_minute`` jobs of one tenant, and ``mails_per_hour`` e-mails to one address."""
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._jobs, self._mails = RateLimitItemPerMinute(per_minute), RateLimitItemPerHour(mails_per_hour)

    def check(self, request: Request) -> None:
        """Count ``request`` against the rate limits.

        Raises:
            RateError: a limit is exceeded.
        """
        if not self._limiter.hit(self._jobs, "jobs", request.tenant):
            raise RateError(f"more than {self._jobs.amount} jobs in a minute; wait a little")
        address = request.notify.get(Channel.EMAIL)
        if address is not None and not self._limiter.hit(self._mails, "mails", address.casefold()):
            raise RateError(f"more than {self._mails.amount} e-mails to one address in an hour; leave 'email'")


class Acceptance:
    """Turns requests into jobs."""

    def __init__(self, submissions: SQLSubmissions, blobs: BlobStore, check: PictureCheck, settings: Settings) -> None:
        """Check pictures with ``check`` and store them in ``blobs``, within the limits of ``settings``.

        Raises:
            UnknownNameError: ``settings`` name an unknown engine.
        """
        for name in settings.engine_queues:
            engine_row(name)
        self._rates = Rates(settings.per_minute, settings.mails_per_hour)
        self._submissions = submissions
        self._blobs = blobs
        self._check = check
        self._settings = settings

    def accept(self, request: Request) -> tuple[Job, bool]:
        """Store ``request`` as a job; return the job and whether it is new. A returned job survives any crash.

        Raises:
            UsageError: the request cannot be painted as it is.
            RejectedError: one of its pictures is rejected.
            ConflictError: another request has its idempotency key.
            BacklogError: too many jobs wait.
            QuotaError: there is no room for its pictures and its result.
            RateError: its tenant exceeds a rate limit.
            StorageError: it cannot be stored.
        """
        self._rates.check(request)
        painting, pictures = request.arrange()
        self._check_options(painting.engine, painting.options)
        self._check_styles(painting)
        if not -2 <= request.priority <= 2:
            raise UsageError(f"priority is {request.priority}; it is from -2, first, to 2, last")
        checked = {key: self._checked(data) for key, data in pictures.items()}
        content, job = checked[CONTENT], self._submissions.new_id()
        largest = max(content.width, content.height)
        if painting.options.size is None and largest > self._settings.max_size:
            raise UsageError(
                f"the picture has {largest} pixels on its long side, and no size is given; at most "
                f"{self._settings.max_size} are painted here"
            )
        if ALPHA in painting.masks and not content.alpha:
            raise UsageError("the content has no transparency that could be its mask; send a picture as mask")
        painting = replace(painting, format=painting.format or content.format)
        params, reserved = painting.as_json(), _reserved(painting, content)
        self._submissions.check_room(sum(map(len, pictures.values())) + reserved)  # before they take it
        inputs = {name: f"inputs/{job}/{name}" for name in pictures}
        for name, data in pictures.items():
            self._blobs.put(inputs[name], data)
        new = NewJob(
            id=job,
            tenant=request.tenant,
            params=params,
            inputs=inputs,
            reserved=reserved,
            request_sha256=_fingerprint(request, params, pictures),
            idempotency_key=request.idempotency_key,
            priority=request.priority,
            queue=self._settings.engine_queues.get(painting.engine, DEFAULT_QUEUE),
            group=" ".join([painting.engine, *painting.options.network_key])[:128],
            notify=request.notify,
        )
        try:
            accepted, is_new = self._submissions.submit(new)
        except (BacklogError, ConflictError, QuotaError):  # after any other error, the job may have been accepted
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
        self._blobs.delete(*inputs.values())

    def _check_options(self, engine: str, options: EngineOptions) -> None:
        for name in sorted(FILES_OF_A_RUN & options.model_fields_set):
            raise UsageError(f"{name} is of the command line; a job leaves its result and previews only")
        for name in _NAMED:
            value = getattr(options, name, None)
            if value is not None and not PLAIN_NAME.fullmatch(value):
                raise UsageError(f"{name} is {value!r}; it has to be a name here, not a file")
        network = getattr(options, "network", None)
        known = bundled_networks(getattr(engine_row(engine).load(), "architecture", "")) if network else ()
        if network and network not in known:
            raise UnknownNameError("network", network, known)
        if options.size is not None and options.size > self._settings.max_size:
            raise UsageError(f"size is {options.size}; at most {self._settings.max_size} pixels are painted here")
        if (start := getattr(options, "init", "content")) not in _STARTS:
            raise UsageError(f"init is {start!r}; here it is one of {', '.join(_STARTS)}")
        if options.expected_steps > self._settings.max_steps:
            raise UsageError(f"steps is {options.expected_steps}; at most {self._settings.max_steps} are done here")

    def _check_styles(self, painting: Painting) -> None:
        if len(painting.styles) > self._settings.max_styles:
            raise UsageError(
                f"{len(painting.styles)} styles are given; at most {self._settings.max_styles} are mixed here"
            )
        painting.check_gallery()


def _reserved(painting: Painting, content: Checked) -> int:
    """Return the largest size in bytes of the result and the preview."""
    width, height = fit_size(content.width, content.height, painting.options.size)
    preview = min(width, PREVIEW_SIDE), min(height, PREVIEW_SIDE)
    return largest_file(
        width, height, painting.format or content.format, bit_depth=content.bit_depth, alpha=content.alpha
    ) + largest_file(*preview, "jpeg", bit_depth=8, alpha=False)


def _fingerprint(request: Request, params: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    shas = {name: hashlib.sha256(data).hexdigest() for name, data in pictures.items()}
    everything = [request.tenant, params, shas, request.priority, dict(request.notify)]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
