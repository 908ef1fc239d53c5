"""ONNX Runtime, without its telemetry: for processors and accelerators that OpenVINO does not support.

No other module imports ONNX Runtime. Its official builds collect events, keep them in the user's cache folder with an
identifier of the machine, and send them to Microsoft. To prevent this, this module sets
``ORT_DISABLE_TELEMETRY`` while the library is loaded, and then restores the environment. The call of
``disable_telemetry_events`` is for builds that do not know the variable, and for a library that the user has already
loaded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from impasto.errors import ON_THE_CPU, NetworkFileError, OutOfMemoryError, needs_extra
from impasto.runtimes import AcceleratorError, check_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from impasto.runtimes import Precision
    from impasto.types import FloatArray

_SWITCH = "ORT_DISABLE_TELEMETRY"
_PROVIDERS: dict[str, dict[str, str]] = {
    # Otherwise each new size of a picture is a trial of all algorithms, which takes seconds.
    "CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC"},
    "DmlExecutionProvider": {},
    "CoreMLExecutionProvider": {},
    "CPUExecutionProvider": {},
}
"""Providers that are used if they are there, in this order, with their options. TensorRT would compile for minutes."""

_before = os.environ.get(_SWITCH)
os.environ[_SWITCH] = "1"
try:
    with needs_extra("runtime 'onnxruntime'", "onnxruntime"):
        import onnxruntime

    onnxruntime.disable_telemetry_events()
finally:
    if _before is None:
        os.environ.pop(_SWITCH, None)
    else:
        os.environ[_SWITCH] = _before


_PROCESSOR = "CPUExecutionProvider"
_SHORTAGE = ("alloc", "out of memory", "not enough memory")
"""Words of messages about a shortage of memory, of processors or graphics cards."""


class OnnxRuntime:
    """An ONNX file in an ONNX Runtime session."""

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
        """Open ``path``.

        Args:
            path: an ONNX file.
            threads: number of processor threads; 0 for all.
            precision: not used; computations are always in float32.
            cache: not used; sessions open quickly.
            shapes: not used.
            accelerated: True to compute on a graphics card if there is one.

        Raises:
            NetworkFileError: the file is missing or damaged, or there is not enough memory to read it.
            AcceleratorError: a graphics card cannot run the network.
        """
        available = onnxruntime.get_available_providers() if accelerated else [_PROCESSOR]
        given = [(name, _PROVIDERS[name]) for name in _PROVIDERS if name in available]
        if "CUDAExecutionProvider" in available and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA comes in packages of Python, where the system does not look for it
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # sizes of pictures differ; DirectML demands it
        self._accelerated = given[0][0] != _PROCESSOR
        try:
            # Its own fallback to the processor would print to stdout.
            self._session = onnxruntime.InferenceSession(str(path), options, given, enable_fallback=False)
        except Exception as error:  # its errors have no common base class
            if self._accelerated:
                raise _of_gpu(error) from error
            raise NetworkFileError(
                f"{path.name} is missing or damaged, or the memory does not suffice for it; install impasto again, or "
                "close other programs"
            ) from error
        if given[0][0] not in self._session.get_providers():  # libraries of the card or its driver are missing
            raise AcceleratorError("the GPU cannot be used; painting goes on on the processor")
        self._dimensions = {port.name: len(port.shape) for port in self._session.get_inputs()}
        self._outputs = [port.name for port in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Compute all outputs: see `impasto.runtimes.Runtime`."""
        check_inputs(inputs, self._dimensions)
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            outputs = self._session.run(self._outputs, arrays)
        except Exception as error:  # its errors have no common base class; the names and dimensions were checked above
            if self._accelerated:
                raise _of_gpu(error) from error
            kind = OutOfMemoryError if _is_shortage(error) else NetworkFileError
            remedy = "choose a smaller size, or runtime 'openvino'"
            raise kind(f"ONNX Runtime cannot run the network here ({_first_line(error)}); {remedy}") from error
        return dict(zip(self._outputs, outputs, strict=True))

    def release(self) -> None:
        """Do nothing: a session cannot free its memory."""


def _of_gpu(error: Exception) -> AcceleratorError:
    if _is_shortage(error):
        return AcceleratorError(ON_THE_CPU)
    return AcceleratorError(f"the GPU cannot be used ({_first_line(error)}); painting goes on on the processor")


def _is_shortage(error: Exception) -> bool:
    return any(sign in str(error).lower() for sign in _SHORTAGE)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:80]
