"""Discriminators, which classify patches as real or painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.networks.blocks import instance_norm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.types import Features

_SLOPE = 0.2


class PatchDiscriminator(nn.Module):
    """The discriminator of CycleGAN: four convolutions that halve or keep the sides, and one that scores 70x70 patches.

    Isola et al. (2017), section 3.2.2.
    """

    def __init__(self, *, width: int = 64, seed: int = 0) -> None:
        """Build the network: ``width``, 2 ``width``, 4 ``width`` and 8 ``width`` channels."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            widths = [3, width, 2 * width, 4 * width, 8 * width]
            strides = [2, 2, 2, 1]
            self.convolutions = nn.ModuleList(
                nn.Conv2d(channels, wider, 4, stride, padding=1)
                for channels, wider, stride in zip(widths, widths[1:], strides, strict=False)
            )
            self.last = nn.Conv2d(8 * width, 1, 4, padding=1)
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.normal_(module.weight, std=0.02)  # Zhu et al. (2017), section 7.2

    def forward(self, image: Tensor) -> list[Tensor]:
        """Score the patches of ``image`` (N, 3, H, W), sRGB in [0, 1]: one map (N, 1, rows, columns); 1 means real."""
        x = 2 * image - 1
        for depth, convolution in enumerate(self.convolutions):
            x = convolution(x)
            x = functional.leaky_relu(instance_norm(x) if depth else x, _SLOPE)
        return [self.last(x)]


class FeatureDiscriminator(nn.Module):
    """Scores patches from features of a fixed descriptor: Sauer et al. (2021), "Projected GANs Converge Faster".

    Section 3.2: one small network for each layer. Differs from the paper in that activations are not mixed over
    channels and scales by random maps. Instead, each layer is normalised as a whole.
    """

    def __init__(self, channels: Mapping[str, int], *, width: int = 64, seed: int = 0) -> None:
        """Build a small network of ``width`` channels for each layer, given the number of ``channels`` by layer."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parts = nn.ModuleDict(
                {
                    layer: nn.Sequential(
                        nn.Conv2d(count, width, 4, stride=2, padding=1),
                        nn.LeakyReLU(_SLOPE),
                        nn.Conv2d(width, width, 3, padding=1),
                        nn.LeakyReLU(_SLOPE),
                        nn.Conv2d(width, 1, 3, padding=1),
                    )
                    for layer, count in channels.items()
                }
            )

    def forward(self, features: Features) -> list[Tensor]:
        """Score the patches of ``features``: one map (N, 1, rows, columns) per layer; 1 means real."""
        return [part(functional.group_norm(features[layer].float(), 1)) for layer, part in self.parts.items()]
