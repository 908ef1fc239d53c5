from __future__ import annotations

import subprocess
import sys

import onnxruntime

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
