"""Readers of weights from the files of other libraries.

* Keras HDF5 weights: ``keras.applications`` files and models saved from them, of Keras 1, 2 and 3
* MatConvNet networks: ``imagenet-vgg-verydeep-16.mat`` and ``-19.mat``, of beta and later releases
* PyTorch state dicts of torchvision and of converted Caffe networks, as zip archives or older pickles
"""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from impasto.errors import WeightsFormatError, needs_extra
from impasto.weights.canonical import CAFFE, FileContents, Preprocessing, convolution_names

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

_CANONICAL_KEY = re.compile(r"conv[1-5]_[1-4]\.(weight|bias)")
_SEQUENTIAL_KEY = re.compile(r"(?:features\.)?(\d+)\.(weight|bias)")


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


def read_matconvnet(path: Path) -> FileContents:
    """Read the convolutions and the mean image.

    In the file, filters are (H, W, C_in, C_out), and the mean image is RGB from 0 to 255.

    Raises:
        WeightsFormatError: the file is damaged or holds something else.
        MissingDependencyError: scipy is not installed.
    """
    with needs_extra("reading MatConvNet weights", "torch"):
        from scipy.io import loadmat
    try:
        variables = loadmat(
            path,
            variable_names=["layers", "meta", "normalization"],
            squeeze_me=True,
            struct_as_record=False,
        )
    except Exception as error:  # scipy raises nearly anything on damaged bytes
        raise WeightsFormatError(f"{path.name} is a damaged MATLAB file ({error}); download it again") from error
    if "layers" not in variables:
        raise WeightsFormatError(
            f"{path.name} has no variable 'layers'; use imagenet-vgg-verydeep-19.mat or -16.mat of MatConvNet"
        )
    tensors: dict[str, torch.Tensor] = {}
    for layer in np.atleast_1d(variables["layers"]):
        name = str(getattr(layer, "name", ""))
        if name.startswith("conv"):
            filters, biases = _parameters(path.name, name, layer)
            # MatConvNet's manual: filters are H x W x C_in x C_out. Some programs that convert them exchange H and W.
            tensors[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(filters.transpose(3, 2, 0, 1)))
            tensors[f"{name}.bias"] = torch.from_numpy(np.ascontiguousarray(biases.reshape(-1)))
    return FileContents(source_format="matconvnet", tensors=tensors, preprocessing=_preprocessing(path.name, variables))


def read_torch(path: Path) -> FileContents:
    """Read a state dict with torchvision's keys (``features.0.weight``) or ours (``conv1_1.weight``).

    Raises:
        WeightsFormatError: the file is damaged, would run code, or holds something else.
    """
    try:
        # Memory mapping avoids reading the fully connected layers, 80 % of the file. Old pickles cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # the unpickler raises nearly anything on damaged bytes
        raise WeightsFormatError(
            f"{path.name} is damaged or is not a plain PyTorch state dict (only tensors are loaded, never code); "
            "download it again, or save the network's state_dict() with torch.save"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsFormatError(f"{path.name} is not a state dict; save the network's state_dict() with torch.save")
    # Caffe networks that Justin Johnson converted have classifier.1 and .4; torchvision's have .0, .3 and .6.
    johnson = "classifier.1.weight" in state and "classifier.4.weight" in state
    return FileContents(
        source_format="torch",
        tensors=canonical_tensors(path.name, state),
        hint=CAFFE if johnson else None,
    )


def canonical_tensors(source: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pick the convolutions from ``state`` under their canonical names.

    Raises:
        WeightsFormatError: these are not the convolutions of VGG16 or VGG19, or they have batch normalisation.
    """
    if any(key.endswith("running_mean") for key in state):
        raise WeightsFormatError(
            f"{source} is a network with batch normalisation (such as vgg19_bn); use the plain VGG19 or VGG16"
        )
    if "conv1_1.weight" in state:
        return {key: tensor for key, tensor in state.items() if _CANONICAL_KEY.fullmatch(key)}
    numbered = {
        (int(match[1]), match[2]): tensor for key, tensor in state.items() if (match := _SEQUENTIAL_KEY.fullmatch(key))
    }
    positions = {number for number, _ in numbered}
    for architecture in ("vgg19", "vgg16"):
        by_position = dict(zip(_sequential_positions(architecture), convolution_names(architecture), strict=True))
        if positions == set(by_position):
            return {f"{by_position[number]}.{kind}": tensor for (number, kind), tensor in numbered.items()}
    known = "features.0 to features.34 for VGG19, to features.28 for VGG16"
    raise WeightsFormatError(
        f"{source} holds {len(state)} tensors, but not with the names of VGG16 or VGG19 ({known}); use weights of one "
        "of them"
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


def _parameters(source: str, name: str, layer: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return filters and biases of ``layer``: one cell since MatConvNet 1.0, two fields in earlier releases."""
    if hasattr(layer, "weights"):
        cell = list(np.atleast_1d(layer.weights))
    else:
        cell = [getattr(layer, "filters", None), getattr(layer, "biases", None)]
    arrays = [np.asarray(array) for array in cell]
    if len(arrays) != 2 or arrays[0].ndim != 4 or any(array.dtype.kind != "f" for array in arrays):
        raise WeightsFormatError(f"{source} has no filters and biases in layer {name}; download it again")
    return arrays[0], arrays[1]


def _preprocessing(source: str, variables: Any) -> Preprocessing:
    network = variables.get("meta")
    normalization = getattr(network, "normalization", None) or variables.get("normalization")
    average = np.asarray(getattr(normalization, "averageImage", ()), dtype=np.float64)
    if average.ndim == 3:  # a whole image in the beta releases
        average = average.mean((0, 1))
    if average.shape != (3,) or not np.isfinite(average).all():
        raise WeightsFormatError(
            f"{source} has no normalization.averageImage of three channels; use MatConvNet's own file"
        )
    red, green, blue = (float(value) / 255 for value in average)
    return Preprocessing(mean=(red, green, blue), std=(1 / 255, 1 / 255, 1 / 255))


def _sequential_positions(architecture: str) -> list[int]:
    """Return the indices of the convolutions in torchvision's ``features``, where ReLUs and poolings count as well."""
    return [2 * before + int(name[4]) - 1 for before, name in enumerate(convolution_names(architecture))]
