"""VGG16 and VGG19 (Simonyan and Zisserman 2014) as descriptor networks with the usual names of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor, nn

from impasto.descriptors.base import check_size
from impasto.descriptors.convolution import Edges, FrozenConvolution, Precision
from impasto.errors import UnknownNameError, WeightsFormatError
from impasto.weights.canonical import CONVOLUTIONS_PER_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from impasto.types import Features

Pooling = Literal["max", "average"]


def layer_names(architecture: str) -> tuple[str, ...]:
    """Return the layers of 'vgg16' or 'vgg19': ``conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1, ...``."""
    names = []
    for block, convolutions in enumerate(CONVOLUTIONS_PER_BLOCK[architecture], start=1):
        for index in range(1, convolutions + 1):
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
        names.append(f"pool{block}")
    return tuple(names)


class VGG(nn.Module):
    """The convolutional part of a VGG network with constant weights.

    The network includes the preprocessing: images are RGB in [0, 1] and are normalised by ``(image - mean) / std``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: str,
        tensors: Mapping[str, Tensor],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        name: str | None = None,
        identity: str = "",
        pooling: Pooling = "max",
        precision: Precision = "float32",
    ) -> None:
        """Build 'vgg16' or 'vgg19' from ``tensors``.

        Args:
            architecture: 'vgg16' or 'vgg19'.
            tensors: ``convB_I.weight`` (C_out, C_in, 3, 3) and ``convB_I.bias`` (C_out), for RGB input. The network
                ends before the first convolution that is missing.
            mean: mean of R, G and B, on the scale [0, 1].
            std: standard deviation of R, G and B, on the same scale.
            name: name as written into results; by default, the architecture.
            identity: sha256 of the weights, as written into results.
            pooling: the networks were trained with 'max'; Gatys et al. (2016), section 2, prefer 'average'.
            precision: precision of the convolutions and of the stored weights.

        Raises:
            UnknownNameError: there is no such architecture or pooling.
            WeightsFormatError: conv1_1 is missing.
        """
        super().__init__()
        if architecture not in CONVOLUTIONS_PER_BLOCK:
            raise UnknownNameError("architecture", architecture, CONVOLUTIONS_PER_BLOCK)
        if pooling not in get_args(Pooling):
            raise UnknownNameError("pooling", pooling, get_args(Pooling))
        self.name = name or architecture
        self.identity = identity
        self.architecture = architecture
        self.pooling = pooling
        self.precision: Precision = precision
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.convolutions = nn.ModuleDict()
        available = []
        for layer in layer_names(architecture):
            if layer.startswith("conv"):
                if f"{layer}.weight" not in tensors:
                    break
                weight, bias = tensors[f"{layer}.weight"].float(), tensors[f"{layer}.bias"].float()
                # Differs from the trained network, which pads with zeros. Zeros act like a line along the edges of
                # the picture, and style transfer would paint a frame.
                edges: Edges = "replicate" if layer == "conv1_1" else "zeros"
                self.convolutions[layer] = FrozenConvolution(weight, bias, precision, edges)
            available.append(layer)
        if not available:
            raise WeightsFormatError(f"the weights hold no conv1_1.weight; {architecture} starts with it")
        self.layers = tuple(available)

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights and biases of the convolutions, in the form that the constructor takes, in float32."""
        return {
            f"{name}.{part}": module.get_buffer(part).float().contiguous()
            for name, module in self.convolutions.items()
            for part in ("weight", "bias")
        }

    def minimum_size(self, layer: str) -> int:
        """Smallest height and width in pixels for which ``layer`` has 2x2 positions."""
        poolings = sum(name.startswith("pool") for name in self.layers[: self._depth([layer])])
        return int(2 ** (poolings + 1))

    def reach(self, layer: str) -> int:
        """Receptive field of ``layer``, as a margin in pixels."""
        reach, stride = 0, 1
        for name in self.layers[: self._depth([layer])]:
            if name.startswith("conv"):
                reach += stride
            elif name.startswith("pool"):
                stride *= 2
        return reach

    def forward(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Compute activations.

        Args:
            image: (N, 3, H, W), sRGB in [0, 1].
            layers: names such as 'conv4_2' (before the rectification), 'relu4_2', 'pool4'.

        Returns:
            Each layer's activations, (N, C, H / 2^p, W / 2^p) after p poolings, in the precision of the network.

        Raises:
            UnknownNameError: this network does not have one of ``layers``.
            ImageSizeError: ``image`` is too small for the deepest layer.
        """
        wanted = set(layers)
        deepest = self._depth(wanted)
        check_size(self, image.shape[3], image.shape[2], wanted)
        x = (image - self.mean) / self.std
        if self.precision == "bfloat16":
            x = x.to(torch.bfloat16, memory_format=torch.channels_last)
        features: dict[str, Tensor] = {}
        for layer in self.layers[:deepest]:
            if layer.startswith("conv"):
                x = self.convolutions[layer](x)
            elif layer.startswith("relu"):
                # In-place ReLU halves the memory. It would overwrite the output of a convolution that was requested.
                x = F.relu(x, inplace=layer.replace("relu", "conv") not in wanted)
            else:
                x = F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
            if layer in wanted:
                features[layer] = x
        return features

    def _depth(self, layers: Iterable[str]) -> int:
        """Return how many of ``self.layers`` have to be computed for ``layers``."""
        for layer in layers:
            if layer not in self.layers:
                raise UnknownNameError(f"layer of {self.name}", layer, self.layers)
        return max((self.layers.index(layer) + 1 for layer in layers), default=0)
