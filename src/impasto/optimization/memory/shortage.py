"""The error for an optimisation that runs out of memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from impasto.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def shortage_explained(width: int, height: int) -> Iterator[None]:
    """Name the size of the picture, ``width`` x ``height`` pixels, in the error if the block runs out of memory.

    Raises:
        OutOfMemoryError: the block ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # PyTorch has its own error class on GPUs only. It is compared by name, because PyTorch may not be installed.
        on_gpu = type(error).__name__ == "OutOfMemoryError"
        if isinstance(error, MemoryError) or on_gpu or "can't allocate memory" in str(error):
            message = f"the memory does not suffice for {width}x{height} pixels; choose a smaller size"
            raise OutOfMemoryError(message) from error
        raise
