"""Reductions: axes as attribute and operand, none at all, keepdims, integers, more than local memory."""

from __future__ import annotations

import numpy as np

from harness import STAGES, OpCase, Operand, Stage, array, c, check, rows, x

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
    "ReduceLogSumExp",
)
# Of integers, on the chip too.
INTEGER_OPS = ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceMean")


def small(*shape: int) -> Operand:
    """Run-time numbers around 1, so that products stay in range."""
    return x(*shape, low=0.9, high=1.1)


def ints(*shape: int) -> Operand:
    """A run-time tensor of small int32."""
    return array(np.random.default_rng(len(shape)).integers(-3, 4, shape, np.int32), constant=False)


X = small(2, 5, 6, 7)
CASES = [
    case
    for op in OPS
    for case in (
        OpCase(op, X, c(3), opset=18, why="last_axis"),
        OpCase(op, X, c(2, 3), opset=18, why="spatial"),
        OpCase(op, X, c(-1, -2), opset=18, keepdims=0, why="spatial_negative"),
        OpCase(op, X, c(1), opset=18, keepdims=0, why="channel"),
        OpCase(op, X, c(0, 2), opset=18, why="apart"),
        OpCase(op, X, c(3, 0, 1), opset=18, keepdims=0, why="unsorted"),
        OpCase(op, X, opset=18, why="all"),
        OpCase(op, X, opset=18, keepdims=0, why="all_no_keepdims"),
        OpCase(op, X, array(np.empty(0, np.int64)), opset=18, why="no_axes_are_all"),
        OpCase(op, X, opset=18, noop_with_empty_axes=1, why="empty_is_noop", stages=STAGES),
        OpCase(op, small(1), c(0), opset=18, why="one_element"),
        OpCase(op, small(3, 1, 4), c(1), opset=18, why="axis_of_one"),
        OpCase(op, small(65, 63), c(0), opset=18, why="lanes"),
        OpCase(op, small(66, 9), c(1), opset=18, why="past_the_lanes"),
        OpCase(op, small(2, 3, 2, 2, 3), c(1, 3), opset=18, why="rank_5"),
        OpCase(op, X, opset=11, axes=[2, 3], why="attribute"),
        OpCase(op, X, opset=7, axes=[1], keepdims=0, why="opset_7"),
    )
] + [
    case
    for op in INTEGER_OPS
    for case in (
        OpCase(op, ints(3, 4, 5), c(1), opset=18, why="of_integers"),
        OpCase(op, ints(3, 4, 5), opset=18, keepdims=0, why="all_integers"),
        OpCase(op, ints(65, 7), c(-1), opset=18, why="integers_past_the_lanes"),
    )
] + [
    OpCase("ReduceMax", x(2, 65, 9, 9), opset=18, why="normal"),
    OpCase("ReduceMean", x(1, 130, 33, 17), c(2, 3), opset=18, why="spatial_past_the_lanes"),
    OpCase("ReduceSum", x(1, 70000, low=0.0, high=0.1), c(1), opset=18, why="past_local_memory"),
    OpCase("ReduceMax", x(2, 40000), c(1), opset=18, why="past_local_memory"),
    OpCase("ReduceMin", x(40000, 3), c(0), opset=18, why="past_local_memory"),
    OpCase("ReduceLogSumExp", x(3, 5, low=90.0, high=100.0), c(1), opset=18, why="large"),
    OpCase("ReduceLogSumExp", x(3, 5, low=-200.0, high=-100.0), c(1), opset=18, why="far_below"),
]  # fmt: skip


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
