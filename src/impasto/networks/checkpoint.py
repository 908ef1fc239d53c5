"""Trained networks by name, and on disk, as safetensors files. Their metadata says how to rebuild the network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from impasto.errors import WeightsFormatError
from impasto.networks.base import PaintingNetwork
from impasto.registry import Registry
from impasto.weights.safetensors_file import open_safetensors

if TYPE_CHECKING:
    from pathlib import Path

NetworkT = TypeVar("NetworkT", bound=PaintingNetwork)
_FORMAT = "1"

NETWORKS = Registry(
    "network",
    [
        ("conditional", "impasto.networks.conditional:ConditionalStylizer"),
        ("transformer", "impasto.networks.transformer:TransformerNetwork"),
        ("texture", "impasto.networks.texture:TextureNetwork"),
        ("texture-stylizer", "impasto.networks.texture:StylizingTextureNetwork"),
        ("adain", "impasto.networks.adain:AdaINNetwork"),
        ("sanet", "impasto.networks.sanet:SANetwork"),
    ],
)
"""The classes of the networks."""


def describe_network(network: PaintingNetwork) -> dict[str, str]:
    """Return the metadata from which `load_network` rebuilds ``network``."""
    return {
        "format": _FORMAT,
        "architecture": network.architecture,
        "arguments": json.dumps(dict(network.arguments)),
    }


def load_network(path: Path, kind: type[NetworkT]) -> NetworkT:
    """Read a network of ``kind`` that ``impasto train`` wrote.

    Raises:
        WeightsFormatError: the file is damaged, holds another network, or was written by another version of impasto.
    """
    network = load_any_network(path)
    if not isinstance(network, kind):
        raise WeightsFormatError(
            f"{path.name} is a network of 'impasto train {network.architecture}', not of 'impasto train "
            f"{kind.architecture}'; choose another file"
        )
    return network


def load_any_network(path: Path) -> PaintingNetwork:
    """Read a network that ``impasto train`` wrote.

    Raises:
        WeightsFormatError: the file is damaged, holds no network, or was written by another version of impasto.
    """
    metadata, tensors = open_safetensors(path)
    architecture = metadata.get("architecture")
    if "mean" in metadata and "arguments" not in metadata:  # as 'impasto train classifier' writes
        raise WeightsFormatError(
            f"{path.name} is a descriptor, which sees and does not paint; keep it by 'impasto models add', and its "
            "graphs are exported when an engine first uses it"
        )
    if architecture not in NETWORKS.names or "arguments" not in metadata:
        raise WeightsFormatError(f"{path.name} is not a network that 'impasto train' wrote; choose another file")
    if metadata.get("format") != _FORMAT:
        raise WeightsFormatError(
            f"{path.name} was written by another version of impasto (format {metadata.get('format')}, not {_FORMAT}); "
            "train it again"
        )
    try:
        kind: type[PaintingNetwork] = NETWORKS.load(architecture)
        network = kind.rebuilt(
            json.loads(metadata["arguments"]), {name: tensor.float() for name, tensor in tensors.items()}
        )
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsFormatError(f"{path.name} does not hold the weights of its network; train it again") from error
    return network.eval()
