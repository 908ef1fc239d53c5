"""Trained networks on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.descriptors.weights.safetensors_file import open_safetensors
from impasto.errors import WeightsFormatError
from impasto.networks.arbitrary import STYLE_LAYERS, ArbitraryStylizer

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class TrainedStylizer:
    """A network and what it was trained with."""

    network: ArbitraryStylizer
    descriptor: str
    """Identity of the descriptor that the predictor sees style images with."""


def load_stylizer(path: Path) -> TrainedStylizer:
    """Read what ``impasto train conditional`` wrote.

    Raises:
        WeightsFormatError: the file is damaged, or holds another network.
    """
    metadata, tensors = open_safetensors(path)
    try:
        widths = {
            layer: tensors[f"predictor.projections.{index}.weight"].shape[1] for index, layer in enumerate(STYLE_LAYERS)
        }
        network = ArbitraryStylizer(widths)
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        return TrainedStylizer(network.eval(), metadata["descriptor"])
    except (KeyError, RuntimeError) as error:
        raise WeightsFormatError(
            f"{path.name} is no network of 'impasto train conditional'; choose another file"
        ) from error
