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

from impasto.errors import NetworkFileError, OutOfMemoryError, needs_extra
from impasto.optimization.memory import ON_THE_CPU
from impasto.runtimes import check_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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


_ON_PROCESSOR = ["CPUExecutionProvider"]
_SHORTAGE = ("alloc", "memory")
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
        on_note: Callable[[str], None] = lambda note: None,
    ) -> None:
        """Open ``path``.

        Args:
            path: an ONNX file.
            threads: number of processor threads; 0 for all.
            precision: not used; computations are always in float32.
            cache: not used; sessions open quickly.
            shapes: not used.
            on_note: called if the memory of a graphics card does not suffice, and the processor goes on.

        Raises:
            NetworkFileError: the file is missing or damaged, or there is not enough memory to read it.
        """
        self._path = path
        self._on_note = on_note
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.log_severity_level = 3
        self._options.enable_mem_pattern = False  # sizes of pictures differ; DirectML demands it
        available = onnxruntime.get_available_providers()
        if "CUDAExecutionProvider" in available and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA comes in packages of Python, where the system does not look for it
        self._session = self._opened([name for name in _PROVIDERS if name in available])
        self._dimensions = {port.name: len(port.shape) for port in self._session.get_inputs()}
        self._outputs = [port.name for port in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Compute all outputs: see `impasto.runtimes.Runtime`."""
        check_inputs(inputs, self._dimensions)
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            outputs = self._session.run(self._outputs, arrays)
        except Exception as error:  # its errors have no common base class; the names and dimensions were checked above
            short = _is_shortage(error)
            if not short or self._session.get_providers() == _ON_PROCESSOR:
                text = next(iter(str(error).splitlines()), type(error).__name__)
                kind = OutOfMemoryError if short else NetworkFileError
                remedy = "choose a smaller size, or runtime 'openvino'"
                raise kind(f"ONNX Runtime cannot run the network here ({text[:80]}); {remedy}") from error
        else:
            return dict(zip(self._outputs, outputs, strict=True))
        # Not in the clause above, whose error keeps alive what the graphics card holds.
        del self._session
        self._on_note(ON_THE_CPU)
        self._session = self._opened(_ON_PROCESSOR)
        return self.run(inputs)

    def release(self) -> None:
        """Do nothing: a session cannot free its memory."""

    def _opened(self, providers: Sequence[str]) -> onnxruntime.InferenceSession:
        given = [(name, _PROVIDERS[name]) for name in providers]
        try:
            return onnxruntime.InferenceSession(str(self._path), self._options, given)
        except Exception as error:  # its errors have no common base class
            if providers == _ON_PROCESSOR or not _is_shortage(error):
                raise NetworkFileError(
                    f"{self._path.name} is missing or damaged, or the memory does not suffice for it; install impasto "
                    "again, or close other programs"
                ) from error
        self._on_note(ON_THE_CPU)
        return self._opened(_ON_PROCESSOR)


def _is_shortage(error: Exception) -> bool:
    return any(sign in str(error).lower() for sign in _SHORTAGE)
