"""Training in several processes, started by ``torchrun``: each computes its part of every batch.

Differs from PyTorch's DistributedDataParallel in that the gradients are averaged once, after the backward pass. A task
may therefore call its networks in any way.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import distributed

from impasto.descriptors.devices import choose_device
from impasto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def rank() -> int:
    """Index of this process, counted from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def check_batch(batch: int) -> None:
    """Refuse a batch that cannot be divided among the processes.

    Raises:
        UsageError: the size of the batch is not a multiple of the number of processes.
    """
    if batch % world_size():
        raise UsageError(f"batch is {batch}; {world_size()} processes need a multiple of {world_size()}")


@contextmanager
def joined(device: str) -> Iterator[torch.device]:
    """Join the other processes of ``torchrun``, if it started this one, and yield the device of this process.

    ``device`` is a name for `choose_device`. Several processes on 'cuda' take one GPU each.

    Raises:
        UsageError: PyTorch cannot use the device, or several processes cannot share it.
    """
    chosen = choose_device(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and chosen.type != "cpu":
        if chosen.type != "cuda" or chosen.index is not None:
            raise UsageError(
                f"{count} processes cannot share device {str(chosen)!r}; choose cuda, for one each, or cpu"
            )
        chosen = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count == 1:
        yield chosen
        return
    distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen
    finally:
        distributed.destroy_process_group()


def average_gradients(network: nn.Module) -> None:
    """Replace the gradients of every process by their mean over all processes."""
    if world_size() == 1:
        return
    gradients = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            # A parameter without a gradient here may have one in another process.
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            gradients.append(parameter.grad)
    joined_gradients = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(joined_gradients)
    joined_gradients /= world_size()
    first = 0
    for gradient in gradients:
        gradient.copy_(joined_gradients[first : first + gradient.numel()].view_as(gradient))
        first += gradient.numel()


def shared(value: float) -> float:
    """Give every process the ``value`` of the first one."""
    if world_size() == 1:
        return value
    tensor = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(tensor, src=0)
    return float(tensor)
