"""Where an optimisation keeps tensors as large as its picture: in memory, or on disk where they do not fit."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import weakref
from typing import TYPE_CHECKING

import numpy as np
import torch

from impasto.engines.tensors import to_tensor
from impasto.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from impasto.types import FloatArray

_STRIP = 1 << 22
"""Pixels."""


class Store:
    """Gives room for tensors as large as the picture, and hands them out in parts; in memory."""

    def __init__(self, device: torch.device) -> None:
        """Keep tensors on ``device``."""
        self._device = device

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tensor of this shape, of any values."""
        return torch.empty(tuple(shape), dtype=dtype, device=self._device)

    def kept(self, tensor: Tensor) -> Tensor:
        """Return a tensor with the values of ``tensor`` that is kept here; perhaps itself."""
        return tensor

    def image(self, pixels: FloatArray) -> Tensor:
        """Turn ``pixels`` (H, W, 3) into an image (1, 3, H, W) that is kept here."""
        return to_tensor(pixels, self._device)

    def planes(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield ``tensors``, all (1, C, H, W), channel by channel: wherever they are, sums are rounded alike."""
        for channel in range(tensors[0].shape[1]):
            yield tuple(tensor[:, channel : channel + 1] for tensor in tensors)
            self.release()

    def strips(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield ``tensors``, all (1, C, H, W), some rows of a channel at a time: for what is done pixel by pixel."""
        height, width = tensors[0].shape[2:]
        rows = max(1, _STRIP // width)
        for planes in self.planes(*tensors):
            for top in range(0, height, rows):
                yield tuple(plane[:, :, top : top + rows] for plane in planes)
                self.release()

    def release(self) -> None:
        """Free memory that tensors take only while they are looked at."""


class OnDisk(Store):
    """Tensors for the processor in files without names, which vanish with the process."""

    def __init__(self, folder: Path) -> None:
        """Keep them on the disk of ``folder``."""
        super().__init__(torch.device("cpu"))
        self._folder = folder
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """See `Store.empty`.

        Raises:
            OutOfMemoryError: there is no room.
            MemoryError: there is none for looking at it.
        """
        size = dtype.itemsize * torch.Size(shape).numel()
        if not size:
            return super().empty(shape, dtype)
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
        return torch.frombuffer(mapped, dtype=dtype).view(tuple(shape))

    def kept(self, tensor: Tensor) -> Tensor:
        """See `Store.kept`."""
        return self.empty(tensor.shape, tensor.dtype).copy_(tensor)

    def image(self, pixels: FloatArray) -> Tensor:
        """See `Store.image`."""
        image = self.empty((1, 3, *pixels.shape[:2]))
        for strip, given in self.strips(image, torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]):
            strip.copy_(given)
        return image

    def release(self) -> None:
        """See `Store.release`."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return  # Windows takes memory back by itself
        for mapped in self._maps:
            # Of a shared mapping, what was written stays: in the system's cache, and in the file.
            mapped.madvise(mmap.MADV_DONTNEED)


def _reserve(file: int, size: int) -> None:
    """Make room for ``size`` bytes now, where the system can; elsewhere as they are written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def dot(store: Store, a: Tensor, b: Tensor) -> Tensor:
    """Add up the products of two tensors (1, 3, H, W): a scalar."""
    return torch.stack([torch.sum(one * other) for one, other in store.planes(a, b)]).sum()


def copied(store: Store, tensor: Tensor) -> Tensor:
    """Copy a tensor (1, 3, H, W)."""
    copy = store.empty(tensor.shape)
    for target, source in store.strips(copy, tensor):
        target.copy_(source)
    return copy
