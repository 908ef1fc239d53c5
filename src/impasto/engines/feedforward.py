"""Tiles, strips, strength and colours of the engines that paint in one pass through a network.

What is measured on a thumbnail is applied tile by tile: what a tile looks like does not depend on how the picture was
divided, and of a picture that is read from a file and written to one, no more than a strip is ever in memory.
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
"""Heights and widths in pixels of what is painted at once, the smaller ones where memory is scarce.

A strip, which is in memory, is one tile high.
"""
_UNDIVIDED = 1 << 20
"""Pixels of a picture that is painted as a whole."""
_ACTIVATIONS = 1000
"""Bytes of address space that a network takes for a pixel that it looks at; 250 to 570 of them become resident."""
_THUMBNAIL = 512
_LARGEST_STYLE = 1536
"""Sides of what is seen of the content, and at most of a style, in pixels."""


class TileSteps:
    """Reports a run that makes the tiles of ``rows``: a step is a tile."""

    def __init__(self, rows: list[list[Tile]], on_step: OnStep, preview: Callable[[], Picture]) -> None:
        """Report to ``on_step``, with this ``preview``."""
        self._total = sum(len(row) for row in rows)
        self._scale = rows[-1][-1].right, rows[-1][-1].bottom
        self._on_step, self._preview = on_step, preview
        self._done = 0

    def made_one(self) -> None:
        """Say that another tile is done; an exception from ``on_step`` stops the run."""
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
    """Paints in one pass."""

    name: ClassVar[str]
    """In the catalog of engines."""
    architecture: ClassVar[str]
    """Of its networks."""

    def __init__(
        self,
        options: FeedForwardOptions,
        *,
        on_download: Callable[[int, int | None], None] | None = None,
        network: NetworkGraphs | None = None,
    ) -> None:
        """Prepare to paint; graphs are loaded when they are needed.

        Args:
            options: of the method.
            on_download: not used: nothing has to be fetched.
            network: of an engine whose options have the same `network_key`, to share it.

        Raises:
            UsageError: the folder holds no exported network.
        """
        del on_download
        self._options = options
        self.network = self._graphs = network or NetworkGraphs(options, self.architecture)
        self._stride = self.network.description.stride
        self._halo = self.network.description.halo

    def _measured(self, graphs: NetworkGraphs, thumbnail: FloatArray, beside: Beside, **given: FloatArray) -> Paint:
        """Return what paints with the scales and shifts that the graph ``measure`` finds on ``thumbnail``.

        Args:
            graphs: of the network.
            thumbnail: of the content image as it sees it, (H, W, 3).
            beside: what ``measure`` and ``render`` take beside a batch: from it, its top and its left in the picture.
            given: what only ``measure`` takes.

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
        """Look at the styles of ``inputs``, and return a function from a thumbnail to a `Paint` for its picture.

        The styles are looked at once, whatever the number of pictures: this is half of the work on a small one. A
        `Paint` takes a part (H, W, 3) of the picture, and its top and left in it, which are multiples of the stride. It
        sees to the strength, which is more than 0; colours are seen to elsewhere.

        Args:
            inputs: of the run.
            thumbnail: of its content image, whose size and luminance the styles are given.
        """

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`. A step is a tile; there is nothing to resume or to keep."""
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
            rows = self._rows(self._sized(given))  # once: other memory may be free when the next style begins

            def alone(each: StylizeInputs, on_step: OnStep) -> Iterator[Picture]:
                return self._still(each, rows, on_step)

            yield from masked_strips(inputs, size, alone, on_step)
            return
        yield from self._still(inputs, self._rows(self._sized(given)), on_step)

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> Callable[[LazyPicture], Iterator[Picture]]:
        """Paint with the statistics of one picture: see `impasto.engines.base.Engine`.

        Strokes keep their size in pixels: enlarged ones would jump from frame to frame.
        """
        del on_note
        thumbnail = self._sized(inputs.content).thumbnail(_THUMBNAIL)
        paint = self._finished(inputs, thumbnail)

        def strips(picture: LazyPicture) -> Iterator[Picture]:
            content = self._sized(picture)
            return self._strips(content, self._rows(content), paint, thumbnail, lambda step: None)

        return strips

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Paint one tile, the largest, and say what the whole will take: see `impasto.engines.base.Engine`."""
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
            if more:  # the first time, a network is loaded
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
        """Divide ``content`` into tiles that fit into the memory; what is painted does not depend on it."""
        height, width = content.height, content.width
        # A halo is computed for nothing, so a picture that needs no division gets none.
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
        """Return the painter of ``content``, whose strokes grow with it.

        A network paints strokes of a size in pixels. What it changes in the ``thumbnail`` is enlarged, and painted over
        with all details, so that the small picture shows what the large one will be.
        """
        paint = painter(thumbnail)
        ratio = max(content.width, content.height) / max(thumbnail.shape[:2])
        if ratio == 1:
            return paint
        seen = self._seen(thumbnail)
        painted = paint(seen, 0, 0)
        change = min(1.0, log2(ratio) / 2) * (painted - seen)  # little by little, up to four times the size
        changed = self._seen((seen + change).clip(0, 1))
        paint_over = painter(changed)
        again = color_map(paint_over(changed, 0, 0), painted, "histogram")  # the second time, colours drift
        enlarged = enlarge(change, content.height, content.width)

        def paint_large(content: FloatArray, top: int, left: int) -> FloatArray:
            if top == left == 0 and np.array_equal(content, seen):
                return painted
            under = (content + enlarged(top, left, *content.shape[:2])).clip(0, 1)
            return again(paint_over(self._seen(under), top, left))

        return paint_large

    def _finished(self, inputs: StylizeInputs, thumbnail: FloatArray, content: LazyPicture | None = None) -> Paint:
        """Return the painter with its colours put right.

        Strokes grow with ``content``; if it is not given, they keep their size in pixels.
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
        """Let the content show through ``paint`` as the strength says, where the network knows no other way."""
        strength = self._options.strength
        if strength == 1:
            return paint

        def faded(content: FloatArray, top: int, left: int) -> FloatArray:
            return content + strength * (paint(content, top, left) - content)

        return faded

    def _towards_content(self, paint: Paint, unchanged: Paint) -> Paint:
        """Let what the network cannot give back of the content fade in as the style fades out.

        ``unchanged`` paints with the style that should change nothing.
        """
        strength = self._options.strength

        def towards(content: FloatArray, top: int, left: int) -> FloatArray:
            painted = paint(content, top, left)
            if strength < 1:
                painted = painted + (1 - strength) * (content - unchanged(content, top, left))
            return painted.clip(0, 1)

        return towards

    def _seen(self, content: FloatArray) -> FloatArray:
        """Return what the network sees of content pixels."""
        return prepare_style(content, content, "luminance") if self._options.keep_colors == "luminance" else content


class AnyStyleEngine(FeedForwardEngine):
    """Paints in the style of any picture."""

    _options: AnyStyleOptions

    def _seen_style(self, pixels: FloatArray, thumbnail: FloatArray) -> FloatArray:
        """Return what the network sees of a style image: as large as the thumbnail, times the stroke size.

        The network paints strokes in the size in which it sees them.
        """
        options = self._options
        pixels = crop_margin(pixels, options.style_margin)
        if options.keep_colors == "luminance":
            pixels = prepare_style(pixels, thumbnail, "luminance")
        scale = options.stroke_size * min(thumbnail.shape[:2]) / min(pixels.shape[:2])
        height, width = (max(4 * self._stride, min(_LARGEST_STYLE, round(side * scale))) for side in pixels.shape[:2])
        return to_batch(resize_pixels(pixels, height, width), self._stride)


def to_batch(pixels: FloatArray, stride: int) -> FloatArray:
    """Turn pixels (H, W, 3) into an image (1, 3, H', W'), the edges repeated up to multiples of ``stride``."""
    height, width = pixels.shape[:2]
    padding = ((0, max(-height % stride, 2 * stride - height)), (0, max(-width % stride, 2 * stride - width)), (0, 0))
    padded = np.pad(pixels, padding, mode="edge") if any(after for _, after in padding) else pixels
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None]


def from_batch(image: FloatArray, like: FloatArray) -> FloatArray:
    """Turn an image (1, 3, H', W') into pixels as large as ``like`` (H, W, 3): undoes `to_batch`."""
    pixels: FloatArray = image[0, :, : like.shape[0], : like.shape[1]].transpose(1, 2, 0)
    return pixels
