"""Models as ONNX graphs, operator by operator, and graphs loaded again with onnxruntime."""
