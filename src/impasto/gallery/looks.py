"""How a style looks: in one word, so that styles can be sorted by it, and in a swatch.

The swatch is a part of the style's image that shows strokes and palette.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from impasto.images import encode_picture, luminance
from impasto.types import Picture

if TYPE_CHECKING:
    from impasto.types import FloatArray

Look: TypeAlias = Literal["bold", "drawn", "soft", "pale", "dark"]
LOOKS: tuple[Look, ...] = get_args(Look)

_SIZE = (360, 270)
_LARGEST = 14_000  # bytes; a page shows dozens
_QUALITIES = (80, 70, 60, 50, 40, 30, 20)
_PLACES = np.linspace(-1, 1, 9)  # each way, 0 being the middle
_OFF_CENTER = 0.6  # what an edge must have in entropy above the middle, where faces and other motifs are
_LEVELS = 8  # of each colour channel


def look_of(image: FloatArray) -> Look:
    """Classify ``image`` (H, W, 3) by its hard edges ('drawn'), darkness, strong colours ('bold') or paleness; else
    'soft'."""
    light = luminance(image)
    mean, contrast = light.mean(), light.std()
    chroma = (image.max(axis=2) - image.min(axis=2)).mean()
    # With these thresholds, the bundled styles get the looks that a person gave them.
    if _hard_edges(light) > 0.02:
        return "drawn"
    if mean < 0.4 and chroma < 0.26:
        return "dark"
    if chroma > 0.19 and contrast > 0.12:
        return "bold"
    return "pale" if mean > 0.5 else "soft"


def crop_swatch(image: FloatArray) -> bytes:
    """Return the part of ``image`` (H, W, 3) that has the most varied colours and is not far from the middle.

    It has 360x270 pixels of the image at full resolution, or as many as there is room for, as a WebP file.
    """
    height, width = image.shape[:2]
    share = min(1.0, width / _SIZE[0], height / _SIZE[1])
    columns, rows = (max(1, int(side * share)) for side in _SIZE)

    def window(place: tuple[float, float]) -> FloatArray:
        top, left = (int((at + 1) / 2 * room) for at, room in zip(place, (height - rows, width - columns), strict=True))
        return image[top : top + rows, left : left + columns]

    def merit(place: tuple[float, float]) -> float:
        return _entropy(window(place)) - _OFF_CENTER * (place[0] ** 2 + place[1] ** 2)

    swatch = Picture(np.ascontiguousarray(window(max(product(_PLACES, repeat=2), key=merit))))
    data = b""
    for quality in _QUALITIES:
        data = encode_picture(swatch, "webp", quality=quality)
        if len(data) <= _LARGEST:
            break
    return data


def _hard_edges(light: FloatArray) -> float:
    """Return the share of the pixels at which ``light`` (H, W) changes by more than 0.15 to the next pixel."""
    steps = np.hypot(np.diff(light, axis=0)[:, :-1], np.diff(light, axis=1)[:-1])
    return float((steps > 0.15).sum()) / max(steps.size, 1)


def _entropy(pixels: FloatArray) -> float:
    """Return the entropy of the colours of ``pixels`` (H, W, 3)."""
    levels = (pixels[::2, ::2] * (_LEVELS - 1e-3)).astype(np.int64)
    colors = levels @ np.array([_LEVELS * _LEVELS, _LEVELS, 1])
    shares = np.bincount(colors.ravel()) / colors.size
    return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())
