"""The engine 'fast': one pass through a conditional transformer paints any picture in the style of any other.

The style predictor turns each style image into a code. Codes are mixed by their weights. The strength interpolates
between the identity code, which leaves pictures unchanged, and the mixed code. The graph ``measure`` finds the scales
and shifts of the normalisations on a thumbnail; ``render`` paints tile by tile with them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.any_style import AnyStyleEngine
from impasto.errors import StyleError, UsageError
from impasto.gallery import GalleryStyle, read_style_file
from impasto.images.color import color_map
from impasto.runtimes.network_folder import IDENTITY_FILE

if TYPE_CHECKING:
    from impasto.engines.base import Style, StylizeInputs
    from impasto.engines.feedforward import Paint, Painter
    from impasto.engines.network_graphs import NetworkGraphs
    from impasto.options import FastOptions
    from impasto.types import FloatArray

_PERIOD = 256
"""Period of the noise in positions, which is 2,048 pixels of the picture."""


class FastEngine(AnyStyleEngine):
    """Paints in the style of any style image, or in any style of the gallery."""

    name = "fast"
    architecture = "conditional"
    _options: FastOptions

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Painter:
        graphs = self._graphs_of(inputs.styles)
        noise, stride = Noise(graphs.description.noise_channels, self._options.seed), self._stride
        strength, identity = self._options.strength, self._identity.code[None]
        whole = self.code(inputs.styles, inputs.shares, thumbnail)
        code = identity + np.float32(strength) * (whole - identity)

        def beside(batch: FloatArray, top: int, left: int) -> dict[str, FloatArray]:
            rows, columns = (side // stride for side in batch.shape[2:])
            return {"noise": noise.part(top // stride, left // stride, rows, columns)}

        def painter(thumbnail: FloatArray) -> Paint:
            seen = self._seen(thumbnail)
            paint = self._measured(graphs, seen, beside, code=code)
            if strength == 1:
                return paint
            paint = self._towards_content(paint, self._measured(graphs, seen, beside, code=identity))
            styled = self._measured(graphs, seen, beside, code=whole)(seen, 0, 0)
            # Codes between identity and style paint colours that neither the content nor the styled picture has.
            recolor = color_map(paint(seen, 0, 0), seen + strength * (styled - seen), "histogram")
            return lambda content, top, left: recolor(paint(content, top, left))

        return painter

    def code(self, styles: tuple[Style, ...], shares: list[float], thumbnail: FloatArray) -> FloatArray:
        """Mix the codes of ``styles`` by ``shares``: (1, code_size).

        Args:
            styles: style images, whose codes are predicted, and styles of the gallery.
            shares: the share of each style in the mixture; their sum is 1.
            thumbnail: thumbnail of the content image, (H, W, 3).

        Raises:
            StyleError: a style of the gallery belongs to another network.
            UsageError: the stroke size is below 1, which styles of the gallery do not allow.
        """
        codes = [
            self._gallery_code(style.source)
            if isinstance(style.source, GalleryStyle)
            else self._predicted_code(style.picture.pixels, thumbnail)
            for style in styles
        ]
        mixed: FloatArray = np.stack([share * code for share, code in zip(shares, codes, strict=True)]).sum(axis=0)
        return mixed.astype(np.float32)

    def _graphs_of(self, styles: tuple[Style, ...]) -> NetworkGraphs:
        """Return the graphs of the network, with the layers that were learned together with a style, if any."""
        for style in styles:
            if isinstance(style.source, GalleryStyle) and style.source.layers:
                if len(styles) > 1:
                    raise UsageError(
                        f"style {style.source.name!r} has layers of its own, and cannot be mixed; give each style its "
                        "place with a mask, or learn it without the last layers"
                    )
                self._check_network(style.source)
                return self._graphs.with_layers(style.source.layers)
        return self._graphs

    @cached_property
    def _identity(self) -> GalleryStyle:
        return read_style_file(self._graphs.folder / IDENTITY_FILE)

    def _check_network(self, style: GalleryStyle) -> None:
        if style.network != self._identity.network:
            raise StyleError(
                f"style {style.name!r} was learned for another version of the network; learn it anew from its picture: "
                "impasto styles learn PICTURE"
            )

    def _gallery_code(self, style: GalleryStyle) -> FloatArray:
        self._check_network(style)
        if len(style.code) != len(self._identity.code):
            raise StyleError(
                f"style {style.name!r} has {len(style.code)} numbers and the network takes {len(self._identity.code)}; "
                "its file is damaged; download it again"
            )
        if self._options.stroke_size < 1:
            raise UsageError(
                f"stroke size is {self._options.stroke_size:g}; below 1 it needs the picture of the style, and "
                f"{style.name!r} is a code without one; give at least 1"
            )
        return style.code[None]

    def _predicted_code(self, pixels: FloatArray, thumbnail: FloatArray) -> FloatArray:
        return self._graphs.run("predict", style=self._seen_style(pixels, thumbnail))["code"]


class Noise:
    """A repeating field of random numbers with mean 0 and variance 1, from which the engine 'fast' makes strokes."""

    def __init__(self, channels: int, seed: int) -> None:
        """Draw the field from ``seed``."""
        random = np.random.default_rng(seed)
        self._field: FloatArray = random.standard_normal((channels, _PERIOD, _PERIOD), dtype=np.float32)

    def part(self, top: int, left: int, rows: int, columns: int) -> FloatArray:
        """Return the part (1, channels, rows, columns) that begins at row ``top`` and column ``left``."""
        down = np.arange(top, top + rows) % _PERIOD
        across = np.arange(left, left + columns) % _PERIOD
        return np.ascontiguousarray(self._field[:, down[:, None], across])[None]
