"""The engine 'gatys' computed by a descriptor's graphs, without PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.engines.descriptor_graphs import DescriptorGraphs
from impasto.engines.gatys import GatysEngine
from impasto.engines.statistics_objective import (
    CONTENT_LAYER,
    HALO,
    STRIDE,
    STYLE_LAYERS,
    StatisticsLook,
    StatisticsObjective,
    Sums,
    statistics,
)
from impasto.errors import MissingDependencyError
from impasto.images.scale import resize_pixels
from impasto.optimization.memory import Footprint, plan
from impasto.options import RuntimeOptions, layer_weights, shares_of_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from impasto.optimization.arrays import Memory
    from impasto.optimization.memory import Need
    from impasto.optimization.stages import Stage
    from impasto.options import GatysOptions
    from impasto.types import FloatArray

_WHOLE = 2**30
_MINIMUM_SIZE = 32
"""Minimum side of a picture in pixels. It is that of relu5_1, which is always computed."""
_PASS_BYTES = 1_440
"""Bytes that the compact descriptor's graphs take per pixel of a tile, measured. Tiles of more than 300,000 pixels take
half as much."""
_CONTENT_BYTES = 8
"""Bytes that the compact descriptor's activations of relu4_2 take per pixel."""
_VGG_WIDTH = 4
"""Width of all other descriptors, as a multiple of the compact descriptor's."""


class GraphSight(DescriptorGraphs):
    """A descriptor's statistics, computed by its graphs.

    Attributes:
        name: name of the descriptor.
    """

    def __init__(self, options: GatysOptions) -> None:
        """Find the graphs of the compact descriptor, or graphs that were exported from other weights."""
        self.name = "compact" if options.descriptor == "auto" else options.descriptor
        super().__init__(self.name, RuntimeOptions(precision=options.precision), graphs="statistics")

    def minimum_size(self, layer: str) -> int:
        """See `impasto.descriptors.Sight`. It is the same for all layers, since they are computed together."""
        del layer
        return _MINIMUM_SIZE

    def reach(self, layer: str) -> int:
        """See `impasto.descriptors.Sight`. It is the same for all layers."""
        del layer
        return HALO


class GraphEngine(GatysEngine[GraphSight]):
    """The engine for installations without PyTorch: the layers of Gatys et al. (2016), on the CPU."""

    without_vgg19 = "VGG19 needs PyTorch, which is not installed"

    def __init__(self, options: GatysOptions, *, network: GraphSight | None = None) -> None:
        """Load the descriptor's graphs.

        Args:
            options: options of the engine.
            network: the network of an engine whose options have the same `network_key`, to share it.

        Raises:
            MissingDependencyError: an option needs PyTorch.
        """
        if feature := needs_pytorch(options):
            raise MissingDependencyError(feature, "PyTorch", "torch")
        super().__init__(options, network or GraphSight(options))

    def _side(self, length: int) -> int:
        return max(self._minimum, round(length / STRIDE) * STRIDE)

    def _network(self, content: FloatArray, styles: Sequence[FloatArray]) -> GraphSight:
        del content, styles
        return self.network

    def _objective(
        self,
        network: GraphSight,
        scale: Stage,
        content: FloatArray,
        styles: Sequence[FloatArray],
        shares: Sequence[float],
        need: Need,
        memory: Memory,
        on_note: Callable[[str], None],
    ) -> StatisticsObjective:
        del on_note
        options = self._options
        look = StatisticsLook(network, need.tile or _WHOLE, memory)
        style: dict[str, Sums] = {}
        if options.style_weight:
            sizes = [self._fitting(each, max(scale.width, scale.height) * options.stroke_size) for each in styles]
            seen = [(each, *size) for each, size in zip(styles, sizes, strict=True)]
            if options.strength < 1:
                # A partial strength interpolates between the statistics of the content and of the styles.
                seen.append((content, scale.width, scale.height))
                shares = [*(options.strength * share for share in shares), 1 - options.strength]
            for (pixels, width, height), share in zip(seen, shares, strict=True):
                for layer, sums in look.sums(memory.image(resize_pixels(pixels, height, width))).items():
                    found = share * statistics(options.style_loss, sums)
                    style[layer] = style[layer] + found if layer in style else found
        return StatisticsObjective(
            look,
            content=memory.image(resize_pixels(content, scale.height, scale.width)) if options.content_weight else None,
            content_weight=options.content_weight,
            style=style,
            style_shares=shares_of_layers(self._style_weights, options.style_weight),
            kind=options.style_loss,
            tv_weight=options.strength * options.tv_weight,
            normalization=options.normalization,
        )

    def _need(
        self, network: GraphSight, largest: Stage, styles: Sequence[FloatArray], tile: int | None, folder: Path
    ) -> Need:
        width = 1 if network.name == "compact" else _VGG_WIDTH
        long_side = max(largest.width, largest.height)
        return plan(
            largest.width,
            largest.height,
            [self._fitting(style, long_side * self._options.stroke_size) for style in styles],
            Footprint(width * _PASS_BYTES, width * _CONTENT_BYTES, HALO),
            optimizer=self._options.optimizer,
            tile=tile,
            folder=folder,
        )


def needs_pytorch(options: GatysOptions) -> str:
    """Name the first setting in ``options`` that graphs do not support, or return '' if they support all."""
    if options.device not in ("auto", "cpu"):
        return f"device {options.device!r}"
    if options.pooling != "max":
        return f"pooling {options.pooling!r}"
    if options.rescale_activations:
        return "scaling the descriptor's filters"
    for layer in layer_weights(options.content_layers):
        if layer != CONTENT_LAYER:
            return f"content layer {layer}"
    for layer in layer_weights(options.style_layers):
        if layer not in STYLE_LAYERS:
            return f"style layer {layer}"
    return ""
