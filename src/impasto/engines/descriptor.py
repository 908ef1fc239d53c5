"""The descriptor network that options name, on their device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.devices import choose_device, native_precision
from impasto.errors import shortage_explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.descriptors.base import Descriptor
    from impasto.options import DescentOptions


def load_descriptor_of(
    options: DescentOptions, on_download: Callable[[int, int | None], None] | None = None
) -> Descriptor:
    """Load the descriptor network that ``options`` name onto their device, with their pooling and precision.

    Raises:
        UsageError: there is no such descriptor or device.
        OutOfMemoryError: the memory of the device does not suffice.
        WeightsError: the weights cannot be fetched or read.
    """
    device = choose_device(options.device)
    descriptor = load_descriptor(
        options.descriptor,
        pooling=options.pooling,
        precision=native_precision(device) if options.precision == "auto" else options.precision,
        on_download=on_download,
    )
    with shortage_explained("the descriptor", "choose device cpu"):
        return descriptor.to(device)
