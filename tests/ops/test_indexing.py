"""Operators that choose elements by index, with constant and run-time indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness import OpCase, Operand, Stage, array, c, check, rows, w, x


def i(values: Any, dtype: Any = np.int64) -> Operand:
    """A constant index tensor."""
    return array(np.asarray(values, dtype))


def drawn(shape: Sequence[int], low: int, high: int, *, seed: int = 0) -> Operand:
    """Constant indices in [low, high)."""
    return i(np.random.default_rng(seed).integers(low, high, shape))


def ints(*shape: int, low: int = -50, high: int = 50) -> Operand:
    """A run-time tensor of int32."""
    values = np.random.default_rng(len(shape)).integers(low, high, shape)
    return array(values.astype(np.int32), constant=False)


def both(cases: Iterable[OpCase]) -> list[OpCase]:
    """Each case with its index tensor as a constant and as a run-time input."""
    result = []
    for case in cases:
        operands = list(case.operands)
        operands[1] = replace(operands[1], constant=False)
        result += [
            case,
            OpCase(
                case.op, *operands, why=f"{case.why} run_time".strip(), opset=case.opset,
                outputs=case.outputs, stages=case.stages, **case.attributes,
            ),
        ]  # fmt: skip
    return result


# A permutation has no two indices alike, whatever the axis.
def shuffled(*shape: int, axis: int = 0) -> Operand:
    """Constant indices along ``axis``, each once."""
    rng = np.random.default_rng(7)
    return i(np.argsort(rng.random(shape), axis=axis))


GATHER = both(
    [
        OpCase("Gather", x(4, 5, 6), i([2, 0, -1]), axis=1, why="vector"),
        OpCase("Gather", x(4, 5, 6), i([0]), why="one_element_keeps_the_axis"),
        OpCase("Gather", x(4, 5, 6), i(-1), axis=2, why="scalar_drops_the_axis"),
        OpCase("Gather", x(4, 5, 6), i(1), axis=-2, why="negative_axis"),
        OpCase("Gather", x(4, 5, 6), i([[0, 1], [-4, 3]]), why="matrix"),
        OpCase("Gather", x(4, 5, 6), drawn((2, 3, 4), -6, 6), axis=2, why="last_axis"),
        OpCase("Gather", x(7), drawn((40,), -7, 7), why="rank_1"),
        OpCase("Gather", x(7), i(3), why="to_a_scalar"),
        OpCase("Gather", x(1, 1), i([0, 0, -1]), axis=1, why="one_element"),
        OpCase("Gather", x(65, 3), drawn((70,), -65, 65), why="past_the_lanes"),
        OpCase("Gather", x(300, 64), drawn((2, 40), 0, 300), why="embedding"),
        OpCase("Gather", x(2, 3, 64, 5), drawn((63,), 0, 64), axis=2, why="inner_axis"),
        OpCase("Gather", x(3, 4, 2, 2, 3), drawn((5,), -3, 3), axis=4, why="rank_5"),
        OpCase("Gather", ints(5, 4), i([3, -1, 0]), why="of_integers"),
        OpCase("Gather", x(5, 4), i([1, 2], np.int32), why="int32_indices"),
        OpCase("Gather", x(5, 4), i([1, 2]), opset=11, why="opset_11"),
        OpCase("Gather", x(5, 4), i([1, 0]), opset=7, why="opset_7"),
        OpCase("GatherElements", x(4, 5, 6), drawn((4, 5, 6), -5, 5), axis=1, why="whole"),
        OpCase("GatherElements", x(4, 5, 6), drawn((2, 9, 3), -5, 5), axis=1, why="part"),
        OpCase("GatherElements", x(4, 5), drawn((7, 5), 0, 4), why="default_axis"),
        OpCase("GatherElements", x(4, 5), drawn((4, 2), -5, 5), axis=-1, why="last_axis"),
        OpCase("GatherElements", x(9), drawn((12,), -9, 9), why="rank_1"),
        OpCase("GatherElements", x(2, 65, 3, 4), drawn((2, 65, 3, 2), 0, 4), axis=3, why="past_the_lanes"),
        OpCase("GatherElements", x(2, 3, 4, 5), drawn((1, 3, 4, 5), 0, 2), axis=0, why="rank_4_first"),
        OpCase("GatherElements", ints(3, 4), drawn((3, 2), -4, 4), axis=1, why="of_integers"),
        OpCase("GatherElements", x(3, 4), drawn((3, 2), 0, 4), axis=1, opset=11, why="opset_11"),
        OpCase("GatherND", x(4, 5, 6), drawn((3, 2), -4, 4), why="rows"),
        OpCase("GatherND", x(4, 5, 6), drawn((3, 7, 3), -4, 4), why="elements"),
        OpCase("GatherND", x(4, 5, 6), drawn((2, 3, 1), -4, 4), why="slices"),
        OpCase("GatherND", x(4, 5, 6), drawn((4, 3, 1), -5, 5), batch_dims=1, why="batch"),
        OpCase("GatherND", x(2, 3, 5, 6), drawn((2, 3, 4, 2), -5, 5), batch_dims=2, why="two_batch_axes"),
        OpCase("GatherND", x(5), drawn((70, 1), -5, 5), why="rank_1"),
        OpCase("GatherND", x(4, 5), i([1, 2]), why="one_tuple"),
        OpCase("GatherND", x(66, 70), drawn((130, 2), -66, 66), why="past_the_lanes"),
        OpCase("GatherND", ints(4, 5), drawn((3, 1), -4, 4), why="of_integers"),
        OpCase("GatherND", x(4, 5), drawn((3, 1), -4, 4), opset=11, why="opset_11"),
    ]
)

SCATTER = both(
    [
        OpCase("ScatterElements", x(4, 5), shuffled(4, 5, axis=1), w(4, 5), axis=1, why="whole"),
        OpCase("ScatterElements", x(4, 5), i([[1], [-1], [0], [4]]), w(4, 1), axis=1, why="one_each"),
        OpCase("ScatterElements", x(4, 5), i([[1, 0, 2], [0, 2, -1]]), w(2, 3), why="part"),
        OpCase("ScatterElements", x(2, 3, 4, 5), shuffled(2, 3, 3, 4, axis=2), w(2, 3, 3, 4), axis=2,
               why="rank_4"),
        OpCase("ScatterElements", x(9), i([3, -1, 0]), w(3), why="rank_1"),
        OpCase("ScatterElements", x(65, 70), shuffled(65, 66, axis=1), x(65, 66), axis=-1,
               why="past_the_lanes"),
        OpCase("ScatterElements", ints(3, 4), i([[1], [2], [3]]), ints(3, 1), axis=1, why="of_integers"),
        OpCase("ScatterElements", x(4, 5), i([[1], [3], [0], [4]]), w(4, 1), axis=1, opset=11,
               why="opset_11"),
        OpCase("Scatter", x(4, 5), i([[1], [3], [0], [4]]), w(4, 1), axis=1, opset=9, why="opset_9"),
        OpCase("ScatterND", x(4, 5, 6), i([[3], [1]]), w(2, 5, 6), why="slices"),
        OpCase("ScatterND", x(4, 5, 6), i([[3, 0], [-1, -1], [0, 2]]), w(3, 6), why="rows"),
        OpCase("ScatterND", x(4, 5), i([[3, 0], [-1, -1], [0, 2]]), w(3), why="elements"),
        OpCase("ScatterND", x(8), i([[4], [3], [1], [7]]), w(4), why="rank_1"),
        OpCase("ScatterND", x(70, 3), i(np.arange(0, 70, 1)[::-1, None].copy()), x(70, 3),
               why="past_the_lanes"),
        OpCase("ScatterND", x(4, 5, 6), i([[[3, 0], [2, 2]], [[0, 1], [1, 4]]]), w(2, 2, 6),
               why="list_of_lists"),
        OpCase("ScatterND", ints(8), i([[4], [3]]), ints(2), why="of_integers"),
        OpCase("ScatterND", x(8), i([[4], [3], [1], [7]]), w(4), opset=11, why="opset_11"),
    ]
    + [
        case
        for reduction in ("add", "mul", "max", "min")
        for case in (
            OpCase("ScatterElements", x(4, 5), shuffled(4, 5, axis=1), w(4, 5),
                   axis=1, opset=18, reduction=reduction, why=reduction),
            OpCase("ScatterElements", x(4, 5), i([[1, 1, 0], [-4, 1, 0]]), w(2, 3),
                   opset=18, reduction=reduction, why=f"{reduction}_twice_down"),
            OpCase("ScatterElements", x(3, 66), drawn((3, 9), -2, 2), w(3, 9),
                   axis=1, opset=18, reduction=reduction, why=f"{reduction}_twice_across"),
            OpCase("ScatterElements", x(2, 3, 4, 5), drawn((2, 3, 6, 5), -4, 4), x(2, 3, 6, 5),
                   axis=2, opset=18, reduction=reduction, why=f"{reduction}_rank_4"),
            OpCase("ScatterND", x(4, 5, 6), i([[3], [1], [3], [-1]]), w(4, 5, 6),
                   opset=18, reduction=reduction, why=f"{reduction}_slices"),
            OpCase("ScatterND", x(4, 5), i([[3, 0], [-1, -5], [3, 0]]), w(3),
                   opset=18, reduction=reduction, why=f"{reduction}_elements"),
            OpCase("ScatterND", x(70, 65), i(np.arange(69, -1, -1)[:, None]), w(70, 65),
                   opset=18, reduction=reduction, why=f"{reduction}_past_the_lanes"),
            OpCase("ScatterND", ints(8), i([[4], [3], [4]]), ints(3),
                   opset=18, reduction=reduction, why=f"{reduction}_of_integers"),
        )
    ]
)  # fmt: skip

TRIANGLES = [
    case
    for upper in (0, 1)
    for case in (
        OpCase("Trilu", x(4, 5), upper=upper, why=f"upper_{upper}"),
        OpCase("Trilu", x(5, 4), i(1), upper=upper, why=f"upper_{upper}_k_1"),
        OpCase("Trilu", x(4, 5), i(-2), upper=upper, why=f"upper_{upper}_k_minus_2"),
        OpCase("Trilu", x(4, 5), i(9), upper=upper, why=f"upper_{upper}_k_beyond"),
        OpCase("Trilu", x(4, 5), i(-9), upper=upper, why=f"upper_{upper}_k_before"),
        OpCase("Trilu", x(2, 3, 6, 6), i(0), upper=upper, why=f"upper_{upper}_batch"),
        OpCase("Trilu", x(1, 1), upper=upper, why=f"upper_{upper}_one_element"),
        OpCase("Trilu", x(65, 130), i(3), upper=upper, why=f"upper_{upper}_past_the_lanes"),
        OpCase("Trilu", ints(3, 3), upper=upper, why=f"upper_{upper}_of_integers"),
    )
]  # fmt: skip

OTHERS = [
    OpCase("Compress", x(3, 4), array(np.array([False, True, True])), axis=0, why="rows"),
    OpCase("Compress", x(3, 4), array(np.array([True, False, True])), axis=-1, why="shorter_than_the_axis"),
    OpCase("Compress", x(3, 4), array(np.array([False, True, False, False, True])), why="flattened"),
    OpCase("ReverseSequence", x(4, 3, 2), c(1, 2, 4), why="time_first"),
    OpCase("ReverseSequence", x(3, 4, 2), c(1, 2, 4), batch_axis=0, time_axis=1, why="batch_first"),
    OpCase("ReverseSequence", x(2, 70), c(70, 65), batch_axis=0, time_axis=1, why="matrix"),
    OpCase("ReverseSequence", x(4, 3, 2), replace(c(1, 2, 4), constant=False), why="run_time"),
    OpCase("ReverseSequence", x(3, 4), replace(c(1, 2, 4), constant=False), batch_axis=0, time_axis=1,
           why="run_time_matrix"),
    OpCase("OneHot", i([0, 2, -1]), c(4), c(0.0, 1.0), why="constant"),
]  # fmt: skip


def places(*shape: int, low: int = 0) -> Operand:
    """Run-time indices of int64 in [low, 6)."""
    return replace(drawn(shape, low, 6), constant=False)


ONE_HOT = [
    OpCase("OneHot", places(5, low=-6), c(4), c(0.0, 1.0), why="some_out_of_range"),
    OpCase("OneHot", places(2, 3), c(6), c(-2.5, 3.5), axis=0, why="axis_0"),
    OpCase("OneHot", places(2, 3), c(6), c(1.0, 0.0), axis=1, why="axis_1"),
    OpCase("OneHot", places(2, 3), c(6), c(0, 7), axis=-1, why="of_integers"),
    OpCase("OneHot", places(70), c(65), c(0.0, 1.0), why="past_the_lanes"),
    OpCase("OneHot", places(3), c(6), replace(c(0.0, 1.0), constant=False), why="run_time_values"),
]

CASES = [*GATHER, *SCATTER, *TRIANGLES, *OTHERS, *ONE_HOT]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
