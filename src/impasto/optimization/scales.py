"""The stages of a coarse-to-fine optimisation: sizes and numbers of steps."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.images.scale import fit_size

_COARSEST_SHORT_SIDE = 64
_STEPS_RATIO = 2.0
_FEWEST_STEPS = 2
"""Minimum number of steps of a scale. Each step evaluates the result of the one before, so one step changes nothing."""


@dataclass(frozen=True)
class Stage:
    """A part of an optimisation: some steps at one size of the picture."""

    width: int
    height: int
    steps: int
    optimizer: str = "lbfgs"
    """Name of the optimizer: see `impasto.optimization.optimizers.build_optimizer`."""
    learning_rate: float | None = None
    """Learning rate in the optimizer's own unit; None is its default."""
    keeps_best: bool = True
    """See `impasto.optimization.descent.Descent`."""
    circular: bool = False
    """True if opposite edges of the picture are neighbours, as in a tile."""

    @property
    def work(self) -> int:
        """Number of pixels times number of steps."""
        return self.width * self.height * self.steps


def fit_layers(width: int, height: int, long_side: float, minimum: int) -> tuple[int, int]:
    """Return (width, height) with this ``long_side``, or larger if the short side would be below ``minimum``."""
    narrowest = minimum * max(width, height) / min(width, height)
    return fit_size(width, height, round(max(long_side, narrowest)))


def plan_scales(
    width: int,
    height: int,
    scales: int,
    steps: int,
    minimum: int,
    optimizer: str = "lbfgs",
    learning_rate: float | None = None,
) -> list[Stage]:
    """Divide ``steps`` among sizes that double up to ``width`` x ``height``.

    Each scale gets half as many steps as the coarser scale before it, whose steps cost a quarter. Most of the style is
    transferred at coarse scales. Gatys et al. (2017), section 6, go from coarse to fine for quality, not for speed.

    Args:
        width: width of the result in pixels.
        height: height of the result in pixels.
        scales: number of scales; 0 for as many as leave the coarsest a short side of at least 64 pixels.
        steps: total number of steps; each scale gets at least two, unless ``steps`` is 1.
        minimum: minimum short side of a scale. It may reduce the number of scales, but not below one.
        optimizer: optimizer of all stages.
        learning_rate: learning rate of all stages.
    """
    short = min(width, height)
    halvings = 0
    while short / 2 ** (halvings + 1) >= minimum and (
        halvings + 1 < scales if scales else short / 2 ** (halvings + 1) >= _COARSEST_SHORT_SIDE
    ):
        halvings += 1
    shares = [_STEPS_RATIO**level for level in range(halvings + 1)]
    shares.reverse()
    fewest = min(steps, _FEWEST_STEPS)
    counts = [max(fewest, round(steps * share / sum(shares))) for share in shares]
    counts[0] = max(fewest, counts[0] + steps - sum(counts))
    return [
        Stage(max(1, round(width / 2**level)), max(1, round(height / 2**level)), count, optimizer, learning_rate)
        for level, count in zip(range(halvings, -1, -1), counts, strict=True)
    ]
