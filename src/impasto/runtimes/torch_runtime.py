"""PyTorch, which runs the network itself without an ONNX file, on GPUs and to verify the other runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from impasto.runtimes import check_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from impasto.types import FloatArray

_CPU = torch.device("cpu")


class TorchRuntime:
    """One function of a network."""

    def __init__(
        self,
        function: Callable[..., Tensor | tuple[Tensor, ...]],
        dimensions: Mapping[str, int],
        outputs: Sequence[str],
        *,
        device: torch.device = _CPU,
    ) -> None:
        """Take ``function``, the ``dimensions`` of its inputs by name, and the names of its ``outputs``.

        The weights of the function are already on ``device``.
        """
        self._device = device
        self._function = function
        self._dimensions = dimensions
        self._outputs = outputs

    def run(self, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Compute all outputs: see `impasto.runtimes.Runtime`."""
        check_inputs(inputs, self._dimensions)
        with torch.no_grad():
            result = self._function(
                **{name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
            )
        results = [result] if isinstance(result, Tensor) else result
        return {name: tensor.cpu().numpy() for name, tensor in zip(self._outputs, results, strict=True)}

    def release(self) -> None:
        """Do nothing: PyTorch keeps no memory of a run."""
