"""Ulyanov et al. (2016), "Texture Networks: Feed-forward Synthesis of Textures and Stylized Images".

Section 3.2 and figure 2: the input is noise at several scales, each half as large as the one before. From the coarsest
scale on, activations are enlarged, concatenated with the noise of the next finer scale, and convolved. For stylisation,
the noise of each scale is concatenated with the content image at that scale. Differs from the paper in two points:
normalisation is by instance, which the authors later found to be better (Ulyanov et al. 2017), and upsampling is
bilinear, which leaves no grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.networks.base import Graph, NormalizedNetwork, PaintingNetwork, picture_sides
from impasto.networks.blocks import EdgeConvolution, enlarge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.networks.base import Normalize

SCALES = 5
"""Number of scales of the noise."""
STRIDE = 16
"""The sides of pictures, in pixels, are multiples of this."""
_PER_SCALE = 3
NOISE_CHANNELS = _PER_SCALE * SCALES
_SLOPE = 0.01


class TextureNetwork(NormalizedNetwork, PaintingNetwork):
    """Makes a texture from noise."""

    architecture = "texture"
    stride = STRIDE
    # At the five scales, two 3x3 convolutions and the upsampling before them extend the receptive field by 2, 6, 12, 24
    # and 48 pixels on each side. The halo is the sum, rounded up to a multiple of the stride.
    halo = 96
    noise_channels = NOISE_CHANNELS
    _given = _PER_SCALE
    """Number of input channels of each scale."""

    def __init__(self, *, width: int = 8, seed: int = 0) -> None:
        """Build the network with weights from ``seed``. Each scale adds ``width`` channels."""
        super().__init__()
        self.arguments = {"width": width}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enter = nn.ModuleList(_block(self._given, width) for _ in range(SCALES))
            self.joined = nn.ModuleList(_block(level * width, level * width) for level in range(2, SCALES + 1))
            self.last = nn.Conv2d(SCALES * width, 3, 1)
        widths = [width] * 3
        for level in range(2, SCALES + 1):
            widths += [*[width] * 3, (level - 1) * width, width, *[level * width] * 3]
        self._set_widths(widths)
        self.code = nn.Parameter(self.plain_code())

    def forward(self, noise: Tensor) -> Tensor:
        """Make textures (N, 3, H, W), sRGB in [0, 1], from ``noise`` (N, NOISE_CHANNELS, H, W), uniform in [0, 1].

        Each scale has its own channels of the noise. At 1/s of the resolution, it uses every s-th row and column of
        them. This makes the noise of a tile easy to select.
        """
        return self._train_pass([noise], self.code[None])

    def measure(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Make a texture, and find scales and shifts with which `render` makes parts of a larger one.

        Returns:
            Scales and shifts (1, code_size), and the texture (1, 3, H, W).
        """
        return self._measure_pass([noise], self.code[None])

    def render(self, noise: Tensor, affine: Tensor) -> Tensor:
        """Make the part of a texture that belongs to this part of the noise, with scales and shifts from `measure`."""
        return self._render_pass([noise], affine)

    def graphs(self) -> list[Graph]:
        """Return the two graphs that make textures.

        - ``measure``: ``noise`` (1, NOISE_CHANNELS, H, W) to ``affine`` (1, code_size) and ``painted`` (1, 3, H, W);
        - ``render``: ``noise`` and ``affine`` to ``painted`` (1, 3, H, W).
        """
        noise, sides = torch.rand(1, NOISE_CHANNELS, 4 * STRIDE, 6 * STRIDE), picture_sides(STRIDE)
        with torch.no_grad():
            affine, _ = self.measure(noise)
        return [
            Graph("measure", self.measure, [self], {"noise": noise}, ("affine", "painted"), {"noise": sides}),
            Graph("render", self.render, [self], {"noise": noise, "affine": affine}, ("painted",), {"noise": sides}),
        ]

    def _paint(self, inputs: Sequence[Tensor], normalize: Normalize) -> Tensor:
        noise, *images = inputs

        def convolved(block: nn.Module, x: Tensor) -> Tensor:
            for convolution in block.children():
                x = functional.leaky_relu(normalize(convolution(x)), _SLOPE)
            return x

        x: Tensor | None = None
        for level, block in enumerate(self.enter):
            step = 2 ** (SCALES - 1 - level)
            first = _PER_SCALE * level
            given = noise[:, first : first + _PER_SCALE, ::step, ::step]
            if images:
                given = torch.cat([given, functional.avg_pool2d(images[0], step)], dim=1)
            entered = convolved(block, given)
            if x is None:
                x = entered
            else:
                x = convolved(self.joined[level - 1], torch.cat([normalize(enlarge(x)), normalize(entered)], dim=1))
        assert x is not None  # there is at least one scale
        return torch.sigmoid(self.last(x).float())


class StylizingTextureNetwork(TextureNetwork):
    """Paints a picture in the style that the network was trained for. Noise is a second input."""

    architecture = "texture-stylizer"
    _given = _PER_SCALE + 3

    def forward(self, noise: Tensor, image: Tensor) -> Tensor:  # type: ignore[override]
        """Paint ``image`` (N, 3, H, W), sRGB in [0, 1], with ``noise`` as for textures: (N, 3, H, W) in [0, 1]."""
        return self._train_pass([noise, image], self.code[None])

    def measure(self, noise: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Paint ``image`` (1, 3, H, W), and find scales and shifts with which `render` paints tiles of a larger copy.

        Returns:
            Scales and shifts (1, code_size), and the painted picture (1, 3, H, W).
        """
        return self._measure_pass([noise, image], self.code[None])

    def render(self, noise: Tensor, tile: Tensor, affine: Tensor) -> Tensor:  # type: ignore[override]
        """Paint ``tile`` (N, 3, H, W) with its part of the noise and the scales and shifts from `measure`."""
        return self._render_pass([noise, tile], affine)

    def graphs(self) -> list[Graph]:
        """Return the two graphs of the engine 'texture-net': those of textures with ``image`` or ``tile`` as well."""
        noise, sides = torch.rand(1, NOISE_CHANNELS, 4 * STRIDE, 6 * STRIDE), picture_sides(STRIDE)
        image = torch.rand(1, 3, *noise.shape[2:])
        with torch.no_grad():
            affine, _ = self.measure(noise, image)
        measured, rendered = {"noise": noise, "image": image}, {"noise": noise, "tile": image}
        return [
            Graph("measure", self.measure, [self], measured, ("affine", "painted"), dict.fromkeys(measured, sides)),
            Graph(
                "render",
                self.render,
                [self],
                {**rendered, "affine": affine},
                ("painted",),
                dict.fromkeys(rendered, sides),
            ),
        ]


def _block(channels: int, width: int) -> nn.Sequential:
    """Build two 3x3 convolutions and a 1x1 convolution (section 3.2). Edges are repeated; the paper pads circularly."""
    return nn.Sequential(
        EdgeConvolution(channels, width, 3), EdgeConvolution(width, width, 3), EdgeConvolution(width, width, 1)
    )
