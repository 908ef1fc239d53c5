from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.fast import FastEngine
from impasto.images import LazyPicture, read_picture
from impasto.optimization.memory import ON_THE_CPU
from impasto.options import FastOptions
from impasto.runtimes.network_folder import network_folder
from impasto.runtimes.onnx_runtime import OnnxRuntime

SHORTAGE = """
import resource, sys
from pathlib import Path
import numpy as np
import psutil
from impasto.errors import OutOfMemoryError
from impasto.runtimes.onnx_runtime import OnnxRuntime

runtime = OnnxRuntime(Path(sys.argv[1]), threads=1)
style = np.zeros((1, 3, 1536, 1536), np.float32)
limit = psutil.Process().memory_info().vms + 50_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    runtime.run({"style": style})
except OutOfMemoryError as error:
    print(error)
"""


def test_a_shortage_of_memory_is_said_in_a_sentence():
    command = [sys.executable, "-c", SHORTAGE, network_folder(None) / "predict.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ONNX Runtime cannot run the network here (")
    assert done.stdout.endswith("); choose a smaller size, or runtime 'openvino'\n")


def test_a_gpu_is_preferred_and_tensorrt_left_alone(monkeypatch):
    """Which providers a session gets where the library has been built for CUDA."""
    given = []
    session = onnxruntime.InferenceSession
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)

    def opened(path, options, providers):
        given.extend(providers)
        return session(path, options, ["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    OnnxRuntime(network_folder(None) / "predict.onnx")
    assert [name for name, _ in given] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


class FullCard:
    """A session whose graphics card is full, ``when`` it is opened or run; on the processor, a real one."""

    when = "run"

    def __init__(self, path, options, providers):
        self._on_card = providers[0][0] != "CPUExecutionProvider"
        if self._on_card and self.when == "opened":
            raise RuntimeError("CUDA failure 2: out of memory ; GPU=0")
        self._real = REAL_SESSION(path, options, ["CPUExecutionProvider"])

    def __getattr__(self, name):
        return getattr(self._real, name)

    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"] if self._on_card else ["CPUExecutionProvider"]

    def run(self, outputs, inputs):
        if self._on_card:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 402653184")
        return self._real.run(outputs, inputs)


REAL_SESSION = onnxruntime.InferenceSession


@pytest.mark.parametrize("when", ["opened", "run"])
def test_the_processor_goes_on_when_a_graphics_card_is_full(monkeypatch, photo, painting, when):
    content, style = (read_picture(path) for path in (photo, painting))
    options = FastOptions(runtime="onnxruntime", size=128)

    def painted(notes):
        inputs = StylizeInputs(LazyPicture.of(content), (Style(style),))
        return FastEngine(options).stylize(inputs, on_step=lambda step: notes.append(step.note)).pixels

    expected = painted([])
    monkeypatch.setattr(FullCard, "when", when)
    monkeypatch.setattr(onnxruntime, "InferenceSession", FullCard)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    notes = []
    assert np.array_equal(painted(notes), expected)
    assert notes == [ON_THE_CPU]
