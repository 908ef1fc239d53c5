"""The engine 'nnst': Kolkin et al. (2022), "Neural Neighbor Style Transfer".

The pixels are optimised from coarse to fine. The target features of each position are those of its nearest neighbour in
the style image. The first stages match hypercolumns, which places the objects. Later stages match each layer by itself,
which makes crisp strokes. Pictures with a long side of more than 1,024 pixels are then enlarged and painted over layer
by layer, without features of the whole picture in memory. `docs/nnst.md` has the formulas and the differences from the
paper.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.base import Forecast, result_metadata
from impasto.engines.descriptor_graphs import DescriptorGraphs
from impasto.engines.feature_distance import LAYER_STEPS, Features, Look, flat
from impasto.engines.initialization import check_init, initial_pixels
from impasto.engines.masks import painted_through_masks
from impasto.engines.mirrored_tiles import STRIDE, TILE_PIXELS, padded_size
from impasto.engines.neighbor_stages import WHOLE, NeighborStage, plan_stages
from impasto.engines.neighbors import NeighborSearch, confidence_mix
from impasto.errors import Interrupted, OutOfMemoryError
from impasto.images.color import ChromaLimit, Palette, prepare_style, restore_colors
from impasto.images.lazy import resize_picture
from impasto.images.scale import crop_margin, fit_size, resize_pixels
from impasto.optimization.checkpoint import fingerprint_run
from impasto.optimization.memory import PIXEL_BYTES, free_memory, freed_blocks_returned, resident_memory
from impasto.optimization.stages import Run
from impasto.types import with_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from impasto.engines.base import StylizeInputs
    from impasto.engines.feature_distance import FeatureDistance
    from impasto.engines.mirrored_tiles import Tile
    from impasto.images import LazyPicture
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.options import NnstOptions
    from impasto.types import FloatArray, OnStep, Picture, Step

_TV_WEIGHT = 0.3
_DIMENSIONS = 96
"""Number of principal components by which hypercolumns are compared."""
_HYPERCOLUMN_POSITIONS = 16384
_LAYER_POSITIONS = {"relu1_1": 1024, "relu2_1": 2048, "relu3_1": 4096, "relu4_1": 4096}
"""Number of random positions of each style with which a layer is matched."""
_LARGE = 500_000
"""Number of pixels above which saving memory is worth a tenth of the time."""
_TRIAL = 192
"""Long side in pixels of the trial picture by which the time is estimated."""
_GRAPH_BYTES = 1_250
"""Bytes that a graph takes per pixel of a tile. Measured."""
_STATE_BYTES = 550
"""Bytes that the targets, their search and the optimisation take per pixel. Measured."""
_LARGE_STATE_BYTES = 84
"""The same for stages that paint over an enlarged picture. Measured."""


class NnstEngine:
    """Paints by nearest neighbours.

    Attributes:
        network: the descriptor's graphs, which other engines of this name may share.
    """

    def __init__(
        self,
        options: NnstOptions,
        *,
        on_download: Callable[[int, int | None], None] | None = None,
        network: DescriptorGraphs | None = None,
        whole: int = WHOLE,
        tile_pixels: int = TILE_PIXELS,
    ) -> None:
        """Find the descriptor's graphs.

        Args:
            options: options of the engine.
            on_download: called with bytes received and bytes in total if the descriptor's weights have to be fetched.
            network: the network of an engine whose options have the same `network_key`, to share it.
            whole: long side in pixels above which pictures are only painted over, layer by layer.
            tile_pixels: number of pixels above which the descriptor sees a picture in tiles, with the same result.

        Raises:
            UsageError: there is no such descriptor.
            WeightsError: the descriptor's weights cannot be fetched or read.
        """
        check_init(options.init)
        self._options = options
        self._whole, self._tile_pixels = whole, tile_pixels
        self.network = network or DescriptorGraphs(
            options.descriptor, options, device=options.device, on_download=on_download
        )

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`.

        Raises:
            OutOfMemoryError: the memory does not suffice.
            CheckpointError: the checkpoint belongs to another run.
            Interrupted: the user stopped the run with Ctrl-C. The error carries the best picture so far.
        """
        if inputs.masks:
            return painted_through_masks(inputs, self._options.size, self.stylize, on_step, checkpoint)
        options, shares = self._options, inputs.shares
        size = fit_size(inputs.content.width, inputs.content.height, options.size)
        given = inputs.content.resized(*size)
        if options.strength == 0:
            return replace(given.read(exact=True), metadata=self._metadata())
        width, height = self._painted_size(*size)
        if (needed := self._needed_memory(width, height)) > (free := free_memory()):
            raise OutOfMemoryError(
                f"{width}x{height} pixels need {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
                "choose a smaller size, or engine 'fast'"
            )
        result = given.read()
        content, styles = self._prepared(inputs, result)
        stages = [stage for stage in self._stages(width, height) if stage.steps]
        method = _Method(
            Look(self.network, self._tile_pixels),
            options,
            content,
            styles,
            shares,
            lambda pixels: self._finished(pixels, result),
            self._whole,
        )
        first = stages[0]
        start = initial_pixels(options.init, method.recolored, styles[0], first.height, first.width, options.seed)
        settings = {**self._metadata(), "shares": shares}
        run = Run(
            stages,
            method,
            checkpoint_every=options.checkpoint_every,
            fingerprint=fingerprint_run(settings, [content, *styles, start]),
        )
        try:
            with freed_blocks_returned() if width * height > _LARGE else nullcontext():
                noted = with_notes(on_step, self.network.notes)
                painted = run.minimize(start, on_step=noted, checkpoint=checkpoint)
        except Interrupted as stop:
            pixels = resize_pixels(stop.picture.pixels, result.height, result.width)
            raise Interrupted(self._finished(pixels, result)) from None
        self.network.release()
        painted = resize_pixels(method.in_palette(painted), result.height, result.width)
        return self._finished(painted, result)

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Estimate memory and time by painting a small picture: see `impasto.engines.base.Engine`."""
        del folder
        runs = max(1, len(inputs.masks))  # with masks, each style paints the whole picture
        if inputs.masks:
            inputs = replace(inputs, styles=inputs.styles[:1], masks=())
        size = fit_size(inputs.content.width, inputs.content.height, self._options.size)
        if self._options.strength == 0:
            return Forecast(resident_memory(), 0.0)
        width, height = self._painted_size(*size)
        trial = self._options.model_copy(update={"size": min(_TRIAL, max(width, height)), "init": "content"})
        engine, sizes = NnstEngine(trial, network=self.network), self._stages(width, height)
        engine.stylize(inputs, on_step=lambda step: None)  # the first call also loads the graphs
        before, began = resident_memory(), perf_counter()
        engine.stylize(inputs, on_step=lambda step: None)
        seconds = perf_counter() - began
        tried = self._stages(*fit_size(width, height, trial.size))
        more = sum(stage.work for stage in sizes) / max(1, sum(stage.work for stage in tried))
        memory = before + self._needed_memory(width, height) + 2 * PIXEL_BYTES * size[0] * size[1]
        return Forecast(memory, runs * seconds * more)

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> Callable[[LazyPicture], Iterator[Picture]]:
        """Paint frame by frame: see `impasto.engines.base.Engine`. Frames are independent of each other."""

        def noted(step: Step) -> None:
            if step.note:
                on_note(step.note)

        return lambda picture: iter([self.stylize(replace(inputs, content=picture), on_step=noted)])

    def _needed_memory(self, width: int, height: int) -> int:
        """Return the additional memory in bytes for painting ``width`` x ``height`` pixels."""
        pixels = width * height
        whole = min(pixels, self._whole**2)
        return _GRAPH_BYTES * min(whole, self._tile_pixels) + max(_STATE_BYTES * whole, _LARGE_STATE_BYTES * pixels)

    def _stages(self, width: int, height: int) -> list[NeighborStage]:
        return plan_stages(width, height, self._options.steps, self._options.strength, self._whole)

    def _prepared(self, inputs: StylizeInputs, result: Picture) -> tuple[FloatArray, list[FloatArray]]:
        """Return the preprocessed content and styles."""
        options, mode = self._options, self._options.keep_colors
        width, height = self._painted_size(result.width, result.height)
        content = resize_pixels(result.pixels, height, width)
        styles = [crop_margin(style.picture.pixels, options.style_margin) for style in inputs.styles]
        styles = [prepare_style(pixels, content, mode) for pixels in styles]
        if mode == "luminance":
            content = prepare_style(content, content, mode)
        return content, styles

    def _painted_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the size at which a result of this width and height is painted."""
        unasked = self._options.size is None and max(width, height) > self._whole
        return fit_size(width, height, self._whole) if unasked else (width, height)

    def _finished(self, pixels: FloatArray, result: Picture) -> Picture:
        """Give ``pixels``, of any size, the alpha, colours and file properties of ``result``."""
        height, width = pixels.shape[:2]
        scaled = resize_picture(result, width, height)
        colored = restore_colors(pixels, scaled.pixels, self._options.keep_colors)
        return replace(scaled, pixels=colored, metadata=self._metadata())

    def _metadata(self) -> dict[str, str]:
        descriptor = f"{self._options.descriptor} sha256:{self.network.identity}"
        return result_metadata("nnst", self._options, descriptor=descriptor)


