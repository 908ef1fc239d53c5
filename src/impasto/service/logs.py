"""Logging, one line per event. Lines about a job carry its id. No line carries a secret, an address or a tenant."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from traceback import format_tb
from typing import TYPE_CHECKING, TextIO

import structlog

from impasto.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.service.settings import LogFormat

about = structlog.contextvars.bound_contextvars
"""Context manager that adds names and values, such as ``job``, to every line logged within it."""

_log = logging.getLogger(__name__)

_MOST_CAUSES = 5
_QUIET = ("alembic", "httpx", "celery", "kombu")


def _places(exc_info: structlog.typing.ExcInfo) -> str:
    """Return the traceback of an exception and of its causes, with their types but without their messages.

    A message may repeat input, such as the address of a recipient.
    """
    parts: list[str] = []
    error: BaseException | None = exc_info[1]
    for _ in range(_MOST_CAUSES):
        if error is None:
            break
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        parts.insert(0, "".join(["Traceback (most recent call last):\n", *format_tb(error.__traceback__), kind]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(parts)


def _write_places(file: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    file.write(f"\n{_places(exc_info)}")


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
        renderer = [structlog.processors.ExceptionRenderer(_places), structlog.processors.JSONRenderer()]
    else:
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=False,
                pad_event_to=0,
                pad_level=False,
                exception_formatter=_write_places,
            )
        ]
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*before, *renderer]))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def log_errors(work: str) -> Iterator[None]:
    """Log any error in this block, described as ``work``, so that it does not end the thread."""
    try:
        yield
    except (StorageError, OSError) as error:
        _log.warning("%s: %s", work, error)
    except Exception:
        _log.exception("%s", work)
