"""The memory of this process, the memory that an optimisation needs, and the choice of tiles if less is free."""

from __future__ import annotations

import ctypes
import re
import shutil
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from impasto.errors import OutOfMemoryError
from impasto.optimization.arrays import Memory, OnDisk
from impasto.optimization.lbfgs import LBFGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch

    from impasto.optimization.stages import Stage

PIXEL_BYTES = 3 * 4
"""Bytes of a pixel with three channels in float32."""
SPARE = 0.9
"""Share of the free memory that plans may use."""
_CGROUP = Path("/sys/fs/cgroup")
# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_GLIBC_DEFAULTS = {_M_TRIM_THRESHOLD: 128 * 1024, _M_MMAP_THRESHOLD: 128 * 1024, _M_MMAP_MAX: 65536}

TILES = (2048, 1536, 1024, 768, 512, 384, 256)
_ARRAYS = 3
"""Number of pictures in memory besides the descent: the content, the start, and one that is being converted."""
_STATE = {"lbfgs": 3 + 2 * LBFGS.HISTORY + 1 + 1, "adam": 3 + 2, "sgd": 3 + 1}
"""Number of arrays as large as the picture in a descent, including the gradient and temporary arrays of a step."""
_PLANES = 6
"""Number of channels that are in memory at once if the state is on disk."""
_FIXED = 100_000_000
"""Bytes that a pass takes regardless of the size, for kernels and for memory blocks that are too small for reuse."""


@contextmanager
def freed_blocks_kept() -> Iterator[None]:
    """Keep freed memory in the process for reuse, until the ``with`` block ends.

    glibc returns every freed block over 32 MB to the kernel, which zeroes the pages of each new block. A step at
    512x512 allocates and frees a few gigabytes, and spent a third of its time on this. With other C libraries, this
    function has no effect.
    """
    with _mallopt({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}):
        yield


@contextmanager
def freed_blocks_returned() -> Iterator[None]:
    """Return large freed memory blocks to the system at once, until the ``with`` block ends.

    By default, glibc soon starts to keep freed blocks of up to 32 MB. They add up if networks run at different sizes.
    Measured for a picture of 1024x768: 910 MiB instead of 1,050, and a tenth more time.
    """
    with _mallopt({_M_MMAP_THRESHOLD: 1 << 20}):
        yield


def return_freed_blocks() -> None:
    """Return the freed blocks that glibc keeps to the system now; no effect with other C libraries."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None


@contextmanager
def _mallopt(settings: Mapping[int, int]) -> Iterator[None]:
    """Change settings of glibc's malloc until the ``with`` block ends; no effect with other C libraries."""
    libc = _glibc()
    if libc is None:
        yield
        return
    for parameter, value in settings.items():
        libc.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter in settings:
            libc.mallopt(parameter, _GLIBC_DEFAULTS[parameter])
        libc.malloc_trim(0)


