"""Resampling: every rounding of nearest, every coordinate rule, scales and sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tpumlir
from harness import ABSENT, OpCase, Stage, c, check, rows, x
from onnx import helper, numpy_helper
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx

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

_ROI = [0.0, 0.0, 0.2, -0.1, 1.0, 1.0, 0.8, 1.3]
MORE = [
    OpCase("Resize", X, ABSENT, c(1.0, 1.0, *scales), mode=mode, coordinate_transformation_mode=rule,
           opset=19,
           why=f"{mode}_{rule}_{scales}")
    for mode, rule, scales in itertools.product(
        ("cubic", "linear"), (*COORDINATES, "half_pixel_symmetric"), ((2.0, 3.0), (0.6, 0.8), (1.7, 1.0))
    )
    if rule != "align_corners" or scales == (2.0, 3.0)
] + [
    OpCase("Resize", X, ABSENT, c(1.0, 1.0, *scales), mode="cubic", opset=19,
           why=f"cubic_{a}_{outside}_{scales}",
           cubic_coeff_a=a, exclude_outside=outside)
    for a, outside, scales in itertools.product((-0.5, -0.75), (0, 1), ((2.0, 2.0), (0.8, 0.7)))
] + [
    OpCase("Resize", x(1, 2, 11, 13), ABSENT, c(1.0, 1.0, *scales), mode=mode, antialias=1, opset=18,
           exclude_outside=outside, why=f"antialias_{mode}_{scales}_{outside}")
    for mode, scales, outside in itertools.product(
        ("linear", "cubic"), ((0.5, 0.5), (0.6, 0.3), (2.0, 0.4)), (0, 1)
    )
] + [
    OpCase("Resize", X, c(*_ROI), ABSENT, c(1, 3, *sizes), mode=mode, extrapolation_value=value, opset=18,
           coordinate_transformation_mode="tf_crop_and_resize", why=f"crop_{mode}_{sizes}_{value}")
    for mode, sizes, value in itertools.product(("linear", "nearest", "cubic"), ((4, 5), (1, 9)), (0.0, 7.5))
] + [
    OpCase("Resize", X, c(0.1, 0.2, 0.9, 0.7), ABSENT, c(6, 4), axes=[2, 3], mode="linear", opset=18,
           coordinate_transformation_mode="tf_crop_and_resize", why="crop_axes"),
] + [
    OpCase("Resize", X, ABSENT, ABSENT, c(8, 9), axes=[2, 3], mode=mode, opset=18,
           keep_aspect_ratio_policy=policy, why=f"{policy}_{mode}")
    for mode, policy in itertools.product(("linear", "nearest", "cubic"), ("not_larger", "not_smaller"))
] + [
    OpCase("Resize", X, ABSENT, c(1.0, 1.0, scale, scale), mode="nearest", nearest_mode=rounding, opset=13,
           coordinate_transformation_mode=rule, why=f"{rule}_{rounding}_{scale}")
    for scale, rule, rounding in itertools.product(
        (0.6, 1.3),
        ("half_pixel", "pytorch_half_pixel", "asymmetric"),
        ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    )
] + [
    OpCase("Resize", X, ABSENT, ABSENT, c(1, 3, *sizes), mode=mode, opset=13,
           coordinate_transformation_mode="align_corners", why=f"{mode}_align_corners_{sizes}")
    for mode, sizes in itertools.product(("nearest", "linear", "cubic"), ((3, 11), (8, 4), (1, 2)))
] + [
    OpCase("Resize", x(*shape), ABSENT, ABSENT, c(*sizes), mode=mode, opset=13,
           why=f"rank_{len(shape)}_{mode}")
    for mode, (shape, sizes) in itertools.product(
        ("nearest", "linear"),
        (((5, 6), (7, 3)), ((2, 5, 6), (2, 7, 3)), ((1, 2, 3, 4, 5), (1, 2, 6, 3, 8))),
    )
] + [
    OpCase("Resize", x(4, 6), ABSENT, c(2.0, 1.5), axes=[1, 0], mode="nearest", opset=18,
           why="axes_reversed"),
    OpCase("Resize", x(2, 3, 4, 5), ABSENT, c(2.0, 1.0, 1.0, 1.5), mode="nearest", opset=13, why="batch"),
    OpCase("Resize", x(1, 1, 1, 1), ABSENT, ABSENT, c(1, 1, 3, 4), mode="linear", opset=13, why="from_one"),
    OpCase("Resize", X, ABSENT, ABSENT, c(1, 3, 1, 1), mode="linear", opset=13, why="to_one"),
    OpCase("Resize", X, ABSENT, ABSENT, c(1, 3, 1, 1), mode="cubic", opset=13, why="to_one_cubic"),
    OpCase("Resize", X, ABSENT, ABSENT, c(1, 3, 5, 7), mode="linear", opset=13, why="nothing"),
    OpCase("Resize", x(1, 2, 70, 1400), ABSENT, ABSENT, c(1, 2, 101, 1111), mode="nearest", opset=13,
           why="many_slices"),
    OpCase("Resize", x(1, 65, 30, 40), ABSENT, c(1.0, 1.0, 4.0, 4.0), mode="linear", opset=13, why="large"),
]  # fmt: skip


@rows(CASES + MORE)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


def test_resampling_that_keeps_the_extents_is_refused() -> None:
    # The specification picks other elements, ONNX Runtime copies.
    case = OpCase("Resize", X, ABSENT, c(1.0, 1.0, 1.1, 1.1), mode="nearest", nearest_mode="floor")
    with pytest.raises(tpumlir.UnsupportedError, match="ONNX and ONNX Runtime disagree"):
        _ = case.top


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_aligned_corners_of_a_rounded_extent_are_refused(mode: str) -> None:
    # 7 * 0.8 is 5.6: the specification aligns with that, ONNX Runtime with 5.
    case = OpCase(
        "Resize", X, ABSENT, c(1.0, 1.0, 2.0, 0.8), mode=mode, coordinate_transformation_mode="align_corners"
    )
    with pytest.raises(tpumlir.UnsupportedError, match="give sizes instead"):
        _ = case.top


def test_c2_a_mode_that_resize_does_not_have_is_an_error() -> None:
    with pytest.raises(tpumlir.TpumlirError, match="expected a mode of nearest, linear or cubic"):
        _ = OpCase("Resize", X, ABSENT, c(1.0, 1.0, 2.0, 2.0), mode="lanczos").top


@pytest.mark.parametrize("rule", ["half_pixel", "asymmetric"])
def test_an_infinity_reaches_only_its_neighbours(rule: str) -> None:
    """Of a model that computes e^x and doubles the plane, on the simulated chip."""
    plane = np.zeros((1, 1, 6, 7), np.float32)
    plane[0, 0, 2, 3] = 100.0
    nodes = [
        helper.make_node("Exp", ["x"], ["e"]),
        helper.make_node(
            "Resize", ["e", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode=rule
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("x", 1, plane.shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    want = run_onnx(load(model), {"x": plane})["y"]
    tpu = tpumlir.load_onnx(model).lower(quantize="F32")
    got = tpu.compile().run({"x": plane})["y"]
    assert np.isinf(got).any()
    # ONNX Runtime also has NaN where the element counts 0 times.
    assert not (np.isfinite(want) & ~np.isfinite(got)).any()
