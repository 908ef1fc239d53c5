"""Smoothing of gradients at several scales, so that pixels move together with their surroundings.

All functions take arrays of NumPy and tensors of PyTorch.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from impasto.types import FloatArray

_SCALES = 5
_COARSER = 1.5 / 4
"""Weight of each scale relative to the next finer one, 1.5, divided by 4 to turn sums of 2x2 pixels into averages. With
a weight of 1, the losses fall more slowly. With 2 and more, fine details converge too slowly from a start of noise."""
_MARGIN = 2**_SCALES
"""Margin in pixels of a tile: the reach of the coarsest scale."""
_CACHE_LINE = 16
"""Size of a cache line in float32 numbers."""


def spread_over_scales(plane: FloatArray, scales: int = _SCALES) -> FloatArray:
    """Add to ``plane`` (H, W) its averages over about 2x2, 4x4, ... pixels: a linear, symmetric and positive map.

    Style transfer shifts the colours of whole areas, but plain gradients move each pixel independently.

    Returns:
        A new array, or ``plane`` itself if there is only one scale.
    """
    if scales == 1:
        return plane
    height, width = plane.shape
    # Adding rows is much faster than adding columns, so coarse planes are kept transposed.
    coarse = _halved(_transposed(_halved(plane)))
    coarse *= _COARSER / 4**4  # a factor of 4 for each call of `_halved` and of `_doubled`
    wide = _doubled(spread_over_scales(coarse, scales - 1), width)
    spread = _doubled(_transposed(wide), height)
    spread += plane
    return spread


def spread_over_tile(plane: FloatArray) -> FloatArray:
    """Do the same as `spread_over_scales`, if opposite edges of ``plane`` (H, W) are neighbours.

    The plane is seen with a margin of its own copies. Original and copy fade into each other: the squares of their
    weights add up to 1, which keeps the map symmetric and positive.
    """
    rows, columns, weights = _fading(plane.shape)
    if not isinstance(plane, np.ndarray):
        weights = plane.new_tensor(weights)
    spread = spread_over_scales(plane[rows[:, None], columns] * weights)
    spread *= weights
    return _folded(_folded(spread, plane.shape[0]).T, plane.shape[1]).T


@functools.lru_cache(maxsize=2)
def _fading(shape: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """Return the rows and columns of a plane of this ``shape`` with its margins, and the weight of each place."""
    (rows, down), (columns, across) = (_faded(side) for side in shape)
    return rows, columns, down[:, None] * across


def _faded(side: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the place in a side, and the weight, of each place of the side with its margins."""
    margin = min(_MARGIN, side // 2)
    fade = np.sqrt((np.arange(2 * margin, dtype=np.float32) + 0.5) / max(1, 2 * margin))
    weights = np.concatenate([fade, np.ones(side - 2 * margin, np.float32), fade[::-1]])
    return np.arange(-margin, side + margin) % side, weights


def _folded(x: FloatArray, rows: int) -> FloatArray:
    """Add the margins of ``x`` to the ``rows`` of which they are copies."""
    margin = (len(x) - rows) // 2
    folded = _empty(x, rows, x.shape[1])
    folded[...] = x[margin : margin + rows]
    folded[:margin] += x[margin + rows :]
    folded[rows - margin :] += x[:margin]
    return folded


def _empty(like: FloatArray, rows: int, columns: int) -> FloatArray:
    """Return an uninitialised plane of the kind of ``like``: an array, or a tensor of PyTorch on the same device."""
    if isinstance(like, np.ndarray):
        return np.empty((rows, columns), like.dtype)
    return like.new_empty((rows, columns))


def _halved(x: FloatArray) -> FloatArray:
    """Halve the rows of ``x`` (H, W) by weighted sums: the transpose of `_doubled`."""
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
    """Enlarge ``x`` (H, W) bilinearly to ``rows``, which is 2 H or 2 H - 1, and multiply it by 4."""
    y = _empty(x, rows, x.shape[1])
    even, odd = y[0::2], y[1::2]
    near = 3 * x
    even[...] = near
    even[0] += x[0]
    even[1:] += x[:-1]
    pairs = min(len(odd), len(x) - 1)
    odd[:pairs] = near[:pairs]
    odd[:pairs] += x[1 : pairs + 1]
    if len(odd) == len(x):
        odd[-1] = near[-1] + x[-1]
    return y


def _transposed(x: FloatArray) -> FloatArray:
    """Copy ``x`` (H, W) into an array (W, H), in blocks of rows that fill a cache line. A tensor is not copied."""
    if not isinstance(x, np.ndarray):
        return x.T
    y = _empty(x, *x.shape[::-1])
    for top in range(0, len(x), _CACHE_LINE):
        rows = slice(top, top + _CACHE_LINE)
        y[:, rows] = x[rows].T
    return y
