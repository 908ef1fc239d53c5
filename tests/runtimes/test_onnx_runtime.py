from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.fast import FastEngine
from impasto.engines.nnst import NnstEngine
from impasto.errors import ON_THE_CPU
from impasto.images import LazyPicture, read_picture
from impasto.options import FastOptions, NnstOptions
from impasto.runtimes.network_folder import network_folder
from impasto.runtimes.onnx_runtime import OnnxRuntime
from pretended_card import CPU, CUDA, OUT_OF_MEMORY, Card

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
    card = Card(monkeypatch)
    OnnxRuntime(network_folder(None) / "predict.onnx")
    OnnxRuntime(network_folder(None) / "predict.onnx", accelerated=False)
    assert card.opened == [[CUDA, CPU], [CPU]]


@pytest.mark.parametrize(
    ("card", "note"),
    [
        ({"opening": "CUDA failure 2: out of memory ; GPU=0"}, ON_THE_CPU),
        ({"running": OUT_OF_MEMORY}, ON_THE_CPU),
        (
            {"opening": "CUDA failure 35: driver too old\nat line 1"},
            "the GPU cannot be used (CUDA failure 35: driver too old); painting goes on on the processor",
        ),
        ({"is_used": False}, "the GPU cannot be used; painting goes on on the processor"),
    ],
)
@pytest.mark.parametrize("engine", ["fast", "nnst"])
def test_the_processor_goes_on_without_the_gpu_and_says_so_once(
    monkeypatch, capsys, photo, painting, engine, card, note
):
    content, style = (read_picture(path) for path in (photo, painting))
    kind = {
        "fast": partial(FastEngine, FastOptions(runtime="onnxruntime", size=128)),
        "nnst": partial(NnstEngine, NnstOptions(runtime="onnxruntime", size=128, steps=9)),
    }[engine]

    def painted(notes):
        inputs = StylizeInputs(LazyPicture.of(content), (Style(style),))
        return kind().stylize(inputs, on_step=lambda step: notes.append(step.note)).pixels

    expected = painted([])
    opened, notes = Card(monkeypatch, **card).opened, []
    assert np.array_equal(painted(notes), expected)
    assert list(filter(None, notes)) == [note]
    assert sum(CUDA in names for names in opened) == 1
    assert capsys.readouterr().out == ""
