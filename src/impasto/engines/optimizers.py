"""The optimisation algorithms by name, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from impasto.engines.lbfgs import LBFGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from impasto.engines.store import Store

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

    def __init__(self, image: Tensor, build: Callable[[list[Tensor]], torch.optim.Optimizer], store: Store) -> None:
        self._store = store
        self._image = image
        self._parts = [(part, build([part])) for (part,) in store.planes(image)]
        self._scale: Tensor | None = None

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        first = self._scale is None
        if self._scale is None:
            size = torch.stack([part.abs().sum() for (part,) in self._store.planes(gradient)]).sum()
            self._scale = 1 / (size / gradient.numel()).clamp_min(1e-30)
        for (part, optimizer), (given,) in zip(self._parts, self._store.planes(gradient), strict=True):
            part.grad = given * self._scale
            optimizer.step()
            part.grad = None
            part.clamp_(0, 1)
            if first:
                state = optimizer.state[part]
                state.update({name: self._store.kept(value) for name, value in state.items() if value.dim()})

    def state(self) -> dict[str, Tensor]:
        if self._scale is None:
            return {}
        states = {
            f"{index}.{name}": value
            for index, (part, optimizer) in enumerate(self._parts)
            for name, value in optimizer.state[part].items()
        }
        return {"scale": self._scale, **states}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        if not state:
            return
        self._scale = state["scale"]
        for index, (part, optimizer) in enumerate(self._parts):
            own = [name for name in state if name.startswith(f"{index}.")]
            optimizer.state[part].update({name.partition(".")[2]: state[name] for name in own})


def build_optimizer(name: str, image: Tensor, learning_rate: float, store: Store) -> Optimizer:
    """Make the optimizer ``name`` ('lbfgs', 'adam', 'sgd') for ``image`` (1, 3, H, W), which it changes in place.

    All that is as large as the image, it keeps in ``store``.
    """
    if name == "lbfgs":
        return LBFGS(image, learning_rate, store)
    if name == "adam":
        return _TorchOptimizer(image, lambda parts: torch.optim.Adam(parts, lr=learning_rate, betas=(0.9, 0.99)), store)
    return _TorchOptimizer(image, lambda parts: torch.optim.SGD(parts, lr=learning_rate, momentum=0.9), store)
