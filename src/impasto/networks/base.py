"""The base classes of the networks that paint.

`NormalizedNetwork`: instance normalisation needs the statistics of the whole picture. Painting therefore takes two
passes with the same weights. `measure` turns the statistics of a thumbnail into one scale and one shift per channel.
With these, `render` paints any tile of the picture without the rest.

`EncodedNetwork`: a frozen VGG encoder, a part that changes the activations, and a decoder. Its files hold all three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from impasto.descriptors.vgg import VGG
from impasto.networks.blocks import VARIANCE_FLOOR, EdgeConvolution, instance_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Normalize = Callable[[Tensor], Tensor]

Sides = Mapping[int, tuple[str, int]]
"""For each axis of variable length, the name of a unit of length and the number of elements in one unit."""

_ENCODER = "encoder."


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


class NormalizedNetwork(nn.Module, ABC):
    """Paints with a code: the scales, then the shifts, of all normalisations (Dumoulin et al. 2017).

    Attributes:
        widths: channels of each normalisation, in the order of the forward pass.
        code_size: twice the sum of the widths.
    """

    widths: tuple[int, ...]
    code_size: int

    def _set_widths(self, widths: Sequence[int]) -> None:
        self.widths = tuple(widths)
        self._bounds = [0, *accumulate(self.widths)]
        self.code_size = 2 * self._bounds[-1]

    def plain_code(self) -> Tensor:
        """Return the code (code_size) of plain normalisation: scales of one and shifts of zero."""
        return torch.cat([torch.ones(self.code_size // 2), torch.zeros(self.code_size // 2)])

    @abstractmethod
    def _paint(self, inputs: Sequence[Tensor], normalize: Normalize) -> Tensor:
        """Paint ``inputs``. ``normalize`` is called once for each normalisation, in the order of `widths`."""

    def _train_pass(self, inputs: Sequence[Tensor], code: Tensor) -> Tensor:
        """Paint, and normalise each picture by its own statistics."""
        parts = iter(self._parts(code))

        def normalize(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            return torch.addcmul(shift, instance_norm(x), scale)

        return self._paint(inputs, normalize)

    def _measure_pass(self, inputs: Sequence[Tensor], code: Tensor) -> tuple[Tensor, Tensor]:
        """Find the scales and shifts that act on ``inputs`` like normalisation with ``code``.

        Returns:
            Scales and shifts (1, code_size), and the painted picture.
        """
        parts = iter(self._parts(code))
        found: list[tuple[Tensor, Tensor]] = []

        def normalize(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            mean = x.mean((2, 3), keepdim=True)
            variance = (x - mean).square().mean((2, 3), keepdim=True)
            scale = scale * (variance + VARIANCE_FLOOR).rsqrt()
            found.append((scale, shift - mean * scale))
            return x * scale + found[-1][1]

        painted = self._paint(inputs, normalize)
        return torch.cat([part for parts in zip(*found, strict=True) for part in parts], dim=1).flatten(1), painted

    def _render_pass(self, inputs: Sequence[Tensor], affine: Tensor) -> Tensor:
        """Paint with the scales and shifts from `_measure_pass`, without statistics of ``inputs``."""
        parts = iter(self._parts(affine))

        def scale_and_shift(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            return x * scale + shift

        return self._paint(inputs, scale_and_shift)

    def _parts(self, code: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Split a code (N or 1, code_size) into scale and shift (N or 1, C, 1, 1) for each normalisation."""
        scales, shifts = code[:, :, None, None].chunk(2, dim=1)
        return [(scales[:, a:b], shifts[:, a:b]) for a, b in pairwise(self._bounds)]


class EncodedNetwork(PaintingNetwork):
    """Changes the activations of a content image and decodes them into a picture.

    Attributes:
        encoder: the encoder, with constant weights.
        decoder: the decoder, which turns activations into pictures.
    """

    encoded_layers: ClassVar[tuple[str, ...]]
    """Layers of the encoder, from shallow to deep. The decoder takes the activations of the first."""

    def __init__(self, encoder: VGG, *, seed: int = 0) -> None:
        """Copy the required layers of ``encoder``. All other weights are random; ``seed`` seeds them."""
        super().__init__()
        deepest = encoder.layers.index(self.encoded_layers[-1])
        needed = {name for name in encoder.layers[: deepest + 1] if name.startswith("conv")}
        tensors = {name: tensor for name, tensor in encoder.tensors().items() if name.rpartition(".")[0] in needed}
        mean, std = (value.flatten().tolist() for value in (encoder.mean, encoder.std))
        self.encoder = VGG(encoder.architecture, tensors, mean=mean, std=std)
        self.arguments = {"architecture": encoder.architecture, "mean": mean, "std": std}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decoder = Decoder(self.encoder, self.encoded_layers[0])
            self._build({layer: self.channels(layer) for layer in self.encoded_layers})

    def _build(self, widths: Mapping[str, int]) -> None:
        """Build the layers between encoder and decoder, by default none.

        ``widths`` are the numbers of channels of the encoded layers.
        """

    def channels(self, layer: str) -> int:
        """Return the number of channels of ``layer``."""
        return int(self.encoder.convolutions[layer.replace("relu", "conv")].get_buffer("weight").shape[0])

    def encoded(self, image: Tensor) -> dict[str, Tensor]:
        """Return the activations of ``image`` (N, 3, H, W) by encoded layer."""
        return dict(self.encoder.forward(image, self.encoded_layers))

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that the file must hold."""
        own = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(_ENCODER)}
        return {**own, **{f"{_ENCODER}{name}": tensor for name, tensor in self.encoder.tensors().items()}}

    @classmethod
    def rebuilt(cls, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild a network from its arguments and tensors: see `PaintingNetwork.rebuilt`."""
        given = {name[len(_ENCODER) :]: tensor for name, tensor in tensors.items() if name.startswith(_ENCODER)}
        network = cls(VGG(arguments["architecture"], given, mean=arguments["mean"], std=arguments["std"]))
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith(_ENCODER)}
        missing, unknown = network.load_state_dict(own, strict=False)
        if unknown or any(not name.startswith(_ENCODER) for name in missing):
            raise ValueError(f"missing: {missing}, unknown: {unknown}")
        return network


class Decoder(nn.Module):
    """The convolutions of an encoder in reverse, with bilinear upsampling in place of pooling.

    Huang and Belongie (2017) repeat pixels instead. That leaves a pattern with a period of 4 pixels.
    """

    def __init__(self, encoder: VGG, layer: str) -> None:
        """Mirror ``encoder`` up to ``layer``, such as 'relu4_1'."""
        super().__init__()
        convolutions: list[nn.Module] = []
        names = encoder.layers[: encoder.layers.index(layer) + 1]
        for name in reversed(names):
            if name.startswith("pool"):
                convolutions.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            elif name.startswith("conv"):
                weight = encoder.convolutions[name].get_buffer("weight")
                width, channels = weight.shape[:2]
                convolutions += [EdgeConvolution(width, channels, 3, edges="reflect"), nn.ReLU()]
        self.layers = nn.Sequential(*convolutions[:-1])  # the output is not rectified

    def forward(self, features: Tensor) -> Tensor:
        """Turn activations (N, C, H, W) into pictures (N, 3, H * s, W * s).

        The factor s is the stride of the encoder. Values are sRGB and may lie slightly outside [0, 1].
        """
        picture: Tensor = self.layers(features).float()
        return picture
