"""Export of networks and descriptors to ONNX graphs, which run without PyTorch, and a check that the results agree."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from safetensors.torch import save_file

from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.devices import choose_device
from impasto.descriptors.vgg import VGG
from impasto.errors import UsageError, WeightsError
from impasto.files import whole_folder, write_whole
from impasto.gallery.style_file import GalleryStyle, write_style_file
from impasto.losses.gradients import NeighborGraphs, StatisticsGraphs
from impasto.networks.checkpoint import load_any_network
from impasto.networks.conditional import ConditionalStylizer
from impasto.runtimes.network_folder import (
    DESCRIPTION_FILE,
    IDENTITY_FILE,
    GraphPorts,
    NetworkDescription,
    graphs_folder,
    tensor_places,
)
from impasto.runtimes.openvino_runtime import OpenVINORuntime
from impasto.runtimes.torch_runtime import TorchRuntime
from impasto.weights.safetensors_file import open_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from impasto.networks.base import Graph, PaintingNetwork
    from impasto.runtimes import Runtime
    from impasto.runtimes.network_folder import GraphsOf
    from impasto.types import FloatArray

LARGEST_DIFFERENCE = 2 / 255
_SMALLEST_HALVED = 1024
_LARGEST_EXTENT = 1 << 16

_WEIGHTS = "weights.safetensors"
_CARD = "card.json"
_DEEPEST: dict[GraphsOf, str] = {"neighbors": "conv4_1", "statistics": "conv5_1"}
"""Deepest convolution used by each kind of graph."""


def export(graph: Graph, path: Path, weights: Path | None = None) -> None:
    """Write ``graph`` to ``path``, an ONNX file with float16 weights that computes in float32.

    Tensors that the safetensors file ``weights`` in the same folder holds are not written again. The graph refers to
    them as external data.
    """
    counted = {name for sides in graph.sides.values() for name, _ in sides.values()}
    extents = {name: torch.export.Dim(name, min=2, max=_LARGEST_EXTENT) for name in counted}
    dynamic: dict[str, dict[int, object] | None] = dict.fromkeys(graph.example)
    for name, sides in graph.sides.items():
        dynamic[name] = {axis: step * extents[what] for axis, (what, step) in sides.items()}
    for talkative in ("torch.onnx", "onnxscript"):  # they warn about operators that we do not use
        logging.getLogger(talkative).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's warnings about its own code
        program = torch.onnx.export(
            graph.module.eval(),
            kwargs=dict(graph.example),
            input_names=list(graph.example),
            output_names=list(graph.outputs),
            dynamic_shapes=dynamic,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is None only without dynamo
    model = program.model_proto
    _forget_origin(model)
    _halve_weights(model)
    if weights is not None:
        _share_weights(model, weights)
    write_whole(path, model.SerializeToString())


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes on source code, because they disclose the names of folders on this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _halve_weights(model: onnx.ModelProto) -> None:
    """Store large float32 initialisers as float16, and cast them where they are used; runtimes fold the casts."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < _SMALLEST_HALVED:
            continue
        name = tensor.name
        halved = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half")
        casts.append(onnx.helper.make_node("Cast", [halved.name], [name], to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(halved)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _share_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Replace tensors whose bytes are in ``weights`` by references to that file."""
    content = weights.read_bytes()
    places = {content[place.begin : place.end]: place.begin for place in tensor_places(content).values()}
    for tensor in model.graph.initializer:
        if (offset := places.get(tensor.raw_data)) is not None and tensor.data_type == onnx.TensorProto.FLOAT16:
            onnx.external_data_helper.set_external_data(tensor, weights.name, offset, len(tensor.raw_data))
            tensor.ClearField("raw_data")


def largest_difference(graph: Graph, path: Path) -> float:
    """Return the largest difference between the outputs of the ONNX file and the network, for pictures of two sizes."""
    exported = OpenVINORuntime(path, precision="float32")
    own = TorchRuntime(graph.module, {name: tensor.ndim for name, tensor in graph.example.items()}, graph.outputs)
    random = np.random.default_rng(0)
    worst = 0.0
    for rows, others in ((32, 32), (17, 41)):
        inputs: dict[str, FloatArray] = {name: tensor.numpy() for name, tensor in graph.example.items()}
        for name, sides in graph.sides.items():
            shape = list(graph.example[name].shape)
            for axis, (what, step) in sides.items():
                shape[axis] = step * (rows if what == "rows" else others)
            inputs[name] = random.random(shape, dtype=np.float32)
        found, expected = exported.run(inputs), own.run(inputs)
        worst = max(worst, *(float(np.abs(found[name] - expected[name]).max()) for name in graph.outputs))
    return worst


def export_all(checkpoint: Path, folder: Path) -> dict[str, float]:
    """Write all files that painting needs into ``folder``; return the differences between the graphs and the network.

    The files are the weights of ``checkpoint`` with their card, an ONNX file for each graph of the network, and the
    description. The graphs share the weights. A conditional stylizer also gets `IDENTITY_FILE`, whose code leaves
    pictures unchanged.

    Raises:
        WeightsFormatError: ``checkpoint`` holds no network.
        UsageError: the network was trained with another descriptor.
        WeightsError: the output of ``render`` differs by more than 2/255 from that of the network.
    """
    network = load_any_network(checkpoint)
    graphs = network.graphs()
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / network.file_name
    for source, target in ((checkpoint, weights), (checkpoint.with_suffix(".json"), weights.with_suffix(".json"))):
        if source.exists() and source.resolve() != target.resolve():
            write_whole(target, source.read_bytes())
    differences = {}
    for graph in graphs:
        path = folder / f"{graph.name}.onnx"
        export(graph, path, weights)
        differences[graph.name] = largest_difference(graph, path)
        if graph.name == "render" and differences[graph.name] > LARGEST_DIFFERENCE:
            path.unlink()
            raise WeightsError(f"{path.name} differs from the network by {differences[graph.name]:.4f}; it is not kept")
    described = describe(network, weights)
    write_whole(folder / DESCRIPTION_FILE, described.model_dump_json(indent=1).encode() + b"\n")
    if isinstance(network, ConditionalStylizer):
        style = GalleryStyle("identity", network.identity.detach().numpy(), described.sha256, title="Identity")
        write_style_file(style, folder / IDENTITY_FILE)
    return differences


def describe(network: PaintingNetwork, weights: Path) -> NetworkDescription:
    """Describe the export of ``network`` with its file ``weights``. The licence is on the card beside that file."""
    card = weights.with_suffix(".json")
    return NetworkDescription(
        architecture=network.architecture,
        weights=weights.name,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        license=json.loads(card.read_text()).get("license") if card.exists() else None,
        stride=network.stride,
        halo=network.halo,
        noise_channels=network.noise_channels,
        graphs={
            graph.name: GraphPorts(inputs=tuple(graph.example), outputs=tuple(graph.outputs))
            for graph in network.graphs()
        },
    )


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
