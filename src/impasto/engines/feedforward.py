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
from impasto.errors import WeightsError
from impasto.images.color import color_map, prepare_style, restore_colors
from impasto.images.scale import crop_margin, enlarge, fit_size, resize_pixels
from impasto.images.tiles import plan_tiles
from impasto.optimization.memory.process import PIXEL_BYTES, SPARE, PeakMemory, free_memory, resident_memory
from impasto.types import Picture, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from impasto.engines.base import StylizeInputs
    from impasto.images import LazyPicture
    from impasto.images.tiles import Tile
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.options import AnyStyleOptions, FeedForwardOptions
    from impasto.types import FloatArray, OnStep

    Paint = Callable[[FloatArray, int, int], FloatArray]
    Painter = Callable[[FloatArray], Paint]
    Beside = Callable[[FloatArray, int, int], dict[str, FloatArray]]

_TILES = ((512, 768), (256, 384), (128, 192))
"""Heights and widths of tiles in pixels. The smaller ones are used if memory is scarce.

A strip is one tile high and is held in memory.
"""
_UNDIVIDED = 1 << 20
"""Number of pixels up to which a picture is painted without tiles."""
_ACTIVATIONS = 1000
"""Bytes of address space that a network takes per input pixel; 250 to 570 of them become resident."""
_THUMBNAIL = 512
_LARGEST_STYLE = 1536
"""Longest side of the thumbnail of the content image, and maximum sides of a style image, in pixels."""


