"""Reductions: axes as attribute and operand, none at all, keepdims."""

from __future__ import annotations

from harness import STAGES, OpCase, Stage, c, check, rows, x

OPS = (
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceProd",
    "ReduceSumSquare",
    "ReduceLogSum",
)
X = x(2, 5, 6, 7, low=0.5, high=1.5)
CASES = [
    case
    for op in OPS
    for case in (
        OpCase(op, X, c(3), opset=18, why="last_axis"),
        OpCase(op, X, c(2, 3), opset=18, why="spatial"),
        OpCase(op, X, c(-1, -2), opset=18, keepdims=0, why="spatial_negative"),
        OpCase(op, X, c(1), opset=18, keepdims=0, why="channel"),
        OpCase(op, X, opset=18, why="all"),
        OpCase(op, X, opset=18, keepdims=0, why="all_no_keepdims"),
        OpCase(op, X, opset=18, noop_with_empty_axes=1, why="empty_is_noop", stages=STAGES),
    )
] + [
    OpCase("ReduceMean", X, opset=13, axes=[2, 3], why="attribute"),
    OpCase("ReduceSum", X, opset=11, axes=[1], keepdims=0, why="attribute"),
    OpCase("ReduceMax", x(2, 65, 9, 9), opset=18, why="normal"),
    OpCase("ReduceMean", x(1, 130, 33, 17), c(2, 3), opset=18, why="past_the_lanes"),
]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
