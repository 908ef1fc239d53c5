"""Content and style losses of a picture, computed by a descriptor's graphs as a whole or tile by tile.

Style statistics are functions of sums over positions, so each evaluation takes two passes over the tiles. The first
pass adds up the sums, which give the style losses and their derivatives with respect to the sums. In the second pass,
each tile adds its part of the gradient with respect to the pixels (Galerne et al. 2024, "Scaling Painting Style
Transfer", section 4). `impasto.losses.functional` defines the losses. Sides of all pictures are multiples of `STRIDE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from impasto.engines.feature_distance import add_total_variation
from impasto.engines.tiling import Tile, plan_tiles
from impasto.optimization import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from impasto.engines.descriptor_graphs import DescriptorGraphs
    from impasto.optimization.arrays import Memory
    from impasto.types import FloatArray

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""The same as `impasto.losses.gradients.STYLE_LAYERS`, whose module needs PyTorch."""
CONTENT_LAYER = "relu4_2"
"""The same as `impasto.losses.gradients.CONTENT_LAYER`."""
STRIDE = 16
HALO = 96
"""Halo of a tile in pixels: the receptive field of relu5_1 as a margin, rounded up to a multiple of `STRIDE`."""
_CONTENT_STRIDE = 8
_NO_RESPONSE = 1e-12
"""Lower bound of the squared norm of a target by which a loss is divided. The norm may be 0, as for a black picture."""
_FLOOR = 1e-6
"""Constant added to variances: see `impasto.networks.blocks.mean_and_std`."""
_PAPER_CONTENT = 0.5

Sums: TypeAlias = npt.NDArray[np.float64]
Kind: TypeAlias = Literal["gram", "mean-std"]
Normalization: TypeAlias = Literal["relative", "paper"]


def statistics(kind: Kind, sums: Sums) -> Sums:
    """Return the style statistics, given their ``sums`` (C + 1, C + 1).

    They are the Gram matrix, (C, C), of Gatys et al. (2016), eq. 3, divided by the number of positions; or the means
    and standard deviations, (2, C), of Huang and Belongie (2017), eq. 5.
    """
    means = sums / sums[-1, -1]
    if kind == "gram":
        gram: Sums = means[:-1, :-1]
        return gram
    mean, square = means[-1, :-1], np.diagonal(means)[:-1]
    return np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0) + _FLOOR)])


def style_loss(kind: Kind, sums: Sums, target: Sums, normalization: Normalization) -> tuple[float, Sums]:
    """Compare the `statistics` of ``sums`` (C + 1, C + 1) with ``target``.

    Returns:
        The loss, and its derivative with respect to ``sums``, (C + 1, C + 1).
    """
    found = statistics(kind, sums)
    difference = found - target
    if normalization == "relative":
        factor = 1 / max(float(np.vdot(target, target)), _NO_RESPONSE)
    else:
        factor = 1 / (4 * len(target) ** 2) if kind == "gram" else 1.0
    derivative = np.zeros_like(sums)
    by_mean = difference * (2 * factor / sums[-1, -1])
    if kind == "gram":
        derivative[:-1, :-1] = by_mean
    else:
        mean, deviation = found
        by_square = by_mean[1] / (2 * deviation)
        np.fill_diagonal(derivative[:-1, :-1], by_square)
        # Each sum of features occurs in the last row and in the last column, so each gets half of the derivative.
        derivative[-1, :-1] = derivative[:-1, -1] = by_mean[0] / 2 - mean * by_square
    return factor * float(np.vdot(difference, difference)), derivative


