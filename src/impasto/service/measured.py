"""Values that take long to find, and therefore are found now and then only."""

from __future__ import annotations

import time
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from impasto.service.logs import log_errors

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARE = 50.0
"""Pause between measurements, as a multiple of the time that one takes, so that measuring stays cheap."""

T = TypeVar("T")


class Measured(Generic[T]):
    """A value that is measured again after a while, in a thread of its own. Only the first request waits for it."""

    def __init__(self, measure: Callable[[], T], *, every: float) -> None:
        """Call ``measure`` every so many seconds at most, while somebody asks for the value."""
        self._measure = measure
        self._every = every
        self._found: list[T] = []
        self._again_at = 0.0
        self._measuring = Lock()

    def value(self) -> T:
        """Return the last value.

        Raises:
            StorageError: it cannot be measured, and never was.
        """
        if not self._found:
            with self._measuring:
                if not self._found:
                    self._renew()
        elif time.monotonic() > self._again_at and self._measuring.acquire(blocking=False):
            Thread(target=self._renew_beside, name="measuring", daemon=True).start()
        return self._found[0]

    def _renew_beside(self) -> None:
        try:
            self._again_at = time.monotonic() + self._every  # if it fails
            with log_errors("measuring"):
                self._renew()
        finally:
            self._measuring.release()

    def _renew(self) -> None:
        began = time.monotonic()
        self._found = [self._measure()]
        now = time.monotonic()
        self._again_at = now + max(self._every, _SHARE * (now - began))
