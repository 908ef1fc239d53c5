"""One transformer network for all styles: its instance normalisations take scale and shift from a style code.

Dumoulin et al. (2017), "A Learned Representation For Artistic Style"; the shape of the network is ours: work is done at
an eighth of the resolution, where strokes are made, and little of it at the full one.

Where the picture is flat, a network that works at an eighth of the resolution can only repeat itself every 8 pixels: it
sees the same everywhere. Noise, added at that resolution, is what it makes irregular strokes of (as in Ulyanov et al.
2016, section 3).

A normalisation needs the statistics of the whole picture. So there are two ways through the same weights beside the
one for training: `measure` turns a thumbnail and a code into one scale and one shift per channel, and `render`, given
these, paints any part of any enlargement of the picture without looking at the rest of it.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.networks.blocks import VARIANCE_FLOOR, EdgeConvolution, enlarge, instance_norm

if TYPE_CHECKING:
    from collections.abc import Callable

    Normalize = Callable[[int, Tensor], Tensor]

STRIDE = 8
"""Sides of the pictures are multiples of this."""
NOISE_CHANNELS = 8
"""Of the noise that the network is fed with, one number of each for every ``STRIDE`` x ``STRIDE`` pixels."""
_NOISE_SHARE = 0.1
_DEEPEST = 2


class ConditionalTransformer(nn.Module):
    """Paints a picture in the style of a code.

    Attributes:
        widths: channels of each normalisation, in the order of the code.
        code_size: twice their sum: scales of all, then shifts of all.
    """

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
        self.widths = tuple(
            convolution.out_channels
            for stage in (self.down, self.body, self.up)
            for convolution in stage
            if isinstance(convolution, EdgeConvolution)
        )
        self._bounds = [0, *accumulate(self.widths)]
        self.code_size = 2 * self._bounds[-1]

    def forward(self, image: Tensor, code: Tensor, noise: Tensor) -> Tensor:
        """Paint ``image`` in the styles of ``code``.

        Args:
            image: (N, 3, H, W), sRGB in [0, 1].
            code: (N, code_size).
            noise: (N, NOISE_CHANNELS, H / STRIDE, W / STRIDE), of mean 0 and variance 1.

        Returns:
            (N, 3, H, W), sRGB in [0, 1].
        """
        scales, shifts = self._parts(code)
        return self._paint(image, noise, lambda index, x: torch.addcmul(shifts[index], instance_norm(x), scales[index]))

    def measure(self, image: Tensor, code: Tensor, noise: Tensor) -> Tensor:
        """Find what `render` needs to paint any part of ``image`` (1, 3, H, W): scales and shifts (1, code_size)."""
        scales, shifts = self._parts(code)
        found: list[tuple[Tensor, Tensor]] = []

        def normalize(index: int, x: Tensor) -> Tensor:
            mean = x.mean((2, 3), keepdim=True)
            variance = (x - mean).square().mean((2, 3), keepdim=True)
            scale = scales[index] * (variance + VARIANCE_FLOOR).rsqrt()
            found.append((scale, shifts[index] - mean * scale))
            return x * scale + found[-1][1]

        self._paint(image, noise, normalize)
        return torch.cat([part for parts in zip(*found, strict=True) for part in parts], dim=1).flatten(1)

    def render(self, tile: Tensor, affine: Tensor, noise: Tensor) -> Tensor:
        """Paint ``tile`` (N, 3, H, W) with what `measure` returned and its part of the noise: pure convolution."""
        scales, shifts = self._parts(affine)
        return self._paint(tile, noise, lambda index, x: x * scales[index] + shifts[index])

    def _parts(self, code: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        scales, shifts = code[:, :, None, None].chunk(2, dim=1)
        bounds = list(pairwise(self._bounds))
        return [scales[:, a:b] for a, b in bounds], [shifts[:, a:b] for a, b in bounds]

    def _paint(self, image: Tensor, noise: Tensor, normalize: Normalize) -> Tensor:
        index = 0

        def normalized(x: Tensor) -> Tensor:
            nonlocal index
            index += 1
            return normalize(index - 1, x)

        x = self.first(image - 0.5).relu()
        skip = detail = x
        for depth, convolution in enumerate(self.down):
            x = convolution(x)
            x = normalized(x + self.noise(noise) if depth == _DEEPEST else x).relu()
            if depth == 0:
                detail = x
            elif depth == 1:
                skip = x
        for one, two in zip(self.body[::2], self.body[1::2], strict=True):
            x = x + normalized(two(normalized(one(x)).relu()))
        x = normalized(self.up[0](enlarge(x))).relu() + skip
        x = normalized(self.up[1](enlarge(x)) + self.detail(detail)).relu()
        x = normalized(self.up[2](enlarge(x))).relu()
        return torch.sigmoid(self.last(x))
