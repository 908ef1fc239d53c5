"""The steps of one optimisation, with guards against exploding losses and lack of progress."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from impasto.errors import DivergedError
from impasto.optimization.arrays import Memory, l1_norm
from impasto.optimization.optimizers import DEFAULT_LEARNING_RATE, Optimizer, build_optimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from impasto.optimization.objective import Evaluation, Objective
    from impasto.types import FloatArray

    Arrays = Mapping[str, npt.NDArray[np.generic]]
    Plain = Mapping[str, float | int | str | bool]

_EXPLOSION = 100.0  # times the first loss
_MAX_ROLLBACKS = 8
_ROLLBACKS_BEFORE_ADAM = 3
_PATIENCE = 25  # steps without progress
_PROGRESS = 1e-4  # relative decrease of the loss that counts as progress


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
        image, best = (self._memory.host(each) for each in (self.image, self.best))
        return {"image": image, "best": best, **self._optimizer.state()}, asdict(self._course)

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
