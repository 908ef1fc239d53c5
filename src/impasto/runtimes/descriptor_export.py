"""Export of descriptor weights to the graphs that engines run without PyTorch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from impasto.descriptors.catalog import load_encoder
from impasto.descriptors.vgg import VGG
from impasto.errors import UsageError
from impasto.files import whole_folder
from impasto.losses.gradients import NeighborGraphs, StatisticsGraphs
from impasto.runtimes.descriptor_folder import graphs_folder
from impasto.runtimes.export import export
from impasto.runtimes.torch_runtime import TorchRuntime
from impasto.weights.safetensors_file import open_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from impasto.runtimes.base import Runtime
    from impasto.runtimes.descriptor_folder import GraphsOf

_WEIGHTS = "weights.safetensors"
_CARD = "card.json"
_FUNCTIONS: dict[GraphsOf, tuple[type[NeighborGraphs | StatisticsGraphs], str]] = {
    "neighbors": (NeighborGraphs, "conv4_1"),
    "statistics": (StatisticsGraphs, "conv5_1"),
}
"""Classes of graphs, each with the last convolution that it needs."""


def write_graphs(functions: NeighborGraphs | StatisticsGraphs, folder: Path, weights: Path) -> None:
    """Write the graphs of ``functions`` into ``folder``; they share the tensors of its file ``weights``."""
    for graph in functions.graphs():
        export(graph, folder / f"{graph.name}.onnx", weights)


def stored_graphs(
    name: str, graphs: GraphsOf, cache: Path, on_download: Callable[[int, int | None], None] | None = None
) -> Path:
    """Return the folder of the descriptor ``name``'s graphs; they are made once and kept in ``cache``.

    Raises:
        UnknownNameError: there is no such descriptor.
        WeightsError: its weights cannot be fetched or read.
        FileWriteError: the graphs cannot be kept.
        UsageError: it lacks layers that the graphs need.
    """
    network = load_encoder(name, on_download=on_download)
    functions, deepest = _FUNCTIONS[graphs]
    folder = cache / graphs_folder(network.identity, graphs)
    if folder.is_dir():
        return folder
    if f"{deepest}.weight" not in (tensors := network.tensors()):
        raise UsageError(f"descriptor {name!r} ends before {deepest}; choose a deeper one")
    needed = list(tensors)[: list(tensors).index(f"{deepest}.bias") + 1]
    with whole_folder(folder) as made:
        preprocessing = {name: json.dumps(getattr(network, name).flatten().tolist()) for name in ("mean", "std")}
        halved = {key: tensors[key].to(torch.float16).contiguous() for key in needed}
        save_file(halved, made / _WEIGHTS, preprocessing)
        write_graphs(functions(network), made, made / _WEIGHTS)
        (made / _CARD).write_text(json.dumps({"name": name, "sha256": network.identity}))
    return folder


def load_weights(path: Path) -> VGG:
    """Build the descriptor network from the weights file beside its graphs.

    Raises:
        WeightsFormatError: the file is damaged.
    """
    metadata, tensors = open_safetensors(path)
    return VGG("vgg19", tensors, mean=json.loads(metadata["mean"]), std=json.loads(metadata["std"]))


def on_device(folder: Path, graph: str, device: str) -> Runtime:
    """Return a runtime for a ``graph`` of the descriptor in ``folder``, in PyTorch on ``device``.

    Raises:
        UsageError: PyTorch cannot use the device.
    """
    (weights,) = folder.glob("*.safetensors")
    network = load_weights(weights)
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {device!r} cannot be used by this PyTorch; choose device cpu") from error
    (found,) = (each for each in NeighborGraphs(network).graphs() if each.name == graph)
    dimensions = {name: tensor.ndim for name, tensor in found.example.items()}
    return TorchRuntime(found.function, dimensions, found.outputs, device=device)
