"""Descriptor networks by name, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from impasto.descriptors.vgg import VGG, Pooling
from impasto.descriptors.weights.formats import read_weights
from impasto.descriptors.weights.store import default_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.descriptors.convolution import Precision


def load_descriptor(
    name: str,
    *,
    pooling: Pooling = "max",
    precision: Precision = "float32",
    on_download: Callable[[int, int | None], None] | None = None,
) -> VGG:
    """Build the descriptor network ``name``.

    Args:
        name: what ``impasto models list`` shows, or the path of a weights file in any format we know.
        pooling: 'max' or 'average'.
        precision: of the convolutions.
        on_download: called with bytes done and in all if the weights have to be fetched first.

    Raises:
        UnknownNameError: neither stored nor known, and no file of that name.
        WeightsError: the weights cannot be fetched or read.
    """
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
