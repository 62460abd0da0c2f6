"""Models that contradict ONNX where the checker has stopped looking: one error, whatever is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """A model whose output has no declared shape, which is common and where the checker stops."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def branch(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    return helper.make_graph(
        list(nodes), "b", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    )


def transpose(inputs: list[str], output: str = "y") -> onnx.NodeProto:
    return helper.make_node("Transpose", inputs, [output], name="t", perm=[1, 0])


def choice(inputs: list[str], inner: list[str]) -> onnx.NodeProto:
    graph = branch(transpose(inner, "r"))
    return helper.make_node("If", inputs, ["y"], name="if", then_branch=graph, else_branch=graph)


def with_reference() -> onnx.NodeProto:
    node = transpose(["x"])
    node.attribute[0].ClearField("ints")
    node.attribute[0].ref_attr_name = "order"
    return node


CASES: list[tuple[str, Callable[[], onnx.NodeProto], str]] = [
    ("no_input", lambda: transpose([]), "input size 0 not in range"),
    ("an_empty_name", lambda: transpose([""]), "input 0 is marked single but has an empty string"),
    ("no_condition", lambda: choice([], ["x"]), "input size 0 not in range"),
    ("no_input_in_a_branch", lambda: choice(["x"], []), "input size 0 not in range"),
    (
        "another_type",
        lambda: helper.make_node("Transpose", ["x"], ["y"], perm=1.5),
        "Mismatched attribute type",
    ),
    ("no_axis", lambda: helper.make_node("Concat", ["x"], ["y"]), "Required attribute 'axis' is missing"),
    ("a_reference", with_reference, "expected a value of the attribute 'perm', got a reference to 'order'"),
]


@pytest.mark.parametrize(("node", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_damaged_node_is_refused(node: Callable[[], onnx.NodeProto], message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(node()).SerializeToString())
    with pytest.raises(tpumlir.OnnxImportError, match=re.escape(message)):
        tpumlir.load_onnx(path)


@pytest.mark.parametrize("opset", [0, -1, 6])
def test_an_opset_that_is_none_is_refused(opset: int) -> None:
    proto = model(transpose(["x"]))
    proto.opset_import[0].version = opset
    with pytest.raises(tpumlir.UnsupportedError, match=f"expected an opset from 7 to .*, got {opset}"):
        tpumlir.load_onnx(proto)


@pytest.mark.parametrize("name", ["x", "y", "t", "g", "Transpose"])
def test_a_name_that_is_not_utf_8_is_refused(name: str, tmp_path: Path) -> None:
    data = model(transpose(["x"])).SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data.replace(name.encode(), b"\xff" * len(name)))
    with pytest.raises(tpumlir.OnnxImportError, match=r"m\.onnx: expected names in UTF-8, got other bytes"):
        tpumlir.load_onnx(path)


def test_what_the_checker_stops_at_still_loads() -> None:
    assert tpumlir.load_onnx(model(transpose(["x"]))).outputs[0].shape == (3, 2)
    assert tpumlir.load_onnx(model(transpose(["q"]), helper.make_node("Relu", ["x"], ["q"]))).outputs[
        0
    ].shape == (3, 2)
