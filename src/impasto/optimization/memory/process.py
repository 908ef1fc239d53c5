"""The memory of this process: free memory, peak memory, and settings of the C library's allocator."""

from __future__ import annotations

import ctypes
import re
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PIXEL_BYTES = 3 * 4
"""Bytes of a pixel with three channels in float32."""
SPARE = 0.9
"""Share of the free memory that plans may use."""
_CGROUP = Path("/sys/fs/cgroup")
# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_GLIBC_DEFAULTS = {_M_TRIM_THRESHOLD: 128 * 1024, _M_MMAP_THRESHOLD: 128 * 1024, _M_MMAP_MAX: 65536}


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
