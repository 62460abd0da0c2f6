"""Quantisation tables: their text, what is refused, and what they do to a module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper
from tpumlir.precision import table as qtable


def model() -> onnx.ModelProto:
    """x -> Exp (e) -> Sqrt (s) -> Relu (y)."""
    shape = [2, 3]
    graph = helper.make_graph(
        [
            helper.make_node("Exp", ["x"], ["layer/e"], name="exp_node"),
            helper.make_node("Sqrt", ["layer/e"], ["layer/s"], name="sqrt_node"),
            helper.make_node("Relu", ["layer/s"], ["y"], name="relu_node"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def top() -> tpumlir.Module:
    return tpumlir.load_onnx(model(), optimize=False)


def types(module: tpumlir.Module) -> dict[str, str]:
    return {result.name: result.dtype for op in module.ops() for result in op.results}


def test_text_has_comments_blank_lines_and_names_with_spaces() -> None:
    text = "# why\n\n  a/b F32\nname with spaces\tbf16\r\n   # more\nc   f16\n"
    assert qtable.parse(text) == {"a/b": "F32", "name with spaces": "BF16", "c": "F16"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table = {"x y": "F32", "onnx::Conv_1": "BF16"}
    path = tmp_path / "t.qtable"
    qtable.write(path, table, comments=["overflow\nin x y"])
    assert path.read_text() == "# overflow\n# in x y\nx y F32\nonnx::Conv_1 BF16\n"
    assert qtable.read(path) == table


def test_the_mode_is_the_last_word_whatever_separates_it() -> None:
    text = "a\tb F16\na b\tF16\nc\t d\t \tbf16\n"
    assert qtable.parse(text) == {"a\tb": "F16", "a b": "F16", "c\t d": "BF16"}


def test_every_bad_line_is_named() -> None:
    with pytest.raises(tpumlir.ParseError) as caught:
        qtable.parse("a F32\nb\na F16\nc INT4\n", source="t")
    assert [d.message for d in caught.value.diagnostics] == [
        "t:2: expected `name mode`, got 'b'",
        "t:3: expected each name once, got 'a' again",
        "t:4: expected a mode of F32, F16, BF16, INT8, got 'INT4'",
    ]


@pytest.mark.parametrize("name", ["two\nlines", " blank", "#hash"])
def test_a_name_without_a_text_form_is_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(tpumlir.InputError):
        qtable.write(tmp_path / "t", {name: "F32"})
    assert not (tmp_path / "t").exists()


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(tpumlir.ParseError, match="binary"):
        qtable.read(tmp_path / "t")


def test_unknown_names_are_refused_at_once_with_suggestions(top: tpumlir.Module) -> None:
    with pytest.raises(tpumlir.InputError) as caught:
        top.lower("F16", quantize_table={"layer/z": "F32", "sqrt_node": "F32", "q": "INT4"})
    messages = {d.node: [] for d in caught.value.diagnostics}  # type: dict[str | None, list[str]]
    for d in caught.value.diagnostics:
        messages[d.node].append(d.message)
    assert "layer/e" in messages["layer/z"][0]
    assert "the node of this name computes layer/s" in messages["sqrt_node"][0]
    assert len(messages["q"]) == 2


def test_the_table_chooses_types_and_stands_in_the_module(top: tpumlir.Module, tmp_path: Path) -> None:
    path = tmp_path / "t.qtable"
    qtable.write(path, {"layer/s": "f32"})
    tpu = top.lower("F16", quantize_table=path)
    assert types(tpu) == {
        "x": "f32", "x::f16": "f16", "layer/e": "f16", "layer/e::f32": "f32", "layer/s": "f32",
        "layer/s::f16": "f16", "y::f16": "f16", "y": "f32",
    }  # fmt: skip
    text = tpu.finalize().print()
    assert '"layer/s" = "F32"' in text
    assert tpumlir.Module.parse(text, tpu.finalize().weights).print() == text


def test_an_overflow_is_mended_by_the_table(top: tpumlir.Module) -> None:
    x = np.full((2, 3), 12.0, np.float32)  # e^12 is above 65504, its root is not
    half = tpumlir.ModuleInterpreter(top.lower("F16")).run({"x": x})["y"]
    assert np.isinf(half).all()
    table = {"layer/e": "F32", "layer/s": "F32"}
    tpu = top.lower("F16", quantize_table=table)
    np.testing.assert_allclose(tpumlir.ModuleInterpreter(tpu).run({"x": x})["y"], np.exp(6.0), rtol=1e-3)
    # Nothing stands between the two in F32.
    assert "layer/e::f16" not in types(tpu)
