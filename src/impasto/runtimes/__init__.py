"""Runtimes of trained networks: OpenVINO or ONNX Runtime for ONNX files, PyTorch for the network itself."""
