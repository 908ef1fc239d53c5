"""The optimisation algorithms by name, and their protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from impasto.optimization.arrays import Memory, l1_norm
from impasto.optimization.lbfgs import LBFGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from impasto.types import FloatArray

DEFAULT_LEARNING_RATE = {"lbfgs": 1.0, "adam": 0.02, "damped-adam": 0.02, "sgd": 0.01}
_NOTHING = 1e-30


class Optimizer(Protocol):
    """Changes one image step by step, and keeps its values in [0, 1]. The constructor takes the image."""

    def step(self, gradient: FloatArray) -> None:
        """Take a step, given the ``gradient`` (1, 3, H, W) of the loss at the current image."""

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the state on which the next steps depend, without the image."""

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Continue from the arrays that `state` returned. Other arrays in ``state`` are ignored."""


class Adam:
    """Kingma and Ba (2015), algorithm 1.

    All gradients are multiplied by one factor, which gives the first gradient a mean absolute value of 1. A learning
    rate of 0.02 moves a pixel by about 0.02 per step. Differs from the paper in beta2 = 0.99, because a picture takes
    hundreds of steps, not hundreds of thousands.
    """

    BETAS = (0.9, 0.99)
    EPSILON = 1e-8

    def __init__(self, image: FloatArray, learning_rate: float, memory: Memory | None = None) -> None:
        """Prepare to change ``image`` (1, 3, H, W), contiguous, in place. ``memory`` stores the other arrays."""
        self._image = image.reshape(-1)
        self._learning_rate = learning_rate
        self._memory = memory or Memory()
        self._mean, self._square = (self._memory.zeros(self._image.shape) for _ in range(2))
        self._scale = 0.0
        self._steps = 0

    def step(self, gradient: FloatArray) -> None:
        """See `Optimizer.step`."""
        self._scale = self._scale or _unit_scale(self._memory, gradient)
        self._steps += 1
        flat = gradient.reshape(-1)
        first, second = (1 - beta**self._steps for beta in self.BETAS)
        for part in self._memory.blocks(len(flat)):
            scaled = flat[part] * self._scale
            mean, square, image = self._mean[part], self._square[part], self._image[part]
            for moment, beta, value in zip((mean, square), self.BETAS, (scaled, scaled**2), strict=True):
                moment *= beta
                moment += (1 - beta) * value
            size = (square / second) ** 0.5 + self.EPSILON
            image[...] = (image - self._learning_rate / first * mean / size).clip(0, 1)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """See `Optimizer.state`."""
        mean, square = (self._memory.host(each) for each in (self._mean, self._square))
        return {"mean": mean, "square": square, "course": np.array([self._scale, self._steps])}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Optimizer.restore`."""
        self._memory.copy(state["mean"], self._mean)  # type: ignore[arg-type]  # float32 as saved
        self._memory.copy(state["square"], self._square)  # type: ignore[arg-type]
        scale, steps = state["course"].tolist()
        self._scale, self._steps = float(scale), int(steps)


class DampedAdam(Adam):
    """Adam with a large epsilon. Where the gradient is far below the mean, pixels move in proportion to it.

    Plain Adam moves all pixels by the same amount in the first steps, which is too much if there are only a few steps.
    """

    EPSILON = 1.0


class SGD:
    """Gradient descent with momentum 0.9. Gradients are scaled as for `Adam`."""

    MOMENTUM = 0.9

    def __init__(self, image: FloatArray, learning_rate: float, memory: Memory | None = None) -> None:
        """Prepare to change ``image`` (1, 3, H, W), contiguous, in place. ``memory`` stores the other arrays."""
        self._image = image.reshape(-1)
        self._learning_rate = learning_rate
        self._memory = memory or Memory()
        self._velocity = self._memory.zeros(self._image.shape)
        self._scale = 0.0

    def step(self, gradient: FloatArray) -> None:
        """See `Optimizer.step`."""
        self._scale = self._scale or _unit_scale(self._memory, gradient)
        flat = gradient.reshape(-1)
        for part in self._memory.blocks(len(flat)):
            velocity, image = self._velocity[part], self._image[part]
            velocity *= self.MOMENTUM
            velocity += flat[part] * self._scale
            image[...] = (image - self._learning_rate * velocity).clip(0, 1)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """See `Optimizer.state`."""
        return {"velocity": self._memory.host(self._velocity), "course": np.array([self._scale])}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Optimizer.restore`."""
        self._memory.copy(state["velocity"], self._velocity)  # type: ignore[arg-type]  # float32 as saved
        (self._scale,) = state["course"].tolist()


def _unit_scale(memory: Memory, gradient: FloatArray) -> float:
    flat = gradient.reshape(-1)
    return 1 / max(l1_norm(memory, flat) / len(flat), _NOTHING)


def build_optimizer(
    name: str,
    image: FloatArray,
    learning_rate: float,
    *,
    steps: int | None = None,
    circular: bool = False,
    memory: Memory | None = None,
) -> Optimizer:
    """Make an optimizer that changes ``image`` (1, 3, H, W) in place. ``name`` is a key of `DEFAULT_LEARNING_RATE`.

    ``steps`` is the maximum number of steps, if known. If ``circular``, opposite edges of the image are neighbours.
    Arrays as large as the image are kept in ``memory``, as the image and its gradients are.
    """
    if name == "lbfgs":
        return LBFGS(image, learning_rate, steps=steps, circular=circular, memory=memory)
    kinds: dict[str, Callable[[FloatArray, float, Memory | None], Optimizer]] = {
        "adam": Adam,
        "damped-adam": DampedAdam,
        "sgd": SGD,
    }
    return kinds[name](image, learning_rate, memory)