@dataclass(frozen=True)
class StatisticsLook:
    """Evaluates pictures with the graphs of `impasto.losses.gradients.StatisticsGraphs`."""

    graphs: DescriptorGraphs
    side: int
    """Side of a tile in pixels, without its halo."""
    memory: Memory
    """Storage for arrays as large as a picture."""

    def sums(self, image: FloatArray) -> dict[str, Sums]:
        """Compute the sums for the `statistics` of ``image`` (1, 3, H, W), by layer: each (C + 1, C + 1), float64."""
        total: dict[str, Sums] = {}
        for tile in self.tiles(image):
            found = self._seen(image, tile)
            for layer in STYLE_LAYERS:
                part = found[layer].astype(np.float64)
                total[layer] = total[layer] + part if layer in total else part
            self.memory.release()
        return total

    def content(self, image: FloatArray) -> FloatArray:
        """Compute `CONTENT_LAYER` of ``image`` (1, 3, H, W): (1, C, H / 8, W / 8)."""
        height, width = (side // _CONTENT_STRIDE for side in image.shape[2:])
        whole: FloatArray | None = None
        for tile in self.tiles(image):
            features = self._seen(image, tile)["content"]
            if whole is None:
                whole = self.memory.empty((1, features.shape[1], height, width))
            rows, columns = _cells(tile.top, tile.bottom), _cells(tile.left, tile.right)
            own_rows = _cells(tile.top - tile.seen_top, tile.bottom - tile.seen_top)
            own_columns = _cells(tile.left - tile.seen_left, tile.right - tile.seen_left)
            whole[:, :, rows, columns] = features[:, :, own_rows, own_columns]
            self.memory.release()
        assert whole is not None
        return whole

    def tiles(self, image: FloatArray) -> Iterator[Tile]:
        """Divide ``image`` (1, 3, H, W) into tiles."""
        side = -(-self.side // STRIDE) * STRIDE
        for row in plan_tiles(image.shape[2], image.shape[3], side, side, halo=HALO):
            yield from row

    def _seen(self, image: FloatArray, tile: Tile) -> dict[str, FloatArray]:
        return self.graphs.run("sum_statistics", image=cut(image, tile), own=mask(tile))


def cut(array: FloatArray, tile: Tile, step: int = 1) -> FloatArray:
    """Cut ``tile`` with its halo out of ``array`` (1, C, H / step, W / step); the result is contiguous."""
    rows, columns = (
        slice(tile.seen_top // step, tile.seen_bottom // step),
        slice(tile.seen_left // step, tile.seen_right // step),
    )
    return np.ascontiguousarray(array[:, :, rows, columns])


def mask(tile: Tile) -> FloatArray:
    """Return a mask (1, 1, h / 16, w / 16): 1 at positions of relu5_1 inside the tile, 0 in its halo."""
    height, width = tile.seen_bottom - tile.seen_top, tile.seen_right - tile.seen_left
    own = np.zeros((1, 1, height // STRIDE, width // STRIDE), np.float32)
    rows = slice((tile.top - tile.seen_top) // STRIDE, (tile.bottom - tile.seen_top) // STRIDE)
    columns = slice((tile.left - tile.seen_left) // STRIDE, (tile.right - tile.seen_left) // STRIDE)
    own[:, :, rows, columns] = 1
    return own


class StatisticsObjective:
    """Content loss, style loss and total variation of an image, and their gradient."""

    def __init__(
        self,
        look: StatisticsLook,
        *,
        content: FloatArray | None,
        content_weight: float,
        style: Mapping[str, Sums],
        style_shares: Mapping[str, float],
        kind: Kind,
        tv_weight: float,
        normalization: Normalization,
    ) -> None:
        """Compute the targets of the ``content`` (1, 3, H, W), if there is one.

        Args:
            look: computes the sums and the content activations of pictures.
            content: the content image, of the same size as the images to evaluate.
            content_weight: weight of the content loss.
            style: target `statistics` by layer.
            style_shares: weight of each layer's loss.
            kind: kind of statistics.
            tv_weight: weight of the total variation.
            normalization: normalisation of the losses.
        """
        self._look = look
        self._style, self._style_shares = style, style_shares
        self._kind: Kind = kind
        self._tv_weight = tv_weight
        self._normalization: Normalization = normalization
        self._content = None if content is None else look.content(content)
        self._factor = 0.0
        if self._content is not None:
            squares = max(float(np.vdot(self._content, self._content)), _NO_RESPONSE)
            factor = 1 / squares if normalization == "relative" else _PAPER_CONTENT / self._content.size
            self._factor = content_weight * factor

    def evaluate(self, image: FloatArray) -> Evaluation:
        """See `impasto.optimization.Objective`."""
        look, losses = self._look, dict[str, float]()
        sums = look.sums(image)
        derivatives = {layer: np.zeros(each.shape, np.float32) for layer, each in sums.items()}
        if self._style:
            losses["style"] = 0.0
            for layer, share in self._style_shares.items():
                loss, derivative = style_loss(self._kind, sums[layer], self._style[layer], self._normalization)
                losses["style"] += share * loss
                derivatives[layer] = (share * derivative).astype(np.float32)
        gradient = look.memory.zeros(image.shape)
        distance = 0.0
        for tile in look.tiles(image):
            found = look.graphs.run(
                "pull_statistics",
                image=cut(image, tile),
                own=mask(tile),
                content=self._seen_content(tile, len(derivatives["relu4_1"]) - 1),
                factor=np.array([self._factor], np.float32),
                **derivatives,
            )
            distance += float(found["loss"][0])
            rows, columns = slice(tile.seen_top, tile.seen_bottom), slice(tile.seen_left, tile.seen_right)
            gradient[:, :, rows, columns] += found["gradient"]
            look.memory.release()
        if self._content is not None:
            losses["content"] = distance
        if self._tv_weight:
            losses["tv"] = self._tv_weight * add_total_variation(image, gradient, self._tv_weight)
        return Evaluation({**losses, "total": sum(losses.values())}, gradient)

    def _seen_content(self, tile: Tile, channels: int) -> FloatArray:
        if self._content is not None:
            return cut(self._content, tile, _CONTENT_STRIDE)
        rows, columns = tile.seen_bottom - tile.seen_top, tile.seen_right - tile.seen_left
        return np.zeros((1, channels, rows // _CONTENT_STRIDE, columns // _CONTENT_STRIDE), np.float32)


def _cells(first: int, last: int) -> slice:
    return slice(first // _CONTENT_STRIDE, last // _CONTENT_STRIDE)
