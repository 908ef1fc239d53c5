"""Losses of a picture and their gradients, written as forward computations that can be exported.

The derivative of a 3x3 convolution with respect to its input is a convolution with filters turned by 180 degrees. ReLU
passes the derivative on where its output is positive, and maximum pooling where the input equals the maximum. Average
pooling spreads it evenly. Tests compare the gradients with automatic differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor

from impasto.descriptors.vgg import VGG
from impasto.networks.base import Graph, picture_sides

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from impasto.descriptors.compact import CompactDescriptor

STRIDE = 8
"""Stride of relu4_1 in pixels. The sides of pictures are multiples of it."""
HYPER_LAYERS = {"relu1_2": 4, "relu2_2": 2, "relu3_1": 1, "relu3_3": 1, "relu4_1": -2}
"""Layers of a hypercolumn, with the factor by which each is reduced; -2 enlarges by 2."""
OWN_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers that are matched one by one, each at its own resolution."""
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""Layers whose statistics are compared."""
CONTENT_LAYER = "relu4_2"
"""The layer whose activations are compared with the content's."""
_TINY = 1e-6


@dataclass(frozen=True)
class Pass:
    """The activations of one picture, kept for the backward pass."""

    network: VGG
    activations: Mapping[str, Tensor]
    """Activations of each ReLU and pooling by name, down to the deepest requested layer."""

    @classmethod
    def of(cls, network: VGG, image: Tensor, layers: Iterable[str]) -> Pass:
        """Compute the activations of ``image`` (1, 3, H, W) down to the deepest of ``layers``."""
        deepest = max(network.layers.index(layer) for layer in layers)
        found: dict[str, Tensor] = {}
        x = (image - network.mean) / network.std
        for name in network.layers[: deepest + 1]:
            if name.startswith("conv"):
                x = network.convolutions[name](x)
            else:
                found[name] = x = F.relu(x) if name.startswith("relu") else F.max_pool2d(x, 2)
        return cls(network, found)

    def gradient(self, pulls: Mapping[str, Tensor]) -> Tensor:
        """Return the derivative with respect to the image, given the derivatives with respect to layers (``pulls``)."""
        network, found = self.network, self.activations
        names = list(found)
        gradient: Tensor | None = None
        for name in reversed(names):
            if name in pulls:
                gradient = pulls[name] if gradient is None else gradient + pulls[name]
            if gradient is None:
                continue
            if name.startswith("pool"):
                before = found[names[names.index(name) - 1]]
                highest = before >= _enlarged(found[name])
                # Where several inputs are the maximum, as in flat areas, they share its derivative.
                shared = gradient / (4 * F.avg_pool2d(highest.to(gradient.dtype), 2))
                gradient = torch.where(highest, _enlarged(shared), 0.0)
            else:
                gradient = torch.where(found[name] > 0, gradient, 0.0)
                gradient = _convolution_gradient(network, name.replace("relu", "conv"), gradient)
        assert gradient is not None
        return gradient / network.std


def _convolution_gradient(network: VGG, name: str, gradient: Tensor) -> Tensor:
    weight = network.get_buffer(f"convolutions.{name}.weight").flip(2, 3).transpose(0, 1)
    if name != "conv1_1":
        return F.conv2d(gradient, weight, padding=1)
    # The input was padded by repeating the edges, so gradients in the padding are added to the edges.
    return _fold_edges(_fold_edges(F.conv2d(gradient, weight, padding=2), 2), 3)


def _fold_edges(x: Tensor, axis: int) -> Tensor:
    first, second = x.narrow(axis, 0, 1), x.narrow(axis, 1, 1)
    size = x.shape[axis]
    inner, last = x.narrow(axis, 2, size - 4), x.narrow(axis, size - 2, 1) + x.narrow(axis, size - 1, 1)
    return torch.cat([first + second, inner, last], axis)


def _enlarged(x: Tensor, times: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=float(times), mode="nearest") if times > 1 else x


