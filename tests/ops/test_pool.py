"""Pooling: defaults of ONNX, automatic padding, ceil_mode and what of the padding is counted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tpumlir
from harness import OpCase, Stage, array, check, rows, x

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
        OpCase(
            op,
            x(1, 3, 9, 10),
            kernel_shape=[2, 3],
            strides=[2, 2],
            ceil_mode=1,
            auto_pad="VALID",
            why="valid_and_ceil",
        ),
        OpCase(
            op,
            x(1, 3, 9, 10),
            kernel_shape=[2, 3],
            strides=[2, 2],
            ceil_mode=1,
            auto_pad="SAME_UPPER",
            why="same_and_ceil",
        ),
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
    OpCase(
        "AveragePool",
        x(1, 3, 9, 10),
        opset=11,
        kernel_shape=[2, 3],
        strides=[2, 2],
        auto_pad="VALID",
        count_include_pad=1,
        ceil_mode=1,
        why="counted_valid_and_ceil",
    ),
    OpCase("GlobalAveragePool", x(1, 65, 7, 5)),
    OpCase("GlobalMaxPool", x(1, 65, 7, 5)),
    OpCase("GlobalAveragePool", x(2, 3, 1, 1), why="one_element"),
]

# Extents, kernel and attributes.
_GEOMETRY: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("one_axis", (17,), (3,), {"strides": [2], "pads": [1, 1]}),
    ("stride_16", (50,), (5,), {"strides": [16]}),
    ("overlap_at_stride_17", (60,), (30,), {"strides": [17], "pads": [3, 4]}),
    ("ceil_at_stride_16", (50,), (5,), {"strides": [16], "ceil_mode": 1}),
    ("dilated", (20,), (3,), {"dilations": [4], "pads": [1, 2]}),
    ("dilation_15", (40,), (3,), {"dilations": [15]}),
    ("dilation_16", (40,), (3,), {"dilations": [16], "pads": [2, 0]}),
    ("dilated_ceil", (12, 11), (3, 2), {"dilations": [2, 3], "strides": [3, 2], "ceil_mode": 1}),
    ("dilated_pads", (9, 8), (3, 3), {"dilations": [2, 2], "pads": [1, 1, 1, 1]}),
    ("dilated_rows", (40, 5), (3, 3), {"dilations": [16, 1], "pads": [1, 1, 1, 1]}),
    ("dilated_columns", (5, 40), (3, 3), {"dilations": [1, 17], "strides": [1, 2]}),
    ("patches", (32, 48), (16, 16), {"strides": [16, 16]}),
    ("wide_window", (5, 60), (2, 33), {"pads": [0, 16, 1, 16]}),
    ("same_lower", (10, 11), (3, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    ("volume", (5, 6, 7), (2, 3, 2), {}),
    ("volume_pads", (5, 6, 7), (3, 3, 3), {"strides": [2, 2, 2], "pads": [1, 1, 0, 1, 0, 1]}),
    ("volume_ceil", (6, 6, 7), (3, 2, 3), {"strides": [2, 3, 2], "ceil_mode": 1}),
    ("volume_dilated", (7, 8, 9), (2, 2, 3), {"dilations": [3, 2, 2]}),
    ("volume_whole", (3, 4, 5), (3, 4, 5), {}),
    ("volume_same", (5, 6, 7), (2, 2, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2, 2]}),
]
MORE = [
    OpCase(op, x(2, channels, *extents), kernel_shape=kernel, opset=22, why=f"{why}{suffix}",
           **(attributes | {"count_include_pad": 1} if counted else attributes))
    for (why, extents, kernel, attributes), channels in itertools.product(_GEOMETRY, (3, 65))
    for op, suffix, counted in (
        ("MaxPool", "", False),
        ("AveragePool", "", False),
        ("AveragePool", "_counted", True),
        ("LpPool", "", False),
    )
] + [
    OpCase("LpPool", x(1, 3, 9, 8), kernel_shape=[3, 2], p=p, opset=18, why=f"p_{p}") for p in (1, 2, 3)
] + [
    OpCase(op, x(2, channels, *extents), opset=17, why=f"axes_{len(extents)}")
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    for channels, extents in itertools.product((1, 64, 65), ((9,), (5, 3), (3, 4, 5)))
] + [
    OpCase("GlobalLpPool", x(1, 3, 4, 5), p=p, why=f"p_{p}") for p in (1, 3)
] + [
    OpCase("MaxPool", x(2, 3, 9, 10), kernel_shape=[3, 2], outputs=2, opset=12, why=why, **attributes)
    for why, attributes in (
        ("places", {}),
        ("places_strides", {"strides": [2, 3], "pads": [1, 0, 1, 1]}),
        ("places_dilated", {"dilations": [2, 3], "strides": [2, 1]}),
        ("places_ceil", {"strides": [2, 3], "ceil_mode": 1}),
        ("places_by_columns", {"storage_order": 1, "strides": [2, 2]}),
    )
] + [
    OpCase("MaxPool", x(1, 2, 9), kernel_shape=[3], outputs=2, opset=12, why="places_one_axis"),
    OpCase("MaxPool", x(1, 2, 4, 5, 6), kernel_shape=[2, 2, 3], outputs=2, opset=12, why="places_volume"),
    OpCase("MaxPool", array(np.zeros((1, 1, 4, 4), np.float32), constant=False), kernel_shape=[2, 2],
           outputs=2,
           opset=12, why="places_of_ties"),
    OpCase("MaxPool", array(np.arange(-24, 24, dtype=np.int8).reshape(1, 2, 4, 6), constant=False),
           kernel_shape=[2, 3], pads=[1, 1, 0, 1], opset=12, why="places_of_bytes", outputs=2),
    OpCase("MaxUnpool", x(1, 1, 2, 2), array(np.array([[[[1, 3], [4, 14]]]])), kernel_shape=[2, 2],
           strides=[2, 2], opset=11, why="constant_places"),
    OpCase("MaxUnpool", x(1, 1, 2, 2), array(np.array([[[[1, 3], [4, 14]]]]), constant=False),
           kernel_shape=[2, 2], strides=[2, 2], opset=11, why="places_at_run_time"),
]  # fmt: skip


def test_places_under_large_windows_are_refused() -> None:
    case = OpCase("MaxPool", x(1, 1, 40, 40), kernel_shape=[20, 20], outputs=2, opset=12)
    with pytest.raises(tpumlir.UnsupportedError, match="use the first output only"):
        _ = case.top


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_windows_on_padding_only_are_refused(op: str) -> None:
    case = OpCase(op, x(1, 1, 1, 7), kernel_shape=[2, 2], dilations=[2, 1], pads=[1, 0, 1, 0], opset=22)
    with pytest.raises(tpumlir.UnsupportedError, match="with padding only"):
        _ = case.top


def test_automatic_padding_of_dilated_windows_is_refused() -> None:
    # ONNX Runtime counts the padding of the window without gaps, the specification that of the dilated one.
    case = OpCase(
        "MaxPool", x(1, 1, 9, 9), kernel_shape=[2, 2], dilations=[2, 2], auto_pad="SAME_UPPER", opset=12
    )
    with pytest.raises(tpumlir.UnsupportedError, match="write the pads out"):
        _ = case.top


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
def test_automatic_padding_that_leaves_out_elements_is_refused(op: str, auto_pad: str) -> None:
    case = OpCase(op, x(1, 2, 7, 15), kernel_shape=[2, 2], strides=[2, 5], auto_pad=auto_pad, opset=18)
    with pytest.raises(tpumlir.UnsupportedError, match="write the pads out, zeros to begin at the first"):
        _ = case.top
    check(OpCase(op, x(1, 2, 7, 15), kernel_shape=[2, 2], strides=[2, 5], pads=[0, 0, 1, 0]), "top")


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_automatic_padding_leaves_out_the_last_element(auto_pad: str) -> None:
    check(OpCase("LpPool", x(1, 2, 14), kernel_shape=[1], strides=[3], auto_pad=auto_pad), "top")


@rows(CASES + MORE)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
