"""Shapes that make the code generator cut an operation, or that hit an edge of the lanes or the fields.

The arithmetic of each operation is the business of tests/ops; here the bmodel on the simulated chip is
compared with the Tpu interpreter for shapes that need several tiles, halos or loops over axes.
"""

from __future__ import annotations

import pytest

from harness import OpCase, array, c, check, scalar, w, x

CASES = [
    # Convolutions: filters and images beyond local memory, halos, padding beyond the fields.
    OpCase("Conv", x(1, 512, 9, 9), w(600, 512, 3, 3), w(600), pads=[1] * 4, why="filter_cut_over_ic"),
    OpCase("Conv", x(1, 3, 300, 500), w(8, 3, 5, 5), w(8), pads=[2] * 4, why="image_cut_with_halo"),
    OpCase("Conv", x(1, 2, 9, 4000), w(70, 2, 3, 3), pads=[1] * 4, why="rows_beyond_a_tile"),
    OpCase("Conv", x(5, 63, 6, 6), w(65, 63, 3, 3), w(65), strides=[2, 2], pads=[1] * 4, why="batch"),
    OpCase("Conv", x(1, 4, 6, 7), w(5, 4, 40, 41), pads=[20] * 4, why="pads_beyond_the_fields"),
    OpCase(
        "Conv", x(1, 4, 30, 30), w(5, 4, 3, 3), dilations=[15, 11], pads=[15, 11] * 2, why="wide_dilation"
    ),
    OpCase("Conv", x(1, 8, 31, 47), w(8, 8, 1, 1), strides=[15, 15], why="widest_stride"),
    OpCase("Conv", x(2, 1, 20, 20), w(130, 1, 3, 3), w(130), why="one_input_channel"),
    OpCase("Conv", x(1, 6, 9, 9), w(18, 1, 3, 3), w(18), group=6, why="depthwise_multiplier"),
    OpCase("Conv", x(1, 96, 100, 100), w(96, 1, 7, 7), group=96, pads=[3] * 4, why="depthwise_cut"),
    OpCase("Conv", x(1, 130, 5, 5), w(260, 65, 1, 1), group=2, why="groups_past_the_lanes"),
    OpCase("ConvTranspose", x(1, 64, 60, 60), w(64, 32, 4, 4), strides=[2, 2], pads=[1] * 4, why="cut"),
    OpCase("ConvTranspose", x(1, 3, 9, 8), w(3, 4, 1, 1), strides=[3, 4], why="windows_without_input"),
    OpCase(
        "ConvTranspose", x(1, 3, 5, 4), w(3, 4, 20, 19), strides=[16, 17], why="insertion_beyond_the_field"
    ),
    OpCase("ConvTranspose", x(1, 3, 5, 4), w(3, 4, 3, 3), strides=[2, 2], pads=[3, 3, 2, 2], why="crops"),
    OpCase("ConvTranspose", x(2, 130, 3, 3), w(130, 1, 3, 3), group=130, why="depthwise_past_the_lanes"),
    # Matrices: every axis cut, thin and flat ones.
    OpCase("MatMul", x(600, 1100), w(1100, 1030), why="all_axes_cut"),
    OpCase("MatMul", x(1, 3000), w(3000, 7), why="one_row"),
    OpCase("MatMul", x(1030, 1), w(1, 17), why="depth_1"),
    OpCase("MatMul", x(3, 1, 33, 17), x(1, 2, 17, 65), why="batches_broadcast"),
    OpCase("Gemm", x(70, 530), w(40, 530), w(40), transB=1, why="right_transposed"),
    OpCase("Gemm", x(530, 70), w(530, 40), w(40), transA=1, why="left_transposed"),
    # Pools.
    OpCase("MaxPool", x(1, 3, 300, 400), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, why="cut"),
    OpCase(
        "AveragePool", x(2, 65, 17, 19), kernel_shape=[5, 4], strides=[3, 2], pads=[2, 1, 2, 2], why="edges"
    ),
    OpCase("MaxPool", x(1, 1, 4, 20000), kernel_shape=[3, 3], pads=[1] * 4, why="columns_cut"),
    OpCase("AveragePool", x(3, 1, 5, 12000), kernel_shape=[2, 5], strides=[1, 2], why="columns_cut"),
    OpCase("GlobalAveragePool", x(1, 2050, 7, 7), why="many_channels"),
    OpCase("GlobalMaxPool", x(1, 3, 250, 250), why="window_of_the_image"),
    # Elementwise: flat tiles, rests, broadcasts along every axis.
    OpCase("Add", x(1), x(1), why="one_element"),
    OpCase("Add", x(63), x(63), why="below_the_lanes"),
    OpCase("Add", x(65), x(65), why="past_the_lanes"),
    OpCase("Mul", x(3, 1111, 777), x(3, 1111, 777), why="several_tiles"),
    OpCase("Mul", x(2, 3, 4, 5, 6, 7), x(1, 3, 1, 5, 1, 7), why="six_axes"),
    OpCase("Sub", x(1, 100, 60, 60), x(100, 1, 1), why="per_channel"),
    OpCase("Sub", x(100, 1, 1), x(1, 100, 60, 60), why="per_channel_left"),
    OpCase("Add", x(4, 70, 33), x(33), why="last_axis"),
    OpCase("Add", x(200, 1, 33), x(1, 50, 1), why="outer_sum"),
    OpCase("Div", x(5, 5), scalar(3.0), why="scalar"),
    OpCase("PRelu", x(2, 70, 9, 9), w(70, 1, 1), why="slope_per_channel"),
    OpCase("PRelu", x(2, 70, 9, 9), w(1), why="one_slope"),
    OpCase("Exp", x(1, 70000), why="long_row"),
    # Reductions and softmax.
    OpCase("ReduceMean", x(3, 300000), axes=[1], why="depth_cut"),
    OpCase("ReduceMax", x(4, 5, 6, 7), axes=[0, 2], why="axes_apart"),
    OpCase("ReduceMin", x(4, 500, 6), axes=[1], why="minimum"),
    OpCase("ReduceL2", x(4, 50, 60), axes=[1, 2], why="norm"),
    OpCase("ReduceMax", x(70000, 3), axes=[0], why="depth_cut_with_marks_of_nan"),
    OpCase("ReduceMax", x(1, 172, 309), axes=[1, 2], why="one_row_over_lanes"),
    OpCase("ReduceMin", x(5, 2, 43, 103), axes=[1, 2, 3], keepdims=0, why="few_rows_over_lanes"),
    OpCase("ReduceMax", x(3, 5003), axes=[-1], why="a_row_of_prime_length"),
    OpCase("ArgMax", x(70000, 3), axis=0, select_last_index=1, why="depth_cut"),
    OpCase("ArgMin", x(1, 90000), axis=1, why="depth_cut"),
    OpCase("CumSum", x(2, 40000), c(1), opset=14, why="depth_cut"),
    OpCase("Softmax", x(3, 70, 40), axis=1, why="middle_axis"),
    OpCase("Softmax", x(2, 9, 4501), axis=1, why="spread_with_a_rest"),
    OpCase("Softmax", x(1000, 10), axis=1, why="many_rows"),
    OpCase("Softmax", x(2, 9000), axis=-1, why="long_axis"),
    OpCase("Softmax", x(70000, 3), axis=0, why="axis_beyond_local_memory"),
    OpCase("Softmax", x(65, 50257), axis=1, why="vocabulary"),
    OpCase("LogSoftmax", x(2, 40000), axis=1, why="vocabulary"),
    # Moves.
    OpCase("Transpose", x(2, 3, 4, 5, 6), perm=[4, 2, 0, 3, 1], why="five_axes"),
    OpCase("Transpose", x(70, 80000), perm=[1, 0], why="beyond_a_field"),
    OpCase("Concat", x(2, 3, 70000), x(2, 1, 70000), axis=1, why="long_rows"),
    OpCase("Slice", x(9, 10), c(8, 9), c(-10, -11), c(0, 1), c(-2, -3), why="backwards"),
    OpCase("Pad", x(2, 5, 6), c(1, 0, 2, 1, 3, 0), scalar(1.5), why="constant"),
    OpCase("Pad", x(2, 5, 6), c(0, 2, 3, 0, 1, 5), mode="reflect", why="mirrored"),
    OpCase("Pad", x(2, 5, 6), c(0, 2, 3, 0, 1, 5), mode="edge", why="repeated"),
    OpCase("Pad", x(1, 300), c(0, 128, 0, 99), mode="reflect", why="mirrored_row_of_a_matrix"),
    OpCase("Pad", x(1, 40, 1), c(0, 39, 0, 0, 17, 0), mode="reflect", why="mirrored_over_the_lanes"),
    OpCase("Pad", x(3, 1, 40), c(0, 0, 39, 0, 0, 17), mode="reflect", why="mirrored_rows_in_lanes"),
    OpCase("Pad", x(2, 70, 9, 5), c(0, 0, 8, 4, 0, 0, 3, 2), mode="reflect", why="mirrored_planes"),
    OpCase("Pad", x(2, 70, 9, 5), c(0, 0, 2, 7, 0, 0, 0, 1), mode="edge", why="repeated_planes"),
    OpCase("Pad", x(1, 3, 300, 500), c(0, 0, 3, 2, 0, 0, 1, 3), mode="reflect", why="mirrored_cut"),
    OpCase("Pad", x(1, 66, 90, 200), c(0, 0, 1, 1, 0, 0, 1, 1), mode="edge", why="repeated_cut"),
    OpCase("Pad", x(2, 3, 2, 3, 11), c(0, 0, 0, 0, 4, 0, 0, 0, 0, 9), mode="reflect", why="five_axes"),
    OpCase("Tile", x(2, 3, 5), c(3, 1, 4), why="three_times"),
    OpCase("DepthToSpace", x(2, 12, 3, 5), blocksize=2, mode="CRD", why="six_axes"),
    OpCase("Gather", x(5, 4), array([3, 0, 2]), axis=0, why="scattered"),
    OpCase("Gather", x(5, 70), array([[0, 0, 1, 1], [2, 2, -1, -1]]), axis=1, why="repeated"),
    OpCase("Gather", x(5, 4), array(2), axis=0, why="one_index"),
    # Beyond the hardware's commands.
    OpCase("Conv", x(1, 3, 64, 64), w(4, 3, 16, 16), strides=[16, 16], why="stride"),
    OpCase("Conv", x(1, 3, 64, 64), w(4, 3, 3, 3), dilations=[16, 16], why="dilation"),
    OpCase("Conv", x(1, 1, 302, 301), w(1, 1, 300, 300), why="kernel"),
    OpCase("ConvTranspose", x(1, 2, 3, 3), w(2, 1, 150, 150), strides=[2, 1], why="kernel"),
    OpCase("MaxPool", x(1, 1, 302, 301), kernel_shape=[300, 300], why="window"),
    OpCase("AveragePool", x(1, 1, 302, 301), kernel_shape=[300, 300], pads=[1, 2, 0, 1], why="window"),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_bmodel_agrees_with_the_tpu_interpreter(case: OpCase) -> None:
    check(case, "bmodel")
