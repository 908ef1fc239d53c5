"""Descriptor networks by name, or from a file, on the device that options name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.descriptors.compact import CompactDescriptor, find_compact, load_compact
from impasto.descriptors.devices import choose_device, native_precision
from impasto.descriptors.vgg import VGG, Pooling
from impasto.errors import DownloadError, shortage_explained
from impasto.weights.formats import read_weights
from impasto.weights.location import check_path
from impasto.weights.store import default_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.descriptors import Descriptor
    from impasto.descriptors.devices import Precision
    from impasto.options import DescentOptions


def load_vgg(
    name: str,
    *,
    pooling: Pooling = "max",
    precision: Precision = "float32",
    on_download: Callable[[int, int | None], None] | None = None,
) -> VGG:
    """Build the VGG network ``name``.

    Args:
        name: a name from ``impasto models list``, or the path of a weights file in any supported format.
        pooling: 'max' or 'average'.
        precision: precision of the convolutions.
        on_download: called with bytes received and bytes in total if the weights have to be downloaded.

    Raises:
        UnknownNameError: ``name`` is neither stored nor known, and there is no file of that name.
        UsageError: ``name`` is a path with a folder, and there is no such file.
        WeightsError: the weights cannot be fetched or read.
    """
    check_path(name)
    path = Path(name)
    if path.is_file():
        weights = read_weights(path)
    else:
        weights = default_store().load(name, fetch_missing=True, on_progress=on_download)
    return VGG(
        weights.architecture,
        weights.tensors,
        mean=weights.mean,
        std=weights.std,
        name=path.stem if path.is_file() else name,
        identity=weights.sha256,
        pooling=pooling,
        precision=precision,
    )


def load_encoder(name: str, *, on_download: Callable[[int, int | None], None] | None = None) -> VGG:
    """Build the VGG network of the descriptor ``name``; for a compact one, the narrow network without its maps.

    Raises:
        UnknownNameError: ``name`` is neither bundled, stored nor known, and there is no file of that name.
        WeightsError: the weights cannot be fetched or read.
    """
    found = load_descriptor(name, on_download=on_download)
    return found.narrow if isinstance(found, CompactDescriptor) else found


def load_descriptor(
    name: str,
    *,
    pooling: Pooling = "max",
    precision: Precision = "float32",
    on_download: Callable[[int, int | None], None] | None = None,
) -> VGG | CompactDescriptor:
    """Build the descriptor network ``name``.

    Args:
        name: 'auto', 'compact', the path of a file that ``impasto train compact`` wrote, or a name for `load_vgg`.
            'auto' is VGG19, or the compact descriptor if VGG19 is not stored and cannot be fetched. A download that was
            waited for in vain is not tried again for an hour.
        pooling: 'max' or 'average'.
        precision: precision of the convolutions.
        on_download: called with bytes received and bytes in total if the weights have to be downloaded.

    Raises:
        UnknownNameError: ``name`` is neither bundled, stored nor known, and there is no file of that name.
        WeightsError: the weights cannot be fetched or read.
    """
    if name == "auto" and default_store().waits_in_vain("vgg19"):
        name = "compact"
    if weights := find_compact(name):
        return load_compact(weights, pooling=pooling, precision=precision)
    try:
        wanted = "vgg19" if name == "auto" else name
        return load_vgg(wanted, pooling=pooling, precision=precision, on_download=on_download)
    except DownloadError:
        if name != "auto":
            raise
        return load_compact(pooling=pooling, precision=precision)


def load_descriptor_of(
    options: DescentOptions, on_download: Callable[[int, int | None], None] | None = None
) -> Descriptor:
    """Load the descriptor network that ``options`` name, with the device, pooling and precision that they set.

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
