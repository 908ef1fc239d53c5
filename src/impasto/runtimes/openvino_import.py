"""OpenVINO without its telemetry: ``from impasto.runtimes.openvino_import import openvino``.

No other module imports OpenVINO. On import, OpenVINO takes the package ``openvino_telemetry`` if it can, and otherwise
a stub of its own that does nothing. The package starts a process that sends an event to Google Analytics, and writes an
identifier into the home folder. None in `sys.modules` is Python's mark of a module that must not be imported, so
OpenVINO takes the stub and keeps it.

Afterwards `sys.modules` has the entry that it had before, and OpenVINO is complete. If the user has already imported
OpenVINO, nothing changes. Python executes a module once, under a lock, so this is safe with threads.
"""

from __future__ import annotations

import sys

_TELEMETRY = "openvino_telemetry"

_before = {name: module for name, module in sys.modules.items() if name == _TELEMETRY}
sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
try:
    import openvino
finally:
    sys.modules.pop(_TELEMETRY, None)
    sys.modules.update(_before)

__all__ = ["openvino"]
