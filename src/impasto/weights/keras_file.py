"""Reads Keras HDF5 weights: ``keras.applications`` files and models saved from them, of Keras 1, 2 and 3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from impasto.errors import WeightsFormatError, needs_extra
from impasto.weights.canonical import CAFFE, FileContents, convolution_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Keras 1 names a dataset block1_conv1_W_1:0, Keras 2 block1_conv1/kernel:0, Keras 3 vars/0.
_NAMED = re.compile(r"(?:.*/)?block([1-5])_conv([1-4])(?:/.*)?")
_LEAF = {
    "weight": re.compile(r"kernel(:0)?|block\d_conv\d_W(_1)?(:0)?|0"),
    "bias": re.compile(r"bias(:0)?|block\d_conv\d_b(_1)?(:0)?|1"),
}
# Some releases of Keras 3 do not name layers, but count them by class.
_COUNTED = re.compile(r"(?:.*/)?conv2d(?:_(\d+))?/vars/([01])")


def read_keras(path: Path) -> FileContents:
    """Read the convolutions, which are (H, W, C_in, C_out) in the file. Keras uses Caffe's preprocessing.

    Raises:
        WeightsFormatError: the file is damaged or holds another network.
        MissingDependencyError: h5py is not installed.
    """
    with needs_extra("reading Keras weights", "torch"):
        import h5py
    arrays: dict[str, Any] = {}
    counted: dict[tuple[int, str], Any] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or name.startswith("optimizer"):
            return
        leaf = name.rpartition("/")[2]
        if match := _NAMED.fullmatch(name):
            for kind, pattern in _LEAF.items():
                if pattern.fullmatch(leaf):
                    arrays[f"conv{match[1]}_{match[2]}.{kind}"] = item[()]
        elif match := _COUNTED.fullmatch(name):
            counted[int(match[1] or 0), "weight" if match[2] == "0" else "bias"] = item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise WeightsFormatError(f"{path.name} is a damaged HDF5 file ({error}); download it again") from error
    arrays = arrays or _named_by_count(counted)
    if not arrays:
        raise WeightsFormatError(
            f"{path.name} holds no layers block1_conv1 ... block5_conv3; "
            "use the weights of VGG16 or VGG19 of keras.applications"
        )
    return FileContents(
        source_format="keras",
        tensors={name: _tensor(path.name, name, array) for name, array in arrays.items()},
        preprocessing=CAFFE,
    )


def _named_by_count(counted: Mapping[tuple[int, str], Any]) -> dict[str, Any]:
    layers = len({number for number, _ in counted})
    for architecture in ("vgg16", "vgg19"):
        names = convolution_names(architecture)
        if layers == len(names):
            return {f"{names[number]}.{kind}": array for (number, kind), array in counted.items() if number < layers}
    return {}


def _tensor(source: str, name: str, array: Any) -> torch.Tensor:
    array = np.asarray(array)
    if array.dtype.kind != "f":
        raise WeightsFormatError(f"{source} has {name} as {array.dtype}; use unquantised weights")
    return torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array))
