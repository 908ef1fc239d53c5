"""The optimisation algorithms by name, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from impasto.engines.lbfgs import LBFGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

DEFAULT_LEARNING_RATE = {"lbfgs": 1.0, "adam": 0.02, "sgd": 0.01}


class Optimizer(Protocol):
    """Moves the pixels of one image, which it got when it was made, and keeps them in [0, 1]."""

    def step(self, gradient: Tensor) -> None:
        """Move the image, given the ``gradient`` (1, 3, H, W) of the loss where it stands."""

    def state(self) -> dict[str, Tensor]:
        """Everything that the next steps depend on, apart from the image."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""


class _TorchOptimizer:
    """One of PyTorch's optimizers, on gradients scaled so that the first one is 1 in the mean.

    So the learning rate is in units of pixel values: 0.01 moves a pixel by about 0.01, whatever the losses weigh.
    """

    def __init__(self, image: Tensor, build: Callable[[list[Tensor]], torch.optim.Optimizer]) -> None:
        self._image = image
        self._optimizer = build([image])
        self._scale: Tensor | None = None

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        if self._scale is None:
            self._scale = 1 / gradient.abs().mean().clamp_min(1e-30)
        self._image.grad = gradient * self._scale
        self._optimizer.step()
        self._image.grad = None
        self._image.clamp_(0, 1)

    def state(self) -> dict[str, Tensor]:
        if self._scale is None:
            return {}
        return {"scale": self._scale, **self._optimizer.state_dict()["state"].get(0, {})}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        if not state:
            return
        self._scale = state["scale"]
        complete = self._optimizer.state_dict()
        complete["state"] = {0: {name: value for name, value in state.items() if name != "scale"}}
        self._optimizer.load_state_dict(complete)


def build_optimizer(name: str, image: Tensor, learning_rate: float) -> Optimizer:
    """Make the optimizer ``name`` ('lbfgs', 'adam', 'sgd') for ``image`` (1, 3, H, W), which it changes in place."""
    if name == "lbfgs":
        return LBFGS(image, learning_rate)
    if name == "adam":
        return _TorchOptimizer(
            image, lambda parameters: torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.99))
        )
    return _TorchOptimizer(image, lambda parameters: torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9))
