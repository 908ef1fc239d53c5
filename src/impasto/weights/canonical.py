"""Canonical form of descriptor weights, the same for every file format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from impasto.errors import WeightsFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PreprocessingName = Literal["torchvision", "caffe"]

CONVOLUTIONS_PER_BLOCK = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_CHANNELS_PER_BLOCK = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of images for a network: ``(image - mean) / std``, where R, G, B are in [0, 1]."""

    mean: tuple[float, float, float]
    """Mean of R, G and B, on the scale [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of R, G and B, on the same scale."""
    bgr: bool = False
    """True if the first convolution expects its input channels as B, G, R."""


TORCHVISION = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Preprocessing(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255), bgr=True)
PREPROCESSINGS: Mapping[PreprocessingName, Preprocessing] = {"torchvision": TORCHVISION, "caffe": CAFFE}


@dataclass(frozen=True, eq=False)
class DescriptorWeights:
    """Weights of a VGG network's convolutions, for RGB input, with the preprocessing that belongs to them."""

    architecture: str
    """'vgg16' or 'vgg19'."""
    tensors: Mapping[str, torch.Tensor]
    """``conv1_1.weight`` (C_out, C_in, 3, 3), ``conv1_1.bias`` (C_out), ...: float32, finite, all layers."""
    mean: tuple[float, float, float]
    """Value that is subtracted from R, G, B in [0, 1]."""
    std: tuple[float, float, float]
    """Value by which the difference is divided."""
    source_format: str
    """Format of the file that was read: 'safetensors', 'torch', 'keras' or 'matconvnet'."""
    sha256: str
    """SHA-256 of the original weights file, in hex."""
    origin: str = ""
    """Author or source of the weights, if known."""
    license: str = ""
    """The licence of the weights, if known."""


@dataclass(frozen=True, eq=False)
class FileContents:
    """The content of a file: tensors with canonical names and layout, everything else as found."""

    source_format: str
    tensors: Mapping[str, torch.Tensor]
    """Convolutions by canonical names, (C_out, C_in, H, W), any floating type."""
    preprocessing: Preprocessing | None = None
    """Preprocessing that the format or the metadata of the file states; None if neither does."""
    hint: Preprocessing | None = None
    """Preprocessing to assume if the values of the tensors do not reveal it either."""
    origin: str = ""
    license: str = ""
    sha256: str = ""
    """SHA-256 of the original file if this one was converted from it; otherwise empty."""


def convolution_names(architecture: str) -> tuple[str, ...]:
    """Return the convolutions of 'vgg16' or 'vgg19': ``conv1_1, conv1_2, conv2_1, ...``."""
    return tuple(
        f"conv{block}_{index}"
        for block, count in enumerate(CONVOLUTIONS_PER_BLOCK[architecture], start=1)
        for index in range(1, count + 1)
    )


def tensor_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of 'vgg16' or 'vgg19' by canonical name."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for name in convolution_names(architecture):
        width = _CHANNELS_PER_BLOCK[int(name[4]) - 1]
        shapes[f"{name}.weight"] = (width, channels, 3, 3)
        shapes[f"{name}.bias"] = (width,)
        channels = width
    return shapes


def architecture_of(names: Iterable[str]) -> str:
    """Return 'vgg19' or 'vgg16', judged by the canonical ``names`` of the tensors."""
    return "vgg19" if {"conv3_4.weight", "conv4_4.weight", "conv5_4.weight"} & set(names) else "vgg16"


def check_tensors(
    source: str, architecture: str, tensors: Mapping[str, torch.Tensor], *, any_width: bool = False
) -> None:
    """Refuse tensors that are not the convolutions of ``architecture``; ``source`` is their name in messages.

    With ``any_width``, layers may have any number of channels, as in networks that users train.

    Raises:
        WeightsFormatError: a layer is missing, has another shape or type, or holds values that are not finite.
    """
    shapes = tensor_shapes(architecture)
    missing = [name for name in shapes if name not in tensors]
    if missing:
        raise WeightsFormatError(
            f"{source} lacks {len(missing)} of the {len(shapes)} tensors of {architecture} "
            f"(first {missing[0]}); only complete plain VGG16 and VGG19 networks can be used"
        )
    channels = 3
    for name, shape in shapes.items():
        tensor = tensors[name]
        if any_width:
            width = tensor.shape[0]
            shape = (width, channels, 3, 3) if name.endswith("weight") else (channels,)
            channels = width
        if tuple(tensor.shape) != shape:
            raise WeightsFormatError(
                f"{source} has {name} of shape {tuple(tensor.shape)}, {architecture} needs {shape}; "
                "use weights of an unchanged VGG16 or VGG19"
            )
        if not tensor.is_floating_point():
            raise WeightsFormatError(f"{source} has {name} as {tensor.dtype}; use unquantised weights")
        if not torch.isfinite(tensor).all():
            raise WeightsFormatError(
                f"{source} has values in {name} that are not finite; the file is damaged; download it again"
            )
