"""The compact descriptor: a network about a quarter as wide as VGG19.

This project trained it to predict the activations of VGG19.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.descriptors.vgg import VGG, Pooling
from impasto.errors import UnknownNameError
from impasto.weights.location import BUNDLED_DESCRIPTORS, SUFFIX
from impasto.weights.safetensors_file import open_safetensors, tensor_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from impasto.descriptors.devices import Precision
    from impasto.types import Features

# A quarter of VGG19's widths; conv1_1 and conv2_1, which feed all others, are wider.
COMPACT_WIDTHS: Mapping[str, int] = MappingProxyType(
    {
        **{"conv1_1": 32, "conv1_2": 16, "conv2_1": 40, "conv2_2": 32},
        **{"conv3_1": 64, "conv3_2": 64, "conv3_3": 64, "conv3_4": 64},
        **{"conv4_1": 128, "conv4_2": 128, "conv4_3": 128, "conv4_4": 128, "conv5_1": 128},
    }
)
# The early layers, at the highest resolution, take most of the time, so relu1_2 and relu2_2 stay narrow.
WIDE_WIDTHS: Mapping[str, int] = MappingProxyType(
    {
        **{"conv1_1": 32, "conv1_2": 24, "conv2_1": 64, "conv2_2": 48},
        **{"conv3_1": 128, "conv3_2": 112, "conv3_3": 112, "conv3_4": 112},
        **{"conv4_1": 224, "conv4_2": 224, "conv4_3": 224, "conv4_4": 224, "conv5_1": 256},
    }
)
BUNDLED = BUNDLED_DESCRIPTORS / "compact" / "compact.safetensors"
COMPACT_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")


class CompactDescriptor(nn.Module):
    """A narrow VGG19 with maps to the activations of the full VGG19.

    Attributes:
        narrow: the network before the maps.

    Each layer has a head, an affine map that predicts VGG19's activations (`impasto.training.distillation`). A
    rotation of the channels changes neither squared errors nor distances between Gram matrices. Predictions are
    therefore rotated into as few channels as possible (`shortest_map`), which saves time and leaves losses as they are.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        name: str = "compact",
        identity: str = "",
        pooling: Pooling = "max",
        precision: Precision = "float32",
        full: Iterable[str] = (),
    ) -> None:
        """Build the network.

        Args:
            tensors: ``convB_I.weight``, ``convB_I.bias`` of the narrow network, ``head.LAYER.weight`` (D, C, 1, 1) and
                ``head.LAYER.bias`` (D), where D is VGG19's width.
            mean: mean of R, G and B, on the scale [0, 1].
            std: standard deviation of R, G and B, on the same scale.
            name: name as written into results.
            identity: sha256 of the weights, as written into results.
            pooling: pooling of the narrow network, which was trained with 'max'.
            precision: precision of the convolutions.
            full: layers whose activations are returned in VGG19's own channels.
        """
        super().__init__()
        self.name = name
        self.identity = identity
        self.layers = COMPACT_LAYERS
        self.narrow = VGG(
            "vgg19", tensors, mean=mean, std=std, name=name, identity=identity, pooling=pooling, precision=precision
        )
        self._heads = nn.ModuleDict()
        for layer in self.layers:
            weight, bias = tensors[f"head.{layer}.weight"].float(), tensors[f"head.{layer}.bias"].float()
            if layer not in full:
                weight, bias = shortest_map(weight, bias)
            head = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
            head.load_state_dict({"weight": weight, "bias": bias})
            self._heads[layer] = head.to(next(self.narrow.convolutions.buffers()).dtype).requires_grad_(False)

    def channels(self, layer: str) -> int:
        """Number of channels of ``layer``."""
        return int(self.get_parameter(f"_heads.{layer}.weight").shape[0])

    def map(self, layer: str) -> nn.Conv2d:
        """The map from the narrow network's activations of ``layer`` to the returned ones: a 1x1 convolution."""
        self._check(layer)
        found: nn.Conv2d = self._heads[layer]  # type: ignore[assignment]
        return found

    def minimum_size(self, layer: str) -> int:
        """Smallest height and width in pixels for which ``layer`` has 2x2 positions.

        Raises:
            UnknownNameError: ``layer`` has no map.
        """
        self._check(layer)
        return self.narrow.minimum_size(layer)

    def reach(self, layer: str) -> int:
        """Receptive field of ``layer``, as a margin in pixels."""
        self._check(layer)
        return self.narrow.reach(layer)

    def forward(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Compute activations: see `impasto.descriptors.Descriptor`.

        Raises:
            UnknownNameError: one of ``layers`` has no map.
            ImageSizeError: ``image`` is too small for the deepest layer.
        """
        wanted = list(layers)
        for layer in wanted:
            self._check(layer)
        features = self.narrow.forward(image, wanted)
        return {layer: self._heads[layer](features[layer]) for layer in wanted}

    def _check(self, layer: str) -> None:
        if layer not in self.layers:
            raise UnknownNameError(f"layer of {self.name}", layer, self.layers)


def shortest_map(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate the outputs of an affine map of C channels into C + 1 channels.

    The map is ``A f + b`` and ``[A b] = Q R``, where the columns of Q are orthonormal. Then
    ``|A d + b e| = |R [d; e]|`` for all d and e, so R can replace the map without a change of distances between
    activations. Distances between Gram matrices do not change either.

    Args:
        weight: (D, C, 1, 1) with D > C.
        bias: (D).

    Returns:
        Weight (C + 1, C, 1, 1) and bias (C + 1).
    """
    matrix = torch.cat([weight.flatten(1), bias[:, None]], dim=1).double()
    triangle = torch.linalg.qr(matrix, mode="r").R.float()
    return triangle[:, :-1, None, None].contiguous(), triangle[:, -1].contiguous()


def find_compact(name: str) -> Path | None:
    """Return the path of a compact descriptor's weights; None if ``name`` is no file with maps to VGG19's layers.

    ``name`` is the name of a bundled descriptor, or the path of a file that ``impasto train compact`` wrote.
    """
    path = Path(name)
    if path.name == name and not path.suffix:
        path = BUNDLED_DESCRIPTORS / name / f"{name}{SUFFIX}"
    return path if path.is_file() and f"head.{COMPACT_LAYERS[0]}.weight" in tensor_names(path) else None


def load_compact(
    weights: Path = BUNDLED,
    *,
    pooling: Pooling = "max",
    precision: Precision = "float32",
    full: Iterable[str] = (),
) -> CompactDescriptor:
    """Load ``weights``, by default those of the bundled descriptor 'compact'.

    Raises:
        WeightsFormatError: the file is damaged.
    """
    metadata, tensors = open_safetensors(weights)
    return CompactDescriptor(
        tensors,
        mean=json.loads(metadata["mean"]),
        std=json.loads(metadata["std"]),
        name=weights.stem,
        identity=hashlib.sha256(weights.read_bytes()).hexdigest(),
        pooling=pooling,
        precision=precision,
        full=full,
    )
