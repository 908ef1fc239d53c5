"""Devices of PyTorch: the choice of one, its native precision, and modules on it."""

from __future__ import annotations

from itertools import chain
from typing import Literal, TypeVar

import torch
from torch import nn

from impasto.errors import UsageError

ModuleT = TypeVar("ModuleT", bound="nn.Module")

Precision = Literal["float32", "bfloat16"]


def choose_device(name: str) -> torch.device:
    """Test and return the device ``name``; 'auto' is the fastest one that is available.

    Raises:
        UsageError: PyTorch cannot use the device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {name!r} cannot be used by this PyTorch; choose auto or cpu") from error
    return torch.device(name)


def placed(module: ModuleT, device: torch.device) -> ModuleT:
    """Move ``module`` to ``device``, and on a GPU to the memory format in which its convolutions are fastest."""
    if device.type == "cpu":
        return module.to(device)
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def device_of(module: nn.Module) -> torch.device:
    """Return the device that holds the weights of ``module``."""
    return next(chain(module.parameters(), module.buffers())).device


def native_precision(device: torch.device) -> Precision:
    """Return 'bfloat16' if ``device`` computes with bfloat16 natively, else 'float32'."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return "bfloat16"
    return "float32"
