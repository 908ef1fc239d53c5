"""The classical engine: Gatys, Ecker and Bethge (2016), "Image Style Transfer Using Convolutional Neural Networks".

This module does not import PyTorch. Subclasses compute the descriptor's features and the losses.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from impasto.descriptors import check_size
from impasto.engines.base import Forecast, result_metadata
from impasto.engines.initialization import check_init, initial_pixels
from impasto.engines.masks import painted_through_masks
from impasto.errors import ON_THE_CPU, Interrupted, shortage_explained
from impasto.images.color import prepare_style, restore_colors
from impasto.images.lazy import resize_picture
from impasto.images.scale import crop_margin, fit_size, resize_pixels
from impasto.optimization.arrays import Memory
from impasto.optimization.checkpoint import fingerprint_run
from impasto.optimization.descent import Descent
from impasto.optimization.memory import PeakMemory, freed_blocks_kept, resident_memory
from impasto.optimization.stages import CoarseToFine, Run, Stage, fit_layers, plan_scales
from impasto.options import layer_weights
from impasto.types import notes_only, with_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from impasto.descriptors import Sight
    from impasto.engines.base import PaintFrame, StylizeInputs
    from impasto.optimization import Objective
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.optimization.memory import Need
    from impasto.options import GatysOptions
    from impasto.types import FloatArray, OnStep, Picture

_TRIAL = 256
"""Long side in pixels of the trial picture by which memory and time are estimated."""
_TRIAL_STEPS = 3
"""Number of trial steps. The first one takes longer."""
_LARGEST_UNASKED = 1024
"""Maximum long side in pixels of a picture without the option ``size``, since the time grows with the area."""


SightT = TypeVar("SightT", bound="Sight")


def gatys_engine(
    options: GatysOptions, *, on_download: Callable[[int, int | None], None] | None = None, network: Any = None
) -> GatysEngine[Any]:
    """Make the engine that uses PyTorch if it is installed; otherwise make the engine that uses graphs.

    Raises:
        MissingDependencyError: PyTorch is not installed, and an option needs it.
        UsageError: there is no such descriptor, layer or device.
        WeightsError: the descriptor's weights cannot be fetched or read.
    """
    if find_spec("torch") is not None:
        from impasto.engines.optimization import OptimizationEngine

        return OptimizationEngine(options, on_download=on_download, network=network)
    from impasto.engines.gatys_graphs import GraphEngine

    return GraphEngine(options, network=network)


class GatysEngine(ABC, Generic[SightT]):
    """Paints by changing the pixels until content and style losses are small.

    Attributes:
        network: the descriptor, which other engines of this kind may share.
        without_vgg19: the reason that descriptor 'auto' did not find VGG19.
    """

    without_vgg19: ClassVar[str]

    def __init__(self, options: GatysOptions, network: SightT) -> None:
        """Take the options and the descriptor.

        Raises:
            UnknownNameError: the descriptor has no such layer.
            UsageError: the picture to start from is not a file.
        """
        check_init(options.init)
        self._options = options
        self._content_weights = layer_weights(options.content_layers)
        self._style_weights = layer_weights(options.style_layers)
        self.network = self._descriptor = network
        self._layers = [*self._content_weights, *self._style_weights]
        self._minimum = max(network.minimum_size(layer) for layer in self._layers)

    @abstractmethod
    def _network(self, content: FloatArray, styles: Sequence[FloatArray]) -> SightT:
        """Return the descriptor for these pixels, (H, W, 3)."""

    @abstractmethod
    def _objective(
        self,
        network: SightT,
        scale: Stage,
        content: FloatArray,
        styles: Sequence[FloatArray],
        shares: Sequence[float],
        need: Need,
        memory: Memory,
        on_note: Callable[[str], None],
    ) -> Objective:
        """Compute the targets for ``scale`` once, and return its objective.

        ``on_note`` is called when the objective has to be computed in another way.
        """

    @abstractmethod
    def _need(
        self, network: SightT, largest: Stage, styles: Sequence[FloatArray], tile: int | None, folder: Path
    ) -> Need:
        """Choose the tiles for pictures up to the size ``largest``, and return the memory that they take.

        Raises:
            OutOfMemoryError: no tile size fits into the memory.
        """

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`.

        Raises:
            ImageSizeError: a picture is too small for the layers.
            OutOfMemoryError: the memory does not suffice.
            DivergedError: the losses of the starting picture are not finite.
            CheckpointError: the checkpoint belongs to another run.
            Interrupted: the user stopped the run with Ctrl-C. The error carries the best picture so far.
        """
        if inputs.masks:
            return painted_through_masks(inputs, self._options.size, self.stylize, on_step, checkpoint)
        options, shares = self._options, inputs.shares
        given = inputs.content.resized(*fit_size(inputs.content.width, inputs.content.height, options.size))
        if options.strength == 0:
            return replace(given.read(exact=True), metadata=self._metadata(0))
        result = given.read()
        content, styles, scales = self._prepared(inputs, result)
        start = initial_pixels(options.init, content, styles[0], scales[0].height, scales[0].width, options.seed)
        network = self._network(content, styles)
        fingerprint = self._fingerprint([content, *styles, start], shares)
        begun = checkpoint.load(fingerprint) if checkpoint else None
        # A resumed run keeps its tile size, even if the free memory has changed.
        tile = begun.tile if begun and options.tile is None else options.tile
        folder = checkpoint.path.parent if checkpoint else Path(tempfile.gettempdir())
        need = self._need(network, scales[-1], styles, tile, folder)

        def finish(pixels: FloatArray) -> Picture:
            return self._finished(pixels, result, need.tile)

        memory, notes = need.room(folder), self._notes(need)
        run = Run(
            scales,
            CoarseToFine(
                lambda scale: self._objective(network, scale, content, styles, shares, need, memory, notes.append),
                finish,
            ),
            checkpoint_every=options.checkpoint_every,
            fingerprint=fingerprint,
            memory=self._state_memory(need, memory),
            tile=need.tile,
        )
        # If the state is on disk, memory is scarce, so freed blocks are returned to the system.
        blocks = nullcontext() if need.disk else freed_blocks_kept()
        try:
            with shortage_explained(f"{content.shape[1]}x{content.shape[0]} pixels"), blocks:
                painted = run.minimize(start, on_step=with_notes(on_step, notes), checkpoint=checkpoint)
        except Interrupted as stop:
            raise Interrupted(finish(resize_pixels(stop.picture.pixels, result.height, result.width))) from None
        return finish(resize_pixels(painted, result.height, result.width))

    def _prepared(
        self, inputs: StylizeInputs, result: Picture
    ) -> tuple[FloatArray, Sequence[FloatArray], Sequence[Stage]]:
        """Return the preprocessed content and styles, and the stages of the run."""
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
        scales = [replace(scale, width=self._side(scale.width), height=self._side(scale.height)) for scale in scales]
        return content, styles, scales

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Estimate memory and time by a trial at a small size: see `impasto.engines.base.Engine`.

        Raises:
            ImageSizeError: a picture is too small for the layers.
            OutOfMemoryError: the memory does not suffice.
        """
        runs = max(1, len(inputs.masks))  # with masks, each style paints the whole picture
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
        with (
            shortage_explained(f"{content.shape[1]}x{content.shape[0]} pixels"),
            PeakMemory() as peak,
            freed_blocks_kept(),
        ):
            began = perf_counter()
            # The trial keeps the tiles, because the styles may be many times as large as the trial picture.
            pieces = replace(need, disk=0)
            objective = self._objective(network, trial, content, styles, shares, pieces, Memory(), lambda note: None)
            prepared = perf_counter()
            memory = self._state_memory(need, Memory())
            descent = Descent(
                memory.image(resize_pixels(content, trial.height, trial.width)),
                objective,
                optimizer=options.optimizer,
                learning_rate=options.learning_rate,
                memory=memory,
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
        needed = max(before + need.memory, peak.bytes or 0)
        return Forecast(needed, runs * seconds, need.tile, need.disk, need.on_device)

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> PaintFrame:
        """Paint frame by frame: see `impasto.engines.base.Engine`. Frames are independent of each other."""
        noted = notes_only(on_note)
        return lambda picture, before: iter([self.stylize(replace(inputs, content=picture), on_step=noted)])

    def _state_memory(self, need: Need, memory: Memory) -> Memory:
        """Return the storage for the state of the optimisation; ``memory`` is that for pictures and targets."""
        return memory

    def _notes(self, need: Need) -> list[str]:
        """Return notes for the first step: 'auto' did not find VGG19, tiles are used, or state is kept on disk."""
        notes = []
        if self._options.descriptor == "auto" and self._descriptor.name == "compact":
            notes.append(f"{self.without_vgg19}; painting with the compact descriptor")
        if need.tile and self._options.tile is None:
            notes.append(f"the memory does not suffice for the whole picture; using tiles of {need.tile} pixels")
        if need.disk:
            notes.append(f"up to {need.disk / 1e9:.1f} GB of state are kept on disk")
        if need.without_gpu:
            notes.append(ON_THE_CPU)
        return notes

    def _fitting(self, pixels: FloatArray, long_side: float) -> tuple[int, int]:
        width, height = fit_layers(pixels.shape[1], pixels.shape[0], long_side, self._minimum)
        return self._side(width), self._side(height)

    def _side(self, length: int) -> int:
        """Return the length near ``length``, in pixels, that the network accepts."""
        return length

    def _finished(self, pixels: FloatArray, result: Picture, tile: int) -> Picture:
        """Give ``pixels``, of any size, the alpha, colours and file properties of ``result``."""
        height, width = pixels.shape[:2]
        scaled = resize_picture(result, width, height)
        colored = restore_colors(pixels, scaled.pixels, self._options.keep_colors)
        return replace(scaled, pixels=colored, metadata=self._metadata(tile))

    def _metadata(self, tile: int | None) -> dict[str, str]:
        # The tile size is recorded, because it depends on the free memory and affects rounding.
        options = self._options.model_copy(update={"tile": tile})
        return result_metadata(
            "gatys", options, descriptor=f"{self._descriptor.name} sha256:{self._descriptor.identity}"
        )

    def _fingerprint(self, arrays: Sequence[FloatArray], shares: Sequence[float]) -> str:
        return fingerprint_run({**self._metadata(self._options.tile), "shares": list(shares)}, arrays)
