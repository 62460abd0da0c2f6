"""If, Loop and Scan: what they come to when it is known which branch runs and how often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper, parser
from tpumlir.onnx.load import load
from tpumlir.runner import run_onnx

X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)


def graph_of(text: str) -> onnx.GraphProto:
    """A graph in ONNX's own text form."""
    return parser.parse_graph(text)


def model(node: onnx.NodeProto, outputs: Sequence[str], constants: dict[str, Any] | None = None) -> Any:
    """``node`` on the run-time input x [2, 3]."""
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def assert_as_onnx(proto: onnx.ModelProto) -> tpumlir.Module:
    """Top gives what ONNX Runtime gives; returns the module."""
    module = tpumlir.load_onnx(proto)
    got = tpumlir.ModuleInterpreter(module).run({"x": X})
    for name, value in run_onnx(load(proto), {"x": X}).items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6)
    return module


THEN = "t () => (float[2,3] r) { r = Relu(x) }"
ELSE = "e () => (float[2,3] r) { h = Neg(x)  r = Exp(h) }"


@pytest.mark.parametrize("condition", [True, False])
def test_the_branch_that_runs_takes_the_place_of_if(condition: bool) -> None:
    node = helper.make_node(
        "If", ["c"], ["y"], name="choice", then_branch=graph_of(THEN), else_branch=graph_of(ELSE)
    )
    module = assert_as_onnx(model(node, ["y"], {"c": np.array(condition)}))
    assert [spec.name for spec in module.outputs] == ["y"]
    assert any(op.kind == "top.Relu" for op in module.ops()) == condition


def test_branches_may_only_pass_a_captured_tensor_on() -> None:
    identity = graph_of("t () => (float[2,3] r) { r = Identity(x) }")
    node = helper.make_node("If", ["c"], ["y"], then_branch=identity, else_branch=graph_of(ELSE))
    assert_as_onnx(model(node, ["y"], {"c": np.array(True)}))


BODY = """b (int64 i, bool c, float[2,3] s) => (bool d, float[2,3] t, float[2,3] o, float f) {
    d = Identity(c)
    f = Cast<to=1>(i)
    u = Mul(s, f)
    t = Add(u, x)
    o = Relu(t)
}"""


@pytest.mark.parametrize("trips", [1, 2, 5])
def test_loop_runs_its_body_once_for_each_trip(trips: int) -> None:
    node = helper.make_node("Loop", ["m", "", "x"], ["s", "o", "f"], body=graph_of(BODY))
    module = assert_as_onnx(model(node, ["s", "o", "f"], {"m": np.array(trips)}))
    assert [spec.shape for spec in module.outputs] == [(2, 3), (trips, 2, 3), (trips,)]


def test_loop_without_a_trip_passes_its_state_on() -> None:
    body = graph_of(BODY.replace(", float[2,3] o, float f)", ")"))
    for constants in ({"m": np.array(0), "c": np.array(True)}, {"m": np.array(9), "c": np.array(False)}):
        node = helper.make_node("Loop", ["m", "c", "x"], ["s"], body=body)
        assert_as_onnx(model(node, ["s"], constants))


def test_loop_ends_when_its_condition_fails() -> None:
    body = graph_of(
        """b (int64 i, bool c, float[2,3] s) => (bool d, float[2,3] t) {
            two = Constant<value_int=2>()
            d = Less(i, two)
            t = Add(s, x)
        }"""
    )
    node = helper.make_node("Loop", ["", "c", "x"], ["s"], body=body)
    assert_as_onnx(model(node, ["s"], {"c": np.array(True)}))


def test_scan_takes_slices_of_any_axis_in_either_direction() -> None:
    body = graph_of(
        """b (float[2] s, float[2] a) => (float[2] t, float[2] o) {
            h = Mul(s, a)
            t = Add(h, a)
            o = Sub(t, s)
        }"""
    )
    node = helper.make_node(
        "Scan", ["z", "x"], ["t", "o"], body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[1], scan_output_axes=[-1], scan_output_directions=[1],
    )  # fmt: skip
    assert_as_onnx(model(node, ["t", "o"], {"z": np.ones(2, np.float32)}))


def flag_model(op: str) -> Any:
    """Control flow that an input decides."""
    attributes = (
        {"then_branch": graph_of(THEN), "else_branch": graph_of(ELSE)}
        if op == "If"
        else {"body": graph_of(BODY)}
    )
    inputs, outputs = (["c"], ["y"]) if op == "If" else (["m", "", "x"], ["y", "o", "f"])
    proto = model(helper.make_node(op, inputs, outputs, name="choice", **attributes), outputs)
    flag = ("c", TensorProto.BOOL) if op == "If" else ("m", TensorProto.INT64)
    proto.graph.input.append(helper.make_tensor_value_info(flag[0], flag[1], []))
    return proto


@pytest.mark.parametrize(("op", "reason"), [("If", "its condition"), ("Loop", "its trip count")])
def test_what_is_decided_at_run_time_is_refused_with_a_remedy(op: str, reason: str) -> None:
    with pytest.raises(tpumlir.UnsupportedError, match=f"choice: {op} .*{reason}.*static control flow"):
        tpumlir.load_onnx(flag_model(op))


def test_loop_that_never_ends_is_refused() -> None:
    body = graph_of(BODY.replace(", float[2,3] o, float f)", ")"))
    node = helper.make_node("Loop", ["", "c", "x"], ["s"], name="forever", body=body)
    with pytest.raises(tpumlir.UnsupportedError, match=r"forever: Loop .*nodes"):
        tpumlir.load_onnx(model(node, ["s"], {"c": np.array(True)}))