def hypercolumns(features: Mapping[str, Tensor]) -> Tensor:
    """Stack the `HYPER_LAYERS` at a quarter of the picture's resolution, (1, C, H / 4, W / 4).

    Each layer is divided by the square root of its number of channels, so that all layers count alike.
    """
    stacked = []
    for layer, reduction in HYPER_LAYERS.items():
        x = features[layer]
        x = F.avg_pool2d(x, reduction) if reduction > 1 else _enlarged(x) if reduction < 0 else x
        stacked.append(x / x.shape[1] ** 0.5)
    return torch.cat(stacked, 1)


def _hypercolumn_pulls(features: Mapping[str, Tensor], gradient: Tensor) -> dict[str, Tensor]:
    pulls, first = {}, 0
    for layer, reduction in HYPER_LAYERS.items():
        channels = features[layer].shape[1]
        x = gradient[:, first : first + channels] / channels**0.5
        first += channels
        if reduction > 1:
            x = F.interpolate(x, scale_factor=float(reduction), mode="nearest") / reduction**2
        elif reduction < 0:
            x = 4 * F.avg_pool2d(x, 2)
        pulls[layer] = x
    return pulls


class NeighborGraphs:
    """The functions of the engine 'nnst' for one descriptor.

    A picture can be evaluated as a whole or tile by tile. ``own``, (1, 1, H / 8, W / 8), is 1 at positions of the tile
    and 0 in its halo. The losses and gradients of all tiles add up to those of the picture.
    """

    def __init__(self, network: VGG) -> None:
        """Take the descriptor ``network``, which must have relu4_1."""
        self._network = network

    def see_hypercolumns(self, image: Tensor) -> Tensor:
        """Compute the `hypercolumns` of ``image`` (1, 3, H, W)."""
        return hypercolumns(Pass.of(self._network, image, HYPER_LAYERS).activations)

    def see_layers(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute the `OWN_LAYERS` of ``image`` (1, 3, H, W)."""
        found = Pass.of(self._network, image, OWN_LAYERS).activations
        return tuple(found[layer] for layer in OWN_LAYERS)

    def match_hypercolumns(self, image: Tensor, target: Tensor, own: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Compare the hypercolumns of ``image`` (1, 3, H, W) with ``target``.

        The loss is ``sum(a (1 - cos(F, T)) + b |F - T|^2)`` over positions. Differs from Kolkin et al. (2022), eq. 3,
        in the second term, which also matches the strength of the features.

        Args:
            image: sRGB in [0, 1].
            target: (1, C, H / 4, W / 4).
            own: see `NeighborGraphs`.
            factors: (2), a and b.

        Returns:
            The gradient with respect to ``image``, and the loss (1).
        """
        seen = Pass.of(self._network, image, HYPER_LAYERS)
        f = hypercolumns(seen.activations)
        # Losses and gradient depend on the channels only through these three sums at each position.
        f_square, f_target, t_square = (
            product.sum(1, keepdim=True) for product in (f * f, f * target, target * target)
        )
        norm, target_norm = f_square.sqrt() + _TINY, t_square.sqrt() + _TINY
        cosine = f_target / (norm * target_norm)
        here = _enlarged(own)
        angle, distance = here * factors[0], here * factors[1]
        loss = (angle * (1 - cosine) + distance * (f_square - 2 * f_target + t_square)).sum()
        pull = f * (angle * cosine / (norm * norm) + 2 * distance)
        pull = pull - target * (angle / (norm * target_norm) + 2 * distance)
        return seen.gradient(_hypercolumn_pulls(seen.activations, pull)), loss.reshape(1)

    def match_layers(
        self,
        image: Tensor,
        relu1_1: Tensor,
        relu2_1: Tensor,
        relu3_1: Tensor,
        relu4_1: Tensor,
        own: Tensor,
        factors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Compare layers of ``image`` (1, 3, H, W) with their targets: ``sum(c_l |F_l - T_l|^2)`` over positions.

        Args:
            image: sRGB in [0, 1].
            relu1_1: target (1, C, H, W).
            relu2_1: target (1, C, H / 2, W / 2).
            relu3_1: target (1, C, H / 4, W / 4).
            relu4_1: target (1, C, H / 8, W / 8).
            own: see `NeighborGraphs`.
            factors: (4), c of each layer.

        Returns:
            The gradient with respect to ``image``, and the loss (1).
        """
        targets = dict(zip(OWN_LAYERS, (relu1_1, relu2_1, relu3_1, relu4_1), strict=True))
        seen = Pass.of(self._network, image, OWN_LAYERS)
        loss, pulls = image.new_zeros(1), {}
        for depth, (layer, target) in enumerate(targets.items()):
            scale = 2.0 ** (len(targets) - 1 - depth)
            here = own if scale == 1 else F.interpolate(own, scale_factor=scale, mode="nearest")
            weight = here * factors[depth]
            difference = seen.activations[layer] - target
            # Summed over channels first, or OpenVINO would change the order of all activations in memory and back.
            loss = loss + (weight * (difference * difference).sum(1, keepdim=True)).sum()
            pulls[layer] = difference * (2 * weight)
        return seen.gradient(pulls), loss

    def graphs(self) -> list[Graph]:
        """Return the functions as graphs to be exported."""
        image = torch.rand(1, 3, 8 * STRIDE, 12 * STRIDE)
        with torch.no_grad():
            hyper, layers = self.see_hypercolumns(image), self.see_layers(image)
        targets = dict(zip(OWN_LAYERS, layers, strict=True))
        own = torch.ones(1, 1, *layers[-1].shape[2:])
        sides = {"image": picture_sides(STRIDE)}
        tiles = {**sides, "own": picture_sides(1)}
        strides = {layer: picture_sides(STRIDE >> depth) for depth, layer in enumerate(OWN_LAYERS)}
        networks, results = [self._network], ("gradient", "loss")
        return [
            Graph("see_hypercolumns", self.see_hypercolumns, networks, {"image": image}, ("hypercolumns",), sides),
            Graph("see_layers", self.see_layers, networks, {"image": image}, OWN_LAYERS, sides),
            Graph(
                "match_hypercolumns",
                self.match_hypercolumns,
                networks,
                {"image": image, "target": hyper, "own": own, "factors": torch.ones(2)},
                results,
                {**tiles, "target": picture_sides(STRIDE // 4)},
            ),
            Graph(
                "match_layers",
                self.match_layers,
                networks,
                {"image": image, **targets, "own": own, "factors": torch.ones(4)},
                results,
                {**tiles, **strides},
            ),
        ]


class StatisticsGraphs:
    """The functions of the engine 'gatys' for one descriptor.

    They compute sums over positions. The caller adds up the sums of all tiles, turns them into statistics and compares
    these. ``own``, (1, 1, H / 16, W / 16), has the same meaning as for `NeighborGraphs`.
    """

    def __init__(self, descriptor: VGG | CompactDescriptor) -> None:
        """Take the descriptor, which must have relu5_1; a compact one also has 1x1 convolutions after its layers."""
        self._network = descriptor if isinstance(descriptor, VGG) else descriptor.narrow
        self._maps: dict[str, nn.Conv2d] = {}
        if not isinstance(descriptor, VGG):
            self._maps = {layer: descriptor.map(layer) for layer in [*STYLE_LAYERS, CONTENT_LAYER]}

    def sum_statistics(self, image: Tensor, own: Tensor) -> tuple[Tensor, ...]:
        """Compute the sums for the statistics of ``image`` (1, 3, H, W).

        Returns:
            ``sum_k F_ik F_jk``, (C + 1, C + 1), for each of the `STYLE_LAYERS`, and the activations of `CONTENT_LAYER`,
            (1, C, H / 8, W / 8). ``F_Ck`` is 1 at every position, so the last row holds the sums of the channels and,
            at its end, the number of positions.
        """
        seen = Pass.of(self._network, image, [*STYLE_LAYERS, CONTENT_LAYER]).activations
        found = []
        for layer in STYLE_LAYERS:
            features, here = self._mapped(layer, seen[layer]), _over(own, layer)
            counted = torch.cat([features * here, here], 1)
            found.append(counted.flatten(2)[0] @ torch.cat([features, torch.ones_like(here)], 1).flatten(2)[0].T)
        return (*found, self._mapped(CONTENT_LAYER, seen[CONTENT_LAYER]))

    def pull_statistics(
        self,
        image: Tensor,
        own: Tensor,
        content: Tensor,
        factor: Tensor,
        relu1_1: Tensor,
        relu2_1: Tensor,
        relu3_1: Tensor,
        relu4_1: Tensor,
        relu5_1: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of a style loss plus a content loss.

        The style loss is a function of the sums that `sum_statistics` returns, and is given by its derivatives. The
        content loss is ``factor`` times the squared distance from ``content``.

        Args:
            image: sRGB in [0, 1].
            own: see `StatisticsGraphs`.
            content: target activations of `CONTENT_LAYER`, (1, C, H / 8, W / 8).
            factor: factor of the content loss, (1).
            relu1_1: derivative of the style loss with respect to the sums of relu1_1, (C + 1, C + 1), symmetric.
            relu2_1: the same for relu2_1.
            relu3_1: the same for relu3_1.
            relu4_1: the same for relu4_1.
            relu5_1: the same for relu5_1.

        Returns:
            The gradient with respect to ``image``, and the content loss (1).
        """
        seen = Pass.of(self._network, image, [*STYLE_LAYERS, CONTENT_LAYER])
        pulls = {}
        for layer, derivative in zip(STYLE_LAYERS, (relu1_1, relu2_1, relu3_1, relu4_1, relu5_1), strict=True):
            weight, bias = 2 * derivative[:-1, :-1, None, None], 2 * derivative[-1, :-1, None, None]
            pull = F.conv2d(self._mapped(layer, seen.activations[layer]), weight) + bias
            pulls[layer] = self._unmapped(layer, pull * _over(own, layer))
        difference = self._mapped(CONTENT_LAYER, seen.activations[CONTENT_LAYER]) - content
        pull = difference * (_over(own, CONTENT_LAYER) * (2 * factor))
        pulls[CONTENT_LAYER] = self._unmapped(CONTENT_LAYER, pull)
        return seen.gradient(pulls), 0.5 * (pull * difference).sum().reshape(1)

    def graphs(self) -> list[Graph]:
        """Return the functions as graphs to be exported."""
        image, own = torch.rand(1, 3, 128, 192), torch.ones(1, 1, 8, 12)
        with torch.no_grad():
            *sums, content = self.sum_statistics(image, own)
        networks = [self._network, *self._maps.values()]
        sides = {"image": picture_sides(16), "own": picture_sides(1)}
        seen = {"image": image, "own": own}
        derivatives = {"content": content, "factor": torch.ones(1), **dict(zip(STYLE_LAYERS, sums, strict=True))}
        return [
            Graph("sum_statistics", self.sum_statistics, networks, seen, (*STYLE_LAYERS, "content"), sides),
            Graph(
                "pull_statistics",
                self.pull_statistics,
                networks,
                {**seen, **derivatives},
                ("gradient", "loss"),
                {**sides, "content": picture_sides(2)},
            ),
        ]

    def _mapped(self, layer: str, x: Tensor) -> Tensor:
        mapped: Tensor = self._maps[layer](x) if layer in self._maps else x
        return mapped

    def _unmapped(self, layer: str, gradient: Tensor) -> Tensor:
        return F.conv2d(gradient, self._maps[layer].weight.transpose(0, 1)) if layer in self._maps else gradient


def _over(own: Tensor, layer: str) -> Tensor:
    """Resize ``own`` to the positions of ``layer``."""
    return _enlarged(own, 2 ** (5 - int(layer[4])))