class TileSteps:
    """Reports the progress of a run that paints the tiles of ``rows``. Each tile is a step."""

    def __init__(self, rows: list[list[Tile]], on_step: OnStep, preview: Callable[[], Picture]) -> None:
        """Report to ``on_step``, with this ``preview``."""
        self._total = sum(len(row) for row in rows)
        self._scale = rows[-1][-1].right, rows[-1][-1].bottom
        self._on_step, self._preview = on_step, preview
        self._done = 0

    def made_one(self) -> None:
        """Report that another tile is done. An exception from ``on_step`` stops the run."""
        self._done += 1
        self._on_step(
            Step(
                done=self._done,
                total=self._total,
                fraction=self._done / self._total,
                scale=self._scale,
                losses={},
                preview=self._preview,
            )
        )


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
    ) -> None:
        """Prepare the engine. Graphs are loaded on first use.

        Args:
            options: options of the engine.
            on_download: not used, since nothing is downloaded.
            network: the network of an engine whose options have the same `network_key`, to share it.

        Raises:
            UsageError: the folder holds no exported network.
        """
        del on_download
        self._options = options
        self.network = self._graphs = network or NetworkGraphs(options, self.architecture)
        self._stride = self.network.description.stride
        self._halo = self.network.description.halo

    def _measured(self, graphs: NetworkGraphs, thumbnail: FloatArray, beside: Beside, **given: FloatArray) -> Paint:
        """Return a `Paint` that uses the scales and shifts that the graph ``measure`` finds on ``thumbnail``.

        Args:
            graphs: graphs of the network.
            thumbnail: thumbnail of the content image as the network sees it, (H, W, 3).
            beside: returns the further inputs of ``measure`` and ``render``, given a batch and its top and left in the
                picture.
            given: further inputs of ``measure`` alone.

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
            thumbnail: thumbnail of the content image, whose size and luminance are given to the styles.
        """

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`. Each tile is a step. The checkpoint is not used."""
        del checkpoint
        strips = list(self.strips(inputs, on_step=on_step))
        return replace(
            strips[0],
            pixels=np.concatenate([strip.pixels for strip in strips]),
            alpha=None if strips[0].alpha is None else np.concatenate([strip.alpha for strip in strips]),
        )

    def strips(self, inputs: StylizeInputs, *, on_step: OnStep) -> Iterator[Picture]:
        """Paint strip by strip: see `impasto.engines.base.StreamingEngine`."""
        given = inputs.content
        if inputs.masks:
            size = fit_size(given.width, given.height, self._options.size)
            rows = self._rows(self._sized(given))  # once for all styles, since the free memory changes

            def alone(each: StylizeInputs, on_step: OnStep) -> Iterator[Picture]:
                return self._still(each, rows, on_step)

            yield from masked_strips(inputs, size, alone, on_step)
            return
        yield from self._still(inputs, self._rows(self._sized(given)), on_step)

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> Callable[[LazyPicture], Iterator[Picture]]:
        """Paint a shot with the statistics of one picture: see `impasto.engines.base.Engine`.

        Strokes keep their size in pixels, because enlarged strokes would jump from frame to frame.
        """
        del on_note
        thumbnail = self._sized(inputs.content).thumbnail(_THUMBNAIL)
        paint = self._finished(inputs, thumbnail)

        def strips(picture: LazyPicture) -> Iterator[Picture]:
            content = self._sized(picture)
            return self._strips(content, self._rows(content), paint, thumbnail, lambda step: None)

        return strips

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Estimate memory and time by painting the largest tile: see `impasto.engines.base.Engine`."""
        del folder
        runs = max(1, len(inputs.masks))  # with masks, each style paints the whole
        alone = replace(inputs, styles=inputs.styles[:1], masks=()) if inputs.masks else inputs
        began = perf_counter()
        with PeakMemory() as peak:
            content = self._sized(inputs.content)
            thumbnail = content.thumbnail(_THUMBNAIL)
            paint = self._finished(alone, thumbnail, content)
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
        thumbnail = content.thumbnail(_THUMBNAIL)
        paint = self._finished(inputs, thumbnail, content)
        return self._strips(content, rows, paint, thumbnail, on_step)

    def _sized(self, given: LazyPicture) -> LazyPicture:
        return given.resized(*fit_size(given.width, given.height, self._options.size))

    def _strips(
        self, content: LazyPicture, rows: list[list[Tile]], paint: Paint, thumbnail: FloatArray, on_step: OnStep
    ) -> Iterator[Picture]:
        steps = TileSteps(rows, on_step, lambda: Picture(paint(thumbnail, 0, 0)))
        for row in rows:
            yield self._strip(content, row, paint, steps)

    def _rows(self, content: LazyPicture) -> list[list[Tile]]:
        """Divide ``content`` into tiles that fit into the memory. The result does not depend on the division."""
        height, width = content.height, content.width
        # The computation of halos is overhead, so a picture that fits into one tile is not divided.
        sizes = [(height, width), *_TILES] if height * width <= _UNDIVIDED else _TILES
        free = SPARE * free_memory()
        for size in sizes:
            seen = [min(side, part + 2 * self._halo) for side, part in zip((height, width), size, strict=True)]
            if _ACTIVATIONS * seen[0] * seen[1] <= free:
                break
        return plan_tiles(height, width, *size, halo=self._halo)

    def _strip(self, content: LazyPicture, row: list[Tile], paint: Paint, steps: TileSteps) -> Picture:
        first = row[0]
        seen = content.read(first.seen_top, first.seen_bottom)
        kept = slice(first.top - first.seen_top, first.bottom - first.seen_top)
        painted = np.empty((first.bottom - first.top, content.width, 3), np.float32)
        for tile in row:
            part = seen.pixels[:, tile.seen_left : tile.seen_right]
            painted[:, tile.left : tile.right] = paint(part, tile.seen_top, tile.seen_left)[
                kept, tile.left - tile.seen_left : tile.right - tile.seen_left
            ]
            steps.made_one()
        alpha = None if seen.alpha is None else seen.alpha[kept]
        return replace(seen, pixels=painted, alpha=alpha, metadata=self._graphs.metadata(self.name, self._options))

    def _enlarging(self, painter: Painter, thumbnail: FloatArray, content: LazyPicture) -> Paint:
        """Return a `Paint` for ``content`` whose strokes are enlarged in proportion to the picture.

        A network paints strokes of a fixed size in pixels. So the network's change of the ``thumbnail`` is enlarged and
        added to the content, and the sum is painted again with all details. The painted thumbnail is then a preview of
        the large picture.
        """
        paint = painter(thumbnail)
        ratio = max(content.width, content.height) / max(thumbnail.shape[:2])
        if ratio == 1:
            return paint
        seen = self._seen(thumbnail)
        painted = paint(seen, 0, 0)
        change = min(1.0, log2(ratio) / 2) * (painted - seen)  # from none at ratio 1 to all at ratio 4
        changed = self._seen((seen + change).clip(0, 1))
        paint_over = painter(changed)
        again = color_map(paint_over(changed, 0, 0), painted, "histogram")  # the second pass shifts the colours
        enlarged = enlarge(change, content.height, content.width)

        def paint_large(content: FloatArray, top: int, left: int) -> FloatArray:
            if top == left == 0 and np.array_equal(content, seen):
                return painted
            under = (content + enlarged(top, left, *content.shape[:2])).clip(0, 1)
            return again(paint_over(self._seen(under), top, left))

        return paint_large

    def _finished(self, inputs: StylizeInputs, thumbnail: FloatArray, content: LazyPicture | None = None) -> Paint:
        """Return the `Paint` of the engine, with the colour options applied.

        Strokes are enlarged with ``content``. Without ``content``, they keep their size in pixels.
        """
        if self._options.strength == 0:
            return lambda content, top, left: content
        mode = self._options.keep_colors
        painter = self._painter(inputs, thumbnail)
        paint = painter(thumbnail) if content is None else self._enlarging(painter, thumbnail, content)
        recolor = None
        if mode in ("histogram", "coral"):
            recolor = color_map(paint(self._seen(thumbnail), 0, 0), thumbnail, mode)

        def finished(content: FloatArray, top: int, left: int) -> FloatArray:
            painted = paint(self._seen(content), top, left)
            return recolor(painted) if recolor else restore_colors(painted, content, mode)

        return finished

    def _faded(self, paint: Paint) -> Paint:
        """Apply the strength by mixing the result of ``paint`` with the content, for networks without another way."""
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


class AnyStyleEngine(FeedForwardEngine):
    """Paints in the style of any style image."""

    _options: AnyStyleOptions

    def _seen_style(self, pixels: FloatArray, thumbnail: FloatArray) -> FloatArray:
        """Return a style image as the network sees it: scaled to the size of the thumbnail times the stroke size.

        The network paints strokes at the size that they have in its input.
        """
        options = self._options
        pixels = crop_margin(pixels, options.style_margin)
        if options.keep_colors == "luminance":
            pixels = prepare_style(pixels, thumbnail, "luminance")
        scale = options.stroke_size * min(thumbnail.shape[:2]) / min(pixels.shape[:2])
        height, width = (max(4 * self._stride, min(_LARGEST_STYLE, round(side * scale))) for side in pixels.shape[:2])
        return to_batch(resize_pixels(pixels, height, width), self._stride)


def to_batch(pixels: FloatArray, stride: int) -> FloatArray:
    """Turn pixels (H, W, 3) into an image (1, 3, H', W'), padded to multiples of ``stride`` by repeating the edges."""
    height, width = pixels.shape[:2]
    padding = ((0, max(-height % stride, 2 * stride - height)), (0, max(-width % stride, 2 * stride - width)), (0, 0))
    padded = np.pad(pixels, padding, mode="edge") if any(after for _, after in padding) else pixels
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None]


def from_batch(image: FloatArray, like: FloatArray) -> FloatArray:
    """Turn an image (1, 3, H', W') into pixels of the size of ``like`` (H, W, 3): the inverse of `to_batch`."""
    pixels: FloatArray = image[0, :, : like.shape[0], : like.shape[1]].transpose(1, 2, 0)
    return pixels
