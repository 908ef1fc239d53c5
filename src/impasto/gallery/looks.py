"""The look of a style: one word, so that styles can be sorted by what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from impasto.images import luminance

if TYPE_CHECKING:
    from impasto.types import FloatArray

Look: TypeAlias = Literal["bold", "drawn", "soft", "pale", "dark"]
"""Strong colours; visible lines and strokes; gentle changes; mostly light; mostly dark."""
LOOKS: tuple[Look, ...] = get_args(Look)
_BLOCK = 8


def look_of(image: FloatArray) -> Look:
    """Return the look of ``image`` (H, W, 3)."""
    light = luminance(image)
    if light.mean() < 0.36:
        return "dark"
    if _local_contrast(light) > 0.062:
        return "drawn"
    if float(np.mean(image.max(axis=2) - image.min(axis=2))) > 0.2:
        return "bold"
    return "pale" if light.mean() > 0.58 else "soft"


def _local_contrast(light: FloatArray) -> float:
    """Return the root mean square difference between ``light`` (H, W) and its means over small blocks."""
    rows, columns = (side // _BLOCK for side in light.shape)
    blocks = light[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    return float(np.sqrt(blocks.var(axis=(1, 3)).mean())) if rows * columns else 0.0
