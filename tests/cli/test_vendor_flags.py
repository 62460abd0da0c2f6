"""Command lines of TPU-MLIR: each flag is taken, refused with what to do, or said to change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onnx
from command_line import run
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with a model that takes pictures, and pictures."""
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["features"], strides=[2, 2]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        tmp_path / "m.onnx",
    )
    (tmp_path / "image").mkdir()
    for number in range(3):
        pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "image" / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


TRANSFORM = (
    "model_transform.py", "--model_name", "m", "--model_def", "./m.onnx", "--input_shapes=[[1,3,16,16]]",
    "--mlir", "m.mlir",
)  # fmt: skip


def test_the_road_of_the_quick_start(capsys: pytest.CaptureFixture[str]) -> None:
    pictures = (
        "--mean", "0.0,0.0,0.0", "--scale", "0.0039216,0.0039216,0.0039216", "--keep_aspect_ratio",
        "--pixel_format", "rgb", "--output_names", "active,out",
    )  # fmt: skip
    first = ("--test_input", "image/0.jpg", "--test_result", "m_top_outputs.npz", "--excepts", "-")
    assert run(*TRANSFORM, *pictures, *first, "--tolerance", "0.99,0.99") == 0
    calibrated = ("--dataset", "image", "--input_num", "3", "--tune_num", "0", "-o", "m_cali_table")
    assert run("run_calibration.py", "m.mlir", *calibrated, "--processor", "bm1684x") == 0
    deploy = ("model_deploy.py", "--mlir", "m.mlir", "--test_reference", "m_top_outputs.npz")
    for words in (
        ("--quantize", "f16", "--processor", "bm1684x", "--test_input", "image/0.jpg", "--compare_all"),
        ("--quantize", "INT8", "--calibration_table", "m_cali_table", "--chip", "BM1684X", "--test_input",
         "image/0.jpg", "--tolerance", "0.85,0.45", "--quant_input", "--quant_output"),
    ):  # fmt: skip
        assert run(*deploy, *words, "--model", "m.bmodel") == 0, capsys.readouterr().err
    npz.save("in.npz", {"images": npz.load("m_top_outputs.npz")["images"]})
    for model, output in (("m.onnx", "onnx.npz"), ("m.mlir", "top.npz"), ("m.bmodel", "bmodel.npz")):
        assert run("model_runner.py", "--input", "in.npz", "--model", model, "--output", output) == 0
    assert run("npz_tool.py", "compare", "bmodel.npz", "onnx.npz", "--tolerance", "0.9,0.5", "-vv") in {0, 1}
    assert run("npz_tool.py", "compare", "top.npz", "m_top_outputs.npz", "--common", "--forall") == 0
    assert run("model_tool.py", "--info", "m.bmodel") == 0
    assert run("bmodel_dis.py", "m.bmodel", "--format", "reg") == 0


@pytest.mark.parametrize(
    "flags",
    [
        ["--matmul_perchannel"], ["--asymmetric"], ["--gelu_mode", "normal"], ["--compress_mode=none"],
        ["--disable_gdma_check"], ["--model_version", "latest"], ["--patterns_count", "ConvReluFuse=1"],
        ["--num_device", "1", "--addr_mode=auto", "--group_by_cores", "auto"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_flags_that_ask_for_what_is_done_anyway(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*TRANSFORM, "--not_inference") == 0
    assert run("model_deploy", "--mlir", "m.mlir", "--model", "plain.bmodel", "--skip_validation") == 0
    capsys.readouterr()
    command = ("model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel", "--skip_validation")
    assert run(*command, *flags) == 0
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == sum(flag.startswith("--") for flag in flags)
    assert all("changes nothing" in note for note in notes)


@pytest.mark.parametrize(
    ("command", "flags", "said"),
    [
        ("model_deploy", ["--compress_mode", "all"], "expected none (BM1684X has no compression), got all"),
        ("model_deploy", ["--gelu_mode=tanh"], "--gelu_mode: expected normal"),
        ("model_deploy", ["--num_device", "2"], "--num_device: expected 1"),
        ("model_deploy", ["--not_gen_bmodel"], "NAME_tpu.mlir is written beside the bmodel"),
        ("model_deploy", ["--merge_weight"], "model_tool --combine"),
        ("model_transform", ["--enable_maskrcnn"], "drop the flag"),
        ("model_transform", ["--mean", "nan,0,0"], "expected numbers such as 123.7"),
        ("model_transform", ["--scale=1,inf,1"], "expected numbers such as 123.7"),
        ("model_transform", ["--input_shape", "[[1,3,16,16]]"], "did you mean --input_shapes?"),
        ("npz_tool", ["compare", "a.npz", "b.npz", "--fuzzy_match"], "tensors are matched by name"),
        ("npz_tool", ["compare", "a.npz", "b.npz", "--int8_tensor_close=7"], "expected 0 or 1"),
    ],
    ids=str,
)
def test_flags_that_ask_for_something_else(
    command: str, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, *flags) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
