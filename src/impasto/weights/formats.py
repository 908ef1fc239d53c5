"""Reads descriptor weights from files of all common formats, which are recognised by content, not by name.

The preprocessing with which a VGG network was trained is recognised from its weights alone.
torchvision's files and the converted Caffe files of Simonyan and Zisserman have the same keys and shapes, but
the first expect RGB of unit variance and the second BGR from 0 to 255. With the wrong preprocessing, a file loads
without an error but paints badly.

The size (root mean square) of the deep filters distinguishes the two trainings. Most of it is what the training left of
the initial noise:

* torchvision (2017) had to start at He et al.'s ``sqrt(2 / (9 C_out))``, because inputs of unit variance would
  otherwise fade away over 16 layers. In blocks 4 and 5 that is 0.021. The published weights have 0.014 to 0.022:
  ratio 0.76 (VGG19) and 0.83 (VGG16).
* Simonyan and Zisserman's (2014) network does not need that size, because its inputs are sixty times larger. A
  weight decay of 5e-4 over 370,000 steps reduced the filters. The published weights have 0.006 to 0.0085: ratio 0.37
  (VGG19) and 0.41 (VGG16, by conv5_3).

The ratio does not depend on channel order, on biases, or on half precision. Fine-tuning hardly changes it. The
activations give no evidence: Caffe's network has activations of a credible size even for inputs of the wrong range.

The size of the first layer shows whether 0-to-255 preprocessing has been folded into it. Training leaves conv1_1 at
0.19 to 0.25 in all four networks, and folding multiplies it by ``255 * std``, that is by 58.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import torch

from impasto.errors import UnknownNameError, WeightsError, WeightsFormatError
from impasto.weights.canonical import (
    CAFFE,
    PREPROCESSINGS,
    TORCHVISION,
    DescriptorWeights,
    FileContents,
    Preprocessing,
    PreprocessingName,
    architecture_of,
    check_tensors,
)
from impasto.weights.readers import read_keras, read_matconvnet, read_torch
from impasto.weights.safetensors_file import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_SAFETENSORS_HEADER = 100_000_000  # the format's own limit

# The well-known files by the first digits of their SHA-256, which the publishers put in the file names.
KNOWN_FILES: Mapping[str, Preprocessing] = {
    "dcbb9e9d": TORCHVISION,  # vgg19
    "397923af": TORCHVISION,  # vgg16
    "d01eb7cb": CAFFE,  # vgg19
    "00b39a1b": CAFFE,  # vgg16
}

_OXFORD_AT_MOST = 0.48
_TORCHVISION_AT_LEAST = 0.62  # between the two bounds the ratio is inconclusive
_TRAINED_FIRST_LAYER = (0.04, 1.2)
_FOLDED_FIRST_LAYER = (4.0, 30.0)


def read_weights(
    path: Path, preprocessing: PreprocessingName | None = None, *, known: Mapping[str, Preprocessing] = KNOWN_FILES
) -> DescriptorWeights:
    """Read the convolutions of VGG16 or VGG19 from safetensors, PyTorch, Keras HDF5 or MatConvNet files.

    Args:
        path: the file; its name does not matter.
        preprocessing: overrides the detected preprocessing: 'torchvision' (RGB of unit variance) or
            'caffe' (BGR from 0 to 255).
        known: preprocessing of well-known files by the first eight digits of their SHA-256.

    Raises:
        WeightsError: the file cannot be read.
        WeightsFormatError: the file is damaged or is not a plain VGG16 or VGG19, or its preprocessing is unknown.
        MissingDependencyError: h5py or scipy is needed but not installed.
        UnknownNameError: there is no such ``preprocessing``.
    """
    if preprocessing is not None and preprocessing not in PREPROCESSINGS:
        raise UnknownNameError("preprocessing", preprocessing, PREPROCESSINGS)
    try:
        reader = _recognise(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror or error}") from error
    contents = reader(path)
    architecture = architecture_of(contents.tensors)
    own = contents.source_format == "safetensors" and contents.preprocessing is not None
    check_tensors(path.name, architecture, contents.tensors, any_width=own)
    explicit = PREPROCESSINGS[preprocessing] if preprocessing else None
    seen = explicit or contents.preprocessing or known.get(sha256[:8]) or _deduce(path, contents)
    tensors = {name: tensor.to(torch.float32, copy=True) for name, tensor in contents.tensors.items()}
    if seen.bgr:
        tensors["conv1_1.weight"] = tensors["conv1_1.weight"].flip(1)
    return DescriptorWeights(
        architecture=architecture,
        tensors={name: tensor.contiguous() for name, tensor in tensors.items()},
        mean=seen.mean,
        std=seen.std,
        source_format=contents.source_format,
        sha256=contents.sha256 or sha256,
        origin=contents.origin,
        license=contents.license,
    )


def recognise_preprocessing(tensors: Mapping[str, Tensor]) -> Preprocessing | None:
    """Return the preprocessing of a complete VGG16 or VGG19, judged by ``tensors``; None if these are inconclusive."""
    ratio = deep_filter_ratio(tensors)
    first = _rms(tensors["conv1_1.weight"])
    trained = _TRAINED_FIRST_LAYER[0] <= first <= _TRAINED_FIRST_LAYER[1]
    folded = _FOLDED_FIRST_LAYER[0] <= first <= _FOLDED_FIRST_LAYER[1]
    if ratio >= _TORCHVISION_AT_LEAST and trained:
        return TORCHVISION
    if ratio <= _OXFORD_AT_MOST and trained:
        return CAFFE
    if ratio <= _OXFORD_AT_MOST and folded:
        return TORCHVISION
    return None


def deep_filter_ratio(tensors: Mapping[str, Tensor]) -> float:
    """Return the size of filters relative to He et al.'s initial size, as a geometric mean over blocks 4 and 5."""
    logs = [
        math.log(max(_rms(tensor), 1e-12) / math.sqrt(2 / (9 * tensor.shape[0])))
        for name, tensor in tensors.items()
        if name.startswith(("conv4", "conv5")) and name.endswith(".weight")
    ]
    return math.exp(sum(logs) / len(logs))


