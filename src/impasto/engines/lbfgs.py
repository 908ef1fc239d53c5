"""L-BFGS over the pixels of an image that have to stay in [0, 1]."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from impasto.engines.store import copied, dot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from impasto.engines.store import Store


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

    def __init__(self, image: Tensor, learning_rate: float, store: Store) -> None:
        """Change ``image`` (1, 3, H, W) in place; ``learning_rate`` 1 takes each step whole; ``store`` has the rest."""
        self._image = image
        self._learning_rate = learning_rate
        self._store = store
        self._moves: list[Tensor] = []
        self._changes: list[Tensor] = []
        self._last: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move the image, given the ``gradient`` of the loss where it stands."""
        if self._last is not None:
            self._remember(*self._last, gradient)
        # What the gradient presses against a bound stays there, and must not bend the direction of the rest: otherwise
        # the steps end beside the minimum (Bertsekas 1982, "Projected Newton methods").
        direction = self._empty()
        for free, given, image in self._store.strips(direction, gradient, self._image):
            free.copy_(given.masked_fill(_held(image, given), 0))
        self._turn(direction)
        move = self._empty()
        for moved, step, given, image in self._store.strips(move, direction, gradient, self._image):
            before = image.clone()
            step = step.masked_fill(_held(image, given), 0)
            image.sub_(step, alpha=self._learning_rate).clamp_(0, 1)
            torch.sub(image, before, out=moved)
        self._last = (move, copied(self._store, gradient))

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

    def _empty(self) -> Tensor:
        return self._store.empty(self._image.shape)

    def _remember(self, move: Tensor, before: Tensor, gradient: Tensor) -> None:
        """Keep the ``move`` and the change of the gradient, which was ``before``."""
        change = before
        for changed, given in self._store.strips(change, gradient):
            torch.sub(given, changed, out=changed)
        dots = [dot(self._store, one, other) for one, other in ((move, change), (move, move), (change, change))]
        # A pair without positive curvature would make the approximation indefinite (section 6.1).
        if dots[0] > 1e-6 * dots[1].sqrt() * dots[2].sqrt():
            self._moves = [*self._moves, move][-self.HISTORY :]
            self._changes = [*self._changes, change][-self.HISTORY :]

    def _turn(self, direction: Tensor) -> None:
        """Multiply ``direction``, a gradient, by the approximate inverse Hessian (the two-loop recursion)."""
        store = self._store
        if not self._moves:
            size = torch.stack([_spread(plane).abs().sum() for (plane,) in store.planes(direction)]).sum()
            for (strip,) in store.strips(direction):
                strip.mul_(self.FIRST_MOVE / (size / direction.numel()).clamp_min(1e-30))
            return
        curvatures = [dot(store, move, change) for move, change in zip(self._moves, self._changes, strict=True)]
        shares = []
        for move, change, curvature in reversed(list(zip(self._moves, self._changes, curvatures, strict=True))):
            share = dot(store, move, direction) / curvature
            for strip, changed in store.strips(direction, change):
                strip.sub_(share * changed)
            shares.append(share)
        last = self._changes[-1]
        spread = torch.stack([torch.sum(changed * spread_over_scales(changed)) for (changed,) in store.planes(last)])
        for (plane,) in store.planes(direction):
            _spread(plane).mul_(curvatures[-1] / spread.sum())
        for move, change, curvature, share in zip(
            self._moves, self._changes, curvatures, reversed(shares), strict=True
        ):
            missing = share - dot(store, change, direction) / curvature
            for strip, moved in store.strips(direction, move):
                strip.add_(missing * moved)


def _held(image: Tensor, gradient: Tensor) -> Tensor:
    """Say which pixels of ``image`` cannot follow the ``gradient``."""
    return ((image <= 0) & (gradient > 0)) | ((image >= 1) & (gradient < 0))


def _spread(plane: Tensor) -> Tensor:
    """Spread ``plane`` in place."""
    return plane.copy_(spread_over_scales(plane))


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
    return F.interpolate(spread, size, mode="bilinear", align_corners=False).add_(gradient)
