"""Features of pictures of any size, and their distance from targets, computed by a descriptor's graphs.

Pictures are processed as a whole or tile by tile (`impasto.engines.mirrored_tiles`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from impasto.engines.mirrored_tiles import STRIDE, TILE_PIXELS, margin_cut, padded_size, plan_tiles, with_margin
from impasto.engines.neighbors import NeighborSearch
from impasto.optimization import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from impasto.engines.descriptor_graphs import DescriptorGraphs
    from impasto.engines.mirrored_tiles import Tile
    from impasto.types import FloatArray

_HYPERCOLUMN_STEP = 4
LAYER_STEPS = {"relu1_1": 1, "relu2_1": 2, "relu3_1": 4, "relu4_1": 8}
"""Strides of the layers' positions in pixels."""
_DISTANCE_SHARE = 0.3
"""Weight of the relative squared distance of hypercolumns; the cosine distance has weight 1."""
_SAMPLE = 16384
"""Number of positions of a large picture from which the means of its features are estimated."""
_LARGE = 30 << 20
"""Number of bytes above which target features take half of them."""
_NOTHING = 1e-12
STRIP_ROWS = 256
"""Number of rows of a picture that are computed at a time, to save memory with large pictures."""


class Target(Protocol):
    """The target features of each position of a picture."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, C, H / step, W / step)."""

    @property
    def square(self) -> float:
        """Sum of the squares of all values."""

    def seen(self, tile: Tile) -> FloatArray:
        """Return the part for ``tile`` with its halo: (1, C, h, w)."""


