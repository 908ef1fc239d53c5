"""L-BFGS over the pixels of an image that have to stay in [0, 1]."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class LBFGS:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5), one evaluation of the loss per step.

    Differs from the textbook, and from ``torch.optim.LBFGS``, in what matters for pictures:

    - The initial inverse Hessian is not a multiple of the identity but of `spread_over_scales`, which lets a pixel move
      together with its surroundings. Measured: about a fifth fewer steps to the same loss.
    - The first step moves a pixel by ``FIRST_MOVE`` in the mean. (There: all pixels together by 1, so little that the
      first curvature drowns in the rounding of float32.)
    - A curvature is measured over the move that was really made, after clipping to [0, 1].
    - No line search: a second evaluation per step costs more than it gains. Whoever calls guards against a loss that
      explodes.
    """

    FIRST_MOVE = 0.01
    HISTORY = 10

    def __init__(self, image: Tensor, learning_rate: float) -> None:
        """Change ``image`` (1, 3, H, W) in place; ``learning_rate`` 1 takes each step whole."""
        self._image = image
        self._learning_rate = learning_rate
        self._moves: list[Tensor] = []
        self._changes: list[Tensor] = []
        self._last: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move the image, given the ``gradient`` of the loss where it stands."""
        if self._last is not None:
            self._remember(move=self._last[0], change=gradient - self._last[1])
        before = self._image.clone()
        # What the gradient presses against a bound stays there, and must not bend the direction of the rest: otherwise
        # the steps end beside the minimum (Bertsekas 1982, "Projected Newton methods").
        held = ((before <= 0) & (gradient > 0)) | ((before >= 1) & (gradient < 0))
        direction = self._direction(gradient.masked_fill(held, 0)).masked_fill(held, 0)
        self._image.sub_(direction, alpha=self._learning_rate).clamp_(0, 1)
        self._last = (self._image - before, gradient.clone())

    def state(self) -> dict[str, Tensor]:
        """Everything that the next steps depend on."""
        state = {f"move{i}": move for i, move in enumerate(self._moves)}
        state |= {f"change{i}": change for i, change in enumerate(self._changes)}
        if self._last is not None:
            state |= {"last_move": self._last[0], "last_gradient": self._last[1]}
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        pairs = sum(name.startswith("move") for name in state)
        self._moves = [state[f"move{i}"] for i in range(pairs)]
        self._changes = [state[f"change{i}"] for i in range(pairs)]
        if "last_move" in state:
            self._last = (state["last_move"], state["last_gradient"])

    def _remember(self, move: Tensor, change: Tensor) -> None:
        # A pair without positive curvature would make the approximation indefinite (section 6.1).
        if torch.sum(move * change) > 1e-6 * move.norm() * change.norm():
            self._moves = [*self._moves, move][-self.HISTORY :]
            self._changes = [*self._changes, change][-self.HISTORY :]

    def _direction(self, gradient: Tensor) -> Tensor:
        """Multiply ``gradient`` by the approximate inverse Hessian (the two-loop recursion)."""
        if not self._moves:
            direction = spread_over_scales(gradient)
            return direction * (self.FIRST_MOVE / direction.abs().mean().clamp_min(1e-30))
        direction = gradient.clone()
        shares = []
        for move, change in zip(reversed(self._moves), reversed(self._changes), strict=True):
            share = torch.sum(move * direction) / torch.sum(move * change)
            direction -= share * change
            shares.append(share)
        move, change = self._moves[-1], self._changes[-1]
        direction = spread_over_scales(direction)
        direction *= torch.sum(move * change) / torch.sum(change * spread_over_scales(change))
        for move, change, share in zip(self._moves, self._changes, reversed(shares), strict=True):
            direction += (share - torch.sum(change * direction) / torch.sum(move * change)) * move
        return direction


def spread_over_scales(gradient: Tensor, scales: int = 5) -> Tensor:
    """Add to ``gradient`` (N, C, H, W) its own averages over 2x2, 4x4, ... pixels: linear, symmetric and positive.

    Style is matched by shifting whole areas; with plain gradients, each pixel is moved as if alone.
    """
    if scales == 1:
        return gradient
    size = gradient.shape[2:]
    coarse = [(side + 1) // 2 for side in size]
    # The transpose of the enlargement below. Other averages, such as avg_pool2d, are not symmetric with it, and on odd
    # sizes they turn some gradients uphill.
    averages = torch.ops.aten.upsample_bilinear2d_backward(gradient, size, [*gradient.shape[:2], *coarse], False)
    # Each scale counts 1.5 times as much as the finer one. Measured over the first 50 steps of a scale: with 1 the
    # losses fall more slowly; with 2 and more, what is fine is left behind when the start is noise.
    averages *= 1.5 * math.prod(coarse) / math.prod(size)
    spread = spread_over_scales(averages, scales - 1)
    return gradient + F.interpolate(spread, size, mode="bilinear", align_corners=False)
