"""The error for an optimisation that gets no memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from impasto.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def shortage_explained(width: int, height: int) -> Iterator[None]:
    """Name the size of the picture, ``width`` x ``height`` pixels, if the memory does not suffice for the block.

    Raises:
        OutOfMemoryError: it does not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # PyTorch has a class of its own on GPUs alone, and may not be there at all.
        on_gpu = type(error).__name__ == "OutOfMemoryError"
        if isinstance(error, MemoryError) or on_gpu or "can't allocate memory" in str(error):
            message = f"the memory does not suffice for {width}x{height} pixels; choose a smaller size"
            raise OutOfMemoryError(message) from error
        raise
