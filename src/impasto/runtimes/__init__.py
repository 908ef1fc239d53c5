"""Who runs a trained network: ONNX files through OpenVINO or ONNX Runtime, or the network itself through PyTorch."""
