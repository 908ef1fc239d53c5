"""The base class of the feed-forward engines that look at a style image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.feedforward import THUMBNAIL, FeedForwardEngine, to_batch
from impasto.images.color import luminance, prepare_style
from impasto.images.scale import crop_margin, resize_pixels

if TYPE_CHECKING:
    from impasto.engines.feedforward import Paint
    from impasto.images import LazyPicture
    from impasto.options import AnyStyleOptions
    from impasto.types import FloatArray

_LARGEST_STYLE = 1536
"""Maximum sides of a style image in pixels."""
_MIRRORED = 64
"""Pixels added beyond each edge. The number is a multiple of all strides, so that activations keep their positions."""
_CELLS, _PLAIN = 8, 0.05
"""A style image is nearly plain if it differs by less than `_PLAIN` (standard deviation) from a smooth picture of
`_CELLS` x `_CELLS` colours. Of 213 paintings, one does."""


class AnyStyleEngine(FeedForwardEngine):
    """Paints in the style of any style image."""

    _options: AnyStyleOptions

    def _thumbnail(self, content: LazyPicture) -> FloatArray:
        """Return the small picture; the smaller it is, the larger its strokes become in the picture."""
        long_side = max(content.width, content.height)
        return content.thumbnail(max(round(min(THUMBNAIL, long_side) / max(1.0, self._options.stroke_size)), 1))

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
        return to_batch(_with_structure(resize_pixels(pixels, height, width), thumbnail), self._stride)


def _with_structure(style: FloatArray, content: FloatArray) -> FloatArray:
    """Give a plain or nearly plain ``style`` the luminance of ``content`` as its structure; both (H, W, 3).

    The networks were trained on paintings. The statistics of a plain picture or a smooth gradient are far from those of
    any painting, and the result would be glaring blobs.
    """
    size = style.shape[:2]
    smooth = resize_pixels(resize_pixels(style, _CELLS, _CELLS), *size)
    missing = 1 - float((style - smooth).std((0, 1)).max()) / _PLAIN
    if missing <= 0:
        return style
    shade = luminance(resize_pixels(content, *size))[:, :, None]
    structured: FloatArray = (style + np.float32(missing) * (shade - shade.mean())).clip(0, 1)
    return structured


def with_mirrored_edges(paint: Paint) -> Paint:
    """Return a `Paint` that continues pictures beyond their edges by their mirror images, and then calls ``paint``.

    The encoder pads activations with zeros. Without the margin, these would lead to a dark frame.
    """

    def paint_within(content: FloatArray, top: int, left: int) -> FloatArray:
        wider = np.pad(content, ((_MIRRORED, _MIRRORED), (_MIRRORED, _MIRRORED), (0, 0)), mode="symmetric")
        return paint(wider, top - _MIRRORED, left - _MIRRORED)[_MIRRORED:-_MIRRORED, _MIRRORED:-_MIRRORED]

    return paint_within
