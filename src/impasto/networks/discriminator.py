"""What tells real pictures from painted ones, patch by patch: Isola et al. (2017), section 3.2.2."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.networks.blocks import instance_norm


class PatchDiscriminator(nn.Module):
    """Four convolutions that halve or keep the sides, and one that gives each patch of 70x70 pixels a mark."""

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

    def forward(self, image: Tensor) -> Tensor:
        """Mark the patches of ``image`` (N, 3, H, W), sRGB in [0, 1]: (N, 1, rows, columns), 1 is real."""
        x = 2 * image - 1
        for depth, convolution in enumerate(self.convolutions):
            x = convolution(x)
            x = functional.leaky_relu(instance_norm(x) if depth else x, 0.2)
        marks: Tensor = self.last(x)
        return marks
