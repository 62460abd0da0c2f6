"""Operators that only move data."""

from __future__ import annotations

import numpy as np

from harness import ABSENT, OpCase, Operand, Stage, array, c, check, rows, scalar, w, with_dynamic, x


def ints(*shape: int) -> Operand:
    """A run-time tensor of int32."""
    return array(np.random.default_rng(1).integers(-9, 9, shape, np.int32), constant=False)


def run_time(value: float) -> Operand:
    """A run-time number."""
    return array(np.array(value, np.float32), constant=False)


def pads(mode: str) -> list[OpCase]:
    """The edges of one way to pad."""
    return [
        OpCase("Pad", x(1, 3, 4, 5), c(0, 0, 1, 2, 0, 0, 3, 1), opset=19, mode=mode, why=mode),
        OpCase("Pad", x(7), c(3, 2), opset=19, mode=mode, why=f"{mode}_rank_1"),
        OpCase("Pad", x(4, 5), c(2, 0, 1, 0), opset=19, mode=mode, why=f"{mode}_first_axis"),
        OpCase("Pad", x(4, 5), c(0, 0, 0, 4), opset=19, mode=mode, why=f"{mode}_end_only"),
        OpCase("Pad", x(4, 5), c(2, -1, 0, 3), opset=19, mode=mode, why=f"{mode}_cuts_too"),
        OpCase("Pad", x(4, 5), c(-1, -1, -2, 0), opset=19, mode=mode, why=f"{mode}_cuts_only"),
        OpCase("Pad", x(4, 5), c(0, 0, 0, 0), opset=19, mode=mode, why=f"{mode}_by_nothing"),
        OpCase("Pad", x(2, 3, 4, 5), c(1, 2), ABSENT, c(-2), opset=19, mode=mode, why=f"{mode}_axes"),
        OpCase("Pad", x(2, 65, 3, 3), c(0, 1, 1, 1, 0, 1, 1, 1), opset=19, mode=mode, why=f"{mode}_lanes"),
        OpCase("Pad", ints(4, 5), c(1, 2, 1, 0), opset=19, mode=mode, why=f"{mode}_of_integers"),
    ]


