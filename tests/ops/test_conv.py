"""Convolutions: geometry, groups, automatic padding, and filters and biases that are computed."""

from __future__ import annotations

from harness import OpCase, Stage, check, rows, w, with_dynamic, x

CASES = with_dynamic(
    [
        OpCase("Conv", x(1, 3, 8, 8), w(4, 3, 3, 3), why="defaults"),
        OpCase("Conv", x(1, 3, 8, 8), w(4, 3, 3, 3), w(4), pads=[1, 1, 1, 1], why="bias"),
        OpCase("Conv", x(2, 65, 9, 7), w(66, 65, 3, 3), w(66), pads=[1, 1, 1, 1], why="past_the_lanes"),
        OpCase("Conv", x(1, 64, 14, 14), w(64, 64, 1, 1), why="pointwise"),
        OpCase(
            "Conv", x(1, 130, 5, 5), w(130, 1, 3, 3), w(130), group=130, pads=[1, 1, 1, 1], why="depthwise"
        ),
        OpCase("Conv", x(1, 12, 9, 9), w(18, 4, 3, 3), w(18), group=3, strides=[2, 2], why="grouped_stride"),
        OpCase("Conv", x(1, 4, 11, 13), w(5, 4, 3, 2), dilations=[2, 3], why="dilated"),
        OpCase("Conv", x(1, 4, 10, 11), w(5, 4, 3, 5), pads=[0, 1, 2, 3], strides=[1, 2], why="uneven_pads"),
        OpCase(
            "Conv", x(1, 4, 10, 11), w(5, 4, 3, 2), auto_pad="SAME_UPPER", strides=[2, 2], why="same_upper"
        ),
        OpCase(
            "Conv", x(1, 4, 10, 11), w(5, 4, 4, 2), auto_pad="SAME_LOWER", strides=[1, 2], why="same_lower"
        ),
        OpCase("Conv", x(1, 4, 10, 11), w(5, 4, 3, 3), auto_pad="VALID", why="valid"),
        OpCase("Conv", x(1, 1, 1, 1), w(1, 1, 1, 1), w(1), why="one_element"),
        OpCase(
            "Conv", x(1, 3, 112, 112), w(16, 3, 7, 7), w(16), pads=[3, 3, 3, 3], strides=[2, 2], why="stem"
        ),
        OpCase("Conv", x(1, 256, 7, 7), w(512, 256, 3, 3), pads=[1, 1, 1, 1], why="weights_beyond_a_lane"),
        OpCase("Conv", x(1, 520, 3, 3), w(1024, 520, 3, 3), pads=[1, 1, 1, 1], why="beyond_local_memory"),
        OpCase("Conv", x(1, 16, 9, 9), w(12, 8, 3, 3), group=2, pads=[1, 1, 1, 1], why="images_as_groups"),
        OpCase("Conv", x(1, 8, 20), w(6, 8, 5), w(6), pads=[2, 2], why="one_axis"),
        OpCase("ConvTranspose", x(1, 4, 5, 5), w(4, 4, 2, 2), why="founding_case"),
        OpCase(
            "ConvTranspose", x(1, 4, 5, 6), w(4, 3, 3, 2), w(3), strides=[2, 2], pads=[1, 0, 1, 1], why="bias"
        ),
        OpCase("ConvTranspose", x(1, 6, 5, 5), w(6, 2, 3, 3), w(4), group=2, strides=[2, 1], why="grouped"),
        OpCase(
            "ConvTranspose", x(1, 1024, 3, 2), w(1024, 520, 3, 3), strides=[2, 2], why="beyond_local_memory"
        ),
        OpCase(
            "ConvTranspose", x(1, 16, 5, 5), w(16, 6, 3, 3), group=2, strides=[2, 2], why="images_as_groups"
        ),
        OpCase("ConvTranspose", x(1, 64, 4, 4), w(64, 1, 4, 4), group=64, strides=[2, 2], why="depthwise"),
        OpCase("ConvTranspose", x(1, 4, 5, 5), w(4, 3, 3, 3), dilations=[2, 1], why="dilated"),
        OpCase(
            "ConvTranspose", x(1, 4, 5, 5), w(4, 3, 3, 3), strides=[3, 2], output_padding=[2, 1], why="more"
        ),
        OpCase(
            "ConvTranspose", x(1, 4, 5, 5), w(4, 3, 3, 3), strides=[2, 2], output_shape=[10, 9], why="shape"
        ),
        OpCase(
            "ConvTranspose", x(1, 4, 5, 5), w(4, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER", why="upper"
        ),
        OpCase(
            "ConvTranspose", x(1, 4, 5, 5), w(4, 3, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER", why="lower"
        ),
        OpCase("ConvTranspose", x(2, 65, 4, 4), w(65, 66, 3, 3), w(66), strides=[2, 2], why="past_the_lanes"),
    ]
)


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
