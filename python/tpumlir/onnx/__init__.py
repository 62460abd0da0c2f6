"""Import of ONNX models into the Top dialect, one module per family of operators."""
