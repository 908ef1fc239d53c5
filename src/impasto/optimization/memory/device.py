"""Storage on a GPU, in tensors of PyTorch, which take the same operators as arrays of NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from impasto.optimization.memory.arrays import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from impasto.types import FloatArray


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

    def host(self, array: FloatArray | Tensor) -> FloatArray:
        """See `Memory.host`."""
        found: FloatArray = array.cpu().numpy() if isinstance(array, Tensor) else array
        return found

    def image(self, pixels: FloatArray) -> FloatArray:
        """See `Memory.image`."""
        return self.beside(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None])

    def blocks(self, size: int) -> Iterator[slice]:
        """Give everything as one block: a GPU has no use for small ones."""
        yield slice(0, size)


def storage_on(device: torch.device) -> Memory:
    """Return storage beside an objective that is computed on ``device``: in main memory for the CPU."""
    return Memory() if device.type == "cpu" else OnDevice(device)
