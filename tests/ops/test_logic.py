"""Comparisons and selection: true is 1."""

from __future__ import annotations

import numpy as np

from harness import OpCase, Operand, Stage, array, c, check, opsets, rows, scalar, x
from onnx import TensorProto, helper, numpy_helper
from tpumlir.road.compile import transform

COMPARISONS = ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
DIGITS = array(np.array([[0, 1, 2], [3, 1, 0]], np.float32), constant=False)
OTHERS = array(np.array([[1], [2]], np.float32), constant=False)
# Every one against every other one: zeros of both signs, infinities, NaN of both signs, neighbours.
EDGES = np.array(
    [
        np.nan,
        -np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1.0,
        -1.0,
        np.nextafter(np.float32(1), np.float32(2)),
        3e38,
    ],
    np.float32,
)
EDGE, EDGE_COLUMN = array(EDGES, constant=False), array(EDGES.reshape(-1, 1), constant=False)
SHAPES = {
    "same": ((2, 3, 4), (2, 3, 4)),
    "one_element": ((1,), (1,)),
    "past_the_lanes": ((2, 65, 3, 5), (65, 1, 1)),
    "both_grow": ((1, 6), (4, 1)),
    "left_grows": ((5,), (2, 3, 5)),
    "rank_six": ((2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 5)),
    "odd": ((7, 13, 11), (13, 1)),
}


def halves(*shape: int) -> Operand:
    """Multiples of a half, so that some are equal."""
    rng = np.random.default_rng(len(shape))
    return array((rng.integers(-3, 4, shape) / 2).astype(np.float32), constant=False)


CASES = (
    [
        OpCase(op, *operands, why=why)
        for op in COMPARISONS
        for why, operands in (
            ("broadcast", (DIGITS, OTHERS)),
            ("constant", (DIGITS, c(1.0, 2.0, 0.0))),
            ("scalar", (DIGITS, scalar(1.0))),
            ("constant_left", (scalar(1.0), DIGITS)),
        )
    ]
    + [OpCase(op, halves(*a), halves(*b), why=why) for op in COMPARISONS for why, (a, b) in SHAPES.items()]
    + [OpCase(op, EDGE, EDGE_COLUMN, why="special_numbers") for op in COMPARISONS]
    + [
        OpCase(op, EDGE, c(number), why=f"special_numbers_and_{number}", precisions=("F32",))
        for op in COMPARISONS
        for number in (0.0, -0.0, 1.0, np.inf, -np.inf, np.nan)
    ]
    + [
        OpCase(op, halves(3, 4), halves(3, 4), opset=opset, why=f"opset_{opset}")
        for op in COMPARISONS
        for opset in opsets(op)
        if op != "Equal" or opset >= 11
    ]
    + [OpCase("IsNaN", EDGE, opset=opset, why=f"opset_{opset}") for opset in opsets("IsNaN")]
    + [OpCase("IsNaN", x(2, 65, 3), why="no_nan"), OpCase("IsNaN", x(1), why="one_element")]
    + [
        OpCase(
            "IsInf", EDGE, opset=opset, detect_negative=negative, detect_positive=positive,
            why=f"{negative}{positive}_opset_{opset}",
        )
        for opset in opsets("IsInf")
        for negative in (0, 1)
        for positive in (0, 1)
    ]
    + [OpCase("IsInf", x(2, 65, 3), why="defaults")]
    + [
        OpCase("Where", array(np.eye(3, 5, dtype=bool), constant=False), *branches, why=why, opset=opset)
        for opset in opsets("Where")
        for why, branches in (
            (f"same_{opset}", (x(3, 5), x(3, 5))),
            (f"number_true_{opset}", (scalar(2.0), x(3, 5))),
            (f"number_false_{opset}", (x(3, 5), scalar(-np.inf))),
            (f"numbers_{opset}", (scalar(1.5), scalar(-1.5))),
            (f"branches_grow_{opset}", (x(5), x(3, 1))),
            (f"condition_grows_{opset}", (x(2, 3, 5), x(4, 1, 1, 1))),
            (f"special_{opset}", (array(EDGES[:5], constant=False), array(EDGES[5:], constant=False))),
        )
    ]
    + [
        OpCase("Where", array(np.ones((65, 1), bool), constant=False), x(2, 65, 3), x(3), why="lanes"),
        OpCase("Where", array(np.ones(1, bool), constant=False), x(1), x(1), why="one_element"),
        OpCase("Where", array(np.array([True, False])), x(3, 2), x(3, 1), why="constant_condition"),
    ]
)  # fmt: skip


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
