"""Gatys' rescaling: filters scaled so that each has a mean activation of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from impasto.descriptors.vgg import VGG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from impasto.descriptors.convolution import FrozenConvolution
    from impasto.types import Features

_FAINTEST = 0.25  # smallest divisor of a filter, relative to the mean activation of its layer


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
