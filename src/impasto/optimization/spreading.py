"""A smoothing of gradients that lets pixels move together with their surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from impasto.types import FloatArray

_SCALES = 5
_COARSER = 1.5 / 4
"""Each scale counts 1.5 times as much as the finer one: with 1 the losses fall more slowly, with 2 and more, what is
fine is left behind when the start is noise. Averages of 2x2 pixels are a quarter of their sums."""
_CACHE_LINE = 16
"""Numbers."""


def spread_over_scales(plane: FloatArray, scales: int = _SCALES) -> FloatArray:
    """Add to ``plane`` (H, W) its own averages over 2x2, 4x4, ... pixels: linear, symmetric and positive.

    Style is matched by shifting whole areas; with plain gradients, each pixel is moved as if alone.

    Returns:
        A new array, unless there is one scale only.
    """
    if scales == 1:
        return plane
    height, width = plane.shape
    # Rows are much faster to add than columns. What is coarse stays transposed: its averages are so, too.
    coarse = _halved(_transposed(_halved(plane)))
    coarse *= _COARSER / 4**4  # both of `_halved`, and both of `_doubled`
    wide = _doubled(spread_over_scales(coarse, scales - 1), width)
    spread = _doubled(_transposed(wide), height)
    spread += plane
    return spread


def _halved(x: FloatArray) -> FloatArray:
    """Add up pairs of rows of ``x`` (H, W) with the weights of `_doubled`, of which it is the transpose."""
    even, odd = x[0::2], x[1::2]
    pairs = len(odd)
    y = 3 * even
    y[:pairs] += 3 * odd
    y[1 : pairs + 1] += odd[: len(y) - 1]
    y[:-1] += even[1:]
    y[0] += even[0]
    if pairs == len(y):
        y[-1] += odd[-1]
    return y


def _doubled(x: FloatArray, rows: int) -> FloatArray:
    """Enlarge ``x`` (H, W) to twice as many ``rows``, or one fewer, bilinearly, and multiply it by 4."""
    y = np.empty((rows, x.shape[1]), x.dtype)
    even, odd = y[0::2], y[1::2]
    near = 3 * x
    even[0] = near[0] + x[0]
    np.add(near[1:], x[:-1], out=even[1:])
    pairs = min(len(odd), len(x) - 1)
    np.add(near[:pairs], x[1 : pairs + 1], out=odd[:pairs])
    if len(odd) == len(x):
        odd[-1] = near[-1] + x[-1]
    return y


def _transposed(x: FloatArray) -> FloatArray:
    """Copy ``x`` (H, W) into an array (W, H): as many rows at a time as fill what the processor reads at once."""
    y = np.empty(x.shape[::-1], x.dtype)
    for top in range(0, len(x), _CACHE_LINE):
        rows = slice(top, top + _CACHE_LINE)
        y[:, rows] = x[rows].T
    return y