@dataclass(frozen=True)
class Features:
    """Target features that are stored in full; large ones in half precision, if their range allows."""

    array: npt.NDArray[np.floating]
    """(1, C, H / step, W / step), with a margin."""
    step: int
    """Stride of the positions in pixels."""

    @classmethod
    def of(cls, array: FloatArray, step: int) -> Features:
        """Take the features of a picture without a margin, (1, C, H / step, W / step)."""
        half = array.nbytes > _LARGE and max(array.max(), -array.min()) < np.finfo(np.float16).max
        return cls(with_margin(array.astype(np.float16) if half else array, step), step)

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Target.shape`."""
        return margin_cut(self.array, self.step).shape

    @property
    def square(self) -> float:
        """See `Target.square`."""
        # By channel, to save memory. The margin is 0.
        return float(sum(np.square(channel, dtype=np.float32).sum() for channel in self.array[0]))

    def seen(self, tile: Tile) -> FloatArray:
        """See `Target.seen`."""
        return tile.seen(self.array, self.step).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Gathered:
    """Target features that are stored as indices into a small bank, usually two bytes per position."""

    bank: FloatArray
    """The features of the bank: (C, M)."""
    chosen: npt.NDArray[np.unsignedinteger]
    """Index into the bank for each position: (1, 1, H / step, W / step), with a margin."""
    step: int
    """Stride of the positions in pixels."""

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Target.shape`."""
        return (1, len(self.bank), *margin_cut(self.chosen, self.step).shape[2:])

    @property
    def square(self) -> float:
        """See `Target.square`."""
        chosen = margin_cut(self.chosen, self.step)
        return float(np.bincount(chosen.reshape(-1), minlength=self.bank.shape[1]) @ (self.bank**2).sum(0))

    def seen(self, tile: Tile) -> FloatArray:
        """See `Target.seen`."""
        return self.bank[:, tile.seen(self.chosen, self.step)[0, 0]][None]


class Look:
    """Computes features of pictures with a descriptor's graphs."""

    def __init__(self, graphs: DescriptorGraphs, tile_pixels: int = TILE_PIXELS) -> None:
        """Compute with ``graphs``. Pictures of more than ``tile_pixels`` pixels are processed in tiles, with the same
        result as in one piece."""
        self._graphs = graphs
        self._tile_pixels = tile_pixels

    def hypercolumns(self, pixels: FloatArray) -> FloatArray:
        """Compute the hypercolumns of ``pixels`` (H, W, 3): (1, C, H / 4, W / 4)."""
        return self._see("see_hypercolumns", pixels)["hypercolumns"]

    def layers(self, pixels: FloatArray) -> dict[str, FloatArray]:
        """Compute the features of ``pixels`` (H, W, 3) at each layer of `LAYER_STEPS`: (1, C, H / step, W / step)."""
        return self._see("see_layers", pixels)

    def distance(self, target: FloatArray, tv_weight: float) -> FeatureDistance:
        """Return the objective of matching the hypercolumns ``target`` (1, C, H / 4, W / 4).

        The objective is ``mean(1 - cos(F, T)) + 0.3 |F - T|^2 / |T|^2`` plus weighted total variation.
        """
        features = Features.of(target, _HYPERCOLUMN_STEP)
        factors = [1 / (target.shape[2] * target.shape[3]), _DISTANCE_SHARE / max(features.square, _NOTHING)]
        return FeatureDistance(
            self._graphs, "match_hypercolumns", {"target": features}, factors, tv_weight, self._tile_pixels
        )

    def distance_by_layer(
        self, targets: Mapping[str, Target], tv_weight: float, weights: FloatArray | None = None
    ) -> FeatureDistance:
        """Return the objective of matching the features ``targets``, by layer.

        The objective is the mean over layers of ``|F - T|^2 / |T|^2`` plus weighted total variation. ``weights``,
        (1, 1, H / 8, W / 8), are the weights of the positions.
        """
        factors = [1 / (len(targets) * max(target.square, _NOTHING)) for target in targets.values()]
        return FeatureDistance(self._graphs, "match_layers", targets, factors, tv_weight, self._tile_pixels, weights)

    def gathered(
        self, pixels: FloatArray, banks: Mapping[str, Sequence[FloatArray]], shares: Sequence[float], seed: int
    ) -> dict[str, Gathered]:
        """Find the nearest neighbours of the features of ``pixels`` (H, W, 3), tile by tile.

        Args:
            pixels: the picture.
            banks: features (C, M) of each style, by layer.
            shares: share of each style.
            seed: seed of the random positions from which the means, and the constants that give each style its share,
                are computed.
        """
        sample = self.sampled("see_layers", pixels, dict.fromkeys(banks, _SAMPLE), seed)
        searches = {layer: NeighborSearch(sample.pop(layer), bank, shares) for layer, bank in banks.items()}
        height, width = padded_size(*pixels.shape[:2])
        found: dict[str, Gathered] = {}
        for tile, outputs in self._seen("see_layers", pixels):
            for name, features in outputs.items():
                step, own = tile.step(features), tile.kept(features, tile.step(features))
                if name not in found:
                    bank = np.concatenate(banks[name], axis=1)
                    chosen = np.empty((1, 1, height // step, width // step), np.min_scalar_type(bank.shape[1]))
                    found[name] = Gathered(bank, with_margin(chosen, step), step)
                position = searches[name].find(flat(own)).position
                tile.own(margin_cut(found[name].chosen, step), step)[:] = position.reshape(own.shape[2:])
        return found

    def sampled(self, graph: str, pixels: FloatArray, counts: Mapping[str, int], seed: int) -> dict[str, FloatArray]:
        """Compute features of ``pixels`` at random positions, up to ``counts`` for each output of ``graph``: (C, N)."""
        height, width = padded_size(*pixels.shape[:2])
        chosen: dict[str, npt.NDArray[np.bool_]] = {}
        found: dict[str, list[FloatArray]] = {name: [] for name in counts}
        for tile, outputs in self._seen(graph, pixels):
            for name, features in outputs.items():
                step = tile.step(features)
                if name not in chosen:
                    chosen[name] = _choice((1, 1, height // step, width // step), counts[name], seed)
                found[name].append(tile.kept(features, step)[0][:, tile.own(chosen[name], step)[0, 0]])
        return {name: np.concatenate(parts, axis=1) for name, parts in found.items()}

    def blend_layers(
        self,
        pixels: FloatArray,
        targets: Mapping[str, FloatArray],
        blend: Callable[[FloatArray, FloatArray, int, Tile], None],
    ) -> None:
        """Call ``blend(target, features, step, tile)`` for each tile of each of the ``targets``.

        ``target`` and the ``features`` of ``pixels`` are the parts inside the tile. ``step`` is their stride in pixels.
        """
        for tile, outputs in self._seen("see_layers", pixels):
            for name, features in outputs.items():
                step = tile.step(features)
                blend(tile.own(targets[name], step), tile.kept(features, step), step, tile)

    def _see(self, graph: str, pixels: FloatArray) -> dict[str, FloatArray]:
        height, width = padded_size(*pixels.shape[:2])
        whole: dict[str, FloatArray] = {}
        for tile, outputs in self._seen(graph, pixels):
            for name, features in outputs.items():
                step = tile.step(features)
                if name not in whole:
                    whole[name] = np.empty((1, features.shape[1], height // step, width // step), np.float32)
                tile.own(whole[name], step)[:] = tile.kept(features, step)
        return whole

    def _seen(self, graph: str, pixels: FloatArray) -> Iterator[tuple[Tile, dict[str, FloatArray]]]:
        image = pixels.transpose(2, 0, 1)[None]
        for tile in plan_tiles(image.shape[2], image.shape[3], self._tile_pixels):
            yield tile, self._graphs.run(graph, image=tile.cut(image))


class FeatureDistance:
    """Objective: distance of a picture's features from their targets, plus its total variation."""

    def __init__(
        self,
        graphs: DescriptorGraphs,
        graph: str,
        targets: Mapping[str, Target],
        factors: Sequence[float],
        tv_weight: float,
        tile_pixels: int,
        weights: FloatArray | None = None,
    ) -> None:
        """Compare with ``targets`` by ``graph``, scaled by ``factors``. ``weights`` of positions are as in
        `distance_by_layer`."""
        self._graphs = graphs
        self._graph = graph
        self._targets = targets
        self._weights = None if weights is None else with_margin(weights, STRIDE)
        self._factors = np.array(factors, np.float32)
        self._tv_weight = tv_weight
        self._tile_pixels = tile_pixels

    def evaluate(self, image: FloatArray) -> Evaluation:
        """See `impasto.optimization.Objective`."""
        gradient = np.zeros_like(image)
        style = 0.0
        for tile in plan_tiles(image.shape[2], image.shape[3], self._tile_pixels):
            targets = {name: target.seen(tile) for name, target in self._targets.items()}
            own = tile.mask if self._weights is None else tile.mask * tile.seen(self._weights, STRIDE)
            found = self._graphs.run(self._graph, image=tile.cut(image), own=own, factors=self._factors, **targets)
            tile.add(found["gradient"], gradient)
            style += float(found["loss"][0])
        variation = self._tv_weight * add_total_variation(image, gradient, self._tv_weight)
        return Evaluation({"style": style, "tv": variation, "total": style + variation}, gradient)


def _choice(shape: tuple[int, ...], count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Choose at most ``count`` random positions of an array of this ``shape``."""
    chosen = np.zeros(int(np.prod(shape)), np.bool_)
    chosen[np.random.default_rng(seed).permutation(chosen.size)[:count]] = True
    return chosen.reshape(shape)


def flat(features: FloatArray) -> FloatArray:
    """Turn features (1, C, H, W) into (C, H W)."""
    return features.reshape(features.shape[1], -1)


def add_total_variation(image: FloatArray, gradient: FloatArray, weight: float) -> float:
    """Return the total variation of ``image``, and add ``weight`` times its gradient to ``gradient``.

    The formula is that of `impasto.losses.functional.total_variation`.
    """
    total = 0.0
    for axis in (2, 3):
        if image.shape[axis] == 1:
            continue
        before, after = (tuple([slice(None)] * axis + [part]) for part in (slice(None, -1), slice(1, None)))
        earlier, later = image[before], image[after]
        share = np.float32(2 * weight / later.size)
        for top in range(0, later.shape[2], STRIP_ROWS):
            rows = (slice(None), slice(None), slice(top, top + STRIP_ROWS))
            change = later[rows] - earlier[rows]
            total += float(np.vdot(change, change)) / later.size
            change *= share
            gradient[after][rows] += change
            gradient[before][rows] -= change
    return total
