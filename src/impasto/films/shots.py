"""Detection of cuts between the shots of a film."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from impasto.images.scale import resize_pixels

if TYPE_CHECKING:
    from impasto.types import FloatArray

_GRID = (9, 16)
_RECENT = 12
_LEAST = 0.06
"""Mean colour difference in [0, 1] below which a change is not a cut."""
_TIMES = 4.0
"""Minimum change at a cut, as a multiple of the usual change."""


class Shots:
    """Detects the first frame of each shot.

    Frames are compared as mosaics of 16x9 colours. Motion within a shot changes the mosaic gradually, and fast motion
    changes it repeatedly. A cut changes it once, and much more than usual.
    """

    def __init__(self) -> None:
        """Start before the first frame."""
        self._last: FloatArray | None = None
        self._changes: deque[float] = deque(maxlen=_RECENT)

    def begins(self, pixels: FloatArray) -> bool:
        """Return True if the next frame, ``pixels`` (H, W, 3), begins a shot. The first frame does."""
        mosaic = resize_pixels(pixels, *_GRID)
        if self._last is None:
            self._last = mosaic
            return True
        change = float(np.abs(mosaic - self._last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._last = mosaic
        cut = change > max(_LEAST, _TIMES * usual)
        if cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return cut
