"""The check of inputs that all runtimes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.types import FloatArray


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
