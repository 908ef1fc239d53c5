from __future__ import annotations

import locale
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from impasto.errors import WeightsError
from impasto.runtimes.network_folder import network_folder
from impasto.runtimes.openvino_runtime import OpenVINORuntime


@pytest.mark.parametrize("cut", [0, 1, 1000, -1])
def test_a_damaged_network_is_named(cut, tmp_path):
    path = tmp_path / "measure.onnx"
    path.write_bytes((network_folder(None) / "measure.onnx").read_bytes()[:cut])
    with pytest.raises(WeightsError, match=r"^measure\.onnx is missing or damaged"):
        OpenVINORuntime(path)


def test_networks_that_are_read_at_once_leave_the_locale_as_it_was(tmp_path):
    before = locale.setlocale(locale.LC_ALL)
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: OpenVINORuntime(network_folder(None) / "measure.onnx", cache=tmp_path), range(40)):
            pass
    assert locale.setlocale(locale.LC_ALL) == before


LOAD = """
import resource, sys
from pathlib import Path
import psutil
from impasto.errors import OutOfMemoryError
from impasto.runtimes.openvino_import import openvino
from impasto.runtimes.openvino_runtime import OpenVINORuntime

limit = psutil.Process().memory_info().vms + 20_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    OpenVINORuntime(Path(sys.argv[1]))
except OutOfMemoryError as error:
    print(error)
"""


def test_a_network_is_not_called_damaged_where_openvino_cannot_load_its_own_libraries():
    network = network_folder(None) / "measure.onnx"
    done = subprocess.run([sys.executable, "-c", LOAD, network], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("the memory does not suffice for the network")
