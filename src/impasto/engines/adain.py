"""The engine 'adain', which matches means and standard deviations of activations (Huang and Belongie 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.any_style import AnyStyleEngine, with_mirrored_edges
from impasto.engines.feedforward import from_batch, to_batch

if TYPE_CHECKING:
    from impasto.engines.base import StylizeInputs
    from impasto.engines.feedforward import Paint, Painter
    from impasto.types import FloatArray


class AdaINEngine(AnyStyleEngine):
    """Paints in the style of any style image."""

    name = "adain"
    architecture = "adain"

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Painter:
        graphs, strength = self._graphs, self._options.strength
        codes = [
            share * graphs.run("predict", style=self._seen_style(style.picture.pixels, thumbnail))["code"]
            for share, style in zip(inputs.shares, inputs.styles, strict=True)
        ]
        mixed: FloatArray = np.stack(codes).sum(axis=0)

        def painter(thumbnail: FloatArray) -> Paint:
            content = to_batch(self._seen(thumbnail), self._stride)
            own = graphs.run("predict", style=content)["code"]

            def painted_with(code: FloatArray) -> Paint:
                affine = graphs.run("measure", image=content, code=code.astype(np.float32))["affine"]

                def paint(content: FloatArray, top: int, left: int) -> FloatArray:
                    del top, left
                    tile = to_batch(content, self._stride)
                    return from_batch(graphs.run("render", tile=tile, affine=affine)["painted"], content)

                return with_mirrored_edges(paint)

            # Section 6.4 mixes the activations with the content's. Mixing means and deviations has the same result.
            return self._towards_content(painted_with(own + strength * (mixed - own)), painted_with(own))

        return painter
