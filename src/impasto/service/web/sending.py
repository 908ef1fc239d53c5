"""Submission of jobs, for all routes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from email_validator import EmailNotValidError, validate_email

from impasto.engines.catalog import OPTIONS, parse_options
from impasto.options import DEFAULT_ENGINE
from impasto.painting import CONTENT, arrange
from impasto.service import acceptance
from impasto.service.delivery.webhook import check_url
from impasto.service.jobs import Channel
from impasto.service.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import Request

    from impasto.painting import Painting, StyleChoice
    from impasto.service.jobs import Job
    from impasto.service.settings import Settings


def keep(
    request: Request,
    *,
    tenant: str,
    content: bytes,
    styles: Sequence[StyleChoice | tuple[bytes, float]],
    masks: Sequence[bytes | Literal["alpha"]] = (),
    engine: str = DEFAULT_ENGINE,
    options: Mapping[str, Any] = MappingProxyType({}),
    format: str | None = None,
    priority: int = 0,
    notify: Mapping[Channel, str],
    idempotency_key: str | None = None,
) -> tuple[Job, bool]:
    """Store a request as a job, and count a new job in the metrics; return the job and whether it is new. Blocks, so
    call it in a thread.

    Raises:
        ImpastoError: the request is not accepted; see `impasto.service.acceptance.Acceptance.accept`.
    """
    state = request.app.state

    def arranged() -> tuple[Painting, Mapping[str, bytes]]:
        chosen = parse_options(engine, options, OPTIONS)
        painting, pictures = arrange(engine, chosen, styles, masks, _suffix(format))
        return painting, {CONTENT: content, **pictures}

    asked = acceptance.Request(
        tenant=tenant,
        arrange=arranged,
        priority=priority,
        notify=notify,
        idempotency_key=idempotency_key,
    )
    job, is_new = state.acceptance.accept(asked)
    if is_new:
        state.metrics.accepted.labels(engine).inc()
    return job, is_new


def _suffix(format: str | None) -> str | None:
    """Return a format as a suffix: 'jpg' for 'JPG', '.jpg' and 'image/jpg'."""
    return None if format is None else format.strip().lower().removeprefix("image/").removeprefix(".")


def notices(settings: Settings, email: str | None, webhook: str | None = None) -> dict[Channel, str]:
    """Return the addresses to notify, by channel.

    Raises:
        Problem: messages cannot be sent to ``email``, or this service sends no webhooks.
        UsageError: ``webhook`` is not a valid address.
    """
    if email is not None:
        if settings.smtp_host is None:
            raise Problem(422, "bad_option", "this service sends no e-mail; leave 'email', and look at the job's path")
        try:
            valid = validate_email(email, check_deliverability=False)
        except EmailNotValidError as error:
            raise Problem(422, "bad_option", f"email is not an address: {error}") from error
        if valid.ascii_email is None:  # few mail servers take such an address
            raise Problem(422, "bad_option", "email may have letters beyond ASCII only after the @")
        email = valid.ascii_email
    if webhook is not None:
        if settings.webhook_secret is None:
            raise Problem(422, "bad_option", "this service sends no webhooks; leave 'webhook', and follow the events")
        check_url(webhook, plain=settings.webhook_private)
    wanted = {Channel.EMAIL: email, Channel.WEBHOOK: webhook}
    return {channel: address for channel, address in wanted.items() if address is not None}