def _recognise(path: Path) -> Callable[[Path], FileContents]:
    with path.open("rb") as file:
        head = file.read(64)
        size = file.seek(0, 2)
    if size == 0:
        raise WeightsFormatError(f"{path.name} is empty; download the weights again")
    if head.startswith(b"MATLAB 7.3"):
        raise WeightsFormatError(
            f"{path.name} is a MATLAB 7.3 file; save it in MATLAB with save(..., '-v7') and add it again"
        )
    if head.startswith(b"MATLAB 5.0"):
        return read_matconvnet
    if head.startswith(_HDF5_SIGNATURE):
        return read_keras
    # Eight bytes with the length of a JSON header, then the header.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return read_safetensors
    # A zip archive, or a pickle as torch.save wrote it before version 1.6.
    if head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return read_torch
    if head.lstrip()[:1] == b"<":
        raise WeightsFormatError(f"{path.name} is a web page, not weights; download the file behind the page")
    raise WeightsFormatError(
        f"{path.name} ({size} bytes) is none of the formats that can be read: "
        "safetensors, PyTorch .pth, Keras .h5, MatConvNet .mat"
    )


def _deduce(path: Path, contents: FileContents) -> Preprocessing:
    # The hint comes last, because some scripts rename the classifier's keys from one convention to the other.
    seen = recognise_preprocessing(contents.tensors) or contents.hint
    if seen is None:
        ratio = deep_filter_ratio(contents.tensors)
        raise WeightsFormatError(
            f"the weights in {path.name} do not reveal its preprocessing (its deep filters have {ratio:.2f} "
            "of He's initial size; torchvision's have 0.8, Caffe's 0.4): "
            "state its preprocessing: torchvision or caffe"
        )
    return seen


def _rms(tensor: Tensor) -> float:
    return float(tensor.float().square().mean().sqrt())
