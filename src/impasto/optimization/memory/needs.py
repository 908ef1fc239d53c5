"""The memory that an optimisation needs, and its division into tiles where that is not free."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.errors import OutOfMemoryError
from impasto.optimization.lbfgs import LBFGS
from impasto.optimization.memory.arrays import Memory, OnDisk
from impasto.optimization.memory.process import PIXEL_BYTES, SPARE, free_memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from impasto.optimization.scales import Stage

TILES = (2048, 1536, 1024, 768, 512, 384, 256)
_ARRAYS = 3
"""Pictures that are held beside the descent: the content, where it started, and one that is on its way."""
_STATE = {"lbfgs": 3 + 2 * LBFGS.HISTORY + 1 + 1, "adam": 3 + 2, "sgd": 3 + 1}
"""Arrays as large as the picture that a descent keeps, with the gradient and what else comes and goes within a step."""
_PLANES = 6
"""Channels that are in memory at once where the state is on disk."""
_FIXED = 100_000_000
"""Bytes that a pass takes whatever the size: the kernels' own, and blocks that are too small to be used again."""


@dataclass(frozen=True)
class Footprint:
    """Memory that a descriptor takes, in bytes per pixel."""

    evaluation: float
    """For one pass forth and back."""
    content: float
    """For the activations that are compared with the content's."""
    reach: int
    """Pixels that are seen around a tile."""


@dataclass(frozen=True)
class Need:
    """Tiles, memory and disk of an optimisation."""

    tile: int
    """Side of the tiles in pixels; 0 is the whole."""
    disk: int
    """Bytes of state on disk; 0 where it is in memory."""
    memory: int
    """Bytes that are taken beyond what the process has already."""
    on_device: int = 0
    """Bytes that are taken of the memory of a GPU."""

    def tiled(self, scale: Stage) -> bool:
        """Say whether the picture is looked at in tiles at this ``scale``."""
        return 0 < self.tile < max(scale.width, scale.height)

    def work(self, scale: Stage, reach: int) -> float:
        """Return how much there is to compute for a pixel at this ``scale``, relative to that without tiles."""
        # Tiles go forth twice and back once, and are looked at with half of what they reach on the average of layers.
        return 4 / 3 * ((self.tile + reach) / self.tile) ** 2 if self.tiled(scale) else 1.0

    def room(self, folder: Path) -> Memory:
        """Return where the state is kept: in memory, or on the disk of ``folder``."""
        return OnDisk(folder) if self.disk else Memory()


def plan(
    width: int,
    height: int,
    styles: Sequence[tuple[int, int]],
    descriptor: Footprint,
    *,
    optimizer: str,
    tile: int | None,
    device: torch.device | None = None,
    folder: Path,
) -> Need:
    """Choose tiles and where the state is kept such that ``width`` x ``height`` pixels fit into the memory.

    Args:
        width: of the largest scale.
        height: of the largest scale.
        styles: width and height at which each style image is seen.
        descriptor: what it takes.
        optimizer: by name.
        tile: side of the tiles, if it is given; 0 is the whole.
        device: that computes; None is the processor.
        folder: for state on disk.

    Raises:
        OutOfMemoryError: nothing fits.
    """
    free, free_on_device = int(SPARE * free_memory()), int(SPARE * _free_memory(device))
    sides = [0, *TILES] if tile is None else [tile]
    needs = [
        _need(width, height, styles, descriptor, optimizer, side, on_disk, device)
        for on_disk in ([False, True] if device is None or device.type == "cpu" else [False])
        for side in sides
    ]
    room = shutil.disk_usage(folder).free
    for need in needs:
        if need.memory <= free and need.disk <= room and need.on_device <= free_on_device:
            return need
    least = min(needs, key=lambda need: (need.memory, need.on_device))
    remedy = "choose a smaller size" if tile is None else "choose a smaller size, or leave the tile to impasto"
    needed, there, where = next(
        each
        for each in (
            (least.memory, free, "of memory"),
            (least.on_device, free_on_device, f"of the memory of {device}"),
            (least.disk, room, f"on the disk of {folder}"),
        )
        if each[0] > each[1]
    )
    numbers = f"{needed / 1e9:.1f} GB {where}, and {there / 1e9:.1f} GB are free"
    raise OutOfMemoryError(f"{width}x{height} pixels need {numbers}; {remedy}")


def _free_memory(device: torch.device | None) -> int:
    """Return how many bytes a GPU may still take; as many as one likes where there is none."""
    if device is None or device.type != "cuda":
        return 1 << 62
    import torch

    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def _need(
    width: int,
    height: int,
    styles: Sequence[tuple[int, int]],
    descriptor: Footprint,
    optimizer: str,
    tile: int,
    on_disk: bool,
    device: torch.device | None,
) -> Need:
    pixels = width * height
    largest = max([pixels, *(columns * rows for columns, rows in styles)])
    side = tile + 2 * descriptor.reach
    seen = min(largest, side * side) if tile else largest
    compared = int(descriptor.content * pixels)
    state = _STATE[optimizer] * PIXEL_BYTES * pixels
    style = max((columns * rows for columns, rows in styles), default=0)
    arrays, styled, looked = PIXEL_BYTES * _ARRAYS * pixels, PIXEL_BYTES * 2 * style, int(descriptor.evaluation * seen)
    if device is not None and device.type == "cuda":
        # The GPU has the part of the picture that it looks at, and its gradient; the processor has the rest.
        return Need(tile, 0, arrays + styled + state, _FIXED + 2 * PIXEL_BYTES * seen + looked + compared)
    if not on_disk:
        return Need(tile, 0, _FIXED + arrays + styled + looked + state + compared)
    # One after the other: pictures are scaled and finished, tiles are looked at and channels moved, styles are scaled.
    memory = _FIXED + max(arrays, looked + _PLANES * PIXEL_BYTES // 3 * pixels, styled)
    images = PIXEL_BYTES * (pixels + style)  # that are seen for the targets
    start = PIXEL_BYTES * pixels
    return Need(tile, start + max(state, images) + compared, memory)
