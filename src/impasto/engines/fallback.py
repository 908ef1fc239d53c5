"""What an optimisation does when the memory of a GPU does not suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from impasto.optimization.memory.shortage import is_shortage_of_gpu
from impasto.optimization.objective import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.optimization.objective import Objective
    from impasto.types import FloatArray


class FallbackObjective:
    """Objective on a GPU that is computed in another way as soon as the memory of the GPU does not suffice."""

    def __init__(
        self,
        make: Callable[[], Objective],
        others: Mapping[str, Callable[[], Objective]],
        on_note: Callable[[str], None],
    ) -> None:
        """Take the ways to make the objective.

        Args:
            make: makes the objective on the GPU.
            others: make the same objective with less memory of the GPU, in the order of trial. Their keys are the notes
                that ``on_note`` gets when they are resorted to.
            on_note: called with a note.
        """
        self._make = make
        self._others = dict(others)
        self._on_note = on_note
        self._objective: Objective | None = None
        self._on_host = False
        """True if the objective takes and gives arrays of NumPy, whatever the image is."""

    def evaluate(self, image: FloatArray) -> Evaluation:
        """See `impasto.optimization.objective.Objective`."""
        while True:
            try:
                self._objective = self._objective or self._make()
                return self._evaluated(self._objective, image)
            except RuntimeError as error:
                if not (self._others and is_shortage_of_gpu(error)):
                    raise
            # Not in the clause above, whose error keeps alive what the GPU holds.
            self._objective = None
            torch.cuda.empty_cache()
            note = next(iter(self._others))
            self._make = self._others.pop(note)
            self._on_host = True
            self._on_note(note)

    def _evaluated(self, objective: Objective, image: FloatArray) -> Evaluation:
        if not (self._on_host and isinstance(image, Tensor)):
            return objective.evaluate(image)
        losses, gradient = objective.evaluate(image.cpu().numpy())
        return Evaluation(losses, torch.as_tensor(gradient, device=image.device))
