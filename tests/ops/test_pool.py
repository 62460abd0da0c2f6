"""Pooling: defaults of ONNX, automatic padding, ceil_mode and what of the padding is counted."""

from __future__ import annotations

from harness import OpCase, Stage, check, rows, x

CASES = [
    OpCase(op, *case.operands, why=case.why, **case.attributes)
    for op in ("MaxPool", "AveragePool")
    for case in (
        OpCase(op, x(1, 3, 8, 8), kernel_shape=[2, 2], why="strides_default_to_one"),
        OpCase(op, x(1, 3, 8, 8), kernel_shape=[2, 2], strides=[2, 2], why="halves"),
        OpCase(
            op, x(2, 65, 9, 7), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], why="past_the_lanes"
        ),
        OpCase(op, x(1, 3, 9, 10), kernel_shape=[3, 2], pads=[0, 1, 2, 0], strides=[1, 2], why="uneven_pads"),
        OpCase(op, x(1, 3, 9, 10), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER", why="upper"),
        OpCase(op, x(1, 3, 9, 10), kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER", why="lower"),
        OpCase(op, x(1, 3, 9, 10), kernel_shape=[3, 3], strides=[2, 2], auto_pad="VALID", why="valid"),
        OpCase(op, x(1, 3, 10, 10), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, why="ceil"),
        OpCase(op, x(1, 3, 8, 8), kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, why="ceil_of_a_piece"),
        OpCase(op, x(1, 3, 7, 7), kernel_shape=[7, 7], why="whole_plane"),
        OpCase(op, x(1, 3, 20), kernel_shape=[4], strides=[3], why="one_axis"),
    )
] + [
    OpCase(
        "MaxPool", x(1, 2, 5, 5, low=-9.0, high=-1.0), kernel_shape=[3, 3], pads=[1, 1, 1, 1], why="negative"
    ),
    OpCase(
        "AveragePool",
        x(1, 3, 8, 8),
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=1,
        why="counted",
    ),
    OpCase(
        "AveragePool",
        x(1, 3, 7, 8),
        opset=19,
        kernel_shape=[3, 3],
        strides=[2, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=1,
        ceil_mode=1,
        why="counted_and_ceil",
    ),
    OpCase("GlobalAveragePool", x(1, 65, 7, 5)),
    OpCase("GlobalMaxPool", x(1, 65, 7, 5)),
    OpCase("GlobalAveragePool", x(2, 3, 1, 1), why="one_element"),
]


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
