"""From a trained network to the ONNX graphs that need no PyTorch, with proof that they do the same."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from impasto.errors import UsageError, WeightsError
from impasto.gallery.style_file import GalleryStyle, write_style_file
from impasto.images.atomic import write_whole
from impasto.networks.checkpoint import load_stylizer
from impasto.networks.conditional import NOISE_CHANNELS, STRIDE
from impasto.runtimes.network_folder import IDENTITY_FILE, WEIGHTS_FILE
from impasto.runtimes.openvino_runtime import OpenVINORuntime
from impasto.runtimes.torch_runtime import TorchRuntime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from impasto.descriptors.compact import CompactDescriptor
    from impasto.networks.arbitrary import ArbitraryStylizer
    from impasto.types import FloatArray

LARGEST_DIFFERENCE = 2 / 255
_SMALLEST_HALVED = 1024


@dataclass(frozen=True)
class Graph:
    """One ONNX file to be."""

    name: str
    module: nn.Module
    """Its forward's parameters are the inputs."""
    example: dict[str, Tensor]
    output: str
    sides: dict[str, int]
    """Inputs whose height and width may change together, and in what steps."""


class _Step(nn.Module):
    """A function as a module, with the weights of the networks it calls."""

    def __init__(self, networks: list[nn.Module], function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._function = function


class _Predict(_Step):
    def forward(self, style: Tensor) -> Tensor:
        return self._function(style)


class _Measure(_Step):
    def forward(self, image: Tensor, code: Tensor, noise: Tensor) -> Tensor:
        return self._function(image, code, noise)


class _Render(_Step):
    def forward(self, tile: Tensor, affine: Tensor, noise: Tensor) -> Tensor:
        return self._function(tile, affine, noise)


def graphs(network: ArbitraryStylizer, descriptor: CompactDescriptor) -> list[Graph]:
    """Return the three graphs of ``network``.

    - ``predict``: ``style`` (1, 3, H, W) to ``code`` (1, code_size);
    - ``measure``: ``image`` (1, 3, H, W), ``code`` and ``noise`` (1, C, H / 8, W / 8) to ``affine`` (1, code_size);
    - ``render``: ``tile`` (1, 3, H, W), ``affine`` and ``noise`` to ``painted`` (1, 3, H, W).
    """
    layers = network.predictor.layers
    image, noise = torch.rand(1, 3, 8 * STRIDE, 12 * STRIDE), torch.randn(1, NOISE_CHANNELS, 8, 12)
    with torch.no_grad():
        code = network.codes(descriptor.forward(image, layers))
        affine = network.transformer.measure(image, code, noise)

    def predict(style: Tensor) -> Tensor:
        return network.codes(descriptor.forward(style, layers))

    return [
        Graph(
            "predict", _Predict([network.predictor, descriptor], predict), {"style": image}, "code", {"style": STRIDE}
        ),
        Graph(
            "measure",
            _Measure([network.transformer], network.transformer.measure),
            {"image": image, "code": code, "noise": noise},
            "affine",
            {"image": STRIDE, "noise": 1},
        ),
        Graph(
            "render",
            _Render([network.transformer], network.transformer.render),
            {"tile": image, "affine": affine, "noise": noise},
            "painted",
            {"tile": STRIDE, "noise": 1},
        ),
    ]


def export(graph: Graph, path: Path, weights: Path | None = None) -> None:
    """Write ``graph`` to ``path``, an ONNX file with float16 weights that computes in float32.

    Tensors that the safetensors file ``weights`` holds, in the same folder, are not written again: ONNX allows tensors
    to be a part of another file.
    """
    dynamic: dict[str, dict[int, object] | None] = dict.fromkeys(graph.example)
    rows, columns = torch.export.Dim("rows", min=2, max=4096), torch.export.Dim("columns", min=2, max=4096)
    for name, steps in graph.sides.items():
        dynamic[name] = {2: steps * rows, 3: steps * columns}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses operators that we do not use
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        program = torch.onnx.export(
            graph.module.eval(),
            kwargs=graph.example,
            input_names=list(graph.example),
            output_names=[graph.output],
            dynamic_shapes=dynamic,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # as it is without dynamo
    model = program.model_proto
    _forget_origin(model)
    _halve_weights(model)
    if weights is not None:
        _share_weights(model, weights)
    write_whole(path, model.SerializeToString())


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about its source code: the names of this machine's folders are nobody's business."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _halve_weights(model: onnx.ModelProto) -> None:
    """Keep large float32 initialisers as float16, and cast them where they are used: runtimes fold the casts."""
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
    """Let tensors whose bytes stand in ``weights`` be read from there."""
    content = weights.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    places = {}
    for name, entry in json.loads(content[8:begin]).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            places[content[begin + first : begin + last]] = begin + first
    for tensor in model.graph.initializer:
        if (offset := places.get(tensor.raw_data)) is not None and tensor.data_type == onnx.TensorProto.FLOAT16:
            onnx.external_data_helper.set_external_data(tensor, weights.name, offset, len(tensor.raw_data))
            tensor.ClearField("raw_data")


def largest_difference(graph: Graph, path: Path) -> float:
    """Return how far the outputs of the ONNX file at ``path`` are from the network's own, for pictures of two sizes."""
    exported = OpenVINORuntime(path, precision="float32")
    own = TorchRuntime(graph.module, {name: tensor.ndim for name, tensor in graph.example.items()}, graph.output)
    random = np.random.default_rng(0)
    worst = 0.0
    for rows, columns in ((32, 32), (17, 41)):
        inputs: dict[str, FloatArray] = {name: tensor.numpy() for name, tensor in graph.example.items()}
        for name, steps in graph.sides.items():
            channels = graph.example[name].shape[1]
            inputs[name] = random.random((1, channels, steps * rows, steps * columns), dtype=np.float32)
        worst = max(worst, float(np.abs(exported.run(inputs)[graph.output] - own.run(inputs)[graph.output]).max()))
    return worst


def export_all(checkpoint: Path, descriptor: CompactDescriptor, folder: Path) -> dict[str, float]:
    """Write everything that painting needs into ``folder``; return how far the graphs are from the network.

    That is the weights of ``checkpoint``, as `WEIGHTS_FILE`, with their card; ``predict.onnx``, ``measure.onnx`` and
    ``render.onnx``, which share them; and `IDENTITY_FILE`, whose code changes nothing.

    Raises:
        WeightsFormatError: ``checkpoint`` holds no such network.
        UsageError: it was trained with another descriptor.
        WeightsError: what ``render`` paints differs by more than 2/255 from what the network does.
    """
    trained = load_stylizer(checkpoint)
    if trained.descriptor != descriptor.identity:
        raise UsageError(
            f"{checkpoint.name} was trained with another version of the compact descriptor; train it again"
        )
    weights = folder / WEIGHTS_FILE
    content = checkpoint.read_bytes()
    write_whole(weights, content)
    card = checkpoint.with_suffix(".json")
    if card.exists():
        write_whole(weights.with_suffix(".json"), card.read_bytes())
    differences = {}
    for graph in graphs(trained.network, descriptor):
        path = folder / f"{graph.name}.onnx"
        export(graph, path, weights)
        differences[graph.name] = largest_difference(graph, path)
        if graph.name == "render" and differences[graph.name] > LARGEST_DIFFERENCE:
            path.unlink()
            raise WeightsError(f"{path.name} differs from the network by {differences[graph.name]:.4f}; it is not kept")
    write_style_file(
        GalleryStyle(
            "identity", trained.network.identity.detach().numpy(), hashlib.sha256(content).hexdigest(), title="Identity"
        ),
        folder / IDENTITY_FILE,
    )
    return differences
