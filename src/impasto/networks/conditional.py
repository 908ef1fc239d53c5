"""One transformer network for all styles: its instance normalisations take scale and shift from a style code.

Dumoulin et al. (2017), "A Learned Representation For Artistic Style"; the shape of the network is ours: work is done at
an eighth of the resolution, where strokes are made, and little of it at the full one.

Where the picture is flat, a network that works at an eighth of the resolution can only repeat itself every 8 pixels: it
sees the same everywhere. Noise, added at that resolution, is what it makes irregular strokes of (as in Ulyanov et al.
2016, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.networks.blocks import EdgeConvolution, enlarge
from impasto.networks.normalized import NormalizedNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.networks.normalized import Normalize

STRIDE = 8
"""Sides of the pictures are multiples of this."""
NOISE_CHANNELS = 8
"""Of the noise that the network is fed with, one number of each for every ``STRIDE`` x ``STRIDE`` pixels."""
_NOISE_SHARE = 0.1
_DEEPEST = 2


class ConditionalTransformer(NormalizedNetwork):
    """Paints a picture in the style of a code."""

    def __init__(
        self,
        *,
        full: int = 16,
        half: int = 48,
        quarter: int = 64,
        eighth: int = 128,
        half_up: int = 32,
        blocks: int = 4,
    ) -> None:
        """Build the network with that many channels at each resolution and ``blocks`` residual blocks at an eighth.

        ``half_up`` is the number at half the resolution on the way back.
        """
        super().__init__()
        self.first = EdgeConvolution(3, full, 3)
        self.down = nn.ModuleList(
            [
                EdgeConvolution(full, half, 4, stride=2),
                EdgeConvolution(half, quarter, 4, stride=2),
                EdgeConvolution(quarter, eighth, 4, stride=2),
            ]
        )
        self.body = nn.ModuleList(EdgeConvolution(eighth, eighth, 3) for _ in range(2 * blocks))
        self.up = nn.ModuleList(
            [
                EdgeConvolution(eighth, quarter, 3),
                EdgeConvolution(quarter, half_up, 3),
                EdgeConvolution(half_up, full, 3),
            ]
        )
        self.last = EdgeConvolution(full, 3, 3)
        self.detail = nn.Conv2d(half, half_up, 1, bias=False)
        nn.init.zeros_(self.detail.weight)
        self.noise = nn.Conv2d(NOISE_CHANNELS, eighth, 1, bias=False)
        nn.init.normal_(self.noise.weight, std=_NOISE_SHARE)
        self._set_widths(
            [
                convolution.out_channels
                for stage in (self.down, self.body, self.up)
                for convolution in stage
                if isinstance(convolution, EdgeConvolution)
            ]
        )

    def forward(self, image: Tensor, code: Tensor, noise: Tensor) -> Tensor:
        """Paint ``image`` in the styles of ``code``.

        Args:
            image: (N, 3, H, W), sRGB in [0, 1].
            code: (N, code_size).
            noise: (N, NOISE_CHANNELS, H / STRIDE, W / STRIDE), of mean 0 and variance 1.

        Returns:
            (N, 3, H, W), sRGB in [0, 1].
        """
        return self._train_pass([image, noise], code)

    def measure(self, image: Tensor, code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Paint ``image`` (1, 3, H, W), and find what `render` needs to paint any part of any enlargement of it.

        Returns:
            Scales and shifts (1, code_size), and what is painted (1, 3, H, W).
        """
        return self._measure_pass([image, noise], code)

    def render(self, tile: Tensor, affine: Tensor, noise: Tensor) -> Tensor:
        """Paint ``tile`` (N, 3, H, W) with what `measure` returned and its part of the noise."""
        return self._render_pass([tile, noise], affine)

    def _paint(self, inputs: Sequence[Tensor], normalize: Normalize) -> Tensor:
        image, noise = inputs
        x = self.first(image - 0.5).relu()
        skip = detail = x
        for depth, convolution in enumerate(self.down):
            x = convolution(x)
            x = normalize(x + self.noise(noise) if depth == _DEEPEST else x).relu()
            if depth == 0:
                detail = x
            elif depth == 1:
                skip = x
        for one, two in zip(self.body[::2], self.body[1::2], strict=True):
            x = x + normalize(two(normalize(one(x)).relu()))
        x = normalize(self.up[0](enlarge(x))).relu() + skip
        x = normalize(self.up[1](enlarge(x)) + self.detail(detail)).relu()
        x = normalize(self.up[2](enlarge(x))).relu()
        return torch.sigmoid(self.last(x).float())
