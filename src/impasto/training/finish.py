"""Output of a training: weights, each with a card that states their provenance, and the graphs that engines run."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from safetensors.torch import save

from impasto.descriptors.devices import choose_device
from impasto.files import write_whole
from impasto.networks.checkpoint import describe_network
from impasto.runtimes.export import export_all
from impasto.training.loop import chosen_precision
from impasto.training.processes import rank

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from impasto.networks.base import PaintingNetwork
    from impasto.options.training import TrainingOptions
    from impasto.training.data import Crops


def finish(
    network: PaintingNetwork,
    folder: Path,
    *,
    command: str,
    title: str,
    options: TrainingOptions,
    pictures: Mapping[str, Crops],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write all results into ``folder``. If several processes train, only the first one writes.

    Args:
        network: the trained network.
        folder: the output folder, which 'impasto stylize --network' accepts afterwards.
        command: the subcommand of ``impasto train``.
        title: the title of the card.
        options: the training options.
        pictures: the training pictures, by name.
        facts: further entries of the card.
    """
    if rank() > 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    data = {name: _described(crops) for name, crops in pictures.items()}
    path = folder / network.file_name
    card = {"title": title, "recipe": recipe(command, options), "data": data, **(facts or {})}
    save_network(path, network, card=card)
    export_all(path, folder)


def recipe(command: str, options: TrainingOptions) -> dict[str, object]:
    """Return the entries of a card about ``impasto train COMMAND``, with the device and the precision of 'auto'."""
    device = choose_device(options.device)
    precision = chosen_precision(options.precision, device)
    settings = {**options.model_dump(), "device": device.type, "precision": precision}
    return {"command": f"impasto train {command}", "options": settings}


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


def with_sorted_metadata(content: bytes) -> bytes:
    """Sort the metadata in a file of this ``content``, which the library writes in an order that changes by chance."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + content[begin:]


def _described(crops: Crops) -> dict[str, object]:
    return {
        "pictures": len(crops.files),
        "folders": sorted({path.parent.name for path in crops.files}),
        "unreadable": sorted(crops.unreadable),
    }
