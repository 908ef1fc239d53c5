"""The look of a style: one word, so that styles can be sorted by what they look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from impasto.images import luminance

if TYPE_CHECKING:
    from impasto.types import FloatArray

Look: TypeAlias = Literal["bold", "drawn", "soft", "pale", "dark"]
LOOKS: tuple[Look, ...] = get_args(Look)


def look_of(image: FloatArray) -> Look:
    """Return the look of ``image`` (H, W, 3): whether lines, darkness, light or colours stand out, or nothing does."""
    light = luminance(image)
    mean, contrast = light.mean(), light.std()
    chroma = (image.max(axis=2) - image.min(axis=2)).mean()
    # The bounds sort the bundled styles as a person did.
    if _hard_edges(light) > 0.02:
        return "drawn"
    if mean < 0.4 and chroma < 0.26:
        return "dark"
    if chroma > 0.19 and contrast > 0.12:
        return "bold"
    return "pale" if mean > 0.5 else "soft"


def _hard_edges(light: FloatArray) -> float:
    """Return the share of the pixels at which ``light`` (H, W) changes by more than 0.15 to the next pixel."""
    steps = np.hypot(np.diff(light, axis=0)[:, :-1], np.diff(light, axis=1)[:-1])
    return float((steps > 0.15).sum()) / max(steps.size, 1)