CASES = [
    OpCase("Reshape", x(2, 3, 4), c(4, 6)),
    OpCase("Reshape", x(2, 3, 4), c(24, 1, 1), allowzero=1, why="allow_zero"),
    OpCase("Reshape", x(2, 3, 4), c(2, 0, -1, 1, 1), why="to_rank_5"),
    OpCase("Reshape", x(1), array(np.empty(0, np.int64)), why="to_a_scalar"),
    OpCase("Reshape", ints(2, 6), c(3, -1), why="of_integers"),
    OpCase("Reshape", x(2, 3), c(3, 2), opset=7, why="opset_7"),
    OpCase("Flatten", x(5), axis=0, why="vector"),
    OpCase("Flatten", x(2, 3), axis=-2, opset=11, why="opset_11"),
    OpCase("Squeeze", x(1, 1), why="to_a_scalar"),
    OpCase("Squeeze", ints(1, 3), c(0), why="of_integers"),
    OpCase("Unsqueeze", x(3, 5), c(3, 0, 1), why="unsorted"),
    OpCase("Unsqueeze", x(3, 5), c(-2), why="negative"),
    OpCase("Transpose", x(1, 1), why="one_element"),
    OpCase("Transpose", ints(3, 4), perm=[1, 0], why="of_integers"),
    OpCase("Transpose", x(2, 3, 2, 3, 2, 3), perm=[5, 2, 0, 4, 1, 3], why="rank_6"),
    OpCase("Transpose", x(2, 3, 4), perm=[0, 1, 2], why="same"),
    OpCase("Transpose", x(300, 130, 2), perm=[1, 2, 0], why="long"),
    OpCase("Slice", x(4, 5, 6), c(-100), c(100), c(0), why="clamped"),
    OpCase("Slice", x(4, 5, 6), c(100), c(-100), c(0), c(-1), why="clamped_backwards"),
    OpCase("Slice", x(4, 5, 6), c(3, 0, -1), c(0, 5, -7), c(0, 1, 2), c(-1, 2, -2), why="mixed_steps"),
    OpCase("Slice", x(70, 66), c(69, 1), c(0, 66), c(0, 1), c(-1, 1), why="lanes_backwards"),
    OpCase("Slice", ints(4, 5), c(1), c(4), why="of_integers"),
    OpCase("Slice", x(4, 5, 6), c(1, 2), c(3, 5), opset=10, why="opset_10"),
    OpCase("Slice", x(4, 5), opset=7, starts=[0, -2], ends=[3, 100], why="opset_7"),
    OpCase("Slice", x(2, 2, 2, 2, 5), c(4), c(0), c(4), c(-2), why="rank_5"),
    OpCase("Split", x(2, 7), opset=18, num_outputs=4, axis=1, outputs=4, why="four_of_seven"),
    OpCase("Split", ints(6, 2), outputs=2, why="of_integers"),
    OpCase("Split", x(2, 130), c(63, 64, 3), axis=-1, outputs=3, why="past_the_lanes"),
    OpCase("Tile", x(7), c(3), why="rank_1"),
    OpCase("Tile", x(2, 3), c(1, 1), why="once"),
    OpCase("Tile", x(1, 1, 2, 1, 3), c(2, 3, 1, 4, 2), why="rank_5"),
    OpCase("Tile", ints(2, 3), c(2, 2), why="of_integers"),
    OpCase("Tile", x(65, 3), c(2, 22), why="past_the_lanes"),
    OpCase("Expand", x(1), c(3, 4, 5), why="one_element"),
    OpCase("Expand", x(3, 1, 5), c(2, 1, 4, 1), why="both_sides"),
    OpCase("Expand", ints(1, 4), c(3, 4), why="of_integers"),
    OpCase("Expand", x(3, 1), c(3, 130), opset=8, why="opset_8"),
    *(case for mode in ("constant", "reflect", "edge", "wrap") for case in pads(mode)),
    OpCase("Pad", x(3, 4), c(1, 2, 0, 3), run_time(2.5), why="run_time_value"),
    OpCase("Pad", x(3, 4), c(1, 0, 0, 0), run_time(np.inf), why="run_time_infinity"),
    OpCase("Pad", x(2, 3, 4, 5), c(1, -1, 1, 1, 0, 1, 0, 1), run_time(-1.0), why="run_time_value_cuts_too"),
    OpCase("Pad", x(1, 3, 4), opset=2 + 5, pads=[0, 1, 0, 0, 0, 2], mode="reflect", why="opset_7"),
    OpCase("CenterCropPad", x(4, 7, 3), c(6, 4, 3), opset=18, why="both"),
    OpCase("CenterCropPad", x(5, 8), c(2, 3), opset=18, why="crop"),
    OpCase("CenterCropPad", x(5, 8), c(8, 11), opset=18, why="pad"),
    OpCase("CenterCropPad", x(5, 8), c(5, 8), opset=18, why="neither"),
    OpCase("CenterCropPad", x(5, 8, 3), c(9, 2), opset=18, axes=[1, -3], why="axes"),
    OpCase("DepthToSpace", x(2, 27, 2, 3), blocksize=3, mode="CRD", why="crd_3"),
    OpCase("DepthToSpace", x(1, 260, 3, 3), blocksize=2, why="past_the_lanes"),
    OpCase("DepthToSpace", x(1, 8, 3, 4), blocksize=2, opset=7, why="opset_7"),
    OpCase("DepthToSpace", x(1, 4, 1, 1), blocksize=2, opset=11, mode="CRD", why="opset_11"),
    OpCase("SpaceToDepth", x(2, 65, 6, 9), blocksize=3, why="past_the_lanes"),
    OpCase("Reshape", x(2, 3, 4), c(0, -1), why="copy_and_rest"),
    OpCase("Reshape", x(2, 3, 4), c(-1), why="flat"),
    OpCase("Flatten", x(2, 3, 4, 5), why="default_axis"),
    OpCase("Flatten", x(2, 3, 4, 5), axis=0, why="axis_0"),
    OpCase("Flatten", x(2, 3, 4, 5), axis=-1, why="axis_minus_1"),
    OpCase("Flatten", x(2, 3, 4, 5), axis=4, why="axis_rank"),
    OpCase("Squeeze", x(1, 3, 1, 5), why="all"),
    OpCase("Squeeze", x(1, 3, 1, 5), c(2), why="one"),
    OpCase("Squeeze", x(1, 3, 1, 5), opset=11, axes=[-2], why="attribute"),
    OpCase("Unsqueeze", x(3, 5), c(0, -1), why="both_ends"),
    OpCase("Unsqueeze", x(3, 5), opset=11, axes=[1], why="attribute"),
    OpCase("Transpose", x(2, 3, 4), why="default_reverses"),
    OpCase("Transpose", x(1, 3, 8, 9), perm=[0, 2, 3, 1], why="to_nhwc"),
    OpCase("Transpose", x(1, 8, 9, 3), perm=[0, 3, 1, 2], why="to_nchw"),
    OpCase("Transpose", x(2, 66, 5, 7), perm=[2, 0, 3, 1], why="past_the_lanes"),
    OpCase("Transpose", x(65, 70), perm=[1, 0], why="matrix"),
    OpCase("Transpose", x(2, 3, 4, 5, 6), perm=[0, 3, 1, 4, 2], why="rank_5"),
    OpCase("Slice", x(4, 5, 6), c(1, 2), c(3, 5), why="first_axes"),
    OpCase("Slice", x(4, 5, 6), c(-3), c(2**62), c(-1), why="negative_to_the_end"),
    OpCase("Slice", x(4, 5, 6), c(0), c(6), c(2), c(2), why="step"),
    OpCase("Slice", x(4, 5, 6), c(-1), c(-(2**62)), c(1), c(-1), why="reversed"),
    OpCase("Slice", x(4, 5, 9), c(-2), c(0), c(2), c(-3), why="backwards_in_steps"),
    OpCase("Slice", x(4, 5, 6), opset=9, starts=[1], ends=[3], axes=[1], why="attributes"),
    OpCase("Split", x(2, 6, 3), c(1, 2, 3), axis=1, outputs=3, why="sizes"),
    OpCase("Split", x(6, 4), outputs=3, why="default_axis"),
    OpCase("Split", x(7, 4), opset=18, num_outputs=3, outputs=3, why="last_is_smaller"),
    OpCase("Split", x(2, 6), opset=11, split=[2, 4], axis=-1, outputs=2, why="attribute"),
    OpCase("Pad", x(1, 3, 4, 5), c(0, 0, 1, 2, 0, 0, 3, 0), why="zeros"),
    OpCase("Pad", x(1, 3, 4, 5), c(0, 1, 1, 2, 0, 0, 3, 0), scalar(-1.5), why="value"),
    OpCase("Pad", x(1, 3, 4, 5), c(0, 0, -1, 2, 0, 0, 0, -2), why="negative_cuts"),
    OpCase("Pad", x(1, 3, 4, 5), c(1, 2), scalar(0.0), c(-1), opset=18, why="axes"),
    OpCase("Pad", x(1, 3, 4), opset=10, pads=[0, 1, 0, 0, 0, 2], value=0.5, why="attributes"),
    OpCase("Tile", x(1, 3, 4), c(2, 1, 3)),
    OpCase("Expand", x(3, 1), c(2, 1, 4), why="both_grow"),
    OpCase("Expand", x(3, 4), c(1, 1), why="smaller_target"),
    OpCase("DepthToSpace", x(1, 8, 3, 4), blocksize=2, why="dcr"),
    OpCase("DepthToSpace", x(1, 8, 3, 4), blocksize=2, mode="CRD", why="crd"),
    OpCase("SpaceToDepth", x(1, 2, 4, 6), blocksize=2),
    OpCase("Concat", x(2, 3), array(np.empty((2, 0), np.float32)), axis=1, why="with_an_empty_one"),
    OpCase("Cast", x(2, 3), to=1, why="to_its_own_type"),
    OpCase("Identity", x(2, 3)),
    OpCase("Dropout", x(2, 3), opset=13),
    *with_dynamic(
        [
            OpCase("Concat", x(1, 3, 4), w(1, 2, 4), axis=1, why="with_constant"),
            OpCase("Concat", x(2, 3), x(2, 5), x(2, 1), axis=-1, why="three"),
            OpCase("Concat", x(1, 65, 3, 3), x(1, 66, 3, 3), axis=1, why="past_the_lanes"),
            OpCase("Concat", x(2, 3), axis=0, why="one"),
            OpCase("Concat", x(5), w(1), x(7), axis=0, why="rank_1"),
            OpCase("Concat", x(2, 1, 3, 1, 2), x(2, 4, 3, 1, 2), axis=-4, why="rank_5"),
            OpCase("Concat", ints(2, 3), ints(2, 1), axis=1, why="of_integers"),
        ]
    ),
]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
