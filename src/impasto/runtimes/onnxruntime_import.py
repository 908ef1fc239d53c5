"""ONNX Runtime without its telemetry: ``from impasto.runtimes.onnxruntime_import import onnxruntime``.

No other module imports ONNX Runtime. Its official builds collect events, keep them in the user's cache folder with an
identifier of the machine, and send them to Microsoft. To prevent this, this module sets
``ORT_DISABLE_TELEMETRY`` while the library is loaded, and then restores the environment. The call of
``disable_telemetry_events`` is for builds that do not know the variable, and for a library that the user has already
loaded.
"""

from __future__ import annotations

import os

_SWITCH = "ORT_DISABLE_TELEMETRY"

_before = os.environ.get(_SWITCH)
os.environ[_SWITCH] = "1"
try:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
finally:
    if _before is None:
        os.environ.pop(_SWITCH, None)
    else:
        os.environ[_SWITCH] = _before

__all__ = ["onnxruntime"]
