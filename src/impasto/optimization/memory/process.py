"""The memory of this process: what it may still take, what it took at most, and how the C library hands it out."""

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
"""Three channels in float32."""
SPARE = 0.9
"""Share of what is free that is planned for."""
_CGROUP = Path("/sys/fs/cgroup")
# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_GLIBC_DEFAULTS = {_M_TRIM_THRESHOLD: 128 * 1024, _M_MMAP_THRESHOLD: 128 * 1024, _M_MMAP_MAX: 65536}


@contextmanager
def freed_blocks_kept() -> Iterator[None]:
    """Let the process keep the memory it frees, for reuse by the next step, until the block ends.

    glibc gives every block over 32 MB back to the kernel when it is freed and has it zeroed, page by page, when it is
    taken again. A step at 512x512 takes and frees a few gigabytes: a third of its time went there. On other C libraries
    nothing is changed.
    """
    with _mallopt({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}):
        yield


@contextmanager
def freed_blocks_returned() -> Iterator[None]:
    """Let the process give large blocks back to the system as soon as they are freed, until the block ends.

    glibc keeps freed blocks of up to 32 MB for itself once it has seen a few; between networks of different sizes they
    add up. Measured: 1,050 MiB become 910 for a picture of 1024x768, in a tenth more time.
    """
    with _mallopt({_M_MMAP_THRESHOLD: 1 << 20}):
        yield


def return_freed_blocks() -> None:
    """Give the freed blocks that glibc keeps back to the system now; other C libraries are left alone."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None


@contextmanager
def _mallopt(settings: Mapping[int, int]) -> Iterator[None]:
    """Tune glibc's malloc for a while; other C libraries are left alone."""
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
    """Return how many bytes this process may still take: what machine, container and limits leave."""
    free = [psutil.virtual_memory().available]
    if (addresses := free_addresses()) is not None:
        free.append(addresses)
    with suppress(OSError, ValueError):  # 'max' is no limit
        most, now = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        # The system's cache counts as used, and gives way.
        cache = re.search(r"^inactive_file (\d+)$", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
        free.append(most - now + (int(cache[1]) if cache else 0))
    return max(0, int(min(free)))


def free_addresses() -> int | None:
    """Return how many bytes a limit of the address space (``ulimit -v``) leaves; None if there is none."""
    process = psutil.Process()
    if not hasattr(psutil, "RLIMIT_AS") or (limit := process.rlimit(psutil.RLIMIT_AS)[0]) < 0:
        return None
    return max(0, int(limit - process.memory_info().vms))


def resident_memory() -> int:
    """Return how many bytes this process has now."""
    return int(psutil.Process().memory_info().rss)


class PeakMemory:
    """Measures how much memory the process has at most within the block; Linux tells, and nobody else."""

    bytes: int | None = None
    """Resident; None where nobody tells."""

    def __enter__(self) -> Self:
        try:
            # <linux/fs/proc>: 5 forgets the peak.
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
