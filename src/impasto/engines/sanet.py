"""The engine 'sanet': any style by attention between the content's activations and the style's (Park and Lee 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.feedforward import AnyStyleEngine, from_batch, to_batch

if TYPE_CHECKING:
    from impasto.engines.base import StylizeInputs
    from impasto.engines.feedforward import Paint
    from impasto.types import FloatArray


class SANetEngine(AnyStyleEngine):
    """Paints in the style of any picture."""

    name = "sanet"
    architecture = "sanet"
    stride = 16
    halo = 160

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Paint:
        options, graphs = self._options, self._graphs
        content = to_batch(self._seen(thumbnail), self.stride)
        affine = graphs.run("measure", image=content)["affine"]
        memories = [
            (share, graphs.run("predict", style=self._seen_style(style.picture.pixels, thumbnail)))
            for share, style in zip(inputs.shares, inputs.styles, strict=True)
        ]
        own = [(1.0, graphs.run("predict", style=content))]
        # Sections 4.4 and 4.5: styles are mixed with each other, and with the content's own, in what is decoded.
        mixed = [(options.strength * share, memory) for share, memory in memories]
        if options.strength < 1:
            mixed += [((1 - options.strength), own[0][1])]

        def painted_with(memories: list[tuple[float, dict[str, FloatArray]]]) -> Paint:
            def paint(content: FloatArray, top: int, left: int) -> FloatArray:
                del top, left
                tile = to_batch(content, self.stride)
                attended = [
                    share * graphs.run("attend", tile=tile, affine=affine, **memory)["features"]
                    for share, memory in memories
                ]
                features: FloatArray = np.stack(attended).sum(axis=0)
                return from_batch(graphs.run("render", features=features)["painted"], content)

            return paint

        return self._towards_content(painted_with(mixed), painted_with(own))
