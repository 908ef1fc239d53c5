"""The engine 'transformer': a network that was trained for one style (Johnson et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.engines.feedforward import FeedForwardEngine

if TYPE_CHECKING:
    from impasto.engines.base import StylizeInputs
    from impasto.engines.feedforward import Painter
    from impasto.types import FloatArray


class TransformerEngine(FeedForwardEngine):
    """Paints in the style of its network."""

    name = "transformer"
    architecture = "transformer"

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Painter:
        del inputs
        return lambda thumbnail: self._faded(
            self._measured(self._graphs, self._seen(thumbnail), lambda batch, top, left: {})
        )
