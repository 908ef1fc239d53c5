"""The room that a quota leaves, for stores that can tell what they hold only by listing everything."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from impasto.service.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Callable


class MeasuredRoom:
    """The bytes that are left of a quota: measured now and then, and counted in between."""

    def __init__(self, quota: int, measure: Callable[[], int], *, every: float) -> None:
        """Leave ``quota`` bytes beside those that ``measure()`` finds, called every so many seconds at most."""
        self._quota = quota
        self._measure = measure
        # Stored bytes that a measurement has found are subtracted from what it found, as they are also in ``_stored``.
        self._found = Measured(self._measured, every=every, what="the stored pictures")
        self._stored = 0
        self._lock = Lock()

    def stored(self, size: int) -> None:
        """Count ``size`` bytes that were stored."""
        with self._lock:
            self._stored += size

    def left(self) -> int:
        """Return the bytes that are left.

        Raises:
            StorageError: the store has not been measured yet, or cannot be.
        """
        return max(0, self._quota - self._found.value() - self._stored)

    def _measured(self) -> int:
        before = self._stored  # what is stored during the measurement may be counted twice, but is never left out
        return self._measure() - before
