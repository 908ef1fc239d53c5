"""The error for work that runs out of memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from impasto.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

ON_THE_CPU = "the memory of the GPU does not suffice; painting goes on on the processor"
_ON_GPU = ("MPS backend out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


@contextmanager
def shortage_explained(work: str, remedy: str = "choose a smaller size") -> Iterator[None]:
    """Name the ``work``, such as '800x600 pixels', and the ``remedy`` in the error if the block runs out of memory.

    Raises:
        OutOfMemoryError: the block ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_gpu = is_shortage_of_gpu(error)
        if isinstance(error, MemoryError) or on_gpu or "can't allocate memory" in str(error):
            where = "memory of the GPU" if on_gpu else "memory"
            raise OutOfMemoryError(f"the {where} does not suffice for {work}; {remedy}") from error
        raise


def is_shortage_of_gpu(error: BaseException) -> bool:
    """Return True if PyTorch raised ``error`` because the memory of a GPU did not suffice."""
    # The class is compared by name, because PyTorch may not be installed.
    return type(error).__name__ == "OutOfMemoryError" or any(text in str(error) for text in _ON_GPU)
