"""The default runtime: OpenVINO, the fastest on x86 and ARM processors."""

from __future__ import annotations

import functools
import os
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import NetworkFileError, OutOfMemoryError
from impasto.runtimes import check_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from impasto.runtimes import Precision
    from impasto.runtimes.openvino_import import openvino
    from impasto.types import FloatArray


_SHORTAGE = "the memory does not suffice for the network; choose a smaller size, or close other programs"

_LOADING = Lock()
"""OpenVINO sets the locale of the process to C while it reads a network, and then restores it. If two threads read at
once, it may stay at C, and Python then decodes files as ASCII."""
_UNTOUCHED = np.float32(-1e30)
"""Marker value that no network computes."""


class OpenVINORuntime:
    """A compiled ONNX file."""

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 0,
        precision: Precision = "auto",
        cache: Path | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        accelerated: bool = True,
    ) -> None:
        """Compile ``path``.

        Args:
            path: an ONNX file.
            threads: number of processor threads; 0 for all.
            precision: 'auto' takes bfloat16 on processors that support it.
            cache: a folder for compiled networks, which makes the next start faster.
            shapes: shapes of all inputs, by name, if they never change; this saves about half of the memory.
            accelerated: not used; computations are always on the processor.

        Raises:
            NetworkFileError: the file is missing or damaged, or there is not enough memory to read it.
            OutOfMemoryError: there is not enough memory.
        """
        del accelerated
        # With pinning, several networks or processes would all compute on the first processors.
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        if precision != "auto":
            settings["INFERENCE_PRECISION_HINT"] = {"float32": "f32", "bfloat16": "bf16"}[precision]
        if cache is not None and _is_writable(cache):
            settings["CACHE_DIR"] = str(cache)
        try:
            with _LOADING:
                self._network = _compiled(path, settings, shapes)
            self._request: Any = self._network.create_infer_request()
        except RuntimeError as error:
            if _lacks_memory(str(error)):
                raise OutOfMemoryError(_SHORTAGE) from error
            raise NetworkFileError(
                f"{path.name} is missing or damaged, or the memory does not suffice for it; install impasto again, or "
                "close other programs"
            ) from error
        self._dimensions = {port.any_name: len(port.partial_shape) for port in self._network.inputs}

    def run(self, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Compute all outputs: see `impasto.runtimes.Runtime`."""
        check_inputs(inputs, self._dimensions)
        try:
            if self._request is None:
                self._request = self._network.create_infer_request()
            # With too little memory, OpenVINO may fail without an error and leave the previous outputs in place.
            for tensor in self._request.output_tensors:
                tensor.data.reshape(-1)[:1] = _UNTOUCHED
            arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
            found = self._request.infer(arrays, share_inputs=True)
        except RuntimeError as error:  # the names and dimensions were checked above
            raise OutOfMemoryError(
                f"OpenVINO cannot run the network here ({str(error).splitlines()[0][:80]}); choose a smaller size"
            ) from error
        outputs = {port.any_name: np.array(array) for port, array in found.items()}
        if any(array.size == 0 or array.flat[0] == _UNTOUCHED for array in outputs.values()):
            raise OutOfMemoryError(_SHORTAGE)
        return outputs

    def release(self) -> None:
        """Free the memory of the last run: see `impasto.runtimes.Runtime`."""
        self._request = None  # it holds inputs and outputs; the next run makes another
        self._network.release_memory()


def _compiled(path: Path, settings: dict[str, Any], shapes: Mapping[str, Sequence[int]] | None) -> Any:
    core = _core()
    if shapes is None:
        return core.compile_model(str(path), "CPU", settings)
    model = core.read_model(str(path))
    model.reshape({name: list(shape) for name, shape in shapes.items()})
    return core.compile_model(model, "CPU", settings)


@functools.cache
def _core() -> openvino.Core:
    """Return OpenVINO's entry point, one for the process.

    Its CPU plugin sets this thread's signal stack, and frees that stack when the last object that uses the plugin is
    gone. The next Ctrl-C would then end the process by a segmentation fault. So the plugin is kept.
    """
    from impasto.runtimes.openvino_import import openvino

    return openvino.Core()


def _lacks_memory(text: str) -> bool:
    """Return True if OpenVINO failed for lack of memory, which may even keep it from loading its own libraries."""
    _, known, readers = text.partition("Available frontends:")
    signs = ("allocate memory", "bad_alloc", "Cannot load library")
    return any(sign in text for sign in signs) or bool(known and "onnx" not in readers)


def _is_writable(folder: Path) -> bool:
    """Create ``folder`` if it is missing; return True if it is writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
