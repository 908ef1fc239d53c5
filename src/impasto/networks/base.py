"""The base class of the networks that paint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class PaintingNetwork(nn.Module, ABC):
    """A network that can be rebuilt from a file and exported as graphs.

    Attributes:
        architecture: name of the architecture in the catalog.
        stride: sides of input pictures in pixels are multiples of the stride.
        halo: receptive field as a margin in pixels, a multiple of the stride.
        noise_channels: number of channels of the noise input; 0 if there is none.
        arguments: arguments of the constructor, which JSON can represent.
    """

    architecture: ClassVar[str]
    stride: ClassVar[int]
    halo: ClassVar[int]
    noise_channels: ClassVar[int] = 0
    arguments: Mapping[str, Any]

    @property
    def file_name(self) -> str:
        """Name of the file with the weights."""
        return f"{self.architecture}.safetensors"

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that the file must hold."""
        return self.state_dict()

    @classmethod
    def rebuilt(cls, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild a network from its `arguments` and `tensors`.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: ``arguments`` or ``tensors`` do not fit this class.
        """
        network = cls(**arguments)
        network.load_state_dict(tensors)
        return network

    @abstractmethod
    def graphs(self) -> list[Graph]:
        """Return the graphs that an engine needs to run this network, in the order of their use."""


class _Function(nn.Module):
    """A function as a module that holds the weights of the networks it calls."""

    def __init__(self, function: Callable[..., Any], networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.forward = function


Sides = Mapping[int, tuple[str, int]]
"""For each axis of variable length, the name of a unit of length and the number of elements in one unit."""


def picture_sides(step: int) -> Sides:
    """Describe pictures with ``step`` pixels for each row and column of the coarsest activations."""
    return {2: ("rows", step), 3: ("columns", step)}


@dataclass(frozen=True)
class Graph:
    """A function of a network that can be exported."""

    name: str
    function: Callable[..., Any]
    """The function. Its parameters are the inputs."""
    networks: Sequence[nn.Module]
    """All modules that hold weights of the function."""
    example: Mapping[str, Tensor]
    """Example inputs by name."""
    outputs: Sequence[str]
    """Names of the one or more tensors that the function returns."""
    sides: Mapping[str, Sides]
    """Axes of variable length, by input."""

    @property
    def module(self) -> nn.Module:
        """The function as a module. The parameters of ``forward`` are the inputs."""
        return _Function(self.function, self.networks)
