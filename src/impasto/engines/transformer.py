"""The engine 'transformer': a network that was trained for one style (Johnson et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.engines.feedforward import FeedForwardEngine, from_batch, refuse_styles, to_batch

if TYPE_CHECKING:
    from impasto.engines.base import StylizeInputs
    from impasto.engines.feedforward import Paint
    from impasto.types import FloatArray


class TransformerEngine(FeedForwardEngine):
    """Paints in the style of its network."""

    name = "transformer"
    architecture = "transformer"
    stride = 4
    halo = 104

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Paint:
        refuse_styles(inputs, self.name)
        affine = self._graphs.run("measure", image=to_batch(self._seen(thumbnail), self.stride))["affine"]

        def paint(content: FloatArray, top: int, left: int) -> FloatArray:
            del top, left
            tile = to_batch(content, self.stride)
            return from_batch(self._graphs.run("render", tile=tile, affine=affine)["painted"], content)

        return self._faded(paint)
