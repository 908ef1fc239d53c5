"""Output of a training: weights, a card, and the graphs that engines run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from impasto.descriptors.devices import choose_device
from impasto.runtimes.export import export_all
from impasto.training.loop import chosen_precision
from impasto.training.processes import rank
from impasto.training.saving import save_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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


def _described(crops: Crops) -> dict[str, object]:
    return {
        "pictures": len(crops.files),
        "folders": sorted({path.parent.name for path in crops.files}),
        "unreadable": sorted(crops.unreadable),
    }
