"""The road ONNX -> Top -> Tpu -> bmodel, with its validations and what explains a failed one."""
