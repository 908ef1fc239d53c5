"""The noise that the transformer network makes irregular strokes of: the same at a place, whichever tile it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from impasto.types import FloatArray

NOISE_CHANNELS = 8
"""`impasto.networks.conditional.NOISE_CHANNELS`, without PyTorch."""
_PERIOD = 256
"""Positions after which it repeats itself: every 2,048 pixels of the picture."""


class Noise:
    """An endless field of random numbers of mean 0 and variance 1."""

    def __init__(self, seed: int) -> None:
        """Draw the field of ``seed``."""
        random = np.random.default_rng(seed)
        self._field: FloatArray = random.standard_normal((NOISE_CHANNELS, _PERIOD, _PERIOD), dtype=np.float32)

    def part(self, top: int, left: int, rows: int, columns: int) -> FloatArray:
        """Return the part (1, NOISE_CHANNELS, rows, columns) that begins at row ``top`` and column ``left``."""
        down = np.arange(top, top + rows) % _PERIOD
        across = np.arange(left, left + columns) % _PERIOD
        return np.ascontiguousarray(self._field[:, down[:, None], across])[None]
