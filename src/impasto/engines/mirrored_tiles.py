"""Tiles of a picture that is continued by its mirror image.

Convolutions pad with zeros, and features at the edge of a picture tell of it. Their nearest neighbours would lie at the
edges of the style, a few places repeated in a row. So a descriptor also looks at a margin in which the picture is
mirrored, and its features there are not used. The graphs take sides that are multiples of 8; what is missing is
mirrored, too.

Arrays of features have no margin unless it is said: `with_margin`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from impasto.types import FloatArray

Scalar = TypeVar("Scalar", bound=np.generic)
STRIDE = 8
"""The same as `impasto.losses.gradients.STRIDE`, whose module needs PyTorch."""
TILE_PIXELS = 330_000
"""Approximate maximum number of pixels of a tile."""
_MARGIN = 16
"""Margin in pixels, a multiple of `STRIDE`. In an even picture, it makes the layers up to relu3_3 even, for 15 % more
pixels at 512x384. For relu4_1 it would have to be 32, 31 % more pixels."""
_HALO = 40
"""Halo of a tile in pixels: the receptive field of relu4_1 as a margin, rounded up to a multiple of `STRIDE`."""
_TILE_SIDE = 512
"""Longest side of a tile in pixels, without its halo."""
_LARGE = 1024
"""Long side in pixels above which a picture is large. Its own arrays leave less memory for a tile."""
_LARGE_TILE_PIXELS, _LARGE_TILE_SIDE = 140_000, 384
"""The same limits for a tile of a large picture."""


@dataclass(frozen=True)
class _Part:
    """An interval of pixels along one side of a picture, without and with its halo. The ends are excluded.

    The halo may reach beyond the picture, from ``-_MARGIN`` on.
    """

    first: int
    last: int
    seen_first: int
    seen_last: int

    def pixels(self, length: int) -> npt.NDArray[np.intp]:
        """Return the pixel at each place of the interval with its halo, along a side of ``length`` pixels."""
        places = np.arange(self.seen_first, self.seen_last) % (2 * length)
        return np.minimum(places, 2 * length - 1 - places)

    def add(self, part: FloatArray, whole: FloatArray) -> None:
        """Add ``part``, along its first axis the interval with its halo, to the ``whole`` side."""
        first, last = max(0, self.seen_first), min(len(whole), self.seen_last)
        whole[first:last] += part[first - self.seen_first : last - self.seen_first]
        for place, pixel in enumerate(self.pixels(len(whole)), self.seen_first):
            if not first <= place < last:
                whole[pixel] += part[place - self.seen_first]


def _parts(length: int, count: int) -> list[_Part]:
    """Divide ``length``, a multiple of `STRIDE`, into ``count`` parts whose lengths with halo are equal."""
    own = -(-length // (count * STRIDE)) * STRIDE
    seen = min(length + 2 * _MARGIN, own + 2 * _HALO)
    parts = []
    for first in range(0, length, own):
        begin = min(max(-_MARGIN, first - _HALO), length + _MARGIN - seen)
        parts.append(_Part(first, min(first + own, length), begin, begin + seen))
    return parts


@dataclass(frozen=True)
class Tile:
    """A tile of a picture, with its halo."""

    rows: _Part
    columns: _Part

    def cut(self, image: FloatArray) -> FloatArray:
        """Cut the tile with its halo out of ``image`` (1, 3, H, W)."""
        rows, columns = self.rows.pixels(image.shape[2]), self.columns.pixels(image.shape[3])
        return np.ascontiguousarray(image[:, :, rows[:, None], columns])

    def add(self, part: FloatArray, gradient: FloatArray) -> None:
        """Add ``part``, the gradient with respect to the result of `cut`, to the image's ``gradient`` (1, 3, H, W)."""
        by_row = np.zeros((*part.shape[:2], gradient.shape[2], part.shape[3]), np.float32)
        self.rows.add(np.moveaxis(part, 2, 0), np.moveaxis(by_row, 2, 0))
        self.columns.add(np.moveaxis(by_row, 3, 0), np.moveaxis(gradient, 3, 0))

    def seen(self, array: npt.NDArray[Scalar], step: int) -> npt.NDArray[Scalar]:
        """Cut the tile with its halo out of ``array`` (1, C, H / step, W / step), which has a margin."""
        rows, columns = (
            slice((side.seen_first + _MARGIN) // step, (side.seen_last + _MARGIN) // step)
            for side in (self.rows, self.columns)
        )
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
        """A mask (1, 1, h / 8, w / 8): 1 at positions of relu4_1 inside the tile, 0 in its halo."""
        shape = [(side.seen_last - side.seen_first) // STRIDE for side in (self.rows, self.columns)]
        mask = np.zeros((1, 1, *shape), np.float32)
        self.kept(mask, STRIDE)[:] = 1
        return mask


def plan_tiles(height: int, width: int, most: int) -> Iterator[Tile]:
    """Divide a picture of ``height`` x ``width`` pixels into tiles of about ``most`` pixels."""
    height, width = padded_size(height, width)
    longest = _TILE_SIDE
    if max(height, width) > _LARGE:
        most, longest = min(most, _LARGE_TILE_PIXELS), _LARGE_TILE_SIDE
    across = -(-width // longest) if height * width > most else 1
    down = max(-(-height // longest), -(-height * width // (most * across))) if height * width > most else 1
    for rows in _parts(height, down):
        for columns in _parts(width, across):
            yield Tile(rows, columns)


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width in pixels of a picture after padding to multiples of `STRIDE`."""
    return -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE


def with_margin(array: npt.NDArray[Scalar], step: int) -> npt.NDArray[Scalar]:
    """Give ``array`` (1, C, H / step, W / step) a margin of zeros."""
    around = (_MARGIN // step, _MARGIN // step)
    return np.pad(array, ((0, 0), (0, 0), around, around))


def margin_cut(array: npt.NDArray[Scalar], step: int) -> npt.NDArray[Scalar]:
    """Cut the margin off ``array``: the inverse of `with_margin`, as a view."""
    inside = slice(_MARGIN // step, -(_MARGIN // step))
    return array[:, :, inside, inside]
