"""Sampling at computed places: grids, regions of interest, blocks put back."""

from __future__ import annotations

import itertools

import numpy as np

from harness import OpCase, Operand, Stage, array, c, check, rows, w, with_dynamic, x


def grid(*shape: int, reach: float = 1.4, constant: bool = False) -> Operand:
    """Places inside and outside of the input, some on its border."""
    values = np.random.default_rng(sum(shape)).uniform(-reach, reach, shape).astype(np.float32)
    flat = values.reshape(-1)
    flat[: min(4, flat.size)] = [-1.0, 1.0, 0.0, -1.0][: flat.size]
    return array(values, constant=constant)


GRIDS = [
    OpCase(
        "GridSample", x(2, 3, 5, 6), grid(2, 4, 3, 2), opset=20, mode=mode, padding_mode=padding,
        align_corners=align, why=f"{mode}_{padding}_{align}",
    )
    for mode, padding, align in itertools.product(
        ("nearest", "linear", "cubic"), ("zeros", "border", "reflection"), (0, 1)
    )
] + [
    OpCase("GridSample", x(1, 2, 4, 4), grid(1, 3, 3, 2), opset=16, mode="bilinear", why="opset_16"),
    OpCase("GridSample", x(1, 2, 4, 4), grid(1, 3, 3, 2), opset=16, mode="bicubic", why="opset_16_cubic"),
    OpCase("GridSample", x(1, 65, 4, 4), grid(1, 3, 3, 2), opset=20, why="past_the_lanes"),
    OpCase("GridSample", x(1, 1, 1, 1), grid(1, 1, 1, 2), opset=20, why="one_element"),
    OpCase("GridSample", x(1, 2, 4, 4), grid(1, 3, 3, 2, reach=9.0), opset=20, padding_mode="reflection",
           why="far_outside"),
    OpCase("GridSample", x(1, 2, 4, 4), grid(1, 3, 3, 2, constant=True), opset=20, why="constant_grid"),
    OpCase("GridSample", x(1, 2, 3, 4, 5), grid(1, 2, 3, 2, 3), opset=20, why="three_axes"),
    OpCase("GridSample", x(1, 2, 3, 4, 5), grid(1, 2, 3, 2, 3), opset=20, mode="nearest",
           padding_mode="border", why="three_axes_nearest"),
]  # fmt: skip

ROIS = array(
    np.array([[0, 0, 9, 9], [2, 3, 7.5, 8], [-3, -2, 4, 15], [5, 5, 5, 5]], np.float32), constant=False
)
REGIONS = [
    OpCase(
        "RoiAlign", x(2, 3, 10, 12), ROIS, c(0, 1, 1, 0), opset=16, mode=mode, output_height=3,
        output_width=2, sampling_ratio=2, coordinate_transformation_mode=rule, spatial_scale=scale,
        why=f"{mode}_{rule}_{scale}",
    )
    for mode, rule, scale in itertools.product(("avg", "max"), ("half_pixel", "output_half_pixel"), (1.0,
    0.5))
] + [
    OpCase("RoiAlign", x(2, 3, 10, 12), ROIS, c(0, 1, 1, 0), opset=10, sampling_ratio=1, why="opset_10"),
    OpCase("RoiAlign", x(2, 65, 10, 12), ROIS, array(np.array([0, 1, 1, 0]), constant=False), opset=16,
           sampling_ratio=3, output_height=2, output_width=2, why="batch_at_run_time"),
]  # fmt: skip

DEFORMED = with_dynamic([
    OpCase("DeformConv", x(1, 2, 5, 6), w(3, 2, 2, 2), x(1, 8, 4, 5), opset=19, why="plain"),
    OpCase("DeformConv", x(2, 4, 5, 6), w(6, 2, 3, 3), x(2, 36, 3, 3), w(6), x(2, 18, 3, 3), opset=19,
           strides=[2, 2], pads=[1, 1, 1, 0], group=2, offset_group=2, why="all"),
    OpCase("DeformConv", x(1, 2, 7, 8), w(3, 2, 2, 3), x(1, 12, 9, 6), w(3), opset=22, dilations=[2, 1],
           pads=[2, 0, 2, 0], why="dilated"),
])  # fmt: skip

BLOCKS = [
    OpCase("Col2Im", x(1, 5, 5), c(5, 5), c(1, 5), opset=18, why="rows"),
    OpCase("Col2Im", x(2, 27, 16), c(4, 4), c(3, 3), opset=18, pads=[1, 1, 1, 1], why="pads"),
    OpCase("Col2Im", x(1, 8, 9), c(6, 7), c(2, 2), opset=18, strides=[2, 2], why="strides_and_rest"),
    OpCase("Col2Im", x(1, 4, 9), c(5, 5), c(2, 2), opset=18, dilations=[2, 2], why="dilations"),
    OpCase("Col2Im", x(1, 10, 12), c(3, 4, 5), c(1, 1, 5), opset=18, why="three_axes"),
]


@rows(GRIDS + REGIONS + DEFORMED + BLOCKS)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
