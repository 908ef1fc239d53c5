"""The engine 'gatys' in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from impasto.descriptors.base import Descriptor
from impasto.descriptors.rescaling import rescale_activations
from impasto.descriptors.vgg import VGG
from impasto.engines.descriptor import choose_device, load_descriptor_of
from impasto.engines.footprint import descriptor_footprint
from impasto.engines.gatys import GatysEngine
from impasto.engines.tensors import to_tensor
from impasto.engines.tiled_objective import TiledObjective, Tiling
from impasto.engines.torch_objective import TorchObjective
from impasto.errors import UsageError
from impasto.images.scale import resize_pixels
from impasto.losses.catalog import STYLE_LOSSES
from impasto.losses.content import content_losses
from impasto.losses.objective import LayerLosses, Objective
from impasto.losses.style import blended_losses
from impasto.optimization.memory.needs import plan
from impasto.options import shares_of_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from impasto.losses.style import StyleLoss
    from impasto.optimization.memory.arrays import Memory
    from impasto.optimization.memory.needs import Need
    from impasto.optimization.scales import Stage
    from impasto.options import GatysOptions
    from impasto.types import FloatArray

_WHOLE = 2**30


class OptimizationEngine(GatysEngine[Descriptor]):
    """The engine 'gatys' computed by PyTorch, which supports every descriptor, layer and device."""

    without_vgg19 = "VGG19 is not on this machine and cannot be fetched"

    def __init__(
        self,
        options: GatysOptions,
        *,
        on_download: Callable[[int, int | None], None] | None = None,
        network: Descriptor | None = None,
    ) -> None:
        """Load the descriptor.

        Args:
            options: options of the engine.
            on_download: called with bytes done and in all if the descriptor's weights have to be fetched.
            network: a descriptor from `load_descriptor_of` for options with the same `network_key`, to share it.

        Raises:
            UsageError: there is no such descriptor, layer or device.
            WeightsError: the descriptor's weights cannot be fetched or read.
        """
        self._device = choose_device(options.device)
        super().__init__(options, network or load_descriptor_of(options, on_download))

    def _network(self, content: FloatArray, styles: Sequence[FloatArray]) -> Descriptor:
        if not self._options.rescale_activations:
            return self._descriptor
        if not isinstance(self._descriptor, VGG):
            raise UsageError(f"rescaled activations need VGG19 or VGG16; {self._descriptor.name} is neither")
        side = max(self._minimum, 256)
        samples = []
        for pixels in (content, *styles):
            width, height = self._fitting(pixels, side)
            samples.append(to_tensor(resize_pixels(pixels, height, width), self._device))
        return rescale_activations(self._descriptor, samples)

    def _objective(
        self,
        network: Descriptor,
        scale: Stage,
        content: FloatArray,
        styles: Sequence[FloatArray],
        shares: Sequence[float],
        need: Need,
        memory: Memory,
    ) -> TorchObjective | TiledObjective:
        """Compute the targets for ``scale`` once, and return its objective."""
        options = self._options
        look = Tiling(network, need.tile or _WHOLE, memory, self._device)

        def image(pixels: FloatArray, width: int, height: int) -> FloatArray:
            return memory.image(resize_pixels(pixels, height, width))

        style: dict[str, StyleLoss] = {}
        if options.style_weight:
            kind = STYLE_LOSSES.load(options.style_loss)
            seen = []
            for pixels in styles:
                width, height = self._fitting(pixels, max(scale.width, scale.height) * options.stroke_size)
                seen.append(look.statistics(image(pixels, width, height), self._style_weights, kind))
            if options.strength < 1:
                # A partial strength interpolates between the statistics of the content and of the styles.
                seen.append(look.statistics(image(content, scale.width, scale.height), self._style_weights, kind))
                shares = [*(options.strength * share for share in shares), 1 - options.strength]
            style = blended_losses(kind, seen, shares, options.normalization)
        resized = image(content, scale.width, scale.height) if options.content_weight else None
        tv_weight = options.strength * options.tv_weight
        if need.tiled(scale):
            return TiledObjective(
                look,
                content=resized,
                content_shares=shares_of_layers(self._content_weights, options.content_weight),
                style=style,
                style_shares=shares_of_layers(self._style_weights, options.style_weight),
                tv_weight=tv_weight,
                normalization=options.normalization,
            )
        parts = {}
        if resized is not None:
            with torch.no_grad():
                seen_content = network.forward(torch.from_numpy(resized).to(self._device), self._content_weights)
                losses = content_losses(seen_content, options.normalization)
            parts["content"] = LayerLosses(losses, self._content_weights, options.content_weight)
        if style:
            parts["style"] = LayerLosses(style, self._style_weights, options.style_weight)
        return TorchObjective(Objective(network, parts, tv_weight), self._device)

    def _need(
        self, network: Descriptor, largest: Stage, styles: Sequence[FloatArray], tile: int | None, folder: Path
    ) -> Need:
        options = self._options
        long_side = max(largest.width, largest.height)
        return plan(
            largest.width,
            largest.height,
            [self._fitting(style, long_side * options.stroke_size) for style in styles],
            descriptor_footprint(network, self._content_weights, self._style_weights, self._device),
            optimizer=options.optimizer,
            tile=tile,
            device=self._device,
            folder=folder,
        )
