"""Integers and truth values as run-time tensors: i32 in every stage and precision, equal to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tpumlir
from harness import NEWEST_OPSET, OpCase, Operand, Precision, Stage, array, c, check, opsets, rows
from onnx import TensorProto, helper, numpy_helper
from tpumlir.compare import Tolerance
from tpumlir.errors import InputError
from tpumlir.road.compile import compile_onnx

F32: tuple[Precision, ...] = ("F32",)
LOW, HIGH = -(2**31), 2**31 - 1


def ints(*shape: int, low: int = -9, high: int = 9, dtype: Any = np.int32, constant: bool = False) -> Operand:
    """Integers in [low, high], none of them 0, the same for the same shape."""
    rng = np.random.default_rng(sum(shape) + len(shape))
    values = rng.integers(low, high + 1, shape)
    return array(np.where(values == 0, 1, values).astype(dtype), constant=constant)


def given(values: Any, dtype: Any = np.int32, *, constant: bool = False) -> Operand:
    return array(np.array(values, dtype), constant=constant)


# --- arithmetic: shapes, limits, and types that wrap around ------------------------------

SHAPES = [
    ("same", (2, 3, 4), (2, 3, 4)),
    ("row", (3, 65), (65,)),
    ("channel", (1, 65, 3, 3), (65, 1, 1)),
    ("both_grow", (1, 6), (4, 1)),
    ("left_grows", (5,), (2, 3, 5)),
    ("rank_six", (2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 5)),
    ("one_element", (1,), (1,)),
    ("odd", (7, 13, 11), (13, 1)),
]
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mod")
SAME = [
    OpCase(
        op,
        ints(*a),
        ints(*b),
        why=why,
        precisions=F32 if why != "channel" else ("F32", "F16", "BF16"),
    )
    for op in ARITHMETIC
    for why, a, b in SHAPES
]
CONSTANT = [
    OpCase(op, *operands, why=why, precisions=F32)
    for op in ARITHMETIC
    for why, operands in (
        ("number_right", (ints(3, 5), given(7, constant=True))),
        ("number_left", (given([-20], constant=True), ints(3, 5))),
        ("vector", (ints(3, 5), given([1, -2, 3, -4, 5], constant=True))),
    )
]
# Every edge against every other one.
EDGES = [
    LOW,
    LOW + 1,
    -65536,
    -129,
    -128,
    -7,
    -2,
    -1,
    0,
    1,
    2,
    3,
    7,
    127,
    128,
    255,
    46341,
    16777217,
    HIGH - 1,
    HIGH,
]
DIVISORS = [number for number in EDGES if number != 0]
LIMITS = [
    OpCase(op, given(EDGES), given([[v] for v in EDGES]), why="limits", precisions=F32)
    for op in ("Add", "Sub", "Mul", "Max", "Min")
]
PAIRS = np.array([(a, b) for a in EDGES for b in DIVISORS if (a, b) != (LOW, -1)])
QUOTIENTS = np.concatenate([PAIRS, np.random.default_rng(3).integers(LOW, HIGH, (2000, 2))])
QUOTIENTS = QUOTIENTS[QUOTIENTS[:, 1] != 0]
LIMITS += [OpCase("Div", given(QUOTIENTS[:, 0]), given(QUOTIENTS[:, 1]), why="limits", precisions=F32)]
LIMITS += [
    OpCase(
        "Mod", given(QUOTIENTS[:, 0]), given(QUOTIENTS[:, 1]), why=f"limits_{fmod}", fmod=fmod, precisions=F32
    )
    for fmod in (0, 1)
]
SIGNS = given([-7, -6, -5, 5, 6, 7, -7, 7]), given([3, 3, -3, 3, -3, -3, 7, 7])
LIMITS += [OpCase("Mod", *SIGNS, why=f"signs_{fmod}", fmod=fmod) for fmod in (0, 1)]

NARROW: dict[str, tuple[list[int], list[int]]] = {
    "uint8": ([0, 1, 100, 200, 255, 7], [255, 3, 200, 100, 255, 2]),
    "int8": ([-128, -1, 100, 127, -100, 7], [-127, 3, 100, 127, 100, -2]),
    "uint16": ([0, 1, 40000, 65535, 300, 7], [65535, 3, 40000, 65535, 300, 2]),
    "int16": ([-32768, -1, 30000, 32767, -30000, 7], [-32767, 3, 30000, 32767, 30000, -2]),
    "uint32": ([0, 1, 40000, 65535, 300, 7], [0, 1, 30000, 65535, 300, 2]),
    "int64": ([-(2**31), -1, 30000, 2**31 - 1, -30000, 7], [1, 3, 30000, -1, 30000, -2]),
    "uint64": ([4, 1, 30000, 2**30, 300, 7], [1, 1, 300, 1, 30, 2]),
}
WRAPS = [
    OpCase(op, given(a, kind), given(np.where(np.array(b) == 0, 1, b) if op in {"Div", "Mod"} else b, kind),
           why=kind, precisions=F32)
    for kind, (a, b) in NARROW.items()
    for op in ARITHMETIC
    if not (kind in {"uint32", "uint64"} and op == "Sub")
    if not (kind in {"int64"} and op in {"Add", "Sub", "Mul"})
]  # fmt: skip
UNARY = [
    OpCase(op, given([lowest, 5, 0, 1, 100], kind), why=kind, precisions=F32)
    for op, kinds in (
        ("Abs", ("int8", "int16", "int32", "int64", "uint8")),
        ("Neg", ("int8", "int16", "int32", "int64")),
        ("Sign", ("int8", "int16", "int32", "int64", "uint8")),
        ("Relu", ("int8", "int32")),
    )
    for kind in kinds
    for lowest in (0 if kind == "uint8" else LOW + 1 if kind == "int64" else np.iinfo(np.dtype(kind)).min,)
]
VARIADIC = [
    OpCase(op, ints(2, 3), ints(3), ints(2, 1), ints(1), why="four", precisions=F32) for op in ("Max", "Min")
]
POW = [
    OpCase("Pow", given([-3, -2, -1, 0, 1, 2, 3, 10]), given([[0], [1], [2], [3], [5], [8]]), why="whole"),
    OpCase("Pow", given([[-3, 2], [5, 7]]), given(3, constant=True), why="constant_exponent", precisions=F32),
    OpCase("Pow", given([2], constant=True), given([0, 1, 10, 30]), why="constant_base", precisions=F32),
    OpCase("Pow", given([1, 2, 3], np.int64), given([4, 5, 6], np.int64), why="i64", precisions=F32),
    OpCase("Pow", given([1, 2, 3, -4]), given([4, 5, 6, 3], np.float32), why="f32_exponents", precisions=F32),
    OpCase(
        "Pow",
        given([1, 4, 9, 7]),
        given([0.5, 0.5, 1.5, 2.0], np.float32),
        why="broken_exponents",
        precisions=F32,
    ),
    OpCase("Pow", given([1, 2, 3]), c(2.0, 3.0, 4.0), why="f32_constant_exponents", precisions=F32),
    OpCase("Pow", given([1, 2, 3], np.int64), given([4, 5, 6], np.int32), why="mixed", precisions=F32),
]
CLIP = [
    OpCase("Clip", given([-9, -1, 0, 5, 99], kind), *bounds, why=f"{kind}_{why}", precisions=F32)
    for kind in ("int32", "int64", "int8")
    for why, bounds in (
        ("both", (given(-2, kind, constant=True), given(6, kind, constant=True))),
        ("low", (given(-2, kind, constant=True),)),
        ("at_run_time", (given(-2, kind), given(6, kind))),
    )
] + [
    OpCase("Clip", given([-9, 5], np.int64), given(-(2**63), np.int64, constant=True),
           given(3, np.int64, constant=True), why="bound_beyond_32_bits", precisions=F32),
    OpCase("PRelu", given([-9, 5, 0]), given([2, 3, 4]), opset=16, why="i32", precisions=F32),
]  # fmt: skip
VERSIONS = [
    OpCase(op, ints(2, 3), ints(2, 3), opset=opset, why=f"opset_{opset}", precisions=F32)
    for op in ("Add", "Sub", "Mul", "Div", "Mod")
    for opset in opsets(op)
] + [
    OpCase(op, ints(2, 3), ints(2, 3), opset=opset, why=f"opset_{opset}", precisions=F32)
    for op in ("Max", "Min")
    for opset in opsets(op)
    if opset >= 12
]

# --- bits ------------------------------

BITS = [
    OpCase(op, given([0, 5, 100, 127, 3, 64], kind), given([[7], [1], [96]], kind), opset=18,
           why=kind, precisions=F32)
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
    for kind in ("int32", "uint8", "int8", "int16", "uint16", "int64", "uint32")
] + [
    OpCase(op, given(EDGES), given([[v] for v in EDGES]), opset=18, why="limits")
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
] + [
    OpCase("BitwiseNot", given([0, 1, 5, 100, 127], kind), opset=18, why=kind, precisions=F32)
    for kind in ("int32", "uint8", "int8", "int16", "uint16", "int64")
] + [
    OpCase("BitShift", given([1, 3, 100, 255 if kind == "uint8" else 300], kind),
           given(amounts, kind, constant=constant), opset=opset, why=f"{kind}_{direction}_{opset}",
           direction=direction, precisions=F32)
    for kind in ("uint8", "uint16", "uint32", "uint64")
    for direction in ("LEFT", "RIGHT")
    for opset in opsets("BitShift")
    for amounts, constant in (([[0], [1], [3], [7]], False), ([2], True))
]  # fmt: skip

# --- comparison, choice and truth ------------------------------

COMPARE = [
    OpCase(op, given(EDGES), given([[v] for v in EDGES]), why="limits")
    for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
] + [
    OpCase(op, given([0, 1, 5, 7], kind), given([[0], [5], [7]], kind), why=kind, precisions=F32)
    for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
    for kind in ("int64", "uint8", "int16", "int8")
] + [
    OpCase(op, ints(3, 5), given(2, constant=True), why="number", precisions=F32)
    for op in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
]  # fmt: skip
TRUTH = given([True, False, True, False], np.bool_)
TRUTHS = given([[True], [False]], np.bool_)
LOGIC = [
    case
    for op in ("And", "Or", "Xor", "Equal")
    for case in (
        OpCase(op, TRUTH, TRUTHS, why="bool_both_grow"),
        OpCase(op, TRUTH, given([True, True, False, False], np.bool_, constant=True), why="bool_constant"),
        OpCase(
            op,
            given(np.ones((2, 65, 3), bool), np.bool_),
            given(np.zeros((65, 1), bool), np.bool_),
            why="bool_lanes",
        ),
    )
] + [
    OpCase("Not", TRUTH, why="bool"),
    OpCase("Not", given(np.eye(65, dtype=bool), np.bool_), why="bool_lanes"),
]
WHERE = [
    OpCase("Where", TRUTHS, given([1, 2, 3], kind), given([[9], [8]], kind), why=kind, precisions=F32)
    for kind in ("int32", "int64", "uint8", "float32")
] + [
    OpCase("Where", TRUTH, TRUTHS, given([[False], [True]], np.bool_), why="bool"),
    OpCase("Where", TRUTHS, given([LOW, 2, HIGH]), given(5, constant=True), why="number_false"),
    OpCase("Where", TRUTHS, given(HIGH, constant=True), given([1, 2, 3]), why="number_true"),
    OpCase("Where", given(np.ones((1, 1, 2, 1, 3, 1)), np.bool_), ints(2, 1, 3, 1), ints(4, 1, 1, 1, 1, 2),
           why="rank_six"),
]  # fmt: skip

CASES = (
    SAME
    + CONSTANT
    + LIMITS
    + WRAPS
    + UNARY
    + VARIADIC
    + POW
    + CLIP
    + VERSIONS
    + BITS
    + COMPARE
    + LOGIC
    + WHERE
)


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


# --- in a network -----------------------------------------------------------


def test_integers_and_truth_values_mix_in_a_network() -> None:
    """Masks from inputs and from comparisons, indices that are computed, and integers of several widths."""
    node = helper.make_node
    nodes = [
        node("Greater", ["x", "zero"], ["positive"]),  # f32 inside
        node("And", ["positive", "mask"], ["kept"]),  # with a truth value that is an input
        node("Where", ["kept", "x", "zero"], ["y"]),
        node("Cast", ["kept"], ["count"], to=TensorProto.INT64),
        node("Mul", ["count", "steps"], ["counted"]),
        node("Mod", ["counted", "three"], ["phase"]),
        node("Equal", ["phase", "one"], ["first"]),  # i32 inside
        node("Xor", ["first", "positive"], ["odd"]),
        node("Or", ["odd", "mask"], ["chosen"]),
        node("Not", ["chosen"], ["rest"]),
        node("Cast", ["counted"], ["bytes"], to=TensorProto.UINT8),
        node("Add", ["bytes", "bytes"], ["doubled"]),
        node("Cast", ["doubled"], ["z"], to=TensorProto.FLOAT),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 5]),
        helper.make_tensor_value_info("mask", TensorProto.BOOL, [5]),
        helper.make_tensor_value_info("steps", TensorProto.INT64, [3, 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 5]),
        helper.make_tensor_value_info("rest", TensorProto.BOOL, [3, 5]),
        helper.make_tensor_value_info("phase", TensorProto.INT64, [3, 5]),
        helper.make_tensor_value_info("z", TensorProto.FLOAT, [3, 5]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(np.array(3), "three"),
        numpy_helper.from_array(np.array(1), "one"),
    ]
    graph = helper.make_graph(nodes, "mixed", inputs, outputs, constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    given = {
        "x": np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5),
        "mask": np.array([1, 0, 1, 1, 1], np.int32),
        "steps": np.array([[1], [200], [-7]], np.int32),
    }
    for precision in ("F32", "F16", "BF16"):
        result = compile_onnx(proto, quantize=precision, test_input=given, tolerance=Tolerance(0.999, 0.98))
        for verdict in result.validations:
            verdict.raise_if_failed()
        judged = {t.name for t in result.validations[0].tensors}
        assert judged >= {"kept", "counted", "phase", "odd", "rest", "doubled"}
    assert {t.name: t.status for t in result.validations[0].tensors}["phase"] == "equal"


# --- what is refused ------------------------------


def test_constant_beyond_32_bits_is_refused_with_its_value() -> None:
    case = OpCase("Add", ints(2, dtype=np.int64), given([1, 2**40], np.int64, constant=True))
    with pytest.raises(tpumlir.UnsupportedError, match=str(2**40)):
        _ = case.top


def test_input_beyond_32_bits_is_refused_with_its_value() -> None:
    case = OpCase("Add", ints(2, dtype=np.int64), ints(2, dtype=np.int64))
    values = dict(case.inputs)
    values["in0"] = np.array([1, -(2**33)])
    with pytest.raises(InputError, match=str(-(2**33))):
        tpumlir.ModuleInterpreter(case.top).run(values)


def test_a_fraction_of_integers_is_refused_by_name() -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.INT32, [2, 2]) for name in "xy")
    weight = numpy_helper.from_array(np.ones((2, 2), np.int32), "w")
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="product", alpha=0.5)], "g", [x], [y], [weight]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", NEWEST_OPSET)], ir_version=10)
    with pytest.raises(tpumlir.UnsupportedError) as caught:
        tpumlir.load_onnx(proto).lower()
    assert caught.value.node == "product"
