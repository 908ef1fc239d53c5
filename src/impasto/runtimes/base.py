"""The protocol of runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.types import FloatArray

Precision = Literal["auto", "float32", "bfloat16"]


class Runtime(Protocol):
    """A network that is ready to run. Sizes of inputs may change from call to call."""

    def run(self, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Compute all outputs, by name, from all ``inputs``, by name: float32 arrays.

        Raises:
            UsageError: an input is missing, unknown, or has another number of dimensions.
        """

    def release(self) -> None:
        """Give back the memory that the last run took, where it is kept for the next; the network stays loaded."""
