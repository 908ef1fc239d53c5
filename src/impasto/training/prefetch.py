"""Batches that are decoded ahead of their step."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Batch = tuple[torch.Tensor, ...]
"""The tensors of one step."""


class Prefetch:
    """The batches of a training, on its device. While a step computes, a thread decodes the batch of the next one."""

    def __init__(self, decode: Callable[[int], Batch], device: torch.device, *, steps: int) -> None:
        """Take the function that decodes the batch of a step, and the number of ``steps`` of the training."""
        self._decode = decode
        self._device = device
        self._steps = steps
        self._thread = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Batch]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def at(self, step: int) -> Batch:
        """Return the batch of ``step``, and begin to decode the next one."""
        expected, decoded = self._next or (step, self._begin(step))
        assert expected == step, "steps follow each other"
        batch = decoded.result()
        self._next = (step + 1, self._begin(step + 1)) if step + 1 < self._steps else None
        return tuple(tensor.to(self._device, non_blocking=True) for tensor in batch)

    def _begin(self, step: int) -> Future[Batch]:
        return self._thread.submit(self._decoded, step)

    def _decoded(self, step: int) -> Batch:
        """Decode the batch of ``step``; for CUDA, into memory from which it is copied while the GPU computes."""
        batch = self._decode(step)
        if self._device.type != "cuda":
            return batch
        with torch.cuda.device(self._device):
            return tuple(tensor.pin_memory() for tensor in batch)
