"""Real, pretrained models in F16 and BF16: every validation, and the final outputs against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tpumlir.compare import Tolerance, compare
from tpumlir.compile import compile_onnx
from tpumlir.onnx.load import load
from tpumlir.runner import run_onnx

MODELS = ("ppocr_cls", "opennsfw_r50", "mtcnn_onet", "oww_embedding", "edsr_x2")
# Of the final outputs, against the original model; the euclid is what the cosine leaves room for.
FINAL = {"F16": Tolerance(0.9999, 0.98), "BF16": Tolerance(0.999, 0.95)}


@pytest.mark.corpus
@pytest.mark.parametrize("precision", FINAL)
@pytest.mark.parametrize("name", MODELS)
def test_final_outputs_agree_with_onnxruntime(name: str, precision: str, corpus: Path) -> None:
    model = corpus / f"{name}.onnx"
    with np.load(corpus / f"{name}.npz") as archive:
        inputs = dict(archive)
    result = compile_onnx(model, quantize=precision, test_input=inputs)
    for verdict in result.validations:
        verdict.raise_if_failed()
    names = [spec.name for spec in result.bmodel.outputs]
    got = result.bmodel.run({spec.name: inputs[spec.name] for spec in result.bmodel.inputs})
    compare(got, run_onnx(load(model), inputs, names), tolerance=FINAL[precision]).raise_if_failed()
