"""Resampling: every rounding of nearest, every coordinate rule, scales and sizes."""

from __future__ import annotations

import pytest

import tpumlir
from harness import ABSENT, OpCase, Stage, c, check, rows, x

X = x(1, 3, 5, 7)
COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
CASES = (
    [
        OpCase(
            "Resize", X, ABSENT, c(1.0, 1.0, 2.0, 3.0), mode="nearest", coordinate_transformation_mode=mode,
            nearest_mode=rounding, why=f"{mode}_{rounding}",
        )
        for mode in COORDINATES
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ]
    + [
        OpCase(
            "Resize", X, ABSENT, c(1.0, 1.0, 2.0, 3.0), mode="linear", why=mode,
            coordinate_transformation_mode=mode,
        )
        for mode in COORDINATES
    ]
    + [
        OpCase("Resize", X, ABSENT, c(1.0, 1.0, 2.0, 2.0), mode="linear", why="default_coordinates"),
        OpCase("Resize", X, ABSENT, ABSENT, c(1, 3, 9, 11), mode="linear", why="sizes"),
        OpCase("Resize", X, ABSENT, ABSENT, c(1, 3, 9, 4), mode="nearest", why="sizes_nearest"),
        OpCase("Resize", X, ABSENT, ABSENT, c(10, 14), axes=[2, 3], opset=18, mode="nearest", why="axes"),
        OpCase("Resize", X, ABSENT, c(1.0, 1.0, 1.5, 0.6), mode="linear", why="odd_scales"),
        OpCase("Resize", X, ABSENT, c(1.0, 1.0, 0.5, 0.5), mode="linear", why="down"),
        OpCase("Resize", x(1, 65, 4, 4), ABSENT, c(1.0, 1.0, 2.0, 2.0), mode="nearest", why="past_the_lanes",
               coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        OpCase("Resize", x(1, 3, 5), ABSENT, c(1.0, 1.0, 2.0), mode="linear", why="one_axis"),
        OpCase("Resize", X, c(1.0, 1.0, 2.0, 2.0), opset=10, mode="nearest", why="opset_10"),
        OpCase("Upsample", X, c(1.0, 1.0, 2.0, 2.0), opset=9, mode="nearest", why="opset_9"),
        OpCase("Upsample", X, opset=8, mode="nearest", scales=[1.0, 1.0, 2.0, 2.0], why="attribute"),
        OpCase("Upsample", X, c(1.0, 1.0, 2.0, 2.0), opset=9, mode="linear", why="linear"),
    ]
)  # fmt: skip


@rows(CASES)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


def test_cubic_is_refused_not_replaced() -> None:
    with pytest.raises(tpumlir.UnsupportedError, match="mode cubic"):
        _ = OpCase("Resize", X, ABSENT, c(1.0, 1.0, 2.0, 2.0), mode="cubic").top
