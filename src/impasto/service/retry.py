"""The retry policy for jobs and for messages."""

from __future__ import annotations

import random

from impasto.errors import DownloadError, ImpastoError, OutOfMemoryError

ATTEMPTS = 3
"""Attempts at a job. A retry by its owner allows as many again."""
STORAGE_ATTEMPTS = 10
"""Attempts at a job while the job table or the store of pictures cannot be reached, over about 25 minutes.

Only from this one on is the job given up for it; before, such attempts do not count.
"""
_FIRST_DELAY, _LONGEST_DELAY = 10.0, 300.0
"""Seconds before the second attempt at a job, doubled for each further attempt, and their maximum."""
_MESSAGE_DELAYS = (60.0, 300.0, 900.0, 3600.0, 7200.0, 21600.0, 43200.0)
"""Seconds before each further attempt at a message: eight attempts in about a day."""


def may_go_better(error: ImpastoError) -> bool:
    """Return whether a job that failed with ``error`` may succeed later or on another machine."""
    return isinstance(error, (DownloadError, OutOfMemoryError))


def job_delay(attempt: int) -> float:
    """Return the seconds to wait after this ``attempt`` at a job, counted from 1, with random jitter."""
    return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.5)


def message_delay(attempt: int) -> float | None:
    """Return the seconds to wait after this ``attempt`` at a message, counted from 1; None after the last."""
    return _MESSAGE_DELAYS[attempt - 1] if attempt <= len(_MESSAGE_DELAYS) else None


def delay_without_sender(attempt: int) -> float | None:
    """Return the same delay for a channel that is not set up. It allows one retry, many hours later."""
    return _MESSAGE_DELAYS[-1] if attempt < 2 else None
