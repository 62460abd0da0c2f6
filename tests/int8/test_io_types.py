"""Inputs and outputs in the type that the chip computes with: --quant_input, --quant_output."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir import bmodel as bmodels
from tpumlir.cli import main as cli
from tpumlir.road.deploy import deploy_module
from tpumlir.road.options import DeployOptions, JudgeOptions

Array = npt.NDArray[Any]
SHAPE = (1, 4, 6, 6)
_FILTER = np.random.default_rng(0).standard_normal((4, 4, 3, 3)).astype(np.float32)


def _node(kind: str, operands: list[str], result: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, operands, [result], name=f"n_{result}", **attributes)


def _conv(source: str, result: str) -> onnx.NodeProto:
    return _node("Conv", [source, "w"], result, pads=[1, 1, 1, 1])


# Nodes, inputs, outputs; which of the inputs and outputs become narrow; with INT8, if those are others.
Case = tuple[list[onnx.NodeProto], dict[str, tuple[int, ...]], list[str], set[str], set[str] | None]
CASES: dict[str, Case] = {
    "one operation": ([_conv("x", "y")], {"x": SHAPE}, ["y"], {"x", "y"}, None),
    "several readers": (
        [_conv("x", "a"), _node("Relu", ["x"], "b"), _node("Add", ["a", "b"], "y")],
        {"x": SHAPE}, ["y"], {"x", "y"}, {"y"},
    ),
    "behind moves": (
        [
            _node("Transpose", ["x"], "t", perm=[0, 3, 1, 2]), _conv("t", "c"),
            _node("Transpose", ["c"], "y", perm=[0, 2, 3, 1]),
        ],
        {"x": (1, 6, 6, 4)}, ["y"], {"x", "y"}, None,
    ),
    "two inputs": (
        [_conv("x", "c"), _node("Add", ["c", "z"], "y")],
        {"x": SHAPE, "z": SHAPE}, ["y"], {"x", "z", "y"}, None,
    ),
    "an output that is read": (
        [_conv("x", "a"), _conv("a", "y")], {"x": SHAPE}, ["a", "y"], {"x", "a", "y"}, None,
    ),
    "an input that is an output": ([_conv("x", "y")], {"x": SHAPE}, ["y", "x"], {"y"}, None),
    "an output in f32": (
        [_conv("x", "a"), _conv("a", "b"), _node("Floor", ["b"], "y")], {"x": SHAPE}, ["y"], {"x"}, None,
    ),
    "an input of integers": (
        [_conv("x", "a"), _node("Gather", ["a", "k"], "y", axis=2)],
        {"x": SHAPE, "k": (3,)}, ["y"], {"x", "y"}, {"x"},
    ),
}  # fmt: skip
MODES = ("F16", "BF16", "INT8")
_STORED = {"F16": {"f16"}, "BF16": {"bf16"}, "INT8": {"i8", "u8"}}


def _model(name: str) -> onnx.ModelProto:
    nodes, inputs, outputs, *_ = CASES[name]
    kinds = {value: TensorProto.INT64 if value == "k" else TensorProto.FLOAT for value in inputs}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "m",
            [helper.make_tensor_value_info(key, kinds[key], shape) for key, shape in inputs.items()],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs],
            [numpy_helper.from_array(_FILTER, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def _inputs(name: str, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        key: rng.integers(0, 6, shape) if key == "k" else rng.standard_normal(shape).astype(np.float32)
        for key, shape in CASES[name][1].items()
    }


def _deployed(name: str, mode: str, **options: Any) -> Any:
    top = tpumlir.load_onnx(_model(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tpumlir.errors.Note)  # integers have no range
        samples = [_inputs(name, seed) for seed in range(3)]
        table = tpumlir.calibrate(top, samples) if mode == "INT8" else None
    target = DeployOptions(quantize=mode, calibration_table=table, **options)
    return deploy_module(top, target, JudgeOptions(test_input=_inputs(name, 0)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_types_and_bits(name: str, mode: str) -> None:
    deployed = _deployed(name, mode, quant_input=True, quant_output=True)
    model = deployed.bmodel
    narrow = {t.name for t in (*model.inputs, *model.outputs) if t.dtype in _STORED[mode]}
    # A sum of one row that INT8 has no integers for stays in a half, which is narrow too.
    if mode == "INT8":
        narrow |= {t.name for t in (*model.inputs, *model.outputs) if t.dtype == "f16"}
    *_, halves, integers = CASES[name]
    assert narrow == (halves if mode != "INT8" or integers is None else integers)
    assert all(verdict.passed for verdict in deployed.validations)
    # Names stay, and the chip makes of the same integers what the interpreter does, bit for bit.
    assert [t.name for t in model.outputs] == CASES[name][2]
    inputs = _inputs(name, 5)
    inputs = {key: value.astype(np.int32) if key == "k" else value for key, value in inputs.items()}
    want = tpumlir.ModuleInterpreter(deployed.tpu).run(inputs)
    got = model.run_numbers(inputs)
    for tensor in model.outputs:
        if tensor.is_quantized:
            np.testing.assert_array_equal(got[tensor.name], want[tensor.name])
        else:
            np.testing.assert_allclose(got[tensor.name], want[tensor.name], rtol=1e-2, atol=5e-2)


def test_stored_integers_are_the_scale_and_zero_point(tmp_path: Path) -> None:
    """A file says how its integers are read; whoever has integers gives and takes them as they are."""
    deployed = _deployed("one operation", "INT8", quant_input=True, quant_output=True)
    bmodels.write(tmp_path / "m.bmodel", deployed.bmodel)
    model = bmodels.read(tmp_path / "m.bmodel")
    (x,), (y,) = model.inputs, model.outputs
    assert x.is_quantized
    assert y.is_quantized
    stored = np.random.default_rng(1).integers(-128, 128, SHAPE).astype(np.int8)
    assert np.array_equal(x.stored(x.numbers(stored)), stored)
    got = model.run({"x": stored})["y"]
    assert got.dtype == y.numpy_dtype
    want = model.run_numbers({"x": x.numbers(stored)})["y"]
    assert np.array_equal(y.numbers(got), want)
    with pytest.raises(tpumlir.InputError, match="expected element type int8, got float32"):
        model.run({"x": x.numbers(stored)})
    np.savez(tmp_path / "q.npz", x=stored)
    np.savez(tmp_path / "f.npz", x=x.numbers(stored))
    runner = ["model_runner", "--model", str(tmp_path / "m.bmodel")]
    for source in ("q.npz", "f.npz"):
        out = tmp_path / "out.npz"
        assert cli.main([*runner, "--input", str(tmp_path / source), "--output", str(out)]) == 0
        assert np.array_equal(np.load(out)["y"], want)
        assert (
            cli.main([*runner, "--input", str(tmp_path / source), "--output", str(out), "--out_fixed"]) == 0
        )
        assert np.array_equal(np.load(out)["y"], got)


@pytest.mark.parametrize("mode", MODES)
def test_only_those_of_a_list(mode: str) -> None:
    model = _deployed("two inputs", mode, quant_input="2").bmodel
    assert [t.dtype == "f32" for t in (*model.inputs, *model.outputs)] == [True, False, True]
    assert _deployed("two inputs", mode, quant_input=["z"]).bmodel.inputs == model.inputs


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("an input that is an output", {"quant_input": ["x"]}, r"input 'x'.*it is an output too.*_list"),
        ("an output in f32", {"quant_output": "1"}, r"output 'y'.*it is computed in f32"),
        ("an input of integers", {"quant_input": "2"}, r"input 'k'.*no tensor of floats"),
        ("two inputs", {"quant_input": "3"}, r"expected numbers of inputs, 1 \(x\), 2 \(z\), got '3'"),
        ("two inputs", {"quant_input": "x"}, r"got 'x'"),
        ("two inputs", {"quant_output": ["w"]}, r"model output"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(tpumlir.TpumlirError, match=message):
        _deployed(name, "F16", **options)


def test_f32_stays_as_it_is() -> None:
    plain, asked = (_deployed("one operation", "F32", quant_input=flag) for flag in (False, True))
    assert plain.bmodel.groups == asked.bmodel.groups


def test_commands_take_the_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(_model("two inputs"), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", **_inputs("two inputs", 0))  # type: ignore[arg-type]
    out = tmp_path / "m.bmodel"
    flags = ["--quant_input", "--quant_input_list", "1", "--quant_output", "--quantize", "F16"]
    assert cli.main(["compile", str(tmp_path / "m.onnx"), "-o", str(out), *flags]) == 0
    text = capsys.readouterr().out
    assert "input x: f16" in text
    assert "input z" not in text
    assert "output y: f16" in text
    assert [t.dtype for t in bmodels.read(out).inputs] == ["f16", "f32"]
