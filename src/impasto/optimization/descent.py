"""The optimisation algorithms by name, and the steps of one optimisation.

The steps are guarded against exploding losses and lack of progress.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from impasto.errors import DivergedError
from impasto.optimization.arrays import Memory, l1_norm
from impasto.optimization.lbfgs import LBFGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from impasto.optimization import Evaluation, Objective
    from impasto.types import FloatArray

    Arrays = Mapping[str, npt.NDArray[np.generic]]
    Plain = Mapping[str, float | int | str | bool]

_EXPLOSION = 100.0  # times the first loss
_MAX_ROLLBACKS = 8
_ROLLBACKS_BEFORE_ADAM = 3
_PATIENCE = 25  # steps without progress
_PROGRESS = 1e-4  # relative decrease of the loss that counts as progress

DEFAULT_LEARNING_RATE = {"lbfgs": 1.0, "adam": 0.02, "damped-adam": 0.02, "sgd": 0.01}
_NOTHING = 1e-30


@dataclass
class _Course:
    """The scalar state of a descent."""

    optimizer: str
    learning_rate: float
    first_loss: float = math.nan
    best_loss: float = math.inf
    milestone: float = math.inf
    steps_since_milestone: int = 0
    rollbacks: int = 0
    restarts: int = 0
    converged: bool = False


class Descent:
    """The steps of an optimisation at one scale.

    Attributes:
        image: the current image, (1, 3, H, W) in [0, 1].
        best: the image with the lowest loss so far, or the current image if the best one is not kept.
    """

    def __init__(
        self,
        start: FloatArray,
        objective: Objective,
        *,
        optimizer: str = "lbfgs",
        learning_rate: float | None = None,
        steps: int | None = None,
        keeps_best: bool = True,
        circular: bool = False,
        memory: Memory | None = None,
    ) -> None:
        """Start from ``start`` (1, 3, H, W), float32.

        Args:
            start: the first image; it is copied.
            objective: the objective to minimise.
            optimizer: name of the optimizer, a key of `DEFAULT_LEARNING_RATE`.
            learning_rate: learning rate in the optimizer's own unit; None for its default.
            steps: number of steps, if known, so that L-BFGS reserves no more memory than it can use.
            keeps_best: True to keep the best image beside the current one. Otherwise the current image counts as the
                best.
            circular: True if opposite edges of the image are neighbours, as in a tile.
            memory: storage for arrays as large as the image.
        """
        self._memory = memory or Memory()
        self.image = self._memory.copied(start)
        self.best = self._memory.copied(start) if keeps_best else self.image
        self._objective = objective
        self._steps = steps
        self._circular = circular
        self._course = _Course(optimizer, learning_rate or DEFAULT_LEARNING_RATE[optimizer])
        self._optimizer = self._build()

    @property
    def converged(self) -> bool:
        """True if no further step can reduce the loss."""
        return self._course.converged

    def step(self) -> tuple[dict[str, float], str]:
        """Evaluate the losses, and move the image: see `move`."""
        return self.move(self.evaluate())

    def evaluate(self) -> Evaluation:
        """Evaluate the losses of the image, and their gradient. This takes most of the time, and changes nothing."""
        return self._objective.evaluate(self.image)

    def move(self, evaluation: Evaluation) -> tuple[dict[str, float], str]:
        """Move the image if the losses of ``evaluation`` are finite and have not exploded.

        Returns:
            The losses before the change, and a note about a problem, usually empty.

        Raises:
            DivergedError: the losses of the first image are not finite.
        """
        course = self._course
        losses, gradient = dict(evaluation.losses), evaluation.gradient
        total = losses["total"]
        slope = l1_norm(self._memory, gradient)
        sound = math.isfinite(total) and math.isfinite(slope)
        if math.isnan(course.first_loss):
            if not sound:
                raise DivergedError(
                    f"the loss of the starting picture is {total}; lower the weights of the losses, or choose relative "
                    "normalization or precision float32"
                )
            course.first_loss = total
        if not sound or total > _EXPLOSION * course.first_loss:
            return losses, self._roll_back(total)
        if total < course.best_loss:
            course.best_loss = total
            self._memory.copy(self.image, self.best)
        course.converged = slope == 0
        if course.converged:
            return losses, "the gradient is zero: nothing is left to change"
        note = self._watch_progress(total)
        if not note:
            self._optimizer.step(gradient)
        return losses, note

    def state(self) -> tuple[dict[str, npt.NDArray[np.generic]], dict[str, float | int | str | bool]]:
        """Return the state needed to continue: arrays and scalars."""
        return {"image": self.image, "best": self.best, **self._optimizer.state()}, asdict(self._course)

    def restore(self, arrays: Arrays, course: Plain) -> None:
        """Continue from the arrays and scalars that `state` returned."""
        self._course = _Course(**course)  # type: ignore[arg-type]  # JSON carries no types
        self._memory.copy(arrays["image"], self.image)  # type: ignore[arg-type]  # float32 as saved
        self._memory.copy(arrays["best"], self.best)  # type: ignore[arg-type]
        self._optimizer = self._build()
        self._optimizer.restore(arrays)

    def _build(self) -> Optimizer:
        course = self._course
        return build_optimizer(
            course.optimizer,
            self.image,
            course.learning_rate,
            steps=self._steps,
            circular=self._circular,
            memory=self._memory,
        )

    def _roll_back(self, total: float) -> str:
        course = self._course
        course.rollbacks += 1
        if course.rollbacks > _MAX_ROLLBACKS:
            course.converged = True
            return f"the loss is {total:g} again after {_MAX_ROLLBACKS} roll-backs; ending with the best picture"
        self._memory.copy(self.best, self.image)
        course.learning_rate /= 4
        remedy = "steps are 4 times smaller now"
        if course.optimizer == "lbfgs" and course.rollbacks >= _ROLLBACKS_BEFORE_ADAM:
            self._change_to_adam()
            remedy = "Adam goes on"
        self._optimizer = self._build()
        return f"the loss was {total:g}; rolled back to the best picture, {remedy}"

    def _watch_progress(self, total: float) -> str:
        course = self._course
        if total < course.milestone * (1 - _PROGRESS):
            course.milestone, course.steps_since_milestone = total, 0
            return ""
        course.steps_since_milestone += 1
        if course.optimizer != "lbfgs" or course.steps_since_milestone < _PATIENCE:
            return ""
        self._memory.copy(self.best, self.image)
        course.steps_since_milestone = 0
        course.restarts += 1
        if course.restarts > 1:
            self._change_to_adam()
        self._optimizer = self._build()
        went_on = "Adam goes on" if course.restarts > 1 else "restarted"
        return f"L-BFGS made no progress in {_PATIENCE} steps; {went_on} from the best picture"

    def _change_to_adam(self) -> None:
        self._course.optimizer = "adam"
        self._course.learning_rate = DEFAULT_LEARNING_RATE["adam"] / 4


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
        return {"mean": self._mean, "square": self._square, "course": np.array([self._scale, self._steps])}

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
        return {"velocity": self._velocity, "course": np.array([self._scale])}

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
