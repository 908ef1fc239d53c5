"""An optimisation on tensors of PyTorch: its objective, its storage on a GPU, and the way on if a GPU is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from impasto.errors import is_shortage_of_gpu
from impasto.optimization import Evaluation
from impasto.optimization.arrays import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from impasto.optimization import Objective
    from impasto.types import FloatArray


def to_tensor(pixels: FloatArray, device: torch.device) -> Tensor:
    """Turn pixels (H, W, 3) into an image (1, 3, H, W) on ``device``."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(device)


class TorchObjective:
    """Objective whose losses are computed by PyTorch and whose gradient is computed by autograd."""

    def __init__(self, losses: Callable[[Tensor], Mapping[str, Tensor]], device: torch.device) -> None:
        """Take a function from an image (1, 3, H, W) on ``device`` to losses by name, one of which is 'total'."""
        self._losses = losses
        self._device = device

    def evaluate(self, image: FloatArray) -> Evaluation:
        """See `impasto.optimization.Objective`. The gradient of a tensor is a tensor."""
        leaf = torch.as_tensor(image, device=self._device).detach().requires_grad_(True)
        losses = self._losses(leaf)
        (gradient,) = torch.autograd.grad(losses["total"], leaf)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        if isinstance(image, Tensor):
            return Evaluation(values, gradient.contiguous())
        return Evaluation(values, np.ascontiguousarray(gradient.cpu().numpy()))


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
        """See `impasto.optimization.Objective`."""
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


class OnDevice(Memory):
    """Storage in tensors on one device. An optimizer with this storage moves the picture without leaving the device.

    The tensors stand where the signatures of `Memory` have arrays.
    """

    def __init__(self, device: torch.device) -> None:
        """Keep the tensors on ``device``."""
        self._device = device
        self.sum_type = torch.float32 if device.type == "mps" else torch.float64

    def empty(self, shape: Sequence[int]) -> FloatArray:
        """See `Memory.empty`."""
        return torch.empty(tuple(shape), device=self._device)  # type: ignore[return-value]  # see the class

    def zeros(self, shape: Sequence[int]) -> FloatArray:
        """See `Memory.zeros`."""
        return torch.zeros(tuple(shape), device=self._device)  # type: ignore[return-value]

    def copy(self, source: FloatArray, target: FloatArray) -> None:
        """See `Memory.copy`. ``source`` may also be an array of NumPy."""
        target[...] = self.beside(source)

    def beside(self, array: FloatArray) -> FloatArray:
        """See `Memory.beside`."""
        return torch.as_tensor(array, device=self._device)  # type: ignore[return-value]

    def host(self, array: npt.NDArray[Any] | Tensor) -> npt.NDArray[Any]:
        """See `Memory.host`."""
        return array.cpu().numpy() if isinstance(array, Tensor) else array

    def image(self, pixels: FloatArray) -> FloatArray:
        """See `Memory.image`."""
        return to_tensor(pixels, self._device)  # type: ignore[return-value]

    def blocks(self, size: int) -> Iterator[slice]:
        """Give everything as one block: a GPU has no use for small ones."""
        yield slice(0, size)


def storage_on(device: torch.device) -> Memory:
    """Return storage beside an objective that is computed on ``device``: in main memory for the CPU."""
    return Memory() if device.type == "cpu" else OnDevice(device)