class _Method:
    """Targets and colours of each stage.

    Attributes:
        recolored: the content in the colours of the styles, (H, W, 3), with a long side of at most ``whole``.
    """

    def __init__(
        self,
        look: Look,
        options: NnstOptions,
        content: FloatArray,
        styles: Sequence[FloatArray],
        shares: Sequence[float],
        picture: Callable[[FloatArray], Picture],
        whole: int,
    ) -> None:
        self._look = look
        self._whole = whole
        self._options = options
        self._content = content
        self._styles = styles
        self._shares = shares
        self.picture = picture
        width, height = fit_size(content.shape[1], content.shape[0], min(whole, max(content.shape[:2])))
        smaller = resize_pixels(content, height, width)
        # With `keep_colors`, the palette is that of the content, and nothing is amplified.
        share = options.strength if options.keep_colors == "none" else 0.0
        self._limit = ChromaLimit.of(smaller, share)
        limited = self._limit(smaller)
        own = Palette.of([limited])
        self._palette = own.towards(Palette.of(styles, shares), options.strength)
        self._recolor = own.map_to(self._palette)
        self.recolored = self._recolor(limited)
        self._mix: FloatArray | None = None
        """Share of the content's own features at each position of the hypercolumns, (H / 4, W / 4)."""

    def resized(self, stage: NeighborStage, pixels: FloatArray) -> FloatArray:
        if pixels.shape[:2] == (stage.height, stage.width):
            return pixels
        enlarged = resize_pixels(self.in_palette(pixels), stage.height, stage.width)
        if stage.is_large:
            self._add_details(enlarged, *pixels.shape[:2])
        return enlarged

    def _add_details(self, enlarged: FloatArray, height: int, width: int) -> None:
        """Add details of the content that are finer than ``height`` x ``width``, in proportion to `_kept`."""
        rows, columns = enlarged.shape[:2]
        content = self._recolor(self._limit(resize_pixels(self._content, rows, columns)))
        coarse = resize_pixels(resize_pixels(content, height, width), rows, columns)
        content -= coarse
        del coarse
        kept = resize_pixels(self._kept, rows, columns)
        for channel in range(3):
            enlarged[:, :, channel] += kept * content[:, :, channel]
        np.clip(enlarged, 0, 1, out=enlarged)

    @property
    def _kept(self) -> FloatArray:
        """Share of the content's own features at each position, (H / 4, W / 4) of a smaller stage."""
        mix = np.zeros((1, 1), np.float32) if self._mix is None else self._mix
        kept: FloatArray = 1 - np.float32(self._options.strength) * (1 - mix)
        return kept

    def in_palette(self, pixels: FloatArray) -> FloatArray:
        """Give ``pixels`` (H, W, 3) the mean and covariance of the palette, which depends on the strength."""
        return Palette.of([pixels]).map_to(self._palette)(pixels)

    def state(self) -> dict[str, FloatArray]:
        return {} if self._mix is None else {"mix": self._mix}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self._mix = np.asarray(state["mix"], np.float32) if "mix" in state else None

    def objective(self, stage: NeighborStage, pixels: FloatArray) -> FeatureDistance:
        if stage.is_large:
            return self._overpainting(pixels, stage)
        content = resize_pixels(self.recolored, stage.height, stage.width)
        if stage.by_layer:
            return self._look.distance_by_layer(self._layer_targets(pixels, content, stage), _TV_WEIGHT / 2)
        return self._look.distance(self._hypercolumn_target(pixels, content, stage), _TV_WEIGHT)

    def _overpainting(self, pixels: FloatArray, stage: NeighborStage) -> FeatureDistance:
        """Return the distance from the neighbours, weighted by 1 minus the share of the content's own features."""
        banks = self._banks("see_layers", _LAYER_POSITIONS, stage)
        targets = self._look.gathered(pixels, banks, self._shares, self._options.seed)
        height, width = padded_size(stage.height, stage.width)
        weights = 1 - resize_pixels(self._kept, height // STRIDE, width // STRIDE)
        tv_weight = _TV_WEIGHT / 2 * float(weights.mean())
        return self._look.distance_by_layer(targets, tv_weight, weights[None, None])

    def _seen_styles(self, stage: NeighborStage) -> list[FloatArray]:
        """Return the styles at their size for ``stage``."""
        stroke_size = self._options.stroke_size
        styles = []
        for style in self._styles:
            # An enlarged style is blurred, so the size of a style is limited for large pictures.
            sharp = max(self._whole * stroke_size, *style.shape[:2])
            side = max(1, round(min(sharp, max(stage.width, stage.height) * stroke_size)))
            styles.append(resize_pixels(style, *reversed(fit_size(style.shape[1], style.shape[0], side))))
        return styles

    def _hypercolumn_target(self, pixels: FloatArray, content: FloatArray, stage: NeighborStage) -> FloatArray:
        share, counts = self._options.content_weight, {"hypercolumns": _HYPERCOLUMN_POSITIONS}
        banks = self._banks("see_hypercolumns", counts, stage)["hypercolumns"]
        own = self._look.hypercolumns(content)
        mixed = share * content + (1 - share) * pixels
        found = own if np.array_equal(mixed, content) else self._look.hypercolumns(mixed)
        neighbors = NeighborSearch(flat(found), banks, self._shares, dimensions=_DIMENSIONS).find(flat(found))
        self._mix = confidence_mix(flat(found), neighbors.similarity).reshape(found.shape[2:])
        mean = sum(share * bank.mean(1) for share, bank in zip(self._shares, banks, strict=True))
        moved = own + (np.reshape(mean, (1, -1, 1, 1)) - own.mean((2, 3), keepdims=True))
        nearest = np.concatenate(banks, axis=1)[:, neighbors.position].reshape(found.shape)
        return self._blended(nearest, moved, own, self._mix)

    def _layer_targets(self, pixels: FloatArray, content: FloatArray, stage: NeighborStage) -> dict[str, Features]:
        banks = self._banks("see_layers", _LAYER_POSITIONS, stage)
        found = self._look.layers(pixels)
        targets = {}
        for layer, bank in banks.items():
            own = found.pop(layer)
            position = NeighborSearch(flat(own), bank, self._shares).find(flat(own)).position
            targets[layer] = np.concatenate(bank, axis=1)[:, position].reshape(own.shape)
        del own
        mixes = {
            step: np.zeros((1, 1, 1, 1), np.float32)
            if self._mix is None
            else resize_pixels(self._mix, *(side // step for side in padded_size(stage.height, stage.width)))[
                None, None
            ]
            for step in (1, 2, 4, 8)
        }

        def blend(target: FloatArray, own: FloatArray, step: int, tile: Tile) -> None:
            mix = mixes[step] if self._mix is None else tile.own(mixes[step], step)
            target[:] = self._blended(target, own, own, mix)

        self._look.blend_layers(content, targets, blend)
        return {layer: Features.of(targets.pop(layer), step) for layer, step in LAYER_STEPS.items()}

    def _banks(self, graph: str, counts: Mapping[str, int], stage: NeighborStage) -> dict[str, list[FloatArray]]:
        """Return the features of each style at random positions, by layer."""
        seen = [self._look.sampled(graph, style, counts, self._options.seed) for style in self._seen_styles(stage)]
        return {layer: [each[layer] for each in seen] for layer in counts}

    def _blended(self, neighbors: FloatArray, moved: FloatArray, own: FloatArray, mix: FloatArray) -> FloatArray:
        """Mix ``neighbors`` with ``moved`` content features by ``mix``, and the result with ``own`` by the strength."""
        strength = np.float32(self._options.strength)
        target = neighbors + mix * (moved - neighbors)
        return target if strength == 1 else own + strength * (target - own)
