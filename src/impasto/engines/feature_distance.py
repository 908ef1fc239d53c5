"""Features of pictures of any size, and their distance from targets, computed by a descriptor's graphs.

Pictures are processed whole or tile by tile. The graphs take sides that are multiples of 8. Tiles at the right and
bottom edges of a picture are padded to such sides by repeating the last row and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from impasto.engines.neighbors import NeighborSearch
from impasto.optimization.objective import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from impasto.engines.descriptor_graphs import DescriptorGraphs
    from impasto.types import FloatArray

Scalar = TypeVar("Scalar", bound=np.generic)
STRIDE = 8
"""`impasto.losses.gradients.STRIDE`, without PyTorch."""
_HALO = 40
"""Halo of a tile in pixels: the receptive field of relu4_1 as a margin, rounded up to a multiple of `STRIDE`."""
TILE_PIXELS = 330_000
"""Maximum number of pixels of a tile, approximately."""
_LONGEST_SIDE = 1024
"""Longest side of a tile in pixels."""
_LARGE_TILE_PIXELS, _LARGE_TILE_SIDE = 140_000, 384
"""The same two limits for a picture with a longer side, whose arrays leave less memory for a tile."""
_DISTANCE_SHARE = 0.3
"""Weight of the relative squared distance of hypercolumns; the cosine distance has weight 1."""
_SAMPLE = 16384
"""Number of positions of a large picture from which the means of its features are estimated."""
_NOTHING = 1e-12


@dataclass(frozen=True)
class _Part:
    """An interval of one side of a picture, without and with its halo, in pixels, ends excluded."""

    first: int
    last: int
    seen_first: int
    seen_last: int


def _parts(length: int, count: int) -> list[_Part]:
    """Divide ``length``, a multiple of `STRIDE`, into ``count`` parts whose lengths with halo are equal."""
    own = -(-length // (count * STRIDE)) * STRIDE
    seen = min(length, own + 2 * _HALO)
    parts = []
    for first in range(0, length, own):
        begin = min(max(0, first - _HALO), length - seen)
        parts.append(_Part(first, min(first + own, length), begin, begin + seen))
    return parts


@dataclass(frozen=True)
class Tile:
    """A tile of a picture, with its halo."""

    rows: _Part
    columns: _Part

    def cut(self, image: FloatArray) -> FloatArray:
        """Cut the tile with its halo out of ``image`` (1, 3, H, W); pad by repeating the last row and column."""
        part = self.seen(image)
        rows, columns = (
            side.seen_last - side.seen_first - there
            for side, there in zip((self.rows, self.columns), part.shape[2:], strict=True)
        )
        if not rows and not columns:
            return np.ascontiguousarray(part)
        return np.pad(part, ((0, 0), (0, 0), (0, rows), (0, columns)), mode="edge")

    def add(self, part: FloatArray, gradient: FloatArray) -> None:
        """Add ``part``, the gradient with respect to the result of `cut`, to the image's ``gradient`` (1, 3, H, W)."""
        there = self.seen(gradient)
        height, width = there.shape[2:]
        part[:, :, height - 1] += part[:, :, height:].sum(2)
        part[..., width - 1] += part[..., width:].sum(3)
        there += part[:, :, :height, :width]

    def seen(self, array: npt.NDArray[Scalar], step: int = 1) -> npt.NDArray[Scalar]:
        """Cut the tile with its halo out of ``array`` (1, C, H / step, W / step)."""
        rows, columns = (slice(side.seen_first // step, side.seen_last // step) for side in (self.rows, self.columns))
        return array[:, :, rows, columns]

    def kept(self, array: FloatArray, step: int) -> FloatArray:
        """Cut the halo off ``array`` (1, C, h, w), which covers the tile with its halo."""
        rows, columns = (
            slice((side.first - side.seen_first) // step, (side.last - side.seen_first) // step)
            for side in (self.rows, self.columns)
        )
        return array[:, :, rows, columns]

    def own(self, array: npt.NDArray[Scalar], step: int) -> npt.NDArray[Scalar]:
        """Cut the tile without its halo out of ``array`` (1, C, H / step, W / step)."""
        rows, columns = (slice(side.first // step, side.last // step) for side in (self.rows, self.columns))
        return array[:, :, rows, columns]

    def step(self, features: FloatArray) -> int:
        """Return the stride in pixels of ``features`` (1, C, h, w) of the tile with its halo."""
        return int((self.rows.seen_last - self.rows.seen_first) // features.shape[2])

    @property
    def mask(self) -> FloatArray:
        """1 at positions of relu4_1 inside the tile, 0 in its halo: (1, 1, h / 8, w / 8)."""
        shape = [(side.seen_last - side.seen_first) // STRIDE for side in (self.rows, self.columns)]
        mask = np.zeros((1, 1, *shape), np.float32)
        self.kept(mask, STRIDE)[:] = 1
        return mask


class Target(Protocol):
    """The target features of each position of a picture."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, C, H / step, W / step)."""

    @property
    def square(self) -> float:
        """The sum of the squares."""

    def seen(self, tile: Tile, step: int) -> FloatArray:
        """Return the part for ``tile`` with its halo: (1, C, h, w)."""


@dataclass(frozen=True)
class Features:
    """Target features that are stored in full."""

    array: FloatArray
    """(1, C, H / step, W / step)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Target.shape`."""
        return self.array.shape

    @property
    def square(self) -> float:
        """See `Target.square`."""
        return float(np.vdot(self.array, self.array))

    def seen(self, tile: Tile, step: int) -> FloatArray:
        """See `Target.seen`."""
        return tile.seen(self.array, step)


@dataclass(frozen=True)
class Gathered:
    """Target features that are stored as indices into a small bank, with two bytes per position."""

    bank: FloatArray
    """The features of the bank: (C, M)."""
    chosen: npt.NDArray[np.unsignedinteger]
    """Index into the bank for each position: (1, 1, H / step, W / step)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Target.shape`."""
        return (1, len(self.bank), *self.chosen.shape[2:])

    @property
    def square(self) -> float:
        """See `Target.square`."""
        return float(np.bincount(self.chosen.reshape(-1), minlength=self.bank.shape[1]) @ (self.bank**2).sum(0))

    def seen(self, tile: Tile, step: int) -> FloatArray:
        """See `Target.seen`."""
        return self.bank[:, tile.seen(self.chosen, step)[0, 0]][None]


def _tiles(height: int, width: int, most: int) -> Iterator[Tile]:
    """Divide a picture of ``height`` x ``width`` pixels into tiles of about ``most`` pixels."""
    height, width = padded_size(height, width)
    longest = _LONGEST_SIDE
    if max(height, width) > _LONGEST_SIDE:
        most, longest = min(most, _LARGE_TILE_PIXELS), _LARGE_TILE_SIDE
    across = -(-width // longest) if height * width > most else 1
    down = -(-height * width // (most * across)) if height * width > most else 1
    for rows in _parts(height, down):
        for columns in _parts(width, across):
            yield Tile(rows, columns)


class Look:
    """A view of pictures through a descriptor."""

    def __init__(self, graphs: DescriptorGraphs, tile_pixels: int = TILE_PIXELS) -> None:
        """Take the graphs. Pictures of more than ``tile_pixels`` are processed in tiles, with the same result."""
        self._graphs = graphs
        self._tile_pixels = tile_pixels

    def hypercolumns(self, pixels: FloatArray) -> FloatArray:
        """Compute the hypercolumns of ``pixels`` (H, W, 3): (1, C, H / 4, W / 4)."""
        return self._see("see_hypercolumns", pixels)["hypercolumns"]

    def layers(self, pixels: FloatArray) -> dict[str, FloatArray]:
        """Compute relu1_1, relu2_1, relu3_1 and relu4_1 of ``pixels`` (H, W, 3): each (1, C, H / s, W / s)."""
        return self._see("see_layers", pixels)

    def distance(self, target: FloatArray, tv_weight: float) -> FeatureDistance:
        """Return the objective of matching the hypercolumns ``target`` (1, C, H / 4, W / 4).

        The objective is ``mean(1 - cos(F, T)) + 0.3 |F - T|^2 / |T|^2`` plus weighted total variation.
        """
        features = Features(target)
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
            seed: seed for the random positions from which means and shares are estimated.
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
                    found[name] = Gathered(bank, chosen)
                position = searches[name].find(flat(own)).position
                tile.own(found[name].chosen, step)[:] = position.reshape(own.shape[2:])
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
        """Call ``blend(target, features of pixels, step, tile)`` for each tile of each of the ``targets``."""
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
                if features.shape[2:] == (height // step, width // step):
                    whole[name] = features
                    continue
                if name not in whole:
                    whole[name] = np.empty((1, features.shape[1], height // step, width // step), np.float32)
                tile.own(whole[name], step)[:] = tile.kept(features, step)
        return whole

    def _seen(self, graph: str, pixels: FloatArray) -> Iterator[tuple[Tile, dict[str, FloatArray]]]:
        image = pixels.transpose(2, 0, 1)[None]
        for tile in _tiles(image.shape[2], image.shape[3], self._tile_pixels):
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
        """Take the ``graph`` that compares, its ``targets`` and ``factors``, and the weights of `distance_by_layer`."""
        self._graphs = graphs
        self._graph = graph
        self._targets = targets
        self._weights = weights
        self._factors = np.array(factors, np.float32)
        self._tv_weight = tv_weight
        self._tile_pixels = tile_pixels

    def evaluate(self, image: FloatArray) -> Evaluation:
        """See `impasto.optimization.objective.Objective`."""
        height = padded_size(*image.shape[2:])[0]
        gradient = np.zeros_like(image)
        style = 0.0
        for tile in _tiles(image.shape[2], image.shape[3], self._tile_pixels):
            targets = {name: target.seen(tile, height // target.shape[2]) for name, target in self._targets.items()}
            own = tile.mask if self._weights is None else tile.mask * tile.seen(self._weights, STRIDE)
            found = self._graphs.run(self._graph, image=tile.cut(image), own=own, factors=self._factors, **targets)
            tile.add(found["gradient"], gradient)
            style += float(found["loss"][0])
        variation = self._tv_weight * add_total_variation(image, gradient, self._tv_weight)
        return Evaluation({"style": style, "tv": variation, "total": style + variation}, gradient)


def _choice(shape: tuple[int, ...], count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Choose ``count`` of the positions of an array of this ``shape`` at random, or all if there are no more."""
    chosen = np.zeros(int(np.prod(shape)), np.bool_)
    chosen[np.random.default_rng(seed).permutation(chosen.size)[:count]] = True
    return chosen.reshape(shape)


def flat(features: FloatArray) -> FloatArray:
    """Turn features (1, C, H, W) into (C, H W)."""
    return features.reshape(features.shape[1], -1)


def add_total_variation(image: FloatArray, gradient: FloatArray, weight: float) -> float:
    """Return `impasto.losses.functional.total_variation` of ``image``, and add ``weight`` times its gradient."""
    total = 0.0
    for axis in (2, 3):
        if image.shape[axis] == 1:
            continue
        before, after = (tuple([slice(None)] * axis + [part]) for part in (slice(None, -1), slice(1, None)))
        count = image[after].size
        for channel in range(image.shape[1]):  # one at a time, to save memory with large pictures
            change = image[after][:, channel] - image[before][:, channel]
            total += float(np.vdot(change, change)) / count
            change *= np.float32(2 * weight / count)
            gradient[after][:, channel] += change
            gradient[before][:, channel] -= change
    return total


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width of a picture after padding, in pixels."""
    return -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE
