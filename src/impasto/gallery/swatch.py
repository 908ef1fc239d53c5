"""The swatch of a style: the part of its image that shows most of its strokes and palette."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from impasto.images import encode_picture
from impasto.types import Picture

if TYPE_CHECKING:
    from impasto.types import FloatArray

_SIZE = (360, 270)
_LARGEST = 14_000  # bytes; a page shows dozens
_QUALITIES = (80, 70, 60, 50, 40, 30, 20)
_PLACES = 9  # each way
_LEVELS = 8  # of each colour channel


def crop_swatch(image: FloatArray) -> bytes:
    """Return the part of ``image`` (H, W, 3) that has the most varied colours, at full resolution, as a WebP file.

    It has 360x270 pixels, or as many as the image has room for.
    """
    height, width = image.shape[:2]
    share = min(1.0, width / _SIZE[0], height / _SIZE[1])
    columns, rows = (max(1, int(side * share)) for side in _SIZE)
    corners = product(*(np.linspace(0, room, _PLACES).astype(int) for room in (height - rows, width - columns)))
    windows = (image[top : top + rows, left : left + columns] for top, left in corners)
    swatch = Picture(np.ascontiguousarray(max(windows, key=_entropy)))
    data = b""
    for quality in _QUALITIES:
        data = encode_picture(swatch, "webp", quality=quality)
        if len(data) <= _LARGEST:
            break
    return data


def _entropy(pixels: FloatArray) -> float:
    """Return the entropy of the colours of ``pixels`` (H, W, 3)."""
    levels = (pixels[::2, ::2] * (_LEVELS - 1e-3)).astype(np.int64)
    colors = levels @ np.array([_LEVELS * _LEVELS, _LEVELS, 1])
    shares = np.bincount(colors.ravel()) / colors.size
    return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())
