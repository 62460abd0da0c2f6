"""Softmax: before opset 13 over everything from the axis on, since then along it."""

from __future__ import annotations

from harness import OpCase, Stage, check, rows, x

CASES = [
    OpCase(op, *case.operands, opset=case.opset, why=case.why, **case.attributes)
    for op in ("Softmax", "LogSoftmax", "Hardmax")
    for case in (
        OpCase(op, x(2, 10), why="default_axis"),
        OpCase(op, x(2, 3, 4, 5), why="last_axis"),
        OpCase(op, x(2, 65, 4, 5), axis=1, why="channel"),
        OpCase(op, x(2, 3, 4, 5), axis=-2, why="negative_axis"),
        OpCase(op, x(2, 3, 4, 5), axis=0, why="batch"),
        OpCase(op, x(2, 3, 4, 5, low=80.0, high=90.0), why="large_values"),
        OpCase(op, x(2, 3, 4, 5), opset=11, why="old_default_flattens"),
        OpCase(op, x(2, 3, 4, 5), opset=11, axis=2, why="old_axis_2"),
        OpCase(op, x(2, 3, 4, 5), opset=11, axis=3, why="old_last_axis"),
        OpCase(op, x(2, 3, 1, 1), opset=11, axis=1, why="old_axis_before_ones"),
        OpCase(op, x(1, 1000), why="classes"),
        OpCase(op, x(3, 1), why="one_class"),
    )
]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
