"""What is tried again, how often and when."""

from __future__ import annotations

import pytest

from impasto.errors import DownloadError, ImageReadError, NetworkFileError, OutOfMemoryError, UsageError
from impasto.service.retry import job_delay, may_go_better, message_delay


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 10), (2, 20), (3, 40), (6, 300), (50, 300)])
def test_jobs_wait_longer_each_time(attempt, seconds):
    delays = [job_delay(attempt) for _ in range(200)]
    assert 0.5 * seconds <= min(delays) < 0.7 * seconds and 1.3 * seconds < max(delays) <= 1.5 * seconds


def test_messages_are_sent_eight_times_within_a_day():
    delays = [message_delay(attempt) for attempt in range(1, 9)]
    assert delays[-1] is None and delays[:-1] == sorted(delays[:-1])
    assert 20 * 3600 < sum(delays[:-1]) < 28 * 3600


def test_only_what_may_go_better_is_tried_again():
    assert may_go_better(OutOfMemoryError("full")) and may_go_better(DownloadError("away"))
    assert may_go_better(NetworkFileError("damaged, or too little memory"))
    assert not may_go_better(UsageError("wrong")) and not may_go_better(ImageReadError("broken"))
