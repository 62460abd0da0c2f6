"""Operators that only move data."""

from __future__ import annotations

from harness import OpCase, Stage, c, check, rows, scalar, w, with_dynamic, x

CASES = [
    OpCase("Reshape", x(2, 3, 4), c(4, 6)),
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
    OpCase("Pad", x(1, 3, 4, 5), c(0, 0, 1, 2, 0, 0, 3, 1), mode="reflect", why="reflect"),
    OpCase("Pad", x(1, 3, 4, 5), c(0, 0, 1, 2, 0, 0, 3, 1), mode="edge", why="edge"),
    OpCase("Pad", x(1, 3, 4, 5), c(0, 0, -1, 2, 0, 0, 0, -2), why="negative_cuts"),
    OpCase("Pad", x(1, 3, 4, 5), c(1, 2), scalar(0.0), c(-1), opset=18, why="axes"),
    OpCase("Pad", x(1, 3, 4), opset=10, pads=[0, 1, 0, 0, 0, 2], value=0.5, why="attributes"),
    OpCase("Tile", x(1, 3, 4), c(2, 1, 3)),
    OpCase("Expand", x(3, 1), c(2, 1, 4), why="both_grow"),
    OpCase("Expand", x(3, 4), c(1, 1), why="smaller_target"),
    OpCase("DepthToSpace", x(1, 8, 3, 4), blocksize=2, why="dcr"),
    OpCase("DepthToSpace", x(1, 8, 3, 4), blocksize=2, mode="CRD", why="crd"),
    OpCase("SpaceToDepth", x(1, 2, 4, 6), blocksize=2),
    OpCase("Gather", x(4, 5, 6), c(2, 0, -1), axis=1, why="vector"),
    OpCase("Gather", x(4, 5, 6), c(0), why="one_element_keeps_the_axis"),
    OpCase("Gather", x(4, 5, 6), c(-1), axis=2, why="negative"),
    OpCase("Cast", x(2, 3), to=1, why="to_its_own_type"),
    OpCase("Identity", x(2, 3)),
    OpCase("Dropout", x(2, 3), opset=13),
    *with_dynamic(
        [
            OpCase("Concat", x(1, 3, 4), w(1, 2, 4), axis=1, why="with_constant"),
            OpCase("Concat", x(2, 3), x(2, 5), x(2, 1), axis=-1, why="three"),
            OpCase("Concat", x(1, 65, 3, 3), x(1, 66, 3, 3), axis=1, why="past_the_lanes"),
        ]
    ),
]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
