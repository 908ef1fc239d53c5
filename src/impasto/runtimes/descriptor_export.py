"""Export of descriptor weights to the graphs that engines run without PyTorch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.devices import choose_device
from impasto.descriptors.vgg import VGG
from impasto.errors import UsageError
from impasto.files import whole_folder
from impasto.losses.gradients import NeighborGraphs, StatisticsGraphs
from impasto.runtimes.export import export
from impasto.runtimes.network_folder import graphs_folder
from impasto.runtimes.torch_runtime import TorchRuntime
from impasto.weights.safetensors_file import open_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from impasto.runtimes import Runtime
    from impasto.runtimes.network_folder import GraphsOf

_WEIGHTS = "weights.safetensors"
_CARD = "card.json"
_DEEPEST: dict[GraphsOf, str] = {"neighbors": "conv4_1", "statistics": "conv5_1"}
"""Deepest convolution used by each kind of graph."""


def write_graphs(functions: NeighborGraphs | StatisticsGraphs, folder: Path, weights: Path) -> None:
    """Write each graph of ``functions`` into ``folder`` as an ONNX file.

    All refer to the tensors in ``weights``, a file in the same folder.
    """
    for graph in functions.graphs():
        export(graph, folder / f"{graph.name}.onnx", weights)


def stored_graphs(
    name: str, graphs: GraphsOf, cache: Path, on_download: Callable[[int, int | None], None] | None = None
) -> Path:
    """Return the folder with the graphs of the descriptor ``name``, which are made on first use and kept in ``cache``.

    Raises:
        UnknownNameError: there is no such descriptor.
        WeightsError: its weights cannot be fetched or read.
        FileWriteError: the graphs cannot be written.
        UsageError: the descriptor lacks layers that the graphs need.
    """
    found = load_descriptor(name, on_download=on_download)
    network = found if isinstance(found, VGG) else found.narrow
    deepest = _DEEPEST[graphs]
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
        functions = NeighborGraphs(network) if graphs == "neighbors" else StatisticsGraphs(found)
        write_graphs(functions, made, made / _WEIGHTS)
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
    """Return a runtime that computes ``graph``, one of `NeighborGraphs`, with PyTorch on ``device``.

    The weights are in ``folder``.

    Raises:
        UsageError: PyTorch cannot use the device.
    """
    chosen = choose_device(device)
    (weights,) = folder.glob("*.safetensors")
    network = load_weights(weights)
    (found,) = (each for each in NeighborGraphs(network).graphs() if each.name == graph)
    network.to(chosen)  # only now: the graphs' example inputs above are computed on the CPU
    dimensions = {name: tensor.ndim for name, tensor in found.example.items()}
    return TorchRuntime(found.function, dimensions, found.outputs, device=chosen)
