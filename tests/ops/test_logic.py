"""Comparisons and selection: true is 1."""

from __future__ import annotations

import numpy as np

from harness import OpCase, Stage, array, c, check, rows, scalar, x

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
