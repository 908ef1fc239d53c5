"""Losses and gradient of `impasto.losses.objective`, for pictures whose activations do not fit into the memory.

Style statistics are functions of sums over positions, so each evaluation takes two passes over the tiles. The first
pass adds up the sums, which give the style losses and their gradients with respect to the sums. In the second pass,
each tile adds its part of the gradient with respect to the pixels (Galerne et al. 2024, "Scaling Painting Style
Transfer", section 4). The halo of a tile covers the receptive field of its activations, so nothing is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from impasto.engines.tiling import plan_tiles
from impasto.losses.functional import content_factor
from impasto.optimization import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from impasto.descriptors import Descriptor
    from impasto.engines.tiling import Tile
    from impasto.losses.functional import Normalization
    from impasto.losses.objective import StyleLoss
    from impasto.optimization.arrays import Memory
    from impasto.types import Features, FloatArray


@dataclass(frozen=True)
class Tiling:
    """The division of pictures into tiles for a descriptor."""

    descriptor: Descriptor
    side: int
    """Side of a tile in pixels, without its halo."""
    memory: Memory
    """Storage for pictures."""
    device: torch.device
    """The device that computes."""

    def tiles(self, image: FloatArray, layers: Iterable[str]) -> Iterator[Tile]:
        """Divide ``image`` (1, 3, H, W) such that `see` is exact for ``layers``."""
        wanted = list(layers)
        stride = max(self.stride(layer) for layer in wanted)
        reach = max(self.descriptor.reach(layer) for layer in wanted)
        # With edges at multiples of the coarsest stride, pooling windows are the same as in the whole picture.
        side, halo = (-(-length // stride) * stride for length in (self.side, max(2 * stride, reach)))
        height, width = image.shape[2:]
        for row in plan_tiles(height, width, side, side, halo=halo):
            yield from row

    def see(self, image: Tensor, tile: Tile, layers: Iterable[str]) -> Features:
        """Compute ``layers`` at the positions of ``tile``, without its halo.

        ``image`` (1, 3, H, W) is the tile with its halo.
        """
        features = self.descriptor.forward(image, layers)
        own = {}
        for layer, activations in features.items():
            stride = self.stride(layer)
            top, left = (tile.top - tile.seen_top) // stride, (tile.left - tile.seen_left) // stride
            # The last rows and columns of the picture may belong to no position.
            bottom, right = (tile.bottom - tile.seen_top) // stride, (tile.right - tile.seen_left) // stride
            own[layer] = activations[:, :, top:bottom, left:right]
        return own

    def stride(self, layer: str) -> int:
        """Stride of ``layer`` in pixels."""
        return self.descriptor.minimum_size(layer) // 2

    def positions(self, image: FloatArray, layer: str) -> int:
        """Number of positions of ``layer`` for ``image``."""
        height, width = image.shape[2:]
        return int(height // self.stride(layer)) * int(width // self.stride(layer))

    @torch.no_grad()
    def statistics(self, image: FloatArray, layers: Iterable[str], kind: type[StyleLoss]) -> dict[str, Tensor]:
        """Compute the statistics of ``image`` (1, 3, H, W) that ``kind`` compares, by layer."""
        sums = self.sums(image, layers, kind)
        return {layer: kind.statistics_of(total, self.positions(image, layer)) for layer, total in sums.items()}

    @torch.no_grad()
    def sums(self, image: FloatArray, layers: Iterable[str], kind: type[StyleLoss]) -> dict[str, Tensor]:
        """Compute the sums for the `statistics` of ``image`` (1, 3, H, W), by layer."""
        wanted, sums = list(layers), dict[str, Tensor]()
        for tile in self.tiles(image, wanted):
            for layer, activations in self.see(self.cut(image, tile), tile, wanted).items():
                part = kind.sums(activations)
                sums[layer] = sums[layer] + part if layer in sums else part
            self.memory.release()
        return sums

    def cut(self, image: FloatArray, tile: Tile) -> Tensor:
        """Cut ``tile`` with its halo out of ``image`` (1, 3, H, W), as a tensor on the device."""
        return torch.from_numpy(seen(image, tile)).to(self.device)

    def kept(self, activations: Tensor) -> Tensor:
        """Move ``activations`` to the storage for pictures; on a GPU, they stay on the GPU."""
        activations = activations.contiguous()
        if self.device.type != "cpu":
            return activations
        return torch.from_numpy(self.memory.kept(activations.float().numpy()))


def seen(image: FloatArray, tile: Tile) -> FloatArray:
    """Cut ``tile`` with its halo out of ``image`` (1, 3, H, W)."""
    return image[:, :, tile.seen_top : tile.seen_bottom, tile.seen_left : tile.seen_right]


@dataclass(frozen=True)
class ContentTiles:
    """The content loss, tile by tile."""

    targets: list[dict[str, Tensor]]
    """Target activations of each tile, by layer: (1, C, rows, columns)."""
    factors: dict[str, Tensor]
    """Factor of the squared differences, by layer: scalars."""


class TiledObjective:
    """Content loss, style loss and total variation of an image, and their gradient, tile by tile."""

    def __init__(
        self,
        tiling: Tiling,
        *,
        content: FloatArray | None,
        content_shares: Mapping[str, float],
        style: Mapping[str, StyleLoss],
        style_shares: Mapping[str, float],
        tv_weight: float,
        normalization: Normalization,
    ) -> None:
        """Compute the targets of the ``content`` (1, 3, H, W), if there is one.

        The weights of both kinds of losses are divided among layers (`impasto.options.shares_of_layers`).
        """
        self._tiling = tiling
        self._content_shares = content_shares if content is not None else {}
        self._style, self._style_shares = style, style_shares if style else {}
        self._layers = sorted({*self._content_shares, *self._style_shares})
        self._tv_weight = tv_weight
        self._content = None if content is None else self._targets(content, normalization)

    def evaluate(self, image: FloatArray) -> Evaluation:
        """Compute the weighted losses of ``image`` (1, 3, H, W) by name, their sum as 'total', and its gradient."""
        tiling = self._tiling
        losses, pulls = self._style_losses(image)
        gradient = tiling.memory.zeros(image.shape)
        for index, tile in enumerate(tiling.tiles(image, self._layers)):
            leaf = tiling.cut(image, tile).clone().requires_grad_(True)
            features = tiling.see(leaf, tile, self._layers)
            terms = self._terms(leaf, tile, image, features, index)
            moved = [(pull * self._style[layer].sums(features[layer])).sum() for layer, pull in pulls.items()]
            (part,) = torch.autograd.grad(torch.stack([*terms.values(), *moved]).sum(), leaf)
            seen(gradient, tile)[...] += part.cpu().numpy()
            for name, term in terms.items():
                losses[name] = losses.get(name, 0.0) + float(term.detach())
            tiling.memory.release()
        return Evaluation({**losses, "total": sum(losses.values())}, gradient)

    def _style_losses(self, image: FloatArray) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Return the style losses, and their gradients with respect to the sums of `Tiling.sums`."""
        if not self._style_shares:
            return {}, {}
        kind = type(next(iter(self._style.values())))
        sums = self._tiling.sums(image, self._style_shares, kind)
        leaves = [total.requires_grad_(True) for total in sums.values()]
        terms = [
            self._style_shares[layer]
            * self._style[layer].compare(kind.statistics_of(total, self._tiling.positions(image, layer)))
            for layer, total in sums.items()
        ]
        loss = torch.stack(terms).sum()
        return {"style": float(loss.detach())}, dict(zip(sums, torch.autograd.grad(loss, leaves), strict=True))

    def _terms(
        self, leaf: Tensor, tile: Tile, image: FloatArray, features: Mapping[str, Tensor], index: int
    ) -> dict[str, Tensor]:
        """Compute the contribution of the tile ``index`` to the losses that are sums over positions."""
        terms = {}
        if self._content:
            targets, factors = self._content.targets[index], self._content.factors
            terms["content"] = torch.stack(
                [
                    share * factors[layer] * (features[layer].float() - targets[layer].float()).square().sum()
                    for layer, share in self._content_shares.items()
                ]
            ).sum()
        if self._tv_weight:
            height, width = image.shape[2:]
            vertical, horizontal = _own_differences(leaf, tile)
            variation = vertical / (3 * (height - 1) * width) + horizontal / (3 * height * (width - 1))
            terms["tv"] = self._tv_weight * variation
        return terms

    @torch.no_grad()
    def _targets(self, content: FloatArray, normalization: Normalization) -> ContentTiles:
        tiling, targets = self._tiling, []
        squares = dict.fromkeys(self._content_shares, torch.zeros((), device=tiling.device))
        counts = dict.fromkeys(self._content_shares, 0)
        # The tiles are those of `evaluate`, whose style layers may be deeper than the content layers.
        for tile in tiling.tiles(content, self._layers):
            features = tiling.see(tiling.cut(content, tile), tile, self._content_shares)
            targets.append({layer: tiling.kept(activations) for layer, activations in features.items()})
            for layer, activations in features.items():
                squares[layer] = squares[layer] + activations.float().square().sum()
                counts[layer] += activations.numel()
            tiling.memory.release()
        factors = {layer: content_factor(each, counts[layer], normalization) for layer, each in squares.items()}
        return ContentTiles(targets, factors)


def _own_differences(leaf: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
    """Sum the squared differences of the tile's pixels from their lower and right neighbours: two scalars."""
    top, left = tile.top - tile.seen_top, tile.left - tile.seen_left
    bottom, right = tile.bottom - tile.seen_top, tile.right - tile.seen_left
    vertical = leaf[:, :, top : bottom + 1, left:right].diff(dim=2)
    horizontal = leaf[:, :, top:bottom, left : right + 1].diff(dim=3)
    return vertical.square().sum(), horizontal.square().sum()
