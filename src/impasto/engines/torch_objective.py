"""Adapter from losses in PyTorch to the objective of an optimisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from impasto.optimization.objective import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.types import FloatArray


class TorchObjective:
    """Objective whose losses are computed by PyTorch and whose gradient is computed by autograd."""

    def __init__(self, losses: Callable[[Tensor], Mapping[str, Tensor]], device: torch.device) -> None:
        """Take a function from an image (1, 3, H, W) on ``device`` to losses by name, one of which is 'total'."""
        self._losses = losses
        self._device = device

    def evaluate(self, image: FloatArray) -> Evaluation:
        """See `impasto.optimization.objective.Objective`. The gradient of a tensor is a tensor."""
        leaf = torch.as_tensor(image, device=self._device).detach().requires_grad_(True)
        losses = self._losses(leaf)
        (gradient,) = torch.autograd.grad(losses["total"], leaf)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        if isinstance(image, Tensor):
            return Evaluation(values, gradient.contiguous())
        return Evaluation(values, np.ascontiguousarray(gradient.cpu().numpy()))
