"""Reads PyTorch state dicts of torchvision and of converted Caffe networks, as zip archives or older pickles."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from impasto.errors import WeightsFormatError
from impasto.weights.canonical import CAFFE, FileContents, convolution_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CANONICAL_KEY = re.compile(r"conv[1-5]_[1-4]\.(weight|bias)")
_SEQUENTIAL_KEY = re.compile(r"(?:features\.)?(\d+)\.(weight|bias)")


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


def _sequential_positions(architecture: str) -> list[int]:
    """Return the indices of the convolutions in torchvision's ``features``, where ReLUs and poolings count as well."""
    return [2 * before + int(name[4]) - 1 for before, name in enumerate(convolution_names(architecture))]
