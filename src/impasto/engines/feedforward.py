"""The fast engine: one pass through a conditional transformer paints any picture in the style of any other.

The style predictor turns each style image into a code; codes are mixed by their weights, and drawn towards the code of
the identity by the strength. `measure` finds the scales and shifts of this picture on a thumbnail, and `render` paints
it tile by tile: what a tile looks like does not depend on how the picture was divided, and of a picture that is read
from a file and written to one, no more than a strip is ever in memory.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import platformdirs

from impasto.engines.noise import Noise
from impasto.errors import StyleError, UsageError
from impasto.gallery import GalleryStyle, read_style_file
from impasto.images.color import color_map, prepare_style, restore_colors
from impasto.images.scale import crop_margin, fit_size, resize_pixels
from impasto.images.tiles import plan_tiles
from impasto.runtimes.catalog import RUNTIMES
from impasto.runtimes.network_folder import IDENTITY_FILE, network_folder
from impasto.types import Picture, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from impasto.engines.base import Style, StylizeInputs
    from impasto.engines.checkpoints import Checkpoint
    from impasto.options import FastOptions
    from impasto.runtimes.base import Runtime
    from impasto.types import FloatArray, OnStep

STRIDE = 8
"""Sides of what the networks see are multiples of this: `impasto.networks.conditional.STRIDE`, without PyTorch."""
_HALO = 104
"""Pixels at each edge of a tile that the network looks at: its receptive field, rounded up to the stride."""
_TILE = (512, 768)
"""Height and width in pixels of what is painted at once: a strip, which is in memory, is one tile high."""
_UNDIVIDED = 1 << 20
"""Pixels of a picture that is painted as a whole."""
_THUMBNAIL = 512
_LARGEST_STYLE = 1536
"""Sides of what is seen of the content, and at most of a style, in pixels."""


class FeedForwardEngine:
    """Paints in one pass."""

    def __init__(
        self,
        options: FastOptions,
        *,
        on_download: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Prepare to paint; graphs are loaded when they are needed.

        Args:
            options: of the method.
            on_download: not used: nothing has to be fetched.

        Raises:
            UsageError: the folder holds no exported network.
        """
        del on_download
        self._options = options
        self._folder = network_folder(options.network)
        self._runtimes: dict[str, Runtime] = {}

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
        content = given.resized(*fit_size(given.width, given.height, self._options.size))
        thumbnail = content.thumbnail(_THUMBNAIL)
        paint = self._painter(inputs, thumbnail)
        # A halo is computed for nothing, so a picture that needs no division gets none.
        whole = content.height * content.width <= _UNDIVIDED
        tile_size = (content.height, content.width) if whole else _TILE
        tiles = list(plan_tiles(content.height, content.width, *tile_size, halo=_HALO))
        done = 0
        for top in dict.fromkeys(tile.top for tile in tiles):
            row = [tile for tile in tiles if tile.top == top]
            strip = content.read(row[0].seen_top, row[0].seen_bottom)
            painted = np.empty((row[0].bottom - top, content.width, 3), np.float32)
            for tile in row:
                seen = strip.pixels[:, tile.seen_left : tile.seen_right]
                painted[:, tile.left : tile.right] = paint(seen, tile.seen_top, tile.seen_left)[
                    top - tile.seen_top : tile.bottom - tile.seen_top,
                    tile.left - tile.seen_left : tile.right - tile.seen_left,
                ]
                done += 1
                on_step(
                    Step(
                        done=done,
                        total=len(tiles),
                        fraction=done / len(tiles),
                        scale=(content.width, content.height),
                        losses={},
                        preview=lambda: Picture(paint(thumbnail, 0, 0)),
                    )
                )
            rows = slice(top - row[0].seen_top, row[0].bottom - row[0].seen_top)
            alpha = None if strip.alpha is None else strip.alpha[rows]
            yield replace(strip, pixels=painted, alpha=alpha, metadata=self._metadata)

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Callable[[FloatArray, int, int], FloatArray]:
        """Return a function that paints any part (H, W, 3) of the picture with this ``thumbnail``.

        It takes the part, and its top and left in the picture, which are multiples of the stride.
        """
        options = self._options
        if options.strength == 0:
            return lambda content, top, left: content
        seen = _to_batch(self._seen(thumbnail))
        identity = self._identity.code[None]
        noise = Noise(options.seed)

        def measured(code: FloatArray) -> FloatArray:
            part = noise.part(0, 0, seen.shape[2] // STRIDE, seen.shape[3] // STRIDE)
            return self._run("measure", image=seen, code=code, noise=part)["affine"]

        affine = measured(self.code(inputs.styles, inputs.shares, thumbnail))
        # What the network cannot give back of the content image fades in as the style fades out.
        unpainted = measured(identity) if options.strength < 1 else None

        def render(pixels: FloatArray, affine: FloatArray, top: int, left: int) -> FloatArray:
            height, width = pixels.shape[:2]
            tile = _to_batch(pixels)
            part = noise.part(top // STRIDE, left // STRIDE, tile.shape[2] // STRIDE, tile.shape[3] // STRIDE)
            painted = self._run("render", tile=tile, affine=affine, noise=part)["painted"][0]
            cropped: FloatArray = painted[:, :height, :width].transpose(1, 2, 0)
            return cropped

        def paint(content: FloatArray, top: int, left: int) -> FloatArray:
            given = self._seen(content)
            painted = render(given, affine, top, left)
            if unpainted is not None:
                missing = given - render(given, unpainted, top, left)
                painted = (painted + (1 - options.strength) * missing).clip(0, 1)
            return painted

        if options.keep_colors in ("histogram", "coral"):
            recolor = color_map(paint(thumbnail, 0, 0), thumbnail, options.keep_colors)
            return lambda content, top, left: recolor(paint(content, top, left))
        return lambda content, top, left: restore_colors(paint(content, top, left), content, options.keep_colors)

    def code(self, styles: tuple[Style, ...], shares: list[float], thumbnail: FloatArray) -> FloatArray:
        """Mix the codes of ``styles`` by ``shares``, and apply the strength: (1, code_size).

        Args:
            styles: pictures, whose codes are predicted, and styles of the gallery.
            shares: of the mixture; their sum is 1.
            thumbnail: of the content image, (H, W, 3).

        Raises:
            StyleError: a style of the gallery belongs to another network.
            UsageError: the stroke size of a style of the gallery cannot be changed.
        """
        identity = self._identity.code[None]
        codes = [
            self._gallery_code(style.source)
            if isinstance(style.source, GalleryStyle)
            else self._predicted_code(style.source.pixels, thumbnail)
            for style in styles
        ]
        mixed = sum(share * code for share, code in zip(shares, codes, strict=True))
        blended: FloatArray = (identity + self._options.strength * (mixed - identity)).astype(np.float32)
        return blended

    @cached_property
    def _identity(self) -> GalleryStyle:
        return read_style_file(self._folder / IDENTITY_FILE)

    def _gallery_code(self, style: GalleryStyle) -> FloatArray:
        if style.network != self._identity.network:
            raise StyleError(
                f"style {style.name!r} was learned for another version of the network; learn it anew from its picture: "
                "impasto styles learn PICTURE"
            )
        if len(style.code) != len(self._identity.code):
            raise StyleError(
                f"style {style.name!r} has {len(style.code)} numbers and the network takes {len(self._identity.code)}; "
                "its file is damaged, get it again"
            )
        if self._options.stroke_size != 1:
            raise UsageError(
                f"stroke size needs the picture of the style; {style.name!r} is a code without one: leave --stroke-size"
            )
        return style.code[None]

    def _predicted_code(self, pixels: FloatArray, thumbnail: FloatArray) -> FloatArray:
        options = self._options
        pixels = crop_margin(pixels, options.style_margin)
        if options.keep_colors == "luminance":
            pixels = prepare_style(pixels, thumbnail, "luminance")
        # As large as the thumbnail: the network paints strokes in the size in which it sees them.
        scale = options.stroke_size * min(thumbnail.shape[:2]) / min(pixels.shape[:2])
        height, width = (max(4 * STRIDE, min(_LARGEST_STYLE, round(side * scale))) for side in pixels.shape[:2])
        seen = resize_pixels(pixels, height, width)
        return self._run("predict", style=_to_batch(seen))["code"]

    def _seen(self, content: FloatArray) -> FloatArray:
        """Return what the network sees of content pixels."""
        return prepare_style(content, content, "luminance") if self._options.keep_colors == "luminance" else content

    def _run(self, name: str, **inputs: FloatArray) -> dict[str, FloatArray]:
        if name not in self._runtimes:
            options = self._options
            self._runtimes[name] = RUNTIMES.load(options.runtime)(
                self._folder / f"{name}.onnx",
                threads=options.threads,
                precision=options.precision,
                cache=platformdirs.user_cache_path("impasto") / "openvino",
            )
        return self._runtimes[name].run(inputs)

    @cached_property
    def _metadata(self) -> dict[str, str]:
        return {
            "software": f"impasto {version('impasto')}",
            "engine": "fast",
            "options": self._options.model_dump_json(),
            "network": f"sha256:{self._identity.network}",
        }


def _to_batch(pixels: FloatArray) -> FloatArray:
    """Turn pixels (H, W, 3) into an image (1, 3, H', W'), the edges repeated up to multiples of the stride."""
    height, width = pixels.shape[:2]
    padding = ((0, max(-height % STRIDE, 2 * STRIDE - height)), (0, max(-width % STRIDE, 2 * STRIDE - width)), (0, 0))
    padded = np.pad(pixels, padding, mode="edge") if any(after for _, after in padding) else pixels
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None]
