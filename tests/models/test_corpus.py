"""Real, pretrained models through the commands, with real inputs, stricter than by default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tpumlir import npz
from tpumlir.cli import model_deploy, model_runner, model_transform

MODELS = ("ppocr_cls", "opennsfw_r50", "mtcnn_onet", "oww_embedding")
TOLERANCE = "0.99999,0.9999"


@pytest.mark.corpus
@pytest.mark.parametrize("name", MODELS)
def test_every_stage_agrees(
    name: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model, inputs = str(corpus / f"{name}.onnx"), str(corpus / f"{name}.npz")
    judge = ["--test_input", inputs, "--tolerance", TOLERANCE, "--json"]
    shapes = str([list(value.shape) for value in npz.load(inputs).values()])
    transform = ["--model_def", model, "--model_name", name, "--input_shapes", shapes, "--mlir", "m.mlir"]
    assert model_transform.main([*transform, "--test_result", "top.npz", *judge]) == 0
    (top,) = json.loads(capsys.readouterr().out)["validations"]
    # More than the outputs: a validation that sees only them finds little.
    assert top["compared"] >= 20
    deploy = ["--mlir", "m.mlir", "--quantize", "F32", "--test_reference", "top.npz", "--model", "m.bmodel"]
    assert model_deploy.main([*deploy, *judge]) == 0
    tpu, bmodel = json.loads(capsys.readouterr().out)["validations"]
    assert tpu["compared"] >= 20
    assert bmodel["compared"] >= 1
    for suffix, file in (("onnx", model), ("bmodel", "m.bmodel")):
        assert model_runner.main(["--model", file, "--input", inputs, "--output", f"{suffix}.npz"]) == 0
    assert list(npz.load("bmodel.npz")) == list(npz.load("onnx.npz"))
