"""The stages of the engine 'nnst': their sizes, and the work at each size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np

from impasto.images.scale import fit_size
from impasto.optimization.stages import Stage

WHOLE = 1024
"""Long side in pixels up to which features of the whole picture are held. Larger pictures are painted only if the
option ``size`` asks for it, since the time grows with the area."""
_COARSEST = 48
"""Minimum long side of a stage in pixels, unless the result is smaller."""
_SIZES_THAT_FOLLOW = 2
"""Number of sizes up to `WHOLE` at which a frame that follows another one is painted."""
_STEPS_THAT_FOLLOW = 0.5
"""Share of the steps of a stage that such a frame takes."""
_OVERPAINTING_STEPS = 5
_OVERPAINTING_RATE = 0.015


@dataclass(frozen=True)
class NeighborStage(Stage):
    """A stage in which the nearest neighbours are found once, followed by some steps towards them."""

    by_layer: bool = True
    """True if neighbours are found for each layer by itself; False if they are found for hypercolumns."""
    is_large: bool = False
    """True if the stage only paints over the enlarged picture of the stage before."""


def plan_stages(
    width: int, height: int, steps: int | None, strength: float = 1.0, whole: int = WHOLE, *, follows: bool = False
) -> list[NeighborStage]:
    """Plan the stages up to ``width`` x ``height``. Each is at most twice the size of the one before.

    Args:
        width: width of the result in pixels.
        height: height of the result in pixels.
        steps: total number of steps of a picture; None for the default.
        strength: strength of the style, which also sets how strongly large pictures are painted over.
        whole: long side in pixels above which pictures are only painted over.
        follows: the picture starts from the previous frame of a film.
    """
    long_side = max(width, height)
    whole = min(long_side, whole)
    columns, rows = fit_size(width, height, whole)
    halvings = 0
    while whole / 2 ** (halvings + 1) >= _COARSEST:
        halvings += 1
    stages = []
    for level in range(min(halvings, _SIZES_THAT_FOLLOW - 1) if follows else halvings, -1, -1):
        size = fit_size(columns, rows, max(1, round(whole / 2**level)))
        side = max(size)
        first, *rounds = (30,) if side <= 160 else (24, 12) if side <= 320 else (10, 6, 6) if side <= 640 else (4, 4)
        stages.append(NeighborStage(*size, first, by_layer=False))
        stages += [NeighborStage(*size, count) for count in rounds]
    enlargements = ceil(log2(long_side / whole))
    for level in range(1, enlargements + 1):
        size = fit_size(width, height, round(whole * (long_side / whole) ** (level / enlargements)))
        rate = _OVERPAINTING_RATE * strength
        stages.append(NeighborStage(*size, _OVERPAINTING_STEPS, "damped-adam", rate, keeps_best=False, is_large=True))
    picture = plan_stages(width, height, None, strength, whole) if follows else stages
    share = 1.0 if steps is None else steps / sum(stage.steps for stage in picture)
    if follows:
        share *= _STEPS_THAT_FOLLOW
    ends = np.rint(np.cumsum([stage.steps for stage in stages]) * share).astype(int)
    counts = np.diff(ends, prepend=0)
    counts[-1] += not counts.any()  # the last stage gets the size of the result right
    return [replace(stage, steps=int(count)) for stage, count in zip(stages, counts, strict=True)]
