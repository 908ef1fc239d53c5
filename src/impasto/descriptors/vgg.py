"""VGG16 and VGG19 (Simonyan and Zisserman 2014) as descriptor networks with the usual names of layers.

Their convolutions have frozen weights and run by the fastest kernel available on this processor. An optimisation spends
nearly all its time in these convolutions and needs no gradient for the weights. The gradient for the input is a
convolution with the filters turned by 180 degrees and the channels exchanged, so both passes can use kernels for
inference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor, nn

from impasto.descriptors import check_size
from impasto.errors import UnknownNameError, WeightsFormatError
from impasto.weights.canonical import CONVOLUTIONS_PER_BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from impasto.descriptors.devices import Precision
    from impasto.types import Features

Pooling = Literal["max", "average"]

Edges = Literal["zeros", "replicate"]

# The Winograd kernels transform the filters at each call. Below these sizes, that costs more than it saves.
# Measured: benchmarks/RESULTS.md, "Convolution kernels".
_WINOGRAD_MIN_CHANNELS = 16
_WINOGRAD_MIN_POSITIONS = 40 * 40

_FAINTEST = 0.25  # smallest divisor of a filter, relative to the mean activation of its layer


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


class _WinogradConvolution(torch.autograd.Function):
    """Zero-padded 3x3 convolution that uses NNPACK's Winograd kernels in the forward and the backward pass.

    PyTorch uses NNPACK for the forward pass only. Its backward pass is a direct convolution, which takes more than
    twice as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, weight_backward: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight_backward)
        return torch._nnpack_spatial_convolution(x, weight, bias, (1, 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (weight_backward,) = ctx.saved_tensors
        grad = torch._nnpack_spatial_convolution(grads[0].contiguous(), weight_backward, None, (1, 1))
        return grad, None, None, None


class FrozenConvolution(nn.Module):
    """3x3 convolution, stride 1, padding 1, whose weights are constants.

    ``weight`` (C_out, C_in, 3, 3) and ``bias`` (C_out) are kept in the memory layout and type of ``precision``:
    bfloat16 in channels_last for oneDNN and cuDNN, float32 in NCHW for Winograd.
    """

    weight: Tensor
    bias: Tensor
    weight_backward: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor, precision: Precision, edges: Edges = "zeros") -> None:
        super().__init__()
        self._edges = edges
        weight, bias = weight.detach(), bias.detach()
        if precision == "bfloat16":
            weight, bias = weight.to(torch.bfloat16), bias.to(torch.bfloat16)
            weight = weight.contiguous(memory_format=torch.channels_last)
        winograd = (
            precision == "float32"
            and edges == "zeros"
            and weight.device.type == "cpu"
            and min(weight.shape[:2]) >= _WINOGRAD_MIN_CHANNELS
            and torch.backends.nnpack.is_available()  # type: ignore[no-untyped-call]
        )
        weight_backward = weight.flip(2, 3).transpose(0, 1).contiguous() if winograd else None
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("weight_backward", weight_backward)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C_in, H, W); returns (N, C_out, H, W)."""
        if self._edges == "replicate":
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), self.weight, self.bias)
        positions = x.shape[2] * x.shape[3]
        # NNPACK computes on the CPU only. Exported networks are run by other runtimes, which have their own kernels.
        winograd = self.weight_backward is not None and x.device.type == "cpu" and not torch.compiler.is_exporting()
        winograd = winograd and not torch.is_autocast_enabled(x.device.type)
        if winograd and positions >= _WINOGRAD_MIN_POSITIONS:
            convolved: Tensor = _WinogradConvolution.apply(  # type: ignore[no-untyped-call]  # apply is not annotated
                x, self.weight, self.weight_backward, self.bias
            )
            return convolved
        return F.conv2d(x, self.weight, self.bias, padding=1)


def rescale_activations(network: VGG, images: Sequence[Tensor]) -> VGG:
    """Build a network in which the mean activation of each filter over ``images`` and positions is 1.

    Gatys et al. (2016), section 2: each filter is divided by its mean activation, and the weights of the next layer for
    this channel are multiplied by it. This changes nothing but the scale of each channel, and makes the weights of
    losses comparable between layers and between networks. Differs from the paper in two points. Means are taken over
    ``images``, each (1, 3, H, W), in place of ImageNet's validation set. And divisors are at least a quarter of the
    layer's mean activation, as filters that hardly respond to two small pictures would outweigh all others: in the
    losses of Gram matrices, a factor counts to the fourth power.
    """
    layers = [layer for layer in network.layers if layer.startswith("relu")]
    with torch.no_grad():
        each = [_means(network.forward(image, layers)) for image in images]
        means = {layer: torch.stack([found[layer] for found in each]).mean(0) for layer in layers}
    tensors: dict[str, Tensor] = {}
    read = torch.ones(3, device=network.mean.device)
    for layer in layers:
        mean = means[layer].clamp_min(_FAINTEST * float(means[layer].mean()))
        name = layer.replace("relu", "conv")
        convolution = cast("FrozenConvolution", network.convolutions[name])
        tensors[f"{name}.weight"] = convolution.weight.float() * (read / mean.view(-1, 1)).view(len(mean), -1, 1, 1)
        tensors[f"{name}.bias"] = convolution.bias.float() / mean
        read = mean
    return VGG(
        network.architecture,
        tensors,
        mean=network.mean.flatten().tolist(),
        std=network.std.flatten().tolist(),
        name=network.name,
        identity=network.identity,
        pooling=network.pooling,
        precision=network.precision,
    ).to(network.mean.device)


def _means(features: Features) -> dict[str, Tensor]:
    return {layer: activations.float().mean((0, 2, 3)) for layer, activations in features.items()}
