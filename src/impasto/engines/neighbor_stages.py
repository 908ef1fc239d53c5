"""The sizes that the engine 'nnst' goes through, and what is done at each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np

from impasto.images.scale import fit_size
from impasto.optimization.scales import Stage

WHOLE = 1024
"""Long side in pixels up to which features of the whole are held. What is larger is painted only if a size is asked
for: the time grows with the area."""
_COARSEST = 48
"""No size has a shorter long side, unless the result has."""
_OVERPAINTING_STEPS = 5
_OVERPAINTING_RATE = 0.015


@dataclass(frozen=True)
class NeighborStage(Stage):
    """Some steps towards neighbours found once."""

    by_layer: bool = True
    """Whether neighbours are found for each layer alone, and not for hypercolumns."""

    @property
    def is_large(self) -> bool:
        """True if the picture of the stage before is only painted over."""
        return max(self.width, self.height) > WHOLE


def plan_stages(width: int, height: int, steps: int | None, strength: float = 1.0) -> list[NeighborStage]:
    """Plan sizes that at most double up to ``width`` x ``height``, and what is done at each.

    Args:
        width: of the result, in pixels.
        height: of the result, in pixels.
        steps: in all; None for as many as pay.
        strength: of the style; large pictures are painted over as gently.
    """
    long_side = max(width, height)
    whole = min(long_side, WHOLE)
    columns, rows = fit_size(width, height, whole)
    halvings = 0
    while whole / 2 ** (halvings + 1) >= _COARSEST:
        halvings += 1
    stages = []
    for level in range(halvings, -1, -1):
        size = fit_size(columns, rows, max(1, round(whole / 2**level)))
        side = max(size)
        first, *rounds = (30,) if side <= 160 else (24, 12) if side <= 320 else (10, 6, 6) if side <= 640 else (4, 4)
        stages.append(NeighborStage(*size, first, by_layer=False))
        stages += [NeighborStage(*size, count) for count in rounds]
    enlargements = ceil(log2(long_side / whole))
    for level in range(1, enlargements + 1):
        size = fit_size(width, height, round(whole * (long_side / whole) ** (level / enlargements)))
        rate = _OVERPAINTING_RATE * strength
        stages.append(NeighborStage(*size, _OVERPAINTING_STEPS, "damped-adam", rate, keeps_best=False))
    if steps is None:
        return stages
    usual = sum(stage.steps for stage in stages)
    ends = np.rint(np.cumsum([stage.steps for stage in stages]) * steps / usual).astype(int)
    counts = np.diff(ends, prepend=0)
    return [replace(stage, steps=int(count)) for stage, count in zip(stages, counts, strict=True)]