def free_memory() -> int:
    """Return the memory in bytes that is free for this process, the least under all limits on it."""
    free = [psutil.virtual_memory().available]
    if (addresses := free_addresses()) is not None:
        free.append(addresses)
    with suppress(OSError, ValueError):  # ValueError: 'max', which means no limit
        most, now = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        # The system's file cache counts as used, but it can be reclaimed.
        cache = re.search(r"^inactive_file (\d+)$", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
        free.append(most - now + (int(cache[1]) if cache else 0))
    return max(0, int(min(free)))


def free_addresses() -> int | None:
    """Return the free address space in bytes under its limit (``ulimit -v``); None if there is no limit."""
    process = psutil.Process()
    if not hasattr(psutil, "RLIMIT_AS") or (limit := process.rlimit(psutil.RLIMIT_AS)[0]) < 0:
        return None
    return max(0, int(limit - process.memory_info().vms))


def resident_memory() -> int:
    """Return the resident memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)


class PeakMemory:
    """Measures the peak memory of the process within a ``with`` block, on Linux only."""

    bytes: int | None = None
    """Peak resident memory; None if the system does not report it."""

    def __enter__(self) -> Self:
        try:
            # Writing 5 resets the peak.
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._counts = False
        else:
            self._counts = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._counts:
            status = Path("/proc/self/status").read_text()
            self.bytes = 1024 * int(status.partition("VmHWM:")[2].split()[0])


@dataclass(frozen=True)
class Footprint:
    """The memory footprint of a descriptor, in bytes per pixel."""

    evaluation: float
    """Memory for one forward and backward pass."""
    content: float
    """Memory for the activations of the content layers."""
    reach: int
    """Halo of a tile in pixels."""


@dataclass(frozen=True)
class Need:
    """Tiles, memory and disk of an optimisation."""

    tile: int
    """Side of the tiles in pixels; 0 means no tiles."""
    disk: int
    """Bytes of state on disk; 0 if the state is in memory."""
    memory: int
    """Bytes of memory in addition to the current memory of the process."""
    on_device: int = 0
    """Bytes of GPU memory."""
    without_gpu: bool = False
    """True if the processor computes, because the memory of the GPU does not suffice."""

    def tiled(self, scale: Stage) -> bool:
        """Return True if the picture is evaluated in tiles at this ``scale``."""
        return 0 < self.tile < max(scale.width, scale.height)

    def work(self, scale: Stage, reach: int) -> float:
        """Return the computation per pixel at this ``scale``, relative to the computation without tiles."""
        # Tiles take two forward passes and one backward pass. The mean halo of the layers is half of ``reach``.
        return 4 / 3 * ((self.tile + reach) / self.tile) ** 2 if self.tiled(scale) else 1.0

    def room(self, folder: Path) -> Memory:
        """Return the storage for the state: in memory, or on the disk of ``folder``."""
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
    """Choose the tile size and the storage with which ``width`` x ``height`` pixels fit into the memory.

    If they do not fit into the memory of a GPU in any tiles, the choice is for the processor.

    Args:
        width: width of the largest scale.
        height: height of the largest scale.
        styles: width and height of each style image after resizing.
        descriptor: footprint of the descriptor.
        optimizer: name of the optimizer.
        tile: side of the tiles; 0 means no tiles, and None leaves the choice to this function.
        device: the device that computes; None is the CPU.
        folder: folder for state on disk.

    Raises:
        OutOfMemoryError: no choice fits into the memory.
    """
    free, free_on_device = int(SPARE * free_memory()), int(SPARE * _free_on_gpu(device))
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
    least = min(needs, key=lambda need: (need.on_device, need.memory))
    if least.on_device > free_on_device:
        planned = plan(width, height, styles, descriptor, optimizer=optimizer, tile=tile, folder=folder)
        return replace(planned, without_gpu=True)
    remedy = "choose a smaller size" if tile is None else "choose a smaller size, or leave the tile to impasto"
    needed, there, where = next(
        each
        for each in (
            (least.memory, free, "of memory"),
            (least.disk, room, f"on the disk of {folder}"),
        )
        if each[0] > each[1]
    )
    numbers = f"{needed / 1e9:.1f} GB {where}, and {there / 1e9:.1f} GB are free"
    raise OutOfMemoryError(f"{width}x{height} pixels need {numbers}; {remedy}")


def _free_on_gpu(device: torch.device | None) -> int:
    """Return the free GPU memory in bytes; unlimited if there is no GPU."""
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
        # The GPU holds the tile with its halo and its gradient, and without tiles the state, too.
        on_device = _FIXED + 2 * PIXEL_BYTES * seen + looked + compared
        beside = arrays + styled
        return Need(tile, 0, beside + state, on_device) if tile else Need(tile, 0, beside, on_device + state)
    if not on_disk:
        return Need(tile, 0, _FIXED + arrays + styled + looked + state + compared)
    # The maximum of three phases: resizing pictures, evaluating tiles and changing channels, and resizing styles.
    memory = _FIXED + max(arrays, looked + _PLANES * PIXEL_BYTES // 3 * pixels, styled)
    images = PIXEL_BYTES * (pixels + style)  # pictures whose targets are computed
    start = PIXEL_BYTES * pixels
    return Need(tile, start + max(state, images) + compared, memory)
