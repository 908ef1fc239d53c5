"""The retry policy for jobs and for messages."""

from __future__ import annotations

import random

from impasto.errors import DownloadError, ImpastoError, NetworkFileError, OutOfMemoryError

ATTEMPTS = 3
"""Attempts at a job. A job that its owner retries gets this many further attempts."""
STORAGE_ATTEMPTS = 10
"""Number of the attempt, counting all, at which a job fails for good if the job table or the picture store cannot be
reached.

The last is made after about 25 minutes. Earlier attempts that ended for this reason do not count towards `ATTEMPTS`.
"""
_FIRST_DELAY, _LONGEST_DELAY = 10.0, 300.0
"""Mean delay in seconds before the second attempt at a job, and the largest mean delay. The delay doubles with each
attempt."""
_MOST_JITTER = 1.5
_MESSAGE_DELAYS = (60.0, 300.0, 900.0, 3600.0, 7200.0, 21600.0, 43200.0)
"""Delays in seconds after the first seven of eight attempts to send a message, about a day in all."""

MESSAGE_LEASE = 120.0
"""Lease of a message in seconds, longer than a delivery usually takes."""


def may_go_better(error: ImpastoError) -> bool:
    """Return whether a job that failed with ``error`` may succeed later or on another machine."""
    return isinstance(error, (DownloadError, NetworkFileError, OutOfMemoryError))


def job_delay(attempt: int) -> float:
    """Return the delay in seconds after this ``attempt`` at a job, counted from 1, with random jitter."""
    return _mean_job_delay(attempt) * random.uniform(0.5, _MOST_JITTER)


def message_delay(attempt: int) -> float | None:
    """Return the delay in seconds after this ``attempt`` to send a message, counted from 1; None after the last."""
    return _MESSAGE_DELAYS[attempt - 1] if attempt <= len(_MESSAGE_DELAYS) else None


def _mean_job_delay(attempt: int) -> float:
    return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (attempt - 1))


LONGEST_JOB_DELAYS = (0.0, *(_MOST_JITTER * _mean_job_delay(attempt) for attempt in range(1, STORAGE_ATTEMPTS)))
LONGEST_MESSAGE_DELAYS = (0.0, *_MESSAGE_DELAYS)
"""Longest delay in seconds, by the number of attempts made at a job or a message. The last value holds for any further
attempts."""
