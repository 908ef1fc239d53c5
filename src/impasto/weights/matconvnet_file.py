"""Reads MatConvNet networks: ``imagenet-vgg-verydeep-16.mat`` and ``-19.mat``, of beta and later releases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from impasto.errors import WeightsFormatError, needs_extra
from impasto.weights.canonical import FileContents, Preprocessing

if TYPE_CHECKING:
    from pathlib import Path


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
