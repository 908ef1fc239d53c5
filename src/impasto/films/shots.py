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
"""Mean difference of colours, in [0, 1], below which nothing is a cut."""
_TIMES = 4.0
"""How many times as much as usual a cut changes."""


class Shots:
    """Says of each frame whether it begins a shot.

    Frames are compared as mosaics of 16x9 colours: what moves within a shot changes them little by little, and fast
    movement changes them again and again; a cut changes them once, and much more than usual.
    """

    def __init__(self) -> None:
        """Begin with no frame."""
        self._last: FloatArray | None = None
        self._changes: deque[float] = deque(maxlen=_RECENT)

    def begins(self, pixels: FloatArray) -> bool:
        """Say whether the next frame, ``pixels`` (H, W, 3), begins a shot; the first one does."""
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
