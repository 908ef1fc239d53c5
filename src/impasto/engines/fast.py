"""The engine 'fast': one pass through a conditional transformer paints any picture in the style of any other.

The style predictor turns each style image into a code. Codes are mixed by their weights. The strength interpolates
between the code of the identity and the mixed code. `measure` finds the picture's scales and shifts on a thumbnail, and
`render` paints the picture tile by tile.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.feedforward import AnyStyleEngine
from impasto.engines.noise import Noise
from impasto.errors import StyleError, UsageError
from impasto.gallery import GalleryStyle, read_style_file
from impasto.runtimes.network_folder import IDENTITY_FILE

if TYPE_CHECKING:
    from impasto.engines.base import Style, StylizeInputs
    from impasto.engines.feedforward import Paint, Painter
    from impasto.engines.network_graphs import NetworkGraphs
    from impasto.options import FastOptions
    from impasto.types import FloatArray


class FastEngine(AnyStyleEngine):
    """Paints in the style of any style image or of the gallery."""

    name = "fast"
    architecture = "conditional"
    _options: FastOptions

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Painter:
        graphs = self._graphs_of(inputs.styles)
        noise, stride = Noise(graphs.description.noise_channels, self._options.seed), self._stride
        code = self.code(inputs.styles, inputs.shares, thumbnail)

        def beside(batch: FloatArray, top: int, left: int) -> dict[str, FloatArray]:
            rows, columns = (side // stride for side in batch.shape[2:])
            return {"noise": noise.part(top // stride, left // stride, rows, columns)}

        def painter(thumbnail: FloatArray) -> Paint:
            seen = self._seen(thumbnail)
            paint = self._measured(graphs, seen, beside, code=code)
            if self._options.strength == 1:
                return paint
            return self._towards_content(paint, self._measured(graphs, seen, beside, code=self._identity.code[None]))

        return painter

    def code(self, styles: tuple[Style, ...], shares: list[float], thumbnail: FloatArray) -> FloatArray:
        """Mix the codes of ``styles`` by ``shares``, and apply the strength: (1, code_size).

        Args:
            styles: style images, whose codes are predicted, and styles of the gallery.
            shares: the share of each style in the mixture; their sum is 1.
            thumbnail: thumbnail of the content image, (H, W, 3).

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
                "its file is damaged, get it again"
            )
        if self._options.stroke_size != 1:
            raise UsageError(
                f"stroke size needs the picture of the style; {style.name!r} is a code without one; leave it"
            )
        return style.code[None]

    def _predicted_code(self, pixels: FloatArray, thumbnail: FloatArray) -> FloatArray:
        return self._graphs.run("predict", style=self._seen_style(pixels, thumbnail))["code"]
