"""Loading of the descriptor network that the options name, onto the device that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.convolution import native_precision
from impasto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.descriptors.base import Descriptor
    from impasto.options import DescentOptions


def load_descriptor_of(
    options: DescentOptions, on_download: Callable[[int, int | None], None] | None = None
) -> Descriptor:
    """Load the descriptor network that ``options`` name, with their pooling and precision, onto their device.

    Raises:
        UsageError: there is no such descriptor or device.
        WeightsError: the weights cannot be fetched or read.
    """
    device = choose_device(options.device)
    return load_descriptor(
        options.descriptor,
        pooling=options.pooling,
        precision=native_precision(device) if options.precision == "auto" else options.precision,
        on_download=on_download,
    ).to(device)


def choose_device(name: str) -> torch.device:
    """Return the device ``name``; 'auto' is the fastest available. Any other device is tested before the work starts.

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
