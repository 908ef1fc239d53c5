"""The fast engine: one pass through a conditional transformer paints any picture in the style of any other.

The style predictor turns each style image into a code; codes are mixed by their weights, and drawn towards the code of
the identity by the strength. `measure` finds the scales and shifts of this picture on a thumbnail, and `render` paints
it tile by tile: what a tile looks like does not depend on how the picture was divided.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs

from impasto.errors import Interrupted, UsageError
from impasto.images.color import prepare_style, restore_colors
from impasto.images.scale import crop_margin, fit_size, resize_picture, resize_pixels
from impasto.images.tiles import plan_tiles
from impasto.runtimes.catalog import RUNTIMES
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from impasto.engines.base import StylizeInputs
    from impasto.engines.checkpoints import Checkpoint
    from impasto.options import FastOptions
    from impasto.runtimes.base import Runtime
    from impasto.types import FloatArray, OnStep, Picture

STRIDE = 8
"""Sides of what the networks see are multiples of this: `impasto.networks.conditional.STRIDE`, without PyTorch."""
_HALO = 104
"""Pixels at each edge of a tile that the network looks at: its receptive field, rounded up to the stride."""
_TILE = 1024
_FILES = ("predict.onnx", "measure.onnx", "render.onnx", "identity.npy")
_STYLE_SIDE = 256
_THUMBNAIL = 512


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
        bundled = Path(str(files("impasto.bundled") / "conditional"))
        self._folder = Path(options.network) if options.network is not None else bundled
        missing = [name for name in _FILES if not (self._folder / name).is_file()]
        if missing and options.network is None:
            raise UsageError("no network is bundled yet; train and export one, and name its folder by --network")
        if missing:
            raise UsageError(f"{options.network} lacks {', '.join(missing)}; name a folder that 'impasto export' wrote")
        self._runtimes: dict[str, Runtime] = {}

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`. A step is a tile; there is nothing to resume."""
        del checkpoint
        options = self._options
        result = inputs.content
        if options.size is not None:
            result = resize_picture(result, *fit_size(result.width, result.height, options.size))
        if options.strength == 0:
            return replace(result, metadata=self._metadata())
        content = result.pixels
        styles = [crop_margin(style.picture.pixels, options.style_margin) for style in inputs.styles]
        styles = [prepare_style(pixels, content, options.keep_colors) for pixels in styles]
        if options.keep_colors == "luminance":
            content = prepare_style(content, content, "luminance")
        affine = self._measure(content, self.code(styles, inputs.shares))

        painted = content.copy()  # until a tile is done
        height, width = content.shape[:2]
        tiles = list(plan_tiles(height, width, side=_TILE, halo=_HALO))

        metadata = self._metadata()

        def finish() -> Picture:
            pixels = restore_colors(painted, result.pixels, options.keep_colors)
            return replace(result, pixels=pixels, metadata=metadata)

        try:
            for done, tile in enumerate(tiles, start=1):
                seen = content[tile.seen_top : tile.seen_bottom, tile.seen_left : tile.seen_right]
                rendered = self._run("render", tile=_to_batch(seen), affine=affine)["painted"][0].transpose(1, 2, 0)
                painted[tile.top : tile.bottom, tile.left : tile.right] = rendered[
                    tile.top - tile.seen_top : tile.bottom - tile.seen_top,
                    tile.left - tile.seen_left : tile.right - tile.seen_left,
                ]
                on_step(
                    Step(
                        done=done,
                        total=len(tiles),
                        fraction=done / len(tiles),
                        scale=(width, height),
                        losses={},
                        preview=finish,
                    )
                )
        except KeyboardInterrupt:
            raise Interrupted(finish()) from None
        return finish()

    def code(self, styles: Sequence[FloatArray], shares: Sequence[float]) -> FloatArray:
        """Mix the codes of ``styles``, pixels (H, W, 3), by ``shares``, and apply the strength: (1, code_size)."""
        identity = np.load(self._folder / "identity.npy").astype(np.float32)[None]
        codes = []
        for pixels in styles:
            side = _STYLE_SIDE * self._options.stroke_size * max(pixels.shape[:2]) / min(pixels.shape[:2])
            width, height = fit_size(pixels.shape[1], pixels.shape[0], max(4 * STRIDE, round(side)))
            seen = resize_pixels(pixels, max(4 * STRIDE, height), max(4 * STRIDE, width))
            codes.append(self._run("predict", style=_to_batch(seen))["code"])
        mixed = sum(share * code for share, code in zip(shares, codes, strict=True))
        blended: FloatArray = (identity + self._options.strength * (mixed - identity)).astype(np.float32)
        return blended

    def _measure(self, content: FloatArray, code: FloatArray) -> FloatArray:
        height, width = content.shape[:2]
        if max(height, width) > _THUMBNAIL:
            width, height = fit_size(width, height, _THUMBNAIL)
        thumbnail = resize_pixels(content, max(height, 2 * STRIDE), max(width, 2 * STRIDE))
        return self._run("measure", image=_to_batch(thumbnail), code=code)["affine"]

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

    def _metadata(self) -> dict[str, str]:
        return {
            "software": f"impasto {version('impasto')}",
            "engine": "fast",
            "options": self._options.model_dump_json(),
            "network": f"sha256:{hashlib.sha256((self._folder / 'render.onnx').read_bytes()).hexdigest()}",
        }


def _to_batch(pixels: FloatArray) -> FloatArray:
    """Turn pixels (H, W, 3) into an image (1, 3, H', W'), the edges repeated up to multiples of the stride."""
    height, width = pixels.shape[:2]
    padding = ((0, max(-height % STRIDE, 2 * STRIDE - height)), (0, max(-width % STRIDE, 2 * STRIDE - width)), (0, 0))
    padded = np.pad(pixels, padding, mode="edge") if any(after for _, after in padding) else pixels
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None]
