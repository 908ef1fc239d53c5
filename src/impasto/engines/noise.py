"""The noise input of networks. Its value at a position does not depend on the division into tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from impasto.types import FloatArray

_BLOCK = 128
_MANY = 1 << 30
"""Offset of block indices. Without it, seeds would be negative before the first row and column."""
_PERIOD = 256
"""Period of the noise in positions, which is 2,048 pixels of the picture."""


class Noise:
    """A repeating field of random numbers with mean 0 and variance 1, from which the engine 'fast' makes strokes."""

    def __init__(self, channels: int, seed: int) -> None:
        """Draw the field from ``seed``."""
        random = np.random.default_rng(seed)
        self._field: FloatArray = random.standard_normal((channels, _PERIOD, _PERIOD), dtype=np.float32)

    def part(self, top: int, left: int, rows: int, columns: int) -> FloatArray:
        """Return the part (1, channels, rows, columns) that begins at row ``top`` and column ``left``."""
        down = np.arange(top, top + rows) % _PERIOD
        across = np.arange(left, left + columns) % _PERIOD
        return np.ascontiguousarray(self._field[:, down[:, None], across])[None]


class UniformNoise:
    """An endless field of random numbers in [0, 1], the input of texture networks.

    It repeats only with a ``period`` in rows and columns. Textures made from it are then seamless.
    """

    def __init__(self, channels: int, seed: int, period: tuple[int, int] | None = None) -> None:
        """Define the field for ``seed``. Numbers are drawn on request."""
        self._channels = channels
        self._seed = seed
        self._period = period

    def part(self, top: int, left: int, rows: int, columns: int) -> FloatArray:
        """Return the part (1, channels, rows, columns) that begins at row ``top`` and column ``left``."""
        down, across = np.arange(top, top + rows), np.arange(left, left + columns)
        if self._period:
            down, across = down % self._period[0], across % self._period[1]
        result = np.empty((self._channels, rows, columns), np.float32)
        for block_row in np.unique(down // _BLOCK):
            for block_column in np.unique(across // _BLOCK):
                inside_rows = np.flatnonzero(down // _BLOCK == block_row)
                inside_columns = np.flatnonzero(across // _BLOCK == block_column)
                random = np.random.default_rng((self._seed, block_row + _MANY, block_column + _MANY))
                block = random.random((self._channels, _BLOCK, _BLOCK), dtype=np.float32)
                picked = block[:, (down[inside_rows] % _BLOCK)[:, None], across[inside_columns] % _BLOCK]
                result[:, inside_rows[:, None], inside_columns] = picked
        return result[None]
