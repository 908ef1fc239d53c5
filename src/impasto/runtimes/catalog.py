"""Runtimes by name."""

from __future__ import annotations

from impasto.registry import Registry

RUNTIMES = Registry(
    "runtime",
    [
        ("openvino", "impasto.runtimes.openvino_runtime:OpenVINORuntime"),
        ("onnxruntime", "impasto.runtimes.onnx_runtime:OnnxRuntime"),
    ],
    extra="onnxruntime",
)
"""The runtime classes. Each is built from the path of an ONNX file."""
