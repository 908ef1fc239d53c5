"""Coarse to fine: the sizes that an optimization goes through, and the steps at each."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.images.scale import fit_size

_COARSEST_SHORT_SIDE = 64
_STEPS_RATIO = 2.0
_FEWEST_STEPS = 2
"""A move counts once its losses are known, which the next step finds out: with one, a scale would change nothing."""


@dataclass(frozen=True)
class Stage:
    """Some steps at one size of the picture."""

    width: int
    height: int
    steps: int
    optimizer: str = "lbfgs"
    """By name: see `impasto.optimization.optimizers.build_optimizer`."""
    learning_rate: float | None = None
    """In the optimizer's own unit; None is its default."""
    keeps_best: bool = True
    """See `impasto.optimization.descent.Descent`."""

    @property
    def work(self) -> int:
        """Pixels that all its steps compute together."""
        return self.width * self.height * self.steps


def fit_layers(width: int, height: int, long_side: float, minimum: int) -> tuple[int, int]:
    """Return the (width, height) with this long side, but no short side below the ``minimum`` of the layers."""
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

    A scale gets half as many steps as the one before, which is four times cheaper per step: most of what style transfer
    has to move is found out on small pictures. (Gatys et al. 2017, section 6, go coarse to fine for the looks; speed is
    ours.)

    Args:
        width: of the result, in pixels.
        height: of the result, in pixels.
        scales: how many; 0 for as many as leave the coarsest a short side of 64 pixels.
        steps: in all; each scale gets two at least, unless one is all that is wanted.
        minimum: no short side below this, whatever ``scales`` says, unless the result's own is.
        optimizer: of all stages.
        learning_rate: of all stages.
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
