"""A cached value that is measured again in the background."""

from __future__ import annotations

import time
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from impasto.errors import StorageError
from impasto.service.logs import log_errors

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARE = 50.0
"""Pause between measurements, as a multiple of the time that one takes, so that measuring stays cheap."""
_LONGEST_PAUSE = 600.0
"""Longest pause in seconds. One that is shorter than the measurement before is made as long."""
_FIRST_WITHIN = 5.0
"""Seconds from the beginning of a measurement for which callers wait while there is no value yet."""

T = TypeVar("T")


class Measured(Generic[T]):
    """A value that is measured again after a while, in a thread of its own, while somebody asks for it."""

    def __init__(self, measure: Callable[[], T], *, every: float, what: str) -> None:
        """Call ``measure`` every so many seconds at most; messages name ``what`` is counted."""
        self._measure = measure
        self._every = every
        self._what = what
        self._found: list[T] = []
        self._failed: StorageError | None = None
        self._began = 0.0
        self._again_at = float("-inf")
        self._lock = Lock()
        self._ended = Event()
        self._ended.set()

    def value(self) -> T:
        """Return the last value. While there is none, wait for the first measurement for a few seconds.

        Raises:
            StorageError: there is no value yet: the first measurement has not ended, or has failed.
        """
        with self._lock:
            if self._ended.is_set() and time.monotonic() > self._again_at:
                self._ended = Event()
                self._failed, self._began = None, time.monotonic()
                Thread(target=self._renew, args=(self._ended,), name="measuring", daemon=True).start()
            ended, began = self._ended, self._began
        if not self._found:
            ended.wait(max(0.0, began + _FIRST_WITHIN - time.monotonic()))
        if self._found:
            return self._found[0]
        if self._failed is not None:
            raise StorageError(str(self._failed)) from self._failed
        raise StorageError(f"{self._what} are not counted yet; try again")

    def _renew(self, ended: Event) -> None:
        try:
            with log_errors("measuring"):
                self._measure_now()
        finally:
            ended.set()

    def _measure_now(self) -> None:
        if self._found:
            self._again_at = self._began + self._every  # if it fails
        try:
            self._found = [self._measure()]
        except StorageError as error:
            self._failed = error
            raise
        now = time.monotonic()
        took = now - self._began
        self._again_at = now + max(self._every, took, min(_SHARE * took, _LONGEST_PAUSE))
