"""The image transformation network of Johnson et al. (2016), "Perceptual Losses for Real-Time Style Transfer".

Supplementary material, table 1: a 9x9 convolution, two that halve the sides, five residual blocks, two that double
the sides, a 9x9 convolution, and tanh. Differs from the paper in two points. Upsampling is followed by convolution,
which leaves no checkerboard pattern (Odena et al. 2016). Every layer uses reflection padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

from impasto.networks.base import Graph, NormalizedNetwork, PaintingNetwork, picture_sides
from impasto.networks.blocks import VARIANCE_FLOOR, EdgeConvolution, batch_norm, enlarge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.networks.base import Normalize

STRIDE = 4
"""The sides of pictures, in pixels, are multiples of this."""
_MOMENTUM = 0.1


class TransformerNetwork(NormalizedNetwork, PaintingNetwork):
    """Paints a picture in the style that the network was trained for."""

    architecture = "transformer"
    stride = STRIDE
    halo = 104
    statistics: Tensor

    def __init__(
        self,
        *,
        width: int = 32,
        blocks: int = 5,
        norm: Literal["instance", "batch"] = "instance",
        additive: bool = False,
        seed: int = 0,
    ) -> None:
        """Build the network with weights from ``seed``.

        Args:
            width: channels at the full resolution. There are twice as many at half the resolution, and four times as
                many at a quarter.
            blocks: number of residual blocks.
            norm: 'instance' normalises each picture by itself, and 'batch' all pictures of a batch together, as in the
                paper. Ulyanov et al. (2017) show why 'instance' is better.
            additive: True to predict a change, initially zero, that is added to the picture.
            seed: seed of the weights.
        """
        super().__init__()
        self.arguments = {"width": width, "blocks": blocks, "norm": norm, "additive": additive}
        self.norm, self.additive = norm, additive
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = EdgeConvolution(3, width, 9, edges="reflect")
            self.down = nn.ModuleList(
                [
                    EdgeConvolution(width, 2 * width, 3, stride=2, edges="reflect"),
                    EdgeConvolution(2 * width, 4 * width, 3, stride=2, edges="reflect"),
                ]
            )
            self.body = nn.ModuleList(
                EdgeConvolution(4 * width, 4 * width, 3, edges="reflect") for _ in range(2 * blocks)
            )
            self.up = nn.ModuleList(
                [
                    EdgeConvolution(4 * width, 2 * width, 3, edges="reflect"),
                    EdgeConvolution(2 * width, width, 3, edges="reflect"),
                ]
            )
            self.last = EdgeConvolution(width, 3, 9, edges="reflect")
        if additive:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(cast("Tensor", self.last.bias))
        self._set_widths([width, 2 * width, 4 * width, *[4 * width] * (2 * blocks), 2 * width, width])
        self.code = nn.Parameter(self.plain_code())
        if norm == "batch":
            # Running means of all normalisations, then their running variances.
            half = self.code_size // 2
            self.register_buffer("statistics", torch.cat([torch.zeros(half), torch.ones(half)]))

    def forward(self, image: Tensor) -> Tensor:
        """Paint ``image`` (N, 3, H, W), sRGB in [0, 1], with sides that are multiples of `STRIDE`.

        Returns:
            (N, 3, H, W), sRGB, possibly slightly outside [0, 1].
        """
        if self.norm == "instance":
            return self._train_pass([image], self.code[None])
        return self._batch_pass(image) if self.training else self.measure(image)[1]

    def measure(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Paint ``image`` (1, 3, H, W), and find scales and shifts with which `render` paints tiles of a larger copy.

        Returns:
            Scales and shifts (1, code_size), and the painted picture (1, 3, H, W).
        """
        if self.norm == "instance":
            affine, painted = self._measure_pass([image], self.code[None])
            return affine, painted.clamp(0, 1)
        mean, variance = self.statistics.chunk(2)
        scale, shift = self.code.chunk(2)
        scale = scale * (variance + VARIANCE_FLOOR).rsqrt()
        affine = torch.cat([scale, shift - mean * scale])[None]
        return affine, self.render(image, affine)

    def render(self, tile: Tensor, affine: Tensor) -> Tensor:
        """Paint ``tile`` (N, 3, H, W) with the scales and shifts from `measure`: (N, 3, H, W) in [0, 1]."""
        return self._render_pass([tile], affine).clamp(0, 1)

    def graphs(self) -> list[Graph]:
        """Return the two graphs of the engine 'transformer'.

        - ``measure``: ``image`` (1, 3, H, W) to ``affine`` (1, code_size) and ``painted`` (1, 3, H, W);
        - ``render``: ``tile`` (1, 3, H, W) and ``affine`` to ``painted`` (1, 3, H, W).
        """
        image, sides = torch.rand(1, 3, 16 * STRIDE, 24 * STRIDE), picture_sides(STRIDE)
        with torch.no_grad():
            affine, _ = self.measure(image)
        return [
            Graph("measure", self.measure, [self], {"image": image}, ("affine", "painted"), {"image": sides}),
            Graph("render", self.render, [self], {"tile": image, "affine": affine}, ("painted",), {"tile": sides}),
        ]

    def _batch_pass(self, image: Tensor) -> Tensor:
        """Paint with normalisation by the statistics of the batch, and update the running statistics."""
        parts = iter(self._parts(self.code[None]))
        means, variances = [], []

        def normalize(x: Tensor) -> Tensor:
            scale, shift = next(parts)
            normalized, mean, variance = batch_norm(x)
            means.append(mean)
            variances.append(variance)
            return normalized * scale + shift

        painted = self._paint([image], normalize)
        self.statistics.lerp_(torch.cat([*means, *variances]).detach(), _MOMENTUM)
        return painted

    def _paint(self, inputs: Sequence[Tensor], normalize: Normalize) -> Tensor:
        x = normalize(self.first(inputs[0] - 0.5)).relu()
        for convolution in self.down:
            x = normalize(convolution(x)).relu()
        for one, two in zip(self.body[::2], self.body[1::2], strict=True):
            x = x + normalize(two(normalize(one(x)).relu()))
        for convolution in self.up:
            x = normalize(convolution(enlarge(x))).relu()
        painted = torch.tanh(self.last(x).float())
        return inputs[0] + painted if self.additive else painted / 2 + 0.5
