"""Logging, one line per event. Lines about a job carry its id. No line carries a secret or an address."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from impasto.service.settings import LogFormat

about = structlog.contextvars.bound_contextvars
"""Context manager that adds names and values, such as ``job``, to every line logged within it."""

_QUIET = ("alembic", "httpx", "celery", "kombu")


def set_up(log_format: LogFormat) -> None:
    """Log to standard error, as plain lines ('text') or as JSON ('json')."""
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    ]
    renderer: list[structlog.typing.Processor]
    if log_format == "json":
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=False,
                pad_event_to=0,
                pad_level=False,
                # Other formatters print local variables, which include keys and addresses.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*before, *renderer]))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
