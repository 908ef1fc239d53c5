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
        """Compute all outputs from all ``inputs``; both are float32 arrays by name.

        Raises:
            UsageError: an input is missing, unknown, or has another number of dimensions.
        """

    def release(self) -> None:
        """Free the memory that is kept from the last run for the next one; the network stays loaded."""
