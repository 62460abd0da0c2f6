"""Convolutions: geometry, groups, automatic padding, and filters and biases that are computed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import tpumlir
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

# Extents, kernels, strides, dilations and pads of every number of axes; each is one row.
_GEOMETRY: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("plain", (9,), (3,), {}),
    ("stride_15", (40,), (4,), {"strides": [15]}),
    ("stride_16", (40,), (4,), {"strides": [16]}),
    ("stride_beyond_kernel", (90,), (3,), {"strides": [40]}),
    ("overlap_at_stride_17", (120,), (40,), {"strides": [17], "pads": [20, 19]}),
    ("dilation_15", (40,), (3,), {"dilations": [15]}),
    ("dilation_16", (40,), (3,), {"dilations": [16]}),
    ("dilation_and_stride", (60,), (3,), {"dilations": [17], "strides": [3], "pads": [5, 2]}),
    ("pad_16", (7,), (40,), {"pads": [17, 18]}),
    ("kernel_is_input", (7,), (7,), {}),
    ("kernel_beyond_input", (3,), (5,), {"pads": [1, 2]}),
    ("same_upper", (10,), (4,), {"auto_pad": "SAME_UPPER", "strides": [3]}),
    ("same_lower", (10,), (4,), {"auto_pad": "SAME_LOWER", "strides": [3]}),
    ("patches", (64, 48), (16, 16), {"strides": [16, 16]}),
    ("rows_apart", (70, 9), (3, 3), {"strides": [20, 2]}),
    ("columns_apart", (9, 70), (3, 3), {"strides": [2, 20], "pads": [1, 1, 1, 1]}),
    ("dilated_rows", (40, 9), (3, 3), {"dilations": [16, 2]}),
    ("dilated_columns", (9, 40), (3, 3), {"dilations": [2, 16], "pads": [1, 3, 0, 2]}),
    ("pads_behind", (6, 5), (3, 2), {"pads": [0, 0, 3, 2]}),
    ("pads_16", (6, 5), (3, 3), {"pads": [16, 1, 17, 2], "strides": [2, 1]}),
    ("one_row", (1, 30), (1, 5), {"strides": [1, 3]}),
    ("one_column", (30, 1), (5, 1), {"pads": [2, 0, 2, 0]}),
    ("volume", (5, 6, 7), (3, 2, 3), {}),
    ("volume_pads", (4, 5, 6), (3, 3, 3), {"pads": [1, 0, 2, 2, 1, 0]}),
    ("volume_strides", (6, 7, 8), (2, 3, 3), {"strides": [2, 1, 3], "pads": [1, 1, 1, 1, 1, 1]}),
    ("volume_dilations", (7, 7, 7), (2, 3, 2), {"dilations": [3, 2, 1]}),
    ("volume_dilation_16", (5, 5, 40), (2, 2, 3), {"dilations": [1, 1, 16]}),
    ("volume_same", (5, 6, 7), (3, 2, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2, 2]}),
    ("volume_points", (3, 4, 5), (1, 1, 1), {}),
    ("volume_whole", (3, 4, 5), (3, 4, 5), {}),
]
# Input channels, output channels, group.
_CHANNELS = [(3, 4, 1), (4, 6, 2), (5, 5, 5)]


def _geometry(op: str) -> list[OpCase]:
    result = []
    for (why, extents, kernel, attributes), (ic, oc, group) in itertools.product(_GEOMETRY, _CHANNELS):
        if op == "ConvTranspose" and why in {"kernel_beyond_input", "pad_16", "pads_16"}:
            continue
        filters = (ic, oc // group) if op == "ConvTranspose" else (oc, ic // group)
        result.append(
            OpCase(
                op,
                x(2, ic, *extents),
                w(*filters, *kernel),
                w(oc),
                why=f"{why}_{group}",
                group=group,
                **attributes,
            )
        )
    return result


def _lanes(op: str) -> list[OpCase]:
    """Channels at the number of lanes."""
    return [
        OpCase(
            op,
            x(1, ic, 5, 6),
            w(*((ic, oc) if op == "ConvTranspose" else (oc, ic)), 3, 3),
            w(oc),
            why="lanes",
        )
        for ic, oc in itertools.product((1, 63, 64, 65), repeat=2)
    ]


MORE = [
    case
    for op in ("Conv", "ConvTranspose")
    for case in (*_geometry(op), *_lanes(op))
] + with_dynamic([
    OpCase("ConvTranspose", x(1, 4, 7), w(4, 3, 4), w(3), strides=[3], pads=[1, 2], output_padding=[2],
           why="one"),
    OpCase("ConvTranspose", x(1, 4, 7), w(4, 3, 4), strides=[16], why="apart"),
    OpCase("ConvTranspose", x(1, 3, 3, 3), w(3, 2, 3, 3), w(2), strides=[3, 2], output_shape=[10, 8],
           auto_pad="SAME_UPPER", why="output_shape_upper"),
    OpCase("ConvTranspose", x(1, 3, 3, 3), w(3, 2, 3, 3), strides=[3, 2], output_shape=[10, 8],
           why="output_shape"),
    OpCase("ConvTranspose", x(1, 3, 3, 3), w(3, 2, 3, 3), strides=[3, 2], output_shape=[7, 4], why="within"),
    OpCase("ConvTranspose", x(1, 2, 3, 4, 5), w(2, 3, 3, 2, 3), w(3), strides=[2, 1, 3], pads=[1, 0, 1,
           0, 1, 1],
           output_padding=[1, 0, 2], why="volume_all"),
    OpCase("ConvTranspose", x(1, 2, 3, 4, 5), w(2, 3, 3, 2, 3), pads=[2, 1, 2, 2, 1, 2], why="volume_crop"),
    OpCase("Conv", x(1, 2, 5, 6, 7), w(3, 2, 3, 3, 3), w(3), pads=[1] * 6, why="volume_bias"),
    OpCase("Conv", x(1, 3, 48, 48), w(5, 3, 16, 16), w(5), strides=[16, 16], why="patches_bias"),
    OpCase("Conv", x(1, 1, 900), w(65, 1, 128), strides=[40], why="spectrogram"),
    OpCase("Conv", x(1, 300, 40, 40), w(70, 300, 1, 1), why="deep"),
])  # fmt: skip


def test_output_beyond_the_last_window_is_refused() -> None:
    case = OpCase("ConvTranspose", x(1, 3, 3, 3), w(3, 2, 3, 3), strides=[3, 2], output_shape=[13, 10])
    with pytest.raises(tpumlir.UnsupportedError, match="not below the stride"):
        _ = case.top


def test_automatic_padding_of_strides_beyond_the_window_is_refused() -> None:
    # The specification makes as many elements as the input has, times the stride; ONNX Runtime stops at the
    # last window.
    case = OpCase("ConvTranspose", x(1, 2, 4), w(2, 3, 2), strides=[3], auto_pad="SAME_LOWER")
    with pytest.raises(tpumlir.UnsupportedError, match="write pads and output_padding out"):
        _ = case.top


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_automatic_padding_that_leaves_out_elements_is_refused(auto_pad: str) -> None:
    # ONNX Runtime begins in the middle of them for one of the two, its reference never does.
    case = OpCase("Conv", x(1, 2, 15), w(3, 2, 2), strides=[5], auto_pad=auto_pad)
    with pytest.raises(tpumlir.UnsupportedError, match="write the pads out, zeros to begin at the first"):
        _ = case.top
    check(OpCase("Conv", x(1, 2, 15), w(3, 2, 2), strides=[5], pads=[0, 0]), "top")


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_automatic_padding_leaves_out_the_last_element(auto_pad: str) -> None:
    check(OpCase("Conv", x(1, 2, 14, 14), w(3, 2, 1, 1), strides=[2, 2], auto_pad=auto_pad), "top")


@rows(CASES + MORE)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
