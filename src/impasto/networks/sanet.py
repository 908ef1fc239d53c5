"""Style attention: Park and Lee (2019), "Arbitrary Style Transfer with Style-Attentional Networks"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.networks.base import EncodedNetwork, Graph, Sides, picture_sides
from impasto.networks.blocks import EdgeConvolution, enlarge, mean_and_std, scale_and_shift

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYERS = ("relu4_1", "relu5_1")
STRIDE = 16
"""The sides of pictures, in pixels, are multiples of this."""


class StyleAttention(nn.Module):
    """Attention from each position of the content to similar positions of the style (section 3.2)."""

    def __init__(self, channels: int) -> None:
        """Build the attention between activations with ``channels`` channels."""
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, content: Tensor, affine: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Compute eq. 1 and 2 for activations ``content`` (N, C, H, W).

        Args:
            content: activations of the picture or a tile of it.
            affine: scales and shifts that normalise the activations, (N, 2 C): see `normalization`.
            keys: keys of the style, (N, C, positions): see `memory`.
            values: values of the style, (N, C, positions).
        """
        queries = self.query(scale_and_shift(content, affine)).flatten(2)
        attention = (queries.transpose(1, 2) @ keys).softmax(2)
        found = values @ attention.transpose(1, 2)
        attended: Tensor = content + self.out(found.unflatten(2, content.shape[2:]))
        return attended

    def memory(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (N, C, positions) of activations ``style`` (N, C, H, W)."""
        return self.key(scale_and_shift(style, normalization(style))).flatten(2), self.value(style).flatten(2)


class SANetwork(EncodedNetwork):
    """Two style attentions, at relu4_1 and relu5_1, between encoder and decoder."""

    architecture = "sanet"
    stride = STRIDE
    halo = 160
    encoded_layers = LAYERS

    def _build(self, widths: Mapping[str, int]) -> None:
        fine, coarse = (widths[layer] for layer in LAYERS)
        self.fine = StyleAttention(fine)
        self.coarse = StyleAttention(coarse)
        self.fit = nn.Conv2d(coarse, fine, 1) if coarse != fine else nn.Identity()
        self.merge = EdgeConvolution(fine, fine, 3, edges="reflect")

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        """Paint each image in the style of the corresponding style image.

        Args:
            image: (N, 3, H, W), sRGB in [0, 1], with sides that are multiples of `STRIDE`.
            style: (N, 3, H', W'), likewise.

        Returns:
            (N, 3, H, W), sRGB, possibly slightly outside [0, 1].
        """
        painted: Tensor = self.decoder(self.attend(image, self.measure(image), *self.memories(style)))
        return painted

    def memories(self, style: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return keys and values at relu4_1, and keys and values at relu5_1, of style images (N, 3, H, W)."""
        features = self.encoded(style)
        return (*self.fine.memory(features[LAYERS[0]]), *self.coarse.memory(features[LAYERS[1]]))

    def measure(self, image: Tensor) -> Tensor:
        """Return scales and shifts (N, 2 C4 + 2 C5) that normalise the activations of ``image`` (N, 3, H, W)."""
        features = self.encoded(image)
        return torch.cat([normalization(features[layer]) for layer in LAYERS], dim=1)

    def attend(
        self, tile: Tensor, affine: Tensor, keys: Tensor, values: Tensor, coarse_keys: Tensor, coarse_values: Tensor
    ) -> Tensor:
        """Return the input of the decoder, (N, C4, H / 8, W / 8): eq. 3 and 4.

        Args:
            tile: a picture or a tile of it, (N, 3, H, W).
            affine: the result of `measure` for the whole picture.
            keys: keys at relu4_1, from `memories`.
            values: values at relu4_1, from `memories`.
            coarse_keys: keys at relu5_1, from `memories`.
            coarse_values: values at relu5_1, from `memories`.
        """
        both = self.attend_twice(self.encoded(tile), affine, keys, values, coarse_keys, coarse_values)
        merged: Tensor = self.merge(both)
        return merged

    def attend_twice(
        self,
        features: Mapping[str, Tensor],
        affine: Tensor,
        keys: Tensor,
        values: Tensor,
        coarse_keys: Tensor,
        coarse_values: Tensor,
    ) -> Tensor:
        """Return the sum of both attentions, (N, C4, H / 8, W / 8), for ``features`` of the encoded layers: eq. 4."""
        fine, coarse = (features[layer] for layer in LAYERS)
        first = 2 * fine.shape[1]
        attended = self.fine(fine, affine[:, :first], keys, values)
        attended_coarse = self.fit(self.coarse(coarse, affine[:, first:], coarse_keys, coarse_values))
        both: Tensor = attended + enlarge(attended_coarse)
        return both

    def decode(self, features: Tensor) -> Tensor:
        """Turn a result of `attend`, or a mixture of results, into pictures (N, 3, H, W), sRGB in [0, 1]."""
        painted: Tensor = self.decoder(features)
        return painted.clamp(0, 1)

    def graphs(self) -> list[Graph]:
        """Return the four graphs of the engine 'sanet'.

        - ``predict``: ``style`` (1, 3, H, W) to ``keys`` and ``values`` (1, C4, H W / 64), and ``coarse_keys`` and
          ``coarse_values`` (1, C5, H W / 256);
        - ``measure``: ``image`` (1, 3, H, W) to ``affine`` (1, 2 C4 + 2 C5);
        - ``attend``: ``tile`` (1, 3, H, W) and all of the above to ``features`` (1, C4, H / 8, W / 8);
        - ``render``: ``features`` to ``painted`` (1, 3, H, W).
        """
        image, sides = torch.rand(1, 3, 4 * STRIDE, 6 * STRIDE), picture_sides(STRIDE)
        names = ("keys", "values", "coarse_keys", "coarse_values")
        with torch.no_grad():
            affine = self.measure(image)
            style = dict(zip(names, self.memories(image), strict=True))
            features = self.attend(image, affine, **style)
        positions: dict[str, Sides] = {name: {2: ("positions", 1 if "coarse" in name else 4)} for name in names}
        attended = {"tile": image, "affine": affine, **style}
        memorizing = [self.encoder, self.fine, self.coarse]
        return [
            Graph("predict", self.memories, memorizing, {"style": image}, names, {"style": sides}),
            Graph("measure", self.measure, [self.encoder], {"image": image}, ("affine",), {"image": sides}),
            Graph("attend", self.attend, [self], attended, ("features",), {"tile": sides, **positions}),
            Graph("render", self.decode, [self], {"features": features}, ("painted",), {"features": picture_sides(2)}),
        ]


def normalization(features: Tensor) -> Tensor:
    """Return scales and shifts (N, 2 C) that give each channel of ``features`` (N, C, H, W) mean 0 and variance 1."""
    mean, std = mean_and_std(features).unbind(1)
    return torch.cat([1 / std, -mean / std], dim=1)
