"""The room that a quota leaves, for stores that can tell what they hold only by listing everything."""

from __future__ import annotations

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
        self._used = Measured(self._measured, every=every)
        self._stored = 0

    def stored(self, size: int) -> None:
        """Count ``size`` bytes that were stored."""
        self._stored += size

    def left(self) -> int:
        """Return the bytes that are left.

        Raises:
            StorageError: the store cannot be reached, and was never measured.
        """
        return max(0, self._quota - self._used.value() - self._stored)

    def _measured(self) -> int:
        used, self._stored = self._measure(), 0
        return used
