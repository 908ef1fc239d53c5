"""The room that a quota leaves, for stores that can tell what they hold only by listing everything."""

from __future__ import annotations

import time
from threading import Lock, Thread
from typing import TYPE_CHECKING

from impasto.service.logs import log_errors

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARE = 50.0
"""Pause between measurements, as a multiple of the time that one takes, so that measuring many pictures stays cheap."""


class MeasuredRoom:
    """The bytes that are left of a quota: measured now and then, and counted in between."""

    def __init__(self, quota: int, measure: Callable[[], int], *, every: float) -> None:
        """Leave ``quota`` bytes beside those that ``measure()`` finds, which is called every so many seconds at most.

        It is called in a thread of its own, except for the first time.
        """
        self._quota = quota
        self._measure = measure
        self._every = every
        self._left, self._measure_at = 0, float("-inf")
        self._measuring = Lock()

    def stored(self, size: int) -> None:
        """Count ``size`` bytes that were stored."""
        self._left -= size

    def left(self) -> int:
        """Return the bytes that are left.

        Raises:
            StorageError: the store cannot be reached, and was never measured.
        """
        if self._measure_at == float("-inf"):
            with self._measuring:
                if self._measure_at == float("-inf"):
                    self._renew()
        elif time.monotonic() > self._measure_at and self._measuring.acquire(blocking=False):
            Thread(target=self._renew_beside, name="measuring", daemon=True).start()
        return max(0, self._left)

    def _renew_beside(self) -> None:
        try:
            self._measure_at = time.monotonic() + self._every  # if it fails
            with log_errors("measuring"):
                self._renew()
        finally:
            self._measuring.release()

    def _renew(self) -> None:
        began = time.monotonic()
        self._left = self._quota - self._measure()
        now = time.monotonic()
        self._measure_at = now + max(self._every, _SHARE * (now - began))
