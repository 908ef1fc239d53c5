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
    """A network that a file can rebuild, and that can be exported as graphs.

    Attributes:
        architecture: its name in the catalog.
        stride: sides in pixels of what it sees are multiples of this.
        halo: pixels around a tile that change what is painted in it: the receptive field, a multiple of the stride.
        noise_channels: of the noise that it is fed with; 0 if there is none.
        arguments: of its constructor; JSON can hold them.
    """

    architecture: ClassVar[str]
    stride: ClassVar[int]
    halo: ClassVar[int]
    noise_channels: ClassVar[int] = 0
    arguments: Mapping[str, Any]

    @property
    def file_name(self) -> str:
        """Name of the file that its weights are kept in."""
        return f"{self.architecture}.safetensors"

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a file has to hold."""
        return self.state_dict()

    @classmethod
    def rebuilt(cls, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Build the network that had these `arguments` and `tensors`.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: they are of no network of this kind.
        """
        network = cls(**arguments)
        network.load_state_dict(tensors)
        return network

    @abstractmethod
    def graphs(self) -> list[Graph]:
        """Return what an engine needs to run this network, in the order in which it is needed."""


class _Function(nn.Module):
    """A function as a module, with the weights of the networks it calls."""

    def __init__(self, function: Callable[..., Any], networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.forward = function


Sides = Mapping[int, tuple[str, int]]
"""Axis -> the name of what it counts, and how many of them it has for each."""


def picture_sides(step: int) -> Sides:
    """Height and width of pictures that are ``step`` pixels for each row and column of the coarsest activations."""
    return {2: ("rows", step), 3: ("columns", step)}


@dataclass(frozen=True)
class Graph:
    """A function of a network, to be exported."""

    name: str
    function: Callable[..., Any]
    """Its parameters are the inputs."""
    networks: Sequence[nn.Module]
    """Everything that holds weights for it."""
    example: Mapping[str, Tensor]
    """Inputs by name."""
    outputs: Sequence[str]
    """Names of what it returns, a tensor or several."""
    sides: Mapping[str, Sides]
    """Of inputs whose extent may change."""

    @property
    def module(self) -> nn.Module:
        """The function as a module, whose forward's parameters are the inputs."""
        return _Function(self.function, self.networks)
