"""The engine 'gatys' in PyTorch, and the memory footprint of a descriptor, measured with a small picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from impasto.descriptors import Descriptor
from impasto.descriptors.catalog import load_descriptor_of
from impasto.descriptors.devices import choose_device, device_of
from impasto.descriptors.vgg import VGG, rescale_activations
from impasto.engines.gatys import GatysEngine
from impasto.engines.tiled_objective import TiledObjective, Tiling
from impasto.errors import ON_THE_CPU, UsageError
from impasto.images.scale import resize_pixels
from impasto.losses.objective import STYLE_LOSSES, LayerLosses, blended_losses, content_losses
from impasto.losses.objective import Objective as WeightedLosses
from impasto.optimization.memory import TILES, Footprint, plan
from impasto.optimization.tensors import FallbackObjective, OnDevice, TorchObjective, to_tensor
from impasto.options import shares_of_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from impasto.losses.objective import StyleLoss
    from impasto.optimization import Objective
    from impasto.optimization.arrays import Memory
    from impasto.optimization.memory import Need
    from impasto.optimization.stages import Stage
    from impasto.options import GatysOptions
    from impasto.types import FloatArray

_WHOLE = 2**30
_CPU = torch.device("cpu")

_TRANSIENT = 4.4
"""Memory of the backward pass in addition to the stored activations, as a multiple of the largest of them. Measured."""
_PROBE = 128


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
            on_download: called with bytes received and bytes in total if the descriptor's weights have to be fetched.
            network: a descriptor from `load_descriptor_of` for options with the same `network_key`, to share it.

        Raises:
            UsageError: there is no such descriptor, layer or device.
            WeightsError: the descriptor's weights cannot be fetched or read.
        """
        self._device = choose_device(options.device)
        super().__init__(options, network or load_descriptor_of(options, on_download))
        if options.rescale_activations and not isinstance(self._descriptor, VGG):
            raise UsageError(f"rescaled activations need VGG19 or VGG16; {self._descriptor.name} is neither")

    def _network(self, content: FloatArray, styles: Sequence[FloatArray]) -> Descriptor:
        return self._rescaled(self._descriptor, content, styles)

    def _rescaled(self, descriptor: Descriptor, content: FloatArray, styles: Sequence[FloatArray]) -> Descriptor:
        """Return ``descriptor``, with rescaled activations if the options say so."""
        if not self._options.rescale_activations or not isinstance(descriptor, VGG):
            return descriptor
        side = max(self._minimum, 256)
        samples = []
        for pixels in (content, *styles):
            width, height = self._fitting(pixels, side)
            samples.append(to_tensor(resize_pixels(pixels, height, width), device_of(descriptor)))
        return rescale_activations(descriptor, samples)

    def _objective(
        self,
        network: Descriptor,
        scale: Stage,
        content: FloatArray,
        styles: Sequence[FloatArray],
        shares: Sequence[float],
        need: Need,
        memory: Memory,
        on_note: Callable[[str], None],
    ) -> Objective:
        given = (scale, content, styles, shares, memory)
        if self._device.type == "cpu":
            return self._made(network, _CPU, need, *given)

        def on_cpu(need: Need) -> Objective:
            descriptor = load_descriptor_of(self._options.model_copy(update={"device": "cpu"}))
            return self._made(self._rescaled(descriptor, content, styles), _CPU, need, *given)

        if need.without_gpu:
            return on_cpu(need)
        tiles = need if 0 < need.tile <= TILES[-1] else replace(need, tile=TILES[-1])
        in_tiles = f"the memory of the GPU does not suffice; using tiles of {tiles.tile} pixels"
        others: dict[str, Callable[[], Objective]] = {ON_THE_CPU: lambda: on_cpu(tiles)}
        if tiles != need:
            others = {in_tiles: lambda: self._made(network, self._device, tiles, *given), **others}
        return FallbackObjective(lambda: self._made(network, self._device, need, *given), others, on_note)

    def _state_memory(self, need: Need, memory: Memory) -> Memory:
        return memory if need.tile or need.without_gpu or self._device.type == "cpu" else OnDevice(self._device)

    def _made(
        self,
        network: Descriptor,
        device: torch.device,
        need: Need,
        scale: Stage,
        content: FloatArray,
        styles: Sequence[FloatArray],
        shares: Sequence[float],
        memory: Memory,
    ) -> TorchObjective | TiledObjective:
        """Make the objective on ``device``, on which ``network`` is."""
        options = self._options
        look = Tiling(network, need.tile or _WHOLE, memory, device)

        def image(pixels: FloatArray, width: int, height: int) -> FloatArray:
            return memory.image(resize_pixels(pixels, height, width))

        style: dict[str, StyleLoss] = {}
        if options.style_weight:
            kind = STYLE_LOSSES[options.style_loss]
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
                seen_content = network.forward(torch.from_numpy(resized).to(device), self._content_weights)
                losses = content_losses(seen_content, options.normalization)
            parts["content"] = LayerLosses(losses, self._content_weights, options.content_weight)
        if style:
            parts["style"] = LayerLosses(style, self._style_weights, options.style_weight)
        return TorchObjective(WeightedLosses(network, parts, tv_weight), device)

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


def descriptor_footprint(
    network: Descriptor, content: Iterable[str], style: Iterable[str], device: torch.device
) -> Footprint:
    """Measure the footprint of ``network`` on the content and style layers with a small picture."""
    content = list(content)
    layers = sorted({*content, *style})
    side = max(_PROBE, *(2 * network.minimum_size(layer) for layer in layers))
    weights = {tensor.untyped_storage().data_ptr() for tensor in _constants(network)}
    sizes: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # a tensor that is stored in its own autograd graph would never be freed

    image = torch.zeros(1, 3, side, side, device=device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        features = network.forward(image, layers)
    area = side * side
    kept = sum(sizes.values()) + _TRANSIENT * max(sizes.values())
    compared = sum(4 * features[layer].numel() for layer in content)
    return Footprint(kept / area, compared / area, max(network.reach(layer) for layer in layers))


def _constants(network: Descriptor) -> Iterable[Tensor]:
    module: nn.Module = network  # type: ignore[assignment]  # every descriptor is a module
    return [*module.parameters(), *module.buffers()]
