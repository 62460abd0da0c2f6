"""Comparisons and selection: true is 1."""

from __future__ import annotations

import numpy as np

from harness import OpCase, Stage, array, c, check, rows, scalar, x
from onnx import TensorProto, helper, numpy_helper
from tpumlir.compile import transform

DIGITS = array(np.array([[0, 1, 2], [3, 1, 0]], np.float32), constant=False)
OTHERS = array(np.array([[1], [2]], np.float32), constant=False)
CASES = [
    OpCase(op, *operands, why=why)
    for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
    for why, operands in (
        ("broadcast", (DIGITS, OTHERS)),
        ("constant", (DIGITS, c(1.0, 2.0, 0.0))),
        ("scalar", (DIGITS, scalar(1.0))),
        ("constant_left", (scalar(1.0), DIGITS)),
    )
] + [OpCase("Greater", x(2, 65, 3, 5), x(65, 1, 1), why="past_the_lanes")]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


def test_truth_values_combine_as_in_onnxruntime() -> None:
    """Logic has only truth values as operands, so its operators are tested in a graph, not as rows."""
    node = helper.make_node
    nodes = [
        node("Greater", ["x", "low"], ["above"]),
        node("Less", ["x", "high"], ["below"]),
        node("And", ["above", "below"], ["inside"]),
        node("Or", ["above", "below"], ["either"]),
        node("Xor", ["above", "below"], ["one"]),
        node("Not", ["inside"], ["outside"]),
        node("Where", ["outside", "x", "high"], ["y"]),
        node("And", ["one", "either"], ["both"]),
        node("Where", ["both", "low", "y"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "logic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 5])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [3, 5])],
        [
            numpy_helper.from_array(np.array([v], np.float32), name)
            for name, v in (("low", -0.5), ("high", 0.5))
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    result = transform(proto)
    assert result.validation is not None
    result.validation.raise_if_failed()
    assert {t.name for t in result.validation.tensors} >= {"inside", "either", "one", "outside", "z"}
    assert len(np.unique(result.tensors["inside"])) == 2
