"""How a request becomes a job, whichever route it came by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from email_validator import EmailNotValidError, validate_email

from impasto.service.delivery.webhook import check_url
from impasto.service.jobs import Channel
from impasto.service.web.problems import Problem

if TYPE_CHECKING:
    from fastapi import Request

    from impasto.service.jobs import Job
    from impasto.service.settings import Settings
    from impasto.service.submit import accept


def keep(request: Request, asked: accept.Request) -> tuple[Job, bool]:
    """Keep what was ``asked`` for as a job, and count it; return it and whether it is new. This takes a while."""
    state = request.app.state
    job, is_new = state.acceptance.accept(asked)
    if is_new:
        state.metrics.accepted.labels(asked.engine).inc()
    return job, is_new


def notices(settings: Settings, email: str | None, webhook: str | None = None) -> dict[Channel, str]:
    """Return whom to tell.

    Raises:
        Problem: nothing can be sent there.
    """
    if email is not None:
        if settings.smtp_host is None:
            raise Problem(422, "bad_option", "this service sends no e-mail; leave 'email', and look at the job's path")
        try:
            validate_email(email, check_deliverability=False)
        except EmailNotValidError as error:
            raise Problem(422, "bad_option", f"email is no address: {error}") from error
    if webhook is not None:
        if settings.webhook_secret is None:
            raise Problem(422, "bad_option", "this service sends no webhooks; leave 'webhook', and follow the events")
        check_url(webhook)
    wanted = {Channel.EMAIL: email, Channel.WEBHOOK: webhook}
    return {channel: address for channel, address in wanted.items() if address is not None}
