"""How near the graphs of `nnst` come to what the machine can do: shares of its measured ceilings, layer by layer.

    python benchmarks/ceiling.py [--descriptor compact] [--precision float32] [--side 512] [--runs 9]

Ceilings: the rate of a 3x3 convolution of 256 to 256 channels at 128x128 positions, and of copying 256 MiB. The bound
of a convolution is the larger of its arithmetic and of its traffic at these rates, if it reads its input and weights
once and writes its output once, and all other operations are fused into it. Times of layers are OpenVINO's own.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from impasto.engines.feature_distance import LAYER_STEPS
from impasto.runtimes.openvino_import import openvino
from impasto.weights.location import BUNDLED_DESCRIPTORS

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANNELS, _POSITIONS = 256, 128
_COPIED = 1 << 28
_BYTES = {"float32": 4, "bfloat16": 2}


def timed(work: Callable[[], Any], runs: int) -> float:
    """Return the median time of ``work`` in seconds."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times[1:])


def compiled(model: Any, precision: str) -> Any:
    """Compile ``model`` so that it measures its layers."""
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, "PERF_COUNT": True}
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()


def convolution_rate(precision: str, runs: int) -> float:
    """Return the multiplications and additions in a second of one large convolution."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, _CHANNELS, _POSITIONS, _POSITIONS])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, _CHANNELS, _POSITIONS, _POSITIONS])
    filters = np.random.default_rng(0).normal(size=(_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "filters"], ["result"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "one", [image], [result], [numpy_helper.from_array(filters, "filters")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    request = compiled(openvino.Core().read_model(model.SerializeToString()), precision)
    pixels = np.ones((1, _CHANNELS, _POSITIONS, _POSITIONS), np.float32)
    request.infer([pixels])
    seconds = []
    for _ in range(runs):
        request.infer([pixels])
        seconds.append(sum(_seconds(node) for node in request.profiling_info if node.node_type == "Convolution"))
    return float(2 * _CHANNELS**2 * 9 * _POSITIONS**2 / median(seconds))


def copy_rate(runs: int) -> float:
    """Return the bytes in a second that are read and written while memory is copied."""
    source, target = np.ones(_COPIED, np.uint8), np.empty(_COPIED, np.uint8)
    return 2 * _COPIED / timed(lambda: np.copyto(target, source), runs)


def _seconds(node: Any) -> float:
    return float(node.real_time.total_seconds())


def inputs_of(model: Any, side: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return inputs for a picture of ``side`` x ``side`` pixels."""
    random, steps = np.random.default_rng(0), {**LAYER_STEPS, "target": 4, "own": 8}
    arrays = {}
    for port in model.inputs:
        name, shape = port.any_name, port.partial_shape
        if len(shape) == 1:
            arrays[name] = np.full(shape[0].get_length(), 1e-4, np.float32)
        else:
            length = side // steps.get(name, 1)
            channels = shape[1].get_length() if shape[1].is_static else 1
            arrays[name] = random.random((1, channels, length, length), np.float32)
    return arrays


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--descriptor", default="compact")
    parser.add_argument("--precision", default="float32", choices=_BYTES)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    arithmetic, traffic = convolution_rate(given.precision, given.runs), copy_rate(given.runs)
    print(f"Ceilings in {given.precision}: {arithmetic / 1e9:.0f} GFLOPS, {traffic / 1e9:.1f} GB/s.\n")
    for graph in ("see_hypercolumns", "see_layers", "match_layers", "match_hypercolumns"):
        path = BUNDLED_DESCRIPTORS / given.descriptor / f"{graph}.onnx"
        model = openvino.Core().read_model(path)
        arrays = inputs_of(model, given.side)
        model.reshape({name: list(array.shape) for name, array in arrays.items()})
        bounds = {}
        for layer in model.get_ops():
            if layer.get_type_name() == "Convolution":
                filters = list(layer.get_input_shape(1))
                shapes = [list(layer.get_input_shape(0)), filters, list(layer.get_output_shape(0))]
                moved = sum(float(np.prod(shape)) for shape in shapes) * _BYTES[given.precision]
                work = 2 * float(np.prod(filters)) * float(np.prod(shapes[2][2:]))
                bounds[layer.get_friendly_name()] = (work / arithmetic, moved / traffic)
        request = compiled(model, given.precision)
        whole = timed(lambda request=request, arrays=arrays: request.infer(arrays), given.runs)  # type: ignore[misc]
        found = [(node.node_name, node.node_type, _seconds(node)) for node in request.profiling_info]
        spent = sum(seconds for _, _, seconds in found)
        convolutions = [(name, seconds) for name, kind, seconds in found if kind == "Convolution" and seconds]
        bound = sum(max(each) for each in bounds.values())
        print(f"| `{graph}` | ms | bound, ms | share |\n|---|---|---|---|")
        for name, seconds in convolutions:
            if name in bounds:
                limit = max(bounds[name])
                print(f"| {name} | {1e3 * seconds:.1f} | {1e3 * limit:.1f} | {limit / seconds:.0%} |")
        others = spent - sum(seconds for _, seconds in convolutions)
        print(
            f"| all else | {1e3 * others:.1f} | 0 | |\n| **whole** | {1e3 * whole:.1f} | {1e3 * bound:.1f} | ", end=""
        )
        print(f"{bound / whole:.0%} |\n")
        slow = sorted(((seconds, kind, name) for name, kind, seconds in found if kind != "Convolution"), reverse=True)
        print(", ".join(f"{kind} {name} {1e3 * seconds:.1f} ms" for seconds, kind, name in slow[:6]), "\n")


if __name__ == "__main__":
    main()
