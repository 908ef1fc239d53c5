"""The classical engine: Gatys, Ecker and Bethge (2016), "Image Style Transfer Using Convolutional Neural Networks"."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from impasto.descriptors.base import Descriptor, check_size
from impasto.descriptors.rescaling import rescale_activations
from impasto.descriptors.vgg import VGG
from impasto.engines.base import Forecast
from impasto.engines.descriptor import choose_device, load_descriptor_of
from impasto.engines.facts import facts
from impasto.engines.initialization import initial_pixels
from impasto.engines.masks import painted_through_masks
from impasto.engines.memory import PeakMemory, freed_blocks_kept, resident_memory
from impasto.engines.needs import appetite, plan
from impasto.engines.shortage import shortage_explained
from impasto.engines.tensors import to_tensor
from impasto.engines.tiled_objective import TiledObjective, Tiling
from impasto.engines.torch_objective import TorchObjective
from impasto.errors import Interrupted, UsageError
from impasto.images.color import prepare_style, restore_colors
from impasto.images.lazy import resize_picture
from impasto.images.scale import crop_margin, fit_size, resize_pixels
from impasto.losses.catalog import STYLE_LOSSES
from impasto.losses.content import content_losses
from impasto.losses.objective import LayerLosses, Objective, shares_of_layers
from impasto.losses.style import blended_losses
from impasto.optimization.checkpoint import fingerprint_run
from impasto.optimization.descent import Descent
from impasto.optimization.memory import Memory
from impasto.optimization.scales import Stage, fit_layers, plan_scales
from impasto.optimization.stages import CoarseToFine, Run, to_image
from impasto.options import layer_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from impasto.engines.base import StylizeInputs
    from impasto.engines.needs import Need
    from impasto.images import LazyPicture
    from impasto.losses.style import StyleLoss
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.options import GatysOptions
    from impasto.types import FloatArray, OnStep, Picture, Step

_WHOLE = 2**30
_TRIAL = 256
"""Long side in pixels of the picture that is tried to say how long another will take."""
_TRIAL_STEPS = 3
"""Of them the first takes longer."""
_LARGEST_UNASKED = 1024
"""Long side in pixels beyond which each pixel is painted only if --size asks for it: the time grows with the area."""


class OptimizationEngine:
    """Paints by changing the pixels until content and style losses are small."""

    def __init__(
        self,
        options: GatysOptions,
        *,
        on_download: Callable[[int, int | None], None] | None = None,
        network: Descriptor | None = None,
    ) -> None:
        """Load the descriptor.

        Args:
            options: of the method.
            on_download: called with bytes done and in all if the descriptor's weights have to be fetched.
            network: what `load_descriptor_of` returned for options with the same `network_key`, to share it.

        Raises:
            UsageError: there is no such descriptor, layer or device.
            WeightsError: the descriptor's weights cannot be fetched or read.
        """
        self._options = options
        self._device = choose_device(options.device)
        self._content_weights = layer_weights(options.content_layers)
        self._style_weights = layer_weights(options.style_layers)
        self.network = self._descriptor = network or load_descriptor_of(options, on_download)
        self._layers = [*self._content_weights, *self._style_weights]
        self._minimum = max(self._descriptor.minimum_size(layer) for layer in self._layers)

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`.

        Raises:
            ImageSizeError: a picture is too small for the layers.
            OutOfMemoryError: the memory does not suffice.
            DivergedError: the losses of the starting picture are not finite.
            CheckpointError: the checkpoint belongs to another run.
            Interrupted: KeyboardInterrupt arrived; carries the best picture so far.
        """
        if inputs.masks:
            return painted_through_masks(inputs, self._options.size, self.stylize, on_step, checkpoint)
        options, shares = self._options, inputs.shares
        given = inputs.content
        result = given.resized(*fit_size(given.width, given.height, options.size)).read()
        if options.strength == 0:
            return self._finished(result.pixels, result, 0)
        content, styles, scales = self._prepared(inputs, result)
        start = initial_pixels(options.init, content, styles[0], scales[0].height, scales[0].width, options.seed)
        network = self._network(content, styles)
        fingerprint = self._fingerprint([content, *styles, start], shares)
        begun = checkpoint.load(fingerprint) if checkpoint else None
        # A run goes on in the pieces that it began with, whatever memory is free now.
        tile = begun.tile if begun and options.tile is None else options.tile
        folder = checkpoint.path.parent if checkpoint else Path(tempfile.gettempdir())
        need = self._need(network, scales[-1], styles, tile, folder)

        def finish(pixels: FloatArray) -> Picture:
            return self._finished(pixels, result, need.tile)

        memory = need.room(folder)
        run = Run(
            scales,
            CoarseToFine(
                lambda scale: self._objective(network, scale, content, styles, shares, need, memory),
                finish,
            ),
            checkpoint_every=options.checkpoint_every,
            fingerprint=fingerprint,
            memory=memory,
            tile=need.tile,
        )
        # Where the state is on disk, memory is scarce, and what is freed is needed elsewhere.
        blocks = nullcontext() if need.disk else freed_blocks_kept()
        try:
            with shortage_explained(content.shape[1], content.shape[0]), blocks:
                painted = run.minimize(start, on_step=self._with_notes(on_step, need), checkpoint=checkpoint)
        except Interrupted as stop:
            raise Interrupted(finish(resize_pixels(stop.picture.pixels, result.height, result.width))) from None
        return finish(resize_pixels(painted, result.height, result.width))

    def _prepared(
        self, inputs: StylizeInputs, result: Picture
    ) -> tuple[FloatArray, Sequence[FloatArray], Sequence[Stage]]:
        """Return content and styles as they are seen, and the sizes that the picture goes through."""
        options, mode = self._options, self._options.keep_colors
        check_size(self._descriptor, result.width, result.height, self._layers, "content image")
        styles = [crop_margin(style.picture.pixels, options.style_margin) for style in inputs.styles]
        for pixels in styles:
            check_size(self._descriptor, pixels.shape[1], pixels.shape[0], self._style_weights, "style image")

        content = result.pixels
        if options.size is None and max(result.width, result.height) > _LARGEST_UNASKED:
            width, height = fit_size(result.width, result.height, _LARGEST_UNASKED)
            content = resize_pixels(content, height, width)
        styles = [prepare_style(pixels, content, mode) for pixels in styles]
        if mode == "luminance":
            content = prepare_style(content, content, mode)

        height, width = content.shape[:2]
        scales = plan_scales(
            width, height, options.scales, options.steps, self._minimum, options.optimizer, options.learning_rate
        )
        return content, styles, scales

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Try a small size, and say what all will take: see `impasto.engines.base.Engine`.

        Raises:
            ImageSizeError: a picture is too small for the layers.
            OutOfMemoryError: the memory does not suffice.
        """
        runs = max(1, len(inputs.masks))  # with masks, each style paints the whole
        if inputs.masks:
            inputs = replace(inputs, styles=inputs.styles[:1], masks=())
        options, shares, given = self._options, inputs.shares, inputs.content
        result = given.resized(*fit_size(given.width, given.height, options.size)).read()
        if options.strength == 0:
            return Forecast(resident_memory(), 0.0)
        content, styles, scales = self._prepared(inputs, result)
        network = self._network(content, styles)
        need = self._need(network, scales[-1], styles, options.tile, folder)
        before = resident_memory()
        long_side = min(_TRIAL, max(scales[-1].width, scales[-1].height))
        trial = Stage(*self._fitting(content, long_side), steps=1)
        with shortage_explained(content.shape[1], content.shape[0]), PeakMemory() as peak, freed_blocks_kept():
            began = perf_counter()
            # Styles may be many times as large as the trial.
            pieces = replace(need, disk=0)
            objective = self._objective(network, trial, content, styles, shares, pieces, Memory())
            prepared = perf_counter()
            descent = Descent(
                to_image(resize_pixels(content, trial.height, trial.width)),
                objective,
                optimizer=options.optimizer,
                learning_rate=options.learning_rate,
            )
            times = []
            for _ in range(_TRIAL_STEPS):
                stepped = perf_counter()
                descent.step()
                times.append(perf_counter() - stepped)
        step, targets = min(times), prepared - began
        reach = max(network.reach(layer) for layer in self._layers)
        seconds = sum(
            need.work(scale, reach)
            * (targets + scale.steps * step)
            * (scale.width * scale.height)
            / (trial.width * trial.height)
            for scale in scales
        )
        memory = max(before + need.memory, peak.bytes or 0)
        return Forecast(memory, runs * seconds, need.tile, need.disk, need.on_device)

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> Callable[[LazyPicture], Iterator[Picture]]:
        """Paint frame by frame: see `impasto.engines.base.Engine`. Nothing of one is kept for the next."""

        def noted(step: Step) -> None:
            if step.note:
                on_note(step.note)

        return lambda picture: iter([self.stylize(replace(inputs, content=picture), on_step=noted)])

    def _with_notes(self, on_step: OnStep, need: Need) -> OnStep:
        """Say at the first step if 'auto' did not find VGG19, and if the whole does not fit into the memory."""
        notes = []
        if self._options.descriptor == "auto" and self._descriptor.name == "compact":
            notes.append("VGG19 is not on this machine and cannot be fetched; painting with the compact descriptor")
        if need.tile and self._options.tile is None:
            notes.append(f"the memory does not suffice for the whole; looking at tiles of {need.tile} pixels")
        if need.disk:
            notes.append(f"up to {need.disk / 1e9:.1f} GB of state are kept on disk")

        def noted(step: Step) -> None:
            on_step(replace(step, note=". ".join(filter(None, [*notes, step.note]))))
            notes.clear()

        return noted

    def _network(self, content: FloatArray, styles: Sequence[FloatArray]) -> Descriptor:
        if not self._options.rescale_activations:
            return self._descriptor
        if not isinstance(self._descriptor, VGG):
            raise UsageError(f"--rescale-activations needs VGG19 or VGG16; {self._descriptor.name} is neither")
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
        """Compute the targets for ``scale``: the only time that its content and style pass through the network."""
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
                # What is half-way to a style has statistics half-way to the style's.
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
            appetite(network, self._content_weights, self._style_weights, self._device),
            optimizer=options.optimizer,
            tile=tile,
            device=self._device,
            folder=folder,
        )

    def _fitting(self, pixels: FloatArray, long_side: float) -> tuple[int, int]:
        return fit_layers(pixels.shape[1], pixels.shape[0], long_side, self._minimum)

    def _finished(self, pixels: FloatArray, result: Picture, tile: int) -> Picture:
        """Give ``pixels``, of any size, the alpha, colours and file properties of ``result``."""
        height, width = pixels.shape[:2]
        scaled = resize_picture(result, width, height)
        colored = restore_colors(pixels, scaled.pixels, self._options.keep_colors)
        return replace(scaled, pixels=colored, metadata=self._metadata(tile))

    def _metadata(self, tile: int | None) -> dict[str, str]:
        # Where there was room for the whole, there may be none next time; and tiles are rounded otherwise.
        options = self._options.model_copy(update={"tile": tile})
        return facts("gatys", options, descriptor=f"{self._descriptor.name} sha256:{self._descriptor.identity}")

    def _fingerprint(self, arrays: Sequence[FloatArray], shares: Sequence[float]) -> str:
        return fingerprint_run({**self._metadata(self._options.tile), "shares": list(shares)}, arrays)
