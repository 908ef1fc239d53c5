"""Runtimes of graphs: their protocol, and those that have a name, OpenVINO and ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from impasto.errors import UsageError
from impasto.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.types import FloatArray

Precision = Literal["auto", "float32", "bfloat16"]

RUNTIMES = Registry(
    "runtime",
    [
        ("openvino", "impasto.runtimes.openvino_runtime:OpenVINORuntime"),
        ("onnxruntime", "impasto.runtimes.onnx_runtime:OnnxRuntime"),
    ],
    extra="onnxruntime",
)
"""The runtime classes. Each is built from the path of an ONNX file."""


class AcceleratorError(Exception):
    """A graphics card cannot run a network, and the processor goes on. The message is a note about it for the user."""


class Runtime(Protocol):
    """A network that is ready to run. Sizes of inputs may change from call to call."""

    def run(self, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Compute all outputs from all ``inputs``; both are float32 arrays by name.

        Raises:
            UsageError: an input is missing, unknown, or has another number of dimensions.
            AcceleratorError: a graphics card cannot run the network.
        """

    def release(self) -> None:
        """Free the memory that is kept from the last run for the next one; the network stays loaded."""


def check_inputs(inputs: Mapping[str, FloatArray], dimensions: Mapping[str, int]) -> None:
    """Refuse ``inputs`` that do not match the names and ``dimensions`` of a network's inputs.

    Raises:
        UsageError: a name is missing or unknown, or an array has another number of dimensions.
    """
    if inputs.keys() != dimensions.keys():
        raise UsageError(f"the network takes {', '.join(dimensions)}; it was given {', '.join(inputs) or 'nothing'}")
    for name, array in inputs.items():
        if array.ndim != dimensions[name]:
            raise UsageError(f"{name} has {array.ndim} dimensions; the network takes {dimensions[name]}")
