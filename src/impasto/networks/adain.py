"""Adaptive instance normalisation: Huang and Belongie (2017), "Arbitrary Style Transfer in Real-time with AdaIN"."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.networks.base import EncodedNetwork, Graph, picture_sides
from impasto.networks.blocks import mean_and_std, scale_and_shift

LAYER = "relu4_1"
STRIDE = 8
"""The sides of pictures, in pixels, are multiples of this."""
_LARGEST_SCALE = 30.0
"""Maximum scale of a channel. A larger scale would make noise visible in channels with little response."""


class AdaINNetwork(EncodedNetwork):
    """Gives the content's activations the means and standard deviations of the style's, channel by channel."""

    architecture = "adain"
    stride = STRIDE
    halo = 96
    encoded_layers = (LAYER,)

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        """Paint ``image`` (N, 3, H, W), sRGB in [0, 1], with a ``code`` (N, 2 C). Sides are multiples of `STRIDE`.

        Returns:
            (N, 3, H, W), sRGB, possibly slightly outside [0, 1].
        """
        painted: Tensor = self.decoder(self.target(image, code))
        return painted

    def target(self, image: Tensor, code: Tensor) -> Tensor:
        """Return the input of the decoder, (N, C, H / 8, W / 8): eq. 8."""
        return scale_and_shift(self.encoded(image)[LAYER], self.measure(image, code))

    def predict(self, style: Tensor) -> Tensor:
        """Compute the code of style images (N, 3, H, W): means and standard deviations (N, 2 C)."""
        return mean_and_std(self.encoded(style)[LAYER]).flatten(1)

    def measure(self, image: Tensor, code: Tensor) -> Tensor:
        """Compute the scales and shifts (N, 2 C) that give the activations of ``image`` the statistics in ``code``."""
        mean, std = mean_and_std(self.encoded(image)[LAYER]).unbind(1)
        new_mean, new_std = code.chunk(2, dim=1)
        scale = new_std / std.maximum(new_std / _LARGEST_SCALE)
        return torch.cat([scale, new_mean - mean * scale], dim=1)

    def render(self, tile: Tensor, affine: Tensor) -> Tensor:
        """Paint ``tile`` (N, 3, H, W) with the scales and shifts from `measure`."""
        painted: Tensor = self.decoder(scale_and_shift(self.encoded(tile)[LAYER], affine))
        return painted.clamp(0, 1)

    def graphs(self) -> list[Graph]:
        """Return the three graphs of the engine 'adain'.

        - ``predict``: ``style`` (1, 3, H, W) to ``code`` (1, 2 C);
        - ``measure``: ``image`` (1, 3, H, W) and ``code`` to ``affine`` (1, 2 C);
        - ``render``: ``tile`` (1, 3, H, W) and ``affine`` to ``painted`` (1, 3, H, W).
        """
        image, sides = torch.rand(1, 3, 8 * STRIDE, 12 * STRIDE), picture_sides(STRIDE)
        with torch.no_grad():
            code = self.predict(image)
            affine = self.measure(image, code)
        return [
            Graph("predict", self.predict, [self.encoder], {"style": image}, ("code",), {"style": sides}),
            Graph(
                "measure", self.measure, [self.encoder], {"image": image, "code": code}, ("affine",), {"image": sides}
            ),
            Graph("render", self.render, [self], {"tile": image, "affine": affine}, ("painted",), {"tile": sides}),
        ]
