"""The base classes of the feed-forward engines: tiles, strips, strength and colours.

Statistics are measured on a thumbnail and applied tile by tile, so the result does not depend on the division into
tiles. If the picture is read from a file and written to a file, only one strip is in memory at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from math import log2
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from impasto.engines.base import Forecast
from impasto.engines.masks import masked_strips
from impasto.engines.network_graphs import NetworkGraphs
from impasto.engines.tiling import TileSteps, Tiling
from impasto.errors import WeightsError
from impasto.images.color import color_map, prepare_style, restore_colors
from impasto.images.scale import enlarge, fit_size
from impasto.optimization.memory import PIXEL_BYTES, PeakMemory, resident_memory
from impasto.types import Picture, joined, notes_only, with_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from impasto.engines.base import MovedFrame, PaintFrame, StylizeInputs
    from impasto.engines.tiling import Tile
    from impasto.images import LazyPicture
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.options import FeedForwardOptions
    from impasto.types import FloatArray, OnStep

    Paint = Callable[[FloatArray, int, int], FloatArray]
    Painter = Callable[[FloatArray], Paint]
    Beside = Callable[[FloatArray, int, int], dict[str, FloatArray]]

THUMBNAIL = 512
"""Longest side of the thumbnail of the content image in pixels."""


class FeedForwardEngine(ABC):
    """Paints in one pass through a network."""

    name: ClassVar[str]
    """Name in the catalog of engines."""
    architecture: ClassVar[str]
    """Architecture of the engine's networks."""

    def __init__(
        self,
        options: FeedForwardOptions,
        *,
        on_download: Callable[[int, int | None], None] | None = None,
        network: NetworkGraphs | None = None,
        tiling: Tiling = Tiling(),  # noqa: B008 - frozen
    ) -> None:
        """Prepare the engine. Graphs are loaded on first use.

        Args:
            options: options of the engine.
            on_download: not used, since nothing is downloaded.
            network: the network of an engine whose options have the same `network_key`, to share it.
            tiling: the tiles that large pictures are divided into.

        Raises:
            UsageError: the folder holds no exported network.
        """
        del on_download
        self._options = options
        self._tiling = tiling
        self.network = self._graphs = network or NetworkGraphs(options, self.architecture)
        self._stride = self.network.description.stride
        self._halo = self.network.description.halo

    def _measured(self, graphs: NetworkGraphs, thumbnail: FloatArray, beside: Beside, **given: FloatArray) -> Paint:
        """Return a `Paint` that uses the scales and shifts that the graph ``measure`` finds on ``thumbnail``.

        Args:
            graphs: graphs of the network.
            thumbnail: thumbnail of the content image as the network sees it, (H, W, 3).
            beside: a function that takes a batch and its top and left in the picture, and returns the other inputs of
                ``measure`` and ``render``.
            given: inputs that only ``measure`` has.

        Raises:
            WeightsError: another version of impasto exported the network.
        """
        seen = to_batch(thumbnail, self._stride)
        found = graphs.run("measure", image=seen, **given, **beside(seen, 0, 0))
        if "painted" not in found:
            raise WeightsError(f"{graphs.folder.name} was exported by another version of impasto; export it again")

        def paint(content: FloatArray, top: int, left: int) -> FloatArray:
            if top == left == 0 and np.array_equal(content, thumbnail):
                return from_batch(found["painted"], thumbnail)
            tile = to_batch(content, self._stride)
            rendered = graphs.run("render", tile=tile, affine=found["affine"], **beside(tile, top, left))
            return from_batch(rendered["painted"], content)

        return paint

    @abstractmethod
    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Painter:
        """Process the styles of ``inputs``, and return a function from a thumbnail to a `Paint` for its picture.

        The styles are processed once for all pictures, since this is half of the work on a small picture. A `Paint`
        takes a part (H, W, 3) of the picture and the part's top and left, which are multiples of the stride. A `Paint`
        applies the strength, which is more than 0. It does not apply the colour options.

        Args:
            inputs: inputs of the run.
            thumbnail: thumbnail of the content image, to whose size and luminance the styles are adapted.
        """

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`. Each tile is a step. The checkpoint is not used."""
        del checkpoint
        return joined(list(self.strips(inputs, on_step=on_step)))

    def strips(self, inputs: StylizeInputs, *, on_step: OnStep) -> Iterator[Picture]:
        """Paint strip by strip: see `impasto.engines.base.StreamingEngine`."""
        given = inputs.content
        if inputs.masks:
            size = fit_size(given.width, given.height, self._options.size)
            # planned once: the tiles depend on the free memory, which changes, and all styles need the same strips
            rows = self._rows(self._sized(given))

            def alone(each: StylizeInputs, on_step: OnStep) -> Iterator[Picture]:
                return self._still(each, rows, on_step)

            yield from masked_strips(inputs, size, alone, on_step)
            return
        yield from self._still(inputs, self._rows(self._sized(given)), on_step)

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> PaintFrame:
        """Paint a shot with the statistics of its first frame: see `impasto.engines.base.Engine`."""
        first = self._sized(inputs.content)
        painter = self._finished(inputs, self._thumbnail(first), first)

        def strips(picture: LazyPicture, before: MovedFrame | None) -> Iterator[Picture]:
            del before
            content = self._sized(picture)
            thumbnail = self._thumbnail(content)
            return self._strips(content, self._rows(content), painter(thumbnail), thumbnail, notes_only(on_note))

        return strips

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Estimate memory and time by painting the largest tile: see `impasto.engines.base.Engine`."""
        del folder
        runs = max(1, len(inputs.masks))  # with masks, each style paints the whole picture
        alone = replace(inputs, styles=inputs.styles[:1], masks=()) if inputs.masks else inputs
        began = perf_counter()
        with PeakMemory() as peak:
            content = self._sized(inputs.content)
            thumbnail = self._thumbnail(content)
            paint = self._finished(alone, thumbnail, content)(thumbnail)
            tiles = [tile for row in self._rows(content) for tile in row]
            tile = max(tiles, key=lambda tile: tile.seen_pixels)
            read = perf_counter()
            seen = content.read(tile.seen_top, tile.seen_bottom)
            part = seen.pixels[:, tile.seen_left : tile.seen_right]
            painted = perf_counter()
            paint(part, tile.seen_top, tile.seen_left)
            first = perf_counter()
            more = sum(each.seen_pixels for each in tiles) / tile.seen_pixels - 1
            if more:  # the first call also loads the network
                paint(part, tile.seen_top, tile.seen_left)
        strips_read = len({each.top for each in tiles}) - 1
        seconds = first - began + more * (perf_counter() - first) + strips_read * (painted - read)
        strips = content.width * (runs * (tile.bottom - tile.top) + (runs - 1) * len(seen.pixels)) * PIXEL_BYTES
        return Forecast((peak.bytes or resident_memory()) + strips, runs * seconds)

    def _still(self, inputs: StylizeInputs, rows: list[list[Tile]], on_step: OnStep) -> Iterator[Picture]:
        content = self._sized(inputs.content)
        thumbnail = self._thumbnail(content)
        paint = self._finished(inputs, thumbnail, content)(thumbnail)
        return self._strips(content, rows, paint, thumbnail, on_step)

    def _thumbnail(self, content: LazyPicture) -> FloatArray:
        """Return the thumbnail that is painted first; its strokes are enlarged to the size of the picture."""
        return content.thumbnail(THUMBNAIL)

    def _sized(self, given: LazyPicture) -> LazyPicture:
        return given.resized(*fit_size(given.width, given.height, self._options.size))

    def _strips(
        self, content: LazyPicture, rows: list[list[Tile]], paint: Paint, thumbnail: FloatArray, on_step: OnStep
    ) -> Iterator[Picture]:
        noted = with_notes(on_step, self.network.notes)
        steps = TileSteps(rows, noted, lambda: Picture(paint(thumbnail, 0, 0)))
        for row in rows:
            yield self._strip(content, row, paint, steps)

    def _rows(self, content: LazyPicture) -> list[list[Tile]]:
        return self._tiling.rows(content.height, content.width, halo=self._halo)

    def _strip(self, content: LazyPicture, row: list[Tile], paint: Paint, steps: TileSteps) -> Picture:
        first = row[0]
        seen = content.read(first.seen_top, first.seen_bottom, exact=self._options.strength == 0)
        kept = slice(first.top - first.seen_top, first.bottom - first.seen_top)
        painted = np.empty((first.bottom - first.top, content.width, 3), np.float32)
        for tile in row:
            part = seen.pixels[:, tile.seen_left : tile.seen_right]
            painted[:, tile.left : tile.right] = paint(part, tile.seen_top, tile.seen_left)[
                kept, tile.left - tile.seen_left : tile.right - tile.seen_left
            ]
            steps.made_one()
        alpha = None if seen.alpha is None else seen.alpha[kept]
        beyond = None if seen.beyond is None else seen.beyond[kept]
        metadata = self._graphs.metadata(self.name, self._options)
        return replace(seen, pixels=painted, alpha=alpha, beyond=beyond, metadata=metadata)

    def _enlarging(self, painter: Painter, first: FloatArray, content: LazyPicture) -> Painter:
        """Return a `Painter` for pictures as large as ``content``, whose strokes are enlarged in proportion to them.

        A network paints strokes of a fixed size in pixels. To enlarge them, the difference between the painted and the
        original thumbnail is enlarged and added to the content, and the sum is painted again at full resolution. The
        painted thumbnail is then a preview of the large picture. The statistics are those of the thumbnail ``first``.
        """
        paint = painter(first)
        ratio = max(content.width, content.height) / max(first.shape[:2])
        if ratio == 1:
            return lambda thumbnail: paint
        share = min(1.0, log2(ratio) / 2)  # from none at ratio 1 to all at ratio 4

        def change(seen: FloatArray) -> tuple[FloatArray, FloatArray]:
            painted = paint(seen, 0, 0)
            return painted, share * (painted - seen)

        seen_first = self._seen(first)
        painted_first, added_first = change(seen_first)
        changed = self._seen((seen_first + added_first).clip(0, 1))
        paint_over = painter(changed)
        again = color_map(paint_over(changed, 0, 0), painted_first, "histogram")  # the second pass shifts the colours

        def painter_of_frames(thumbnail: FloatArray) -> Paint:
            seen = self._seen(thumbnail)
            painted, added = (painted_first, added_first) if thumbnail is first else change(seen)
            enlarged = enlarge(added, content.height, content.width)

            def paint_large(content: FloatArray, top: int, left: int) -> FloatArray:
                if top == left == 0 and np.array_equal(content, seen):
                    return painted
                under = (content + enlarged(top, left, *content.shape[:2])).clip(0, 1)
                return again(paint_over(self._seen(under), top, left))

            return paint_large

        return painter_of_frames

    def _finished(self, inputs: StylizeInputs, first: FloatArray, content: LazyPicture) -> Painter:
        """Return the `Painter` of the engine for pictures as large as ``content``, with the colour options applied.

        The statistics are those of the thumbnail ``first``.
        """
        if self._options.strength == 0:
            return lambda thumbnail: lambda content, top, left: content
        mode = self._options.keep_colors
        painter = self._enlarging(self._painter(inputs, first), first, content)
        recolor = None
        if mode in ("histogram", "coral"):
            recolor = color_map(painter(first)(self._seen(first), 0, 0), first, mode)

        def finished_painter(thumbnail: FloatArray) -> Paint:
            paint = painter(thumbnail)

            def finished(content: FloatArray, top: int, left: int) -> FloatArray:
                painted = paint(self._seen(content), top, left)
                return recolor(painted) if recolor else restore_colors(painted, content, mode)

            return finished

        return finished_painter

    def _faded(self, paint: Paint) -> Paint:
        """Apply the strength by mixing the result of ``paint`` with the content, if the network offers no other way."""
        strength = self._options.strength
        if strength == 1:
            return paint

        def faded(content: FloatArray, top: int, left: int) -> FloatArray:
            return content + strength * (paint(content, top, left) - content)

        return faded

    def _towards_content(self, paint: Paint, unchanged: Paint) -> Paint:
        """Add the details of the content that the network cannot reproduce, in proportion to ``1 - strength``.

        ``unchanged`` paints with the style that should leave the content as it is.
        """
        strength = self._options.strength

        def towards(content: FloatArray, top: int, left: int) -> FloatArray:
            painted = paint(content, top, left)
            if strength < 1:
                painted = painted + (1 - strength) * (content - unchanged(content, top, left))
            return painted.clip(0, 1)

        return towards

    def _seen(self, content: FloatArray) -> FloatArray:
        """Return content pixels as the network sees them, in grey if only luminance is painted."""
        return prepare_style(content, content, "luminance") if self._options.keep_colors == "luminance" else content


def to_batch(pixels: FloatArray, stride: int) -> FloatArray:
    """Turn pixels (H, W, 3) into an image (1, 3, H', W').

    Edges are repeated until the sides are multiples of ``stride``, at least two strides long.
    """
    height, width = pixels.shape[:2]
    padding = ((0, max(-height % stride, 2 * stride - height)), (0, max(-width % stride, 2 * stride - width)), (0, 0))
    padded = np.pad(pixels, padding, mode="edge") if any(after for _, after in padding) else pixels
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None]


def from_batch(image: FloatArray, like: FloatArray) -> FloatArray:
    """Turn an image (1, 3, H', W') into pixels of the size of ``like`` (H, W, 3): the inverse of `to_batch`."""
    pixels: FloatArray = image[0, :, : like.shape[0], : like.shape[1]].transpose(1, 2, 0)
    return pixels
