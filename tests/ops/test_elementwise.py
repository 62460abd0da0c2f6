"""Arithmetic with broadcasting on either side, and unary mathematics."""

from __future__ import annotations

import numpy as np
import pytest

import tpumlir
from harness import OpCase, Operand, Stage, array, c, check, rows, scalar, w, with_dynamic, x

SHAPES: list[tuple[str, Operand, Operand]] = [
    ("same", x(2, 3, 4, 5), w(2, 3, 4, 5, low=0.5, high=2.0)),
    ("channel", x(2, 65, 4, 5), w(65, 1, 1, low=0.5, high=2.0)),
    ("last_axis", x(2, 3, 4, 5), w(5, low=0.5, high=2.0)),
    ("rank_zero", x(2, 3, 4, 5), scalar(1.5)),
    ("one_element", x(2, 3, 4, 5), c(1.5)),
    ("both_grow", x(1, 6), w(4, 1, low=0.5, high=2.0)),
    ("both_grow_from_equal_values", x(1, 6), array(np.full((4, 1), 1.5, np.float32))),
    ("constant_left", w(2, 3, 4, 5), x(3, 1, 5, low=0.5, high=2.0)),
    ("left_grows", x(5), w(2, 3, 4, 5, low=0.5, high=2.0)),
    ("rank_six", x(1, 2, 3, 2, 3, 4), w(2, 1, 2, 1, 4, low=0.5, high=2.0)),
]


BINARY = [
    OpCase(op, a, b, why=why) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min") for why, a, b in SHAPES
]
VARIADIC = [
    OpCase(op, *operands, why=f"{len(operands)}")
    for op in ("Sum", "Max", "Min", "Mean")
    for operands in ((x(2, 3),), (x(2, 3), w(3), x(2, 1)), (x(1, 3), x(2, 1), w(2, 3), scalar(0.25)))
]
POSITIVE = {"low": 0.1, "high": 4.0}
POW = [
    OpCase("Pow", x(2, 3, 4), scalar(2.0), why="square"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), scalar(0.5), why="root"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), scalar(1.0), why="one"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), c(-1.5), why="negative"),
    OpCase("Pow", scalar(2.0), x(2, 3, 4), why="constant_base"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), x(4, **POSITIVE), stages=["top"], why="run_time_exponents"),
    OpCase("Pow", x(2, 3, 4, **POSITIVE), w(4, **POSITIVE), stages=["top"], why="vector_of_exponents"),
]
TIES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.2, -3.7], np.float32)
UNARY = [
    OpCase(op, x(2, 65, 3, 5, low=low, high=high))
    for op, low, high in (
        ("Abs", -3.0, 3.0),
        ("Neg", -3.0, 3.0),
        ("Ceil", -3.0, 3.0),
        ("Floor", -3.0, 3.0),
        ("Sign", -3.0, 3.0),
        ("Sqrt", 0.0, 9.0),
        ("Exp", -4.0, 4.0),
        ("Log", 0.01, 9.0),
        ("Reciprocal", 0.2, 3.0),
        ("Erf", -3.0, 3.0),
        ("Sin", -7.0, 7.0),
        ("Cos", -7.0, 7.0),
        ("Tan", -1.0, 1.0),
        ("Sinh", -3.0, 3.0),
        ("Cosh", -3.0, 3.0),
        ("Acos", -0.9, 0.9),
        ("Atanh", -0.9, 0.9),
    )
] + [
    OpCase("Round", array(TIES, constant=False), why="ties_to_even"),
]
CASES = with_dynamic(BINARY + VARIADIC) + POW + UNARY


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


@pytest.mark.parametrize("op", ["Add", "Div"])
def test_integer_arithmetic_at_run_time_is_refused(op: str) -> None:
    case = OpCase(op, array(np.array([1, 2, 3]), constant=False), c(2, 2, 2))
    with pytest.raises(tpumlir.UnsupportedError, match="integer arithmetic"):
        _ = case.top
