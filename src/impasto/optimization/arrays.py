"""Storage for arrays as large as the picture: in memory, or on disk if they do not fit.

Storage on a GPU is `impasto.optimization.tensors.OnDevice`.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import weakref
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from impasto.types import FloatArray

_BLOCK = 1 << 15
"""Size of a block in numbers. Blocks of several arrays fit into the CPU cache together."""
_BLOCKS_HELD = 32
"""Maximum number of blocks of an array on disk that are in memory at once."""


class Memory:
    """Creates float32 arrays as large as the picture in memory, and divides them into blocks."""

    sum_type: Any = np.float64
    """Type in which sums over a picture are computed."""

    def empty(self, shape: Sequence[int]) -> FloatArray:
        """Return an uninitialised array of this shape."""
        return np.empty(tuple(shape), np.float32)

    def zeros(self, shape: Sequence[int]) -> FloatArray:
        """Return an array of zeros of this shape."""
        return np.zeros(tuple(shape), np.float32)

    def kept(self, array: FloatArray) -> FloatArray:
        """Return an array in this storage with the values of ``array``; it may be ``array`` itself."""
        return array

    def copied(self, array: FloatArray) -> FloatArray:
        """Return a copy of ``array``."""
        copy = self.empty(array.shape)
        self.copy(array, copy)
        return copy

    def copy(self, source: FloatArray, target: FloatArray) -> None:
        """Copy ``source`` into the contiguous array ``target`` of the same shape."""
        read, written = source.reshape(-1), target.reshape(-1)
        for part in self.blocks(written.size):
            written[part] = read[part]

    def beside(self, array: FloatArray) -> FloatArray:
        """Return the small ``array`` where it can be multiplied with arrays of this storage."""
        return array

    def host(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return ``array`` of this storage as an array of NumPy."""
        return array

    def pixels(self, image: FloatArray) -> FloatArray:
        """Turn ``image`` (1, 3, H, W) of this storage into pixels (H, W, 3)."""
        return np.ascontiguousarray(self.host(image)[0].transpose(1, 2, 0))

    def image(self, pixels: FloatArray) -> FloatArray:
        """Turn ``pixels`` (H, W, 3) into an image (1, 3, H, W) in this storage."""
        image = self.empty((1, 3, *pixels.shape[:2]))
        for channel in range(3):
            image[0, channel] = pixels[:, :, channel]
            self.release()
        return image

    def blocks(self, size: int) -> Iterator[slice]:
        """Divide a flat array of ``size`` numbers into blocks, on disk the same as in memory, so that sums agree."""
        for index, first in enumerate(range(0, size, _BLOCK)):
            yield slice(first, first + _BLOCK)
            if index % _BLOCKS_HELD == _BLOCKS_HELD - 1:
                self.release()
        self.release()

    def release(self) -> None:
        """Free the memory that arrays on disk take while they are read or written."""


class OnDisk(Memory):
    """Storage in unnamed files, which the system deletes at the end of the process."""

    def __init__(self, folder: Path) -> None:
        """Keep the arrays on the disk of ``folder``."""
        self._folder = folder
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def empty(self, shape: Sequence[int]) -> FloatArray:
        """See `Memory.empty`.

        Raises:
            OutOfMemoryError: the disk is full.
            MemoryError: the address space is exhausted.
        """
        size = prod(shape) * np.dtype(np.float32).itemsize
        if not size:
            return super().empty(shape)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                _reserve(file.fileno(), size)
                mapped = mmap.mmap(file.fileno(), size)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError from error
            reason = (error.strerror or str(error)).lower()
            message = f"{size / 1e9:.2g} GB more are needed on the disk of {self._folder}: {reason}"
            raise OutOfMemoryError(f"{message}; free space, or set TMPDIR to a folder on another disk") from error
        self._maps.add(mapped)
        return np.frombuffer(mapped, np.float32).reshape(tuple(shape))

    def zeros(self, shape: Sequence[int]) -> FloatArray:
        """See `Memory.zeros`."""
        return self.empty(shape)  # a new file reads as zeros

    def kept(self, array: FloatArray) -> FloatArray:
        """See `Memory.kept`."""
        return self.copied(array)

    def release(self) -> None:
        """See `Memory.release`."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return  # Windows reclaims the memory by itself
        for mapped in self._maps:
            # Data that were written to a shared mapping are still in the system's cache and in the file.
            mapped.madvise(mmap.MADV_DONTNEED)


def _reserve(file: int, size: int) -> None:
    """Allocate ``size`` bytes on disk now if the system supports it; otherwise, writing allocates them."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def dot(memory: Memory, a: FloatArray, b: FloatArray) -> float:
    """Return the scalar product of two flat arrays."""
    return sum(float(a[part] @ b[part]) for part in memory.blocks(len(a)))


def l1_norm(memory: Memory, array: FloatArray) -> float:
    """Return the sum of the absolute values of ``array``; it is infinite or NaN if one of its values is."""
    flat = array.reshape(-1)
    return sum(float(abs(flat[part]).sum(dtype=memory.sum_type)) for part in memory.blocks(len(flat)))
