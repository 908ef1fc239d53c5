"""Export of a trained network to ONNX graphs, which run without PyTorch, and a check that the results agree."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from impasto.errors import WeightsError
from impasto.files import write_whole
from impasto.gallery.style_file import GalleryStyle, write_style_file
from impasto.networks.checkpoint import load_any_network
from impasto.networks.conditional import ConditionalStylizer
from impasto.runtimes.network_folder import (
    DESCRIPTION_FILE,
    IDENTITY_FILE,
    GraphPorts,
    NetworkDescription,
    tensor_places,
)
from impasto.runtimes.openvino_runtime import OpenVINORuntime
from impasto.runtimes.torch_runtime import TorchRuntime

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.networks.base import Graph, PaintingNetwork
    from impasto.types import FloatArray

LARGEST_DIFFERENCE = 2 / 255
_SMALLEST_HALVED = 1024
_LARGEST_EXTENT = 1 << 16


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
