"""The engine 'nnst': Kolkin et al. (2022), "Neural Neighbor Style Transfer".

The pixels are optimised from coarse to fine. The target features of each position are those of its nearest neighbour in
the style image. The first stages match hypercolumns, which places the objects. Later stages match each layer by itself,
which makes crisp strokes. Pictures with a long side of more than 1,024 pixels are then enlarged and painted over layer
by layer, without features of the whole picture in memory. `docs/nnst.md` has the formulas and the differences from the
paper.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from impasto.engines.base import Forecast, result_metadata
from impasto.engines.descriptor_graphs import DescriptorGraphs
from impasto.engines.feature_distance import Look
from impasto.engines.initialization import check_init, initial_pixels
from impasto.engines.masks import painted_through_masks
from impasto.engines.mirrored_tiles import TILE_PIXELS
from impasto.engines.neighbor_method import NeighborMethod, StyledShot
from impasto.engines.neighbor_stages import WHOLE, NeighborStage, plan_stages
from impasto.errors import Interrupted, OutOfMemoryError
from impasto.images.color import restore_colors
from impasto.images.lazy import resize_picture
from impasto.images.scale import fit_size, resize_pixels
from impasto.optimization.arrays import Memory, OnDisk
from impasto.optimization.checkpoint import fingerprint_run
from impasto.optimization.memory import PIXEL_BYTES, free_memory, freed_blocks_returned, resident_memory
from impasto.optimization.stages import Run
from impasto.types import notes_only, with_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from impasto.engines.base import MovedFrame, PaintFrame, StylizeInputs
    from impasto.images import LazyPicture
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.options import NnstOptions
    from impasto.types import FloatArray, OnStep, Picture

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
_ON_DISK = 8_000_000
"""Number of pixels above which the state of the optimisation is on disk, so that memory does not limit prints."""
_BESIDE_DISK_BYTES = 42
"""Bytes of memory per pixel if the state is on disk. Measured."""
_DISK_BYTES = 6 * 3 * 4
"""Bytes on disk per pixel: the content, the start, which is there twice for a moment, the picture, and two moments of
Adam."""


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
        self._look = Look(self.network, tile_pixels)

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint: see `impasto.engines.base.Engine`.

        Raises:
            OutOfMemoryError: the memory does not suffice.
            CheckpointError: the checkpoint belongs to another run.
            Interrupted: the user stopped the run with Ctrl-C. The error carries the best picture so far.
        """
        if inputs.masks:
            return painted_through_masks(inputs, self._options.size, self.stylize, on_step, checkpoint)
        given = self._sized(inputs.content)
        if self._options.strength == 0:
            return replace(given.read(exact=True), metadata=self._metadata())
        self._check_memory(given.width, given.height)
        folder = checkpoint.path.parent if checkpoint else Path(tempfile.gettempdir())
        content, memory = self._read(given, folder)
        return self._painted(content, memory, self._shot(inputs, content), on_step, checkpoint)

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
        memory, disk = before + self._needed_memory(width, height), _disk_bytes(width, height)
        if not disk:
            memory += 2 * PIXEL_BYTES * size[0] * size[1]  # content and result; beside the disk, they are included
        return Forecast(memory, runs * seconds * more, disk=disk)

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> PaintFrame:
        """Paint frame by frame: see `impasto.engines.base.Engine`.

        A frame starts from the one before, moved as the film moves. Where the motion is sure, its targets are mostly
        the features of that frame. So it needs only the later stages, and strokes move with what they paint.
        """
        given = self._sized(inputs.content)
        if self._options.strength == 0:
            return lambda picture, before: iter([self._sized(picture).read()])
        self._check_memory(given.width, given.height)
        shot = self._shot(inputs, given.read())

        def paint(picture: LazyPicture, before: MovedFrame | None) -> Iterator[Picture]:
            read = self._read(self._sized(picture), Path(tempfile.gettempdir()))
            yield self._painted(*read, shot, notes_only(on_note), before=before)

        return paint

    def _sized(self, given: LazyPicture) -> LazyPicture:
        return given.resized(*fit_size(given.width, given.height, self._options.size))

    def _shot(self, inputs: StylizeInputs, first: Picture) -> StyledShot:
        """Return the shot whose first frame is ``first``."""
        width, height = self._painted_size(first.width, first.height)
        pixels = resize_pixels(first.pixels, height, width)
        return StyledShot(self._look, self._options, inputs.styles, inputs.shares, pixels, self._whole)

    def _painted(
        self,
        content: Picture,
        memory: Memory,
        shot: StyledShot,
        on_step: OnStep,
        checkpoint: Checkpoint | None = None,
        before: MovedFrame | None = None,
    ) -> Picture:
        """Paint ``content``, a frame of ``shot``, with the state in ``memory``; see `stylize`."""
        options = self._options
        width, height = self._painted_size(content.width, content.height)
        pixels = resize_pixels(content.pixels, height, width)
        method = NeighborMethod(self._look, shot, pixels, lambda pixels: self._finished(pixels, content), before)
        stages = [stage for stage in self._stages(width, height, follows=before is not None) if stage.steps]
        first = stages[0]
        if before is None:
            start = initial_pixels(options.init, method.start, shot.styles[0], first.height, first.width, options.seed)
        else:
            start = resize_pixels(method.start, first.height, first.width)
        settings = {**self._metadata(), "shares": shot.shares}
        run = Run(
            stages,
            method,
            checkpoint_every=options.checkpoint_every,
            fingerprint=fingerprint_run(settings, [pixels, *shot.styles, start]),
            memory=memory,
        )
        disk = _disk_bytes(width, height)
        notes = [f"up to {disk / 1e9:.1f} GB of state are kept on disk"] if disk else []
        try:
            with freed_blocks_returned() if width * height > _LARGE else nullcontext():
                noted = with_notes(with_notes(on_step, notes), self.network.notes)
                painted = run.minimize(start, on_step=noted, checkpoint=checkpoint)
        except Interrupted as stop:
            found = resize_pixels(stop.picture.pixels, content.height, content.width)
            raise Interrupted(self._finished(found, content)) from None
        self.network.release()
        painted = resize_pixels(method.in_palette(painted), content.height, content.width)
        return self._finished(painted, content)

    def _read(self, given: LazyPicture, folder: Path) -> tuple[Picture, Memory]:
        """Read ``given``; return it and the storage of its pixels and the state, in ``folder`` if that is on disk."""
        disk = _disk_bytes(*self._painted_size(given.width, given.height))
        if disk > (free := shutil.disk_usage(folder).free):
            raise OutOfMemoryError(
                f"{disk / 1e9:.1f} GB of state need room on the disk of {folder}, where {free / 1e9:.1f} GB are free; "
                "free space, or choose a smaller size"
            )
        memory = OnDisk(folder) if disk else Memory()
        content = given.read()
        return replace(content, pixels=memory.kept(content.pixels)), memory

    def _check_memory(self, width: int, height: int) -> None:
        """Refuse to paint a picture of this width and height if the memory does not suffice."""
        width, height = self._painted_size(width, height)
        if (needed := self._needed_memory(width, height)) > (free := free_memory()):
            raise OutOfMemoryError(
                f"{width}x{height} pixels need {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
                "choose a smaller size, or engine 'fast'"
            )

    def _needed_memory(self, width: int, height: int) -> int:
        """Return the additional memory in bytes for painting ``width`` x ``height`` pixels."""
        pixels = width * height
        whole, large = min(pixels, self._whole**2), _LARGE_STATE_BYTES if pixels <= _ON_DISK else _BESIDE_DISK_BYTES
        if self._options.keep_colors == "luminance":
            large += PIXEL_BYTES  # a grey copy of the content
        return _GRAPH_BYTES * min(whole, self._tile_pixels) + max(_STATE_BYTES * whole, large * pixels)

    def _stages(self, width: int, height: int, *, follows: bool = False) -> list[NeighborStage]:
        options = self._options
        return plan_stages(width, height, options.steps, options.strength, self._whole, follows=follows)

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


def _disk_bytes(width: int, height: int) -> int:
    """Return the number of bytes on disk for painting ``width`` x ``height`` pixels."""
    return _DISK_BYTES * width * height if width * height > _ON_DISK else 0
