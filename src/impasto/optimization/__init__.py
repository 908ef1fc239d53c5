"""Minimisation of losses over the pixels of one picture: algorithms, scales, progress and checkpoints.

Pixels are in arrays of NumPy, or in tensors of PyTorch on a GPU. The protocol of an objective is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.types import FloatArray


class Evaluation(NamedTuple):
    """Losses of one picture, and the gradient of their sum."""

    losses: Mapping[str, float]
    """Losses by name. The optimisation minimises 'total'."""
    gradient: FloatArray
    """Gradient of 'total' with respect to the picture, (1, 3, H, W)."""


class Objective(Protocol):
    """Losses of a picture, with their gradient."""

    def evaluate(self, image: FloatArray) -> Evaluation:
        """Compute the losses of ``image`` (1, 3, H, W), sRGB in [0, 1], and their gradient."""
