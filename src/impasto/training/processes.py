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

from impasto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def check_batch(batch: int) -> None:
    """Refuse a batch that cannot be divided among the processes.

    Raises:
        UsageError: its size is not a multiple of the number of processes.
    """
    if batch % world_size():
        raise UsageError(f"batch is {batch}; {world_size()} processes need a multiple of {world_size()}")


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes of ``torchrun``, if it started this one."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield
        return
    distributed.init_process_group("gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def average_gradients(network: nn.Module) -> None:
    """Give every process the mean of all processes' gradients."""
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
