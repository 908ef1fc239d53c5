"""Small elliptic dabs of colour, laid over one another: leaves, blades of grass, hairs and branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from drawing.noise import Array

_CHUNK = 6000  # dabs


def dabs(image: Array, x: Array, y: Array, size: Array, color: Array, stretch: Array | None = None) -> None:
    """Lay dabs over ``image`` (H, W, 3) in place, the last on top.

    ``x``, ``y`` and ``size``, the half of the shorter axis, are (N,), in pixels; ``color`` is (N, 3); ``stretch``
    (N, 2) is the half of the longer axis as a vector, for dabs that are no discs.
    """
    rows, columns = image.shape[:2]
    x, y, size = (values.astype(np.float32) for values in (x, y, size))
    stretch = None if stretch is None else stretch.astype(np.float32)
    longer = size if stretch is None else np.maximum(np.hypot(stretch[:, 0], stretch[:, 1]), 1e-3)
    for first in range(0, len(x), _CHUNK):
        part = slice(first, first + _CHUNK)
        reach = int(np.ceil(max(float(longer[part].max()), float(size[part].max()))))
        offset = np.arange(-reach, reach + 1, dtype=np.int32)
        down, across = (axis.ravel() for axis in np.meshgrid(offset, offset, indexing="ij"))
        column = np.rint(x[part]).astype(np.int32)[:, None] + across
        row = np.rint(y[part]).astype(np.int32)[:, None] + down
        dx, dy = column - x[part, None], row - y[part, None]
        if stretch is None:
            inside = dx * dx + dy * dy <= size[part, None] ** 2
        else:
            axis = stretch[part] / longer[part, None]
            along, aside = dx * axis[:, :1] + dy * axis[:, 1:], dy * axis[:, :1] - dx * axis[:, 1:]
            inside = (along / longer[part, None]) ** 2 + (aside / np.maximum(size[part, None], 0.5)) ** 2 <= 1
        inside &= (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        which = np.broadcast_to(np.arange(len(column))[:, None], inside.shape)[inside]
        image[row[inside], column[inside]] = color[part][which]


def strokes(image: Array, x: Array, y: Array, width: Array, color: Array) -> None:
    """Lay curves over ``image`` in place: ``x``, ``y`` and ``width`` are (N, S), ``color`` is (N, S, 3)."""
    gaps = np.hypot(np.diff(x, axis=1), np.diff(y, axis=1))
    between = max(1, int(np.ceil(np.quantile(gaps, 0.98) / max(1.0, 0.3 * float(width.min())))))
    knots = np.arange(x.shape[1])
    fine = np.linspace(0, x.shape[1] - 1, between * (x.shape[1] - 1) + 1)
    left = np.minimum(fine.astype(np.int64), x.shape[1] - 2)
    share = fine - knots[left]

    def between_knots(values: Array) -> Array:
        low, high = values[:, left], values[:, left + 1]
        part = share if values.ndim == 2 else share[:, None]
        filled: Array = low + (high - low) * part
        return filled

    lines = [between_knots(values).reshape(-1, *values.shape[2:]) for values in (x, y, width)]
    dabs(image, lines[0], lines[1], np.maximum(lines[2] / 2, 0.5), between_knots(color).reshape(-1, 3))
