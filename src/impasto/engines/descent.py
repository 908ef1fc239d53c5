"""Minimising an objective over one image, with a guard against losses that explode and algorithms that stall."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from impasto.engines.optimizers import DEFAULT_LEARNING_RATE, Optimizer, build_optimizer
from impasto.engines.store import Store, copied
from impasto.errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor


_EXPLOSION = 100.0  # times the first loss
_MAX_ROLLBACKS = 8
_ROLLBACKS_BEFORE_ADAM = 3
_PATIENCE = 25  # steps without progress
_PROGRESS = 1e-4  # of the loss, within the patience


@runtime_checkable
class Differentiated(Protocol):
    """An objective that knows its gradient, where none can be found by going back through all of its computation."""

    def differentiate(self, image: Tensor) -> tuple[dict[str, float], Tensor]:
        """Return losses by name, and the gradient of 'total', for ``image`` (1, 3, H, W)."""


@dataclass
class _Course:
    """Where a descent stands, apart from tensors."""

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
        image: (1, 3, H, W) in [0, 1], as it stands.
        best: the image with the lowest loss so far.
    """

    def __init__(
        self,
        start: Tensor,
        objective: Callable[[Tensor], Mapping[str, Tensor]] | Differentiated,
        *,
        optimizer: str,
        learning_rate: float | None,
        store: Store | None = None,
    ) -> None:
        """Start from ``start`` (1, 3, H, W).

        ``objective`` returns losses by name, the one to minimise as 'total'; or their gradient, too (`Differentiated`).
        What is as large as the image is kept in ``store``: in memory if not given.
        """
        self._store = store or Store(start.device)
        self.image, self.best = (copied(self._store, start.detach()) for _ in range(2))
        self._objective = objective
        self._course = _Course(optimizer, learning_rate or DEFAULT_LEARNING_RATE[optimizer])
        self._optimizer = self._build()

    @property
    def converged(self) -> bool:
        """Whether no further step can make anything better."""
        return self._course.converged

    def step(self) -> tuple[dict[str, float], str]:
        """Evaluate the losses, and move if they are sound.

        Returns:
            The losses before the move, and a sentence about what was out of the ordinary (mostly empty).

        Raises:
            DivergedError: the losses are not finite at the start.
        """
        course = self._course
        losses, gradient = self._evaluate()
        total = losses["total"]
        strips = self._store.strips
        sound = math.isfinite(total) and all(bool(torch.isfinite(strip).all()) for (strip,) in strips(gradient))
        if math.isnan(course.first_loss):
            if not sound:
                raise DivergedError(
                    f"the loss of the starting picture is {total}; lower the weights of the losses or "
                    "use --normalization relative or --precision float32"
                )
            course.first_loss = total
        if not sound or total > _EXPLOSION * course.first_loss:
            return losses, self._roll_back(total)
        if total < course.best_loss:
            course.best_loss = total
            self._copy(self.image, self.best)
        course.converged = not any(bool(strip.any()) for (strip,) in strips(gradient))
        if course.converged:
            return losses, "the gradient is zero: nothing is left to change"
        note = self._watch_progress(total)
        if not note:
            self._optimizer.step(gradient)
        return losses, note

    def state(self) -> tuple[dict[str, Tensor], dict[str, float | int | str | bool]]:
        """Everything needed to continue: tensors, and plain values."""
        tensors = {"image": self.image, "best": self.best}
        tensors |= {f"optimizer.{name}": value for name, value in self._optimizer.state().items()}
        return tensors, asdict(self._course)

    def restore(self, tensors: Mapping[str, Tensor], course: Mapping[str, float | int | str | bool]) -> None:
        """Continue from what `state` returned."""
        self._course = _Course(**course)  # type: ignore[arg-type]  # JSON carries no types
        self._copy(tensors["image"], self.image)
        self._copy(tensors["best"], self.best)
        self._optimizer = self._build()
        prefix = "optimizer."
        self._optimizer.restore(
            {
                name.removeprefix(prefix): self._store.kept(tensors[name].to(self.image.device))
                for name in tensors
                if name.startswith(prefix)
            }
        )

    def _build(self) -> Optimizer:
        return build_optimizer(self._course.optimizer, self.image, self._course.learning_rate, self._store)

    def _copy(self, source: Tensor, target: Tensor) -> None:
        for read, written in self._store.strips(source, target):
            written.copy_(read)

    def _evaluate(self) -> tuple[dict[str, float], Tensor]:
        if isinstance(self._objective, Differentiated):
            return self._objective.differentiate(self.image)
        leaf = self.image.detach().requires_grad_(True)
        losses = self._objective(leaf)
        (gradient,) = torch.autograd.grad(losses["total"], leaf)
        return {name: float(loss.detach()) for name, loss in losses.items()}, gradient

    def _roll_back(self, total: float) -> str:
        course = self._course
        course.rollbacks += 1
        if course.rollbacks > _MAX_ROLLBACKS:
            course.converged = True
            return f"the loss is {total:g} again after {_MAX_ROLLBACKS} roll-backs; ending with the best picture"
        self._copy(self.best, self.image)
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
        self._copy(self.best, self.image)
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
