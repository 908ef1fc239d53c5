"""Files of trained weights, each with a card that states its provenance."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from safetensors.torch import save

from impasto.files import write_whole
from impasto.networks.checkpoint import describe_network
from impasto.weights.safetensors_header import with_sorted_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from impasto.networks.base import PaintingNetwork


def save_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str],
    card: Mapping[str, Any],
    license: str | None = "Apache-2.0",
) -> None:
    """Write ``tensors`` as safetensors to ``path``, and ``card`` as JSON beside it with licence, size and SHA-256.

    The same weights are the same bytes.

    ``license`` is None if it is not known, as for weights that users train on their own pictures.
    """
    data = with_sorted_metadata(save(dict(tensors), dict(metadata)))
    write_whole(path, data)
    facts = {
        **card,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **({"license": license} if license else {}),
        "impasto": version("impasto"),
    }
    write_whole(path.with_suffix(".json"), json.dumps(facts, indent=2).encode() + b"\n")


def save_network(path: Path, network: PaintingNetwork, *, card: Mapping[str, Any]) -> None:
    """Write ``network`` with float16 weights to ``path``, and ``card`` beside it: see `save_weights`."""
    halved = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in network.tensors().items()
    }
    save_weights(path, halved, metadata=describe_network(network), card=card)
