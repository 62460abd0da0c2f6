"""TopK, ArgMax and ArgMin, CumSum: order, ties, axes, lengths past one lane's sort."""

from __future__ import annotations

import numpy as np

from harness import OpCase, Operand, Stage, array, c, check, rows, x


def ties(*shape: int, dtype: type = np.float32, values: int = 3) -> Operand:
    """A run-time tensor of few values, so that many are equal."""
    rng = np.random.default_rng(sum(shape))
    return array(rng.integers(-values, values, shape).astype(dtype), constant=False)


def given(values: list[float], dtype: type = np.float32) -> Operand:
    """A run-time tensor of these values."""
    return array(np.array(values, dtype), constant=False)


TOPK = [
    case
    for largest in (1, 0)
    for case in (
        OpCase("TopK", x(3, 10), c(4), largest=largest, outputs=2, why=f"l{largest}"),
        OpCase("TopK", x(3, 10), c(10), largest=largest, outputs=2, why=f"l{largest}_all"),
        OpCase("TopK", x(3, 10), c(1), largest=largest, outputs=2, why=f"l{largest}_one"),
        OpCase("TopK", x(4, 5, 6), c(3), axis=1, largest=largest, outputs=2, why=f"l{largest}_axis_1"),
        OpCase("TopK", x(4, 5, 6), c(3), axis=-3, largest=largest, outputs=2, why=f"l{largest}_axis_0"),
        OpCase("TopK", ties(5, 64), c(20), largest=largest, outputs=2, why=f"l{largest}_ties"),
        OpCase("TopK", ties(5, 65), c(20), largest=largest, outputs=2, why=f"l{largest}_ties_65"),
        OpCase("TopK", ties(3, 63, values=1), c(63), largest=largest, outputs=2, why=f"l{largest}_few"),
        OpCase("TopK", x(70, 9), c(2), largest=largest, outputs=2, why=f"l{largest}_past_the_lanes"),
        OpCase("TopK", x(1, 1000), c(5), largest=largest, outputs=2, why=f"l{largest}_classes"),
        OpCase("TopK", ties(4, 9, dtype=np.int32), c(5), largest=largest, outputs=2,
               why=f"l{largest}_of_integers"),
        OpCase("TopK", given([2**31 - 1, -(2**31), 0, -1, 2**31 - 1], np.int32), c(5), largest=largest,
               outputs=2, why=f"l{largest}_integer_limits"),
    )
] + [
    OpCase("TopK", x(7), c(1), outputs=2, why="rank_1"),
    OpCase("TopK", x(1), c(1), outputs=2, why="one_element"),
    OpCase("TopK", x(2, 2), c(2), outputs=2, axis=0, why="two"),
    OpCase("TopK", x(3, 10), c(4), opset=10, outputs=2, why="opset_10"),
    OpCase("TopK", x(3, 10), opset=9, k=4, outputs=2, why="opset_9"),
    OpCase("TopK", x(2, 20000), c(300), outputs=2, why="longer_than_one_sort"),
    OpCase("TopK", ties(1, 16385), c(100), outputs=2, largest=0, why="longer_than_one_sort_ties"),
    OpCase("TopK", x(200, 300), c(10), outputs=2, why="many_lists"),
]  # fmt: skip

ARG = [
    case
    for op in ("ArgMax", "ArgMin")
    for last in (0, 1)
    for case in (
        OpCase(op, x(3, 10), axis=1, select_last_index=last, why=f"l{last}"),
        OpCase(op, x(4, 5, 6), select_last_index=last, keepdims=0, why=f"l{last}_default_axis"),
        OpCase(op, x(4, 5, 6), axis=-2, select_last_index=last, why=f"l{last}_negative_axis"),
        OpCase(op, ties(4, 64), axis=1, select_last_index=last, why=f"l{last}_ties"),
        OpCase(op, ties(65, 9, 3), axis=1, select_last_index=last, keepdims=0, why=f"l{last}_ties_65"),
        OpCase(op, ties(3, 63), axis=0, select_last_index=last, why=f"l{last}_ties_axis_0"),
        OpCase(op, given([0.0, -0.0, 0.0]), axis=0, select_last_index=last, why=f"l{last}_zeros"),
        OpCase(op, ties(4, 9, dtype=np.int32), axis=1, select_last_index=last, why=f"l{last}_of_integers"),
        OpCase(op, x(2, 1, 3), axis=1, select_last_index=last, why=f"l{last}_one_element"),
        OpCase(op, ties(1, 30000), axis=1, select_last_index=last, why=f"l{last}_past_local_memory"),
    )
] + [
    OpCase("ArgMax", x(3, 10), axis=1, opset=11, why="opset_11"),
    OpCase("ArgMin", x(3, 10), axis=1, opset=7, keepdims=0, why="opset_7"),
    OpCase("ArgMax", x(1, 21, 65, 65), axis=1, keepdims=0, why="segmentation"),
]  # fmt: skip

CUMSUM = [
    case
    for reverse in (0, 1)
    for exclusive in (0, 1)
    for case in (
        OpCase("CumSum", x(7), c(0), reverse=reverse, exclusive=exclusive, why=f"r{reverse}_e{exclusive}"),
        OpCase("CumSum", x(2, 3, 4), c(-2), reverse=reverse, exclusive=exclusive,
               why=f"r{reverse}_e{exclusive}_middle"),
        OpCase("CumSum", x(65, 66), c(1), reverse=reverse, exclusive=exclusive,
               why=f"r{reverse}_e{exclusive}_past_the_lanes"),
        OpCase("CumSum", x(3, 1), c(1), reverse=reverse, exclusive=exclusive,
               why=f"r{reverse}_e{exclusive}_one_element"),
        OpCase("CumSum", ties(5, 9, dtype=np.int32), c(0), reverse=reverse, exclusive=exclusive,
               why=f"r{reverse}_e{exclusive}_of_integers"),
    )
] + [
    OpCase("CumSum", x(1, 60000, low=0.0, high=1.0), c(1), why="past_local_memory"),
    OpCase("CumSum", x(3, 500, 40), c(1), opset=11, why="opset_11"),
]  # fmt: skip


@rows([*TOPK, *ARG, *CUMSUM])
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
