"""What every runtime must do, on one small network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from impasto.errors import UsageError, WeightsError
from impasto.runtimes import RUNTIMES
from impasto.runtimes.torch_runtime import TorchRuntime

KERNEL = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3) / 27


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    """``result = conv(image, kernel) * factor``, for images of any size."""
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, "rows", "columns"])
    factor = onnx.helper.make_tensor_value_info("factor", onnx.TensorProto.FLOAT, [1, 1])
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, None)
    nodes = [
        onnx.helper.make_node("Conv", ["image", "kernel"], ["convolved"]),
        onnx.helper.make_node("Mul", ["convolved", "factor"], ["result"]),
    ]
    kernel = onnx.numpy_helper.from_array(KERNEL, "kernel")
    graph = onnx.helper.make_graph(nodes, "small", [image, factor], [result], [kernel])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    onnx.save(model, path)
    return path


def convolve(image: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(image, torch.from_numpy(KERNEL)) * factor


@pytest.fixture(params=["torch", *RUNTIMES.names])
def runtime(request, network_file, tmp_path):
    if request.param == "torch":
        return TorchRuntime(convolve, {"image": 4, "factor": 2}, ["result"])
    return RUNTIMES.load(request.param)(network_file, threads=1, precision="float32", cache=tmp_path)


def test_computes_for_pictures_of_any_size(runtime):
    random = np.random.default_rng(0)
    for rows, columns in ((5, 9), (40, 30), (5, 9)):
        image, factor = random.random((1, 3, rows, columns), dtype=np.float32), np.full((1, 1), 0.5, np.float32)
        result = runtime.run({"image": image, "factor": factor})
        assert list(result) == ["result"]
        expected = convolve(torch.from_numpy(image), torch.from_numpy(factor)).numpy()
        assert result["result"].dtype == np.float32
        np.testing.assert_allclose(result["result"], expected, rtol=1e-4)


def test_takes_arrays_in_any_memory_order(runtime):
    image = np.random.default_rng(0).random((1, 6, 7, 3), dtype=np.float32).transpose(0, 3, 1, 2)
    one = np.ones((1, 1), np.float32)
    results = [runtime.run({"image": each, "factor": one})["result"] for each in (image, np.ascontiguousarray(image))]
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_results_are_not_overwritten_by_the_next_run(runtime):
    one = np.ones((1, 1), np.float32)
    first = runtime.run({"image": np.ones((1, 3, 4, 4), np.float32), "factor": one})["result"]
    kept = first.copy()
    runtime.run({"image": np.zeros((1, 3, 4, 4), np.float32), "factor": one})
    np.testing.assert_array_equal(first, kept)


def test_runs_after_giving_back_its_memory(runtime):
    given = {"image": np.ones((1, 3, 40, 30), np.float32), "factor": np.ones((1, 1), np.float32)}
    before = runtime.run(given)["result"].copy()
    runtime.release()
    np.testing.assert_array_equal(runtime.run(given)["result"], before)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "the network takes image, factor; it was given nothing"),
        ({"image": np.ones((1, 3, 4, 4), np.float32)}, "the network takes image, factor; it was given image"),
        (
            {"image": np.ones((3, 4, 4), np.float32), "factor": np.ones((1, 1), np.float32)},
            "image has 3 dimensions; the network takes 4",
        ),
    ],
)
def test_wrong_inputs_are_refused(runtime, inputs, sentence):
    with pytest.raises(UsageError) as caught:
        runtime.run(inputs)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", RUNTIMES.names)
def test_a_damaged_file_is_refused(name, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    for path in (tmp_path / "broken.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(WeightsError, match=rf"{path.name} is missing or damaged.*install impasto again"):
            RUNTIMES.load(name)(path)
