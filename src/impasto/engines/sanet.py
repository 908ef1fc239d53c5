"""The engine 'sanet', with attention between activations of content and style (Park and Lee 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.any_style import AnyStyleEngine, with_mirrored_edges
from impasto.engines.feedforward import from_batch, to_batch

if TYPE_CHECKING:
    from impasto.engines.base import StylizeInputs
    from impasto.engines.feedforward import Paint, Painter
    from impasto.types import FloatArray


class SANetEngine(AnyStyleEngine):
    """Paints in the style of any style image."""

    name = "sanet"
    architecture = "sanet"

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Painter:
        graphs, strength = self._graphs, self._options.strength
        memories = [
            (strength * share, graphs.run("predict", style=self._seen_style(style.picture.pixels, thumbnail)))
            for share, style in zip(inputs.shares, inputs.styles, strict=True)
        ]

        def painter(thumbnail: FloatArray) -> Paint:
            content = to_batch(self._seen(thumbnail), self._stride)
            affine = graphs.run("measure", image=content)["affine"]
            own = graphs.run("predict", style=content)

            def painted_with(memories: list[tuple[float, dict[str, FloatArray]]]) -> Paint:
                def paint(content: FloatArray, top: int, left: int) -> FloatArray:
                    del top, left
                    tile = to_batch(content, self._stride)
                    attended = [
                        share * graphs.run("attend", tile=tile, affine=affine, **memory)["features"]
                        for share, memory in memories
                    ]
                    features: FloatArray = np.stack(attended).sum(axis=0)
                    return from_batch(graphs.run("render", features=features)["painted"], content)

                return with_mirrored_edges(paint)

            # Sections 4.4 and 4.5: the features of all styles and of the content are mixed before decoding.
            mixed = [*memories, (1 - strength, own)] if strength < 1 else memories
            return self._towards_content(painted_with(mixed), painted_with([(1.0, own)]))

        return painter
