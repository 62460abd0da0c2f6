"""Built cases of INT8 against formulas in numpy: sums in int64, requantised in float32.

Nothing here asks the product for an integer: scales and zero points are read from the module's types, weights
are rounded anew, and the results are saturate(round_half_even(f32(f32(sum) * factor) + offset)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from harness import OpCase, Operand, array, w, x
from onnx import TensorProto, helper, numpy_helper
from quantized import Int8Case, Quantized, calibrated
from tpumlir.bmodel.profile import profile

Array = npt.NDArray[Any]
RNG = np.random.default_rng(7)


def _requantised(total: Array, factor: Array, offset: Array, kind: Quantized) -> Array:
    """The stored integers of exact sums."""
    scaled = (total.astype(np.float32) * factor.astype(np.float32)).astype(np.float32)
    q = np.rint((scaled + offset.astype(np.float32)).astype(np.float32))
    return np.clip(q, kind.least, kind.greatest).astype(np.int64)


def _weights(value: Array, axis: int) -> tuple[Array, Array]:
    """Integers of each channel, symmetric, and their scales."""
    rows = np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
    scales = (np.abs(rows).max(axis=1).astype(np.float64) / 127).astype(np.float32).astype(np.float64)
    shape = [1] * value.ndim
    shape[axis] = -1
    return np.clip(np.rint(value / scales.reshape(shape)), -127, 127).astype(np.int64), scales


def _conv(q: Array, k: Array, zero: int, attributes: dict[str, Any]) -> Array:
    """Exact sums of (q - zero) * k; what is padded is 0."""
    group, strides = attributes.get("group", 1), attributes.get("strides", [1, 1])
    dilations, pads = attributes.get("dilations", [1, 1]), attributes.get("pads", [0] * 4)
    q = np.pad(q - zero, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    oc, ic, kh, kw = k.shape
    oh, ow = ((q.shape[2 + i] - (n - 1) * dilations[i] - 1) // strides[i] + 1 for i, n in enumerate((kh, kw)))
    total = np.zeros((q.shape[0], oc, oh, ow), np.int64)
    for o in range(oc):
        first = o // (oc // group) * ic
        for y in range(kh):
            for z in range(kw):
                part = q[
                    :, first : first + ic,
                    y * dilations[0] : y * dilations[0] + (oh - 1) * strides[0] + 1 : strides[0],
                    z * dilations[1] : z * dilations[1] + (ow - 1) * strides[1] + 1 : strides[1],
                ]  # fmt: skip
                total[:, o] += np.einsum("nchw,c->nhw", part, k[o, :, y, z])
    return total


def _judge_conv(int8: Int8Case) -> None:
    """Assert the integers of a convolution with a constant filter."""
    case, attributes = int8.case, int8.case.attributes
    into, out = int8.types["in0::int8"], int8.types["out0::int8"]
    k, scales = _weights(case.data["in1"], 0)
    q = into.stored(case.data["in0"])
    # The zero point goes into the offsets: the sum itself is of stored integers, pads being the zero point.
    sums = k.reshape(len(k), -1).sum(axis=1)
    total = _conv(q, k, into.zero, attributes) + (into.zero * sums)[:, None, None]
    factor = (into.step * scales / out.step).astype(np.float32).astype(np.float64)
    offset = out.zero - factor * into.zero * sums
    if "in2" in case.data:
        offset = offset + case.data["in2"].astype(np.float64) / out.step
    want = _requantised(total, factor[:, None, None], offset[:, None, None], out)
    np.testing.assert_array_equal(int8.results["out0"], out.numbers(want))


def _uniform(low: float, high: float, *shape: int) -> Operand:
    return x(*shape, low=low, high=high)


# What the input's range makes of it: signed, unsigned, and with a zero point.
INPUTS = {"signed": (-2.0, 2.0), "unsigned": (0.0, 3.0), "lopsided": (-0.5, 3.0), "negative": (-3.0, -0.5)}
CONVS: dict[str, tuple[Sequence[int], Sequence[int], dict[str, Any]]] = {
    "pads": ((1, 3, 8, 9), (5, 3, 3, 3), {"pads": [1, 2, 0, 1]}),
    "one_channel": ((1, 1, 7, 7), (1, 1, 3, 3), {"pads": [1] * 4}),
    "channels_63": ((1, 63, 5, 6), (65, 63, 1, 1), {}),
    "channels_64": ((2, 64, 5, 6), (64, 64, 3, 3), {"pads": [1] * 4}),
    "channels_65": ((3, 65, 5, 4), (63, 65, 2, 3), {"strides": [2, 1]}),
    "channels_130": ((1, 130, 4, 4), (130, 130, 1, 1), {}),
    "dilated": ((1, 4, 11, 12), (6, 4, 3, 2), {"dilations": [2, 3], "pads": [2, 0, 2, 3]}),
    "depthwise": ((2, 66, 7, 7), (66, 1, 3, 3), {"group": 66, "pads": [1] * 4, "strides": [2, 2]}),
    "depthwise_one": ((1, 3, 6, 6), (3, 1, 5, 5), {"group": 3, "pads": [2] * 4, "dilations": [1, 1]}),
    "two_groups": ((1, 10, 7, 6), (6, 5, 3, 3), {"group": 2, "pads": [1] * 4}),
    "many_groups": ((2, 128, 5, 6), (128, 4, 3, 3), {"group": 32, "pads": [1] * 4, "strides": [2, 1]}),
    "groups_of_rows": ((3, 128, 4, 5), (192, 64, 1, 1), {"group": 2}),
    "groups_that_fill_no_row": ((1, 120, 4, 5), (36, 40, 3, 1), {"group": 3}),
    "multiplier": ((1, 96, 5, 5), (192, 1, 3, 3), {"group": 96}),
    "deep_groups": ((1, 256, 3, 3), (128, 128, 3, 3), {"group": 2, "pads": [1] * 4}),
    "columns_of_7": ((1, 3, 40, 40), (8, 3, 7, 7), {"pads": [3] * 4, "strides": [2, 2]}),
    "columns_of_3": ((1, 3, 32, 34), (16, 3, 3, 3), {"pads": [1] * 4, "strides": [2, 2]}),
    "blocks_of_rows": ((2, 12, 41, 34), (1, 12, 7, 3), {"pads": [3, 1, 3, 1]}),
    "blocks_of_strided_rows": ((1, 33, 41, 40), (2, 33, 6, 3), {"pads": [2, 1, 1, 0], "strides": [2, 1]}),
    "blocks_of_columns": ((1, 1, 1, 4100), (1, 1, 1, 129), {"strides": [1, 2], "pads": [0, 3, 0, 1]}),
    "blocks_of_wide_windows": ((1, 8, 9, 91), (8, 8, 3, 31), {"pads": [1, 15, 1, 15]}),
    "long_windows": ((2, 1, 1, 900), (70, 1, 1, 129), {"strides": [1, 40]}),
    "long_windows_of_one_filter": ((1, 1, 1, 400), (3, 1, 1, 64), {"strides": [1, 1]}),
    "columns_dilated": ((1, 3, 32, 34), (16, 3, 3, 3), {"pads": [2] * 4, "dilations": [2, 2]}),
    "windows_of_9": ((2, 1, 30, 41), (70, 1, 3, 3), {"pads": [2, 1, 1, 0], "strides": [3, 2]}),
    "windows_of_rows": ((1, 1, 41, 30), (65, 1, 4, 1), {"pads": [1, 0, 2, 0], "strides": [3, 1]}),
    "windows_dilated": ((1, 1, 32, 34), (16, 1, 3, 3), {"dilations": [3, 2], "pads": [3, 1, 0, 2]}),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", CONVS)
def test_convolutions(name: str, kind: str, bias: bool) -> None:
    shape, filters, attributes = CONVS[name]
    operands = [_uniform(*INPUTS[kind], *shape), w(*filters)] + [w(filters[0])] * bias
    int8 = Int8Case(OpCase("Conv", *operands, why=f"{name}_{kind}", **attributes))
    assert int8.types["in0::int8"].signed == (kind in ("signed", "negative")) or kind == "lopsided"
    int8.compare_with_the_chip()
    _judge_conv(int8)


def test_windows_over_few_channels_are_columns() -> None:
    shape, filters, attributes = CONVS["columns_of_7"]
    int8 = Int8Case(OpCase("Conv", x(*shape), w(*filters), why="columns", **attributes))
    assert any("columns" in op.name for op in int8.ops)


@pytest.mark.parametrize("name", [name for name in CONVS if name.startswith("blocks_of_")])
def test_results_of_few_channels_are_computed_in_blocks(name: str) -> None:
    """As many side by side as lanes; a filter of whose elements zeros are fewer than the places saved."""
    shape, filters, attributes = CONVS[name]
    int8 = Int8Case(OpCase("Conv", x(*shape), w(*filters), why=name, **attributes))
    (conv,) = [op for op in int8.ops if op.kind == "tpu.Conv2D"]
    channels = (conv.results[0].shape or ())[1]
    assert filters[0] < channels <= 64


@pytest.mark.parametrize("kind", INPUTS)
def test_what_leaves_the_range_saturates_on_both_sides(kind: str) -> None:
    """The table knows a third of what there is."""
    int8 = Int8Case(OpCase("Conv", _uniform(*INPUTS[kind], 1, 8, 9, 9), w(8, 8, 3, 3), why=kind), part=0.3)
    out = int8.types["out0::int8"]
    stored = np.rint(int8.results["out0"] / out.step) + out.zero
    assert {out.least, out.greatest} <= set(np.unique(stored).astype(int)) or kind in ("negative", "lopsided")
    int8.compare_with_the_chip()
    _judge_conv(int8)


@pytest.mark.parametrize("rows", [1, 2, 63, 65, 200])
@pytest.mark.parametrize("columns", [1, 7, 64, 130])
def test_products(rows: int, columns: int) -> None:
    int8 = Int8Case(OpCase("MatMul", x(rows, 128), w(128, columns), why="product"))
    _judge_product(int8)
    int8.compare_with_the_chip()


def _judge_product(int8: Int8Case) -> None:
    case = int8.case
    into, out = int8.types["in0::int8"], int8.types["out0::int8"]
    k, scales = _weights(case.data["in1"], 1)
    total = into.stored(case.data["in0"]) @ k
    factor = (into.step * scales / out.step).astype(np.float32).astype(np.float64)
    offset = out.zero - factor * into.zero * k.sum(axis=0)
    np.testing.assert_array_equal(int8.results["out0"], out.numbers(_requantised(total, factor, offset, out)))


# Left, right: both are computed; batches may be those of one of them.
MATRICES = {
    "heads": ((2, 3, 7, 64), (2, 3, 64, 9)),
    "a_depth_that_fills_no_cube": ((3, 66, 33), (3, 33, 130)),
    "one_left_matrix": ((1, 5, 70), (4, 70, 3)),
    "one_right_matrix": ((4, 5, 70), (1, 70, 3)),
    "many_rows": ((2, 197, 64), (2, 64, 197)),
    "deep": ((2, 3, 1500), (2, 1500, 5)),
    "five_axes": ((1, 2, 2, 5, 8), (1, 2, 2, 8, 6)),
}


@pytest.mark.parametrize(
    "ranges", [((-1.0, 1.0), (-3.0, 3.0)), ((0.0, 1.0), (-1.0, 2.0)), ((0.0, 4.0), (0.0, 1.0))]
)
@pytest.mark.parametrize("shapes", MATRICES)
def test_products_of_two_tensors(
    shapes: str, ranges: tuple[tuple[float, float], tuple[float, float]]
) -> None:
    left, right = MATRICES[shapes]
    int8 = Int8Case(OpCase("MatMul", _uniform(*ranges[0], *left), _uniform(*ranges[1], *right), why=shapes))
    _judge_computed_product(int8)
    int8.compare_with_the_chip()


def _judge_computed_product(int8: Int8Case) -> None:
    one, other, out = (int8.types[f"{name}::int8"] for name in ("in0", "in1", "out0"))
    assert one.zero == other.zero == 0
    total = one.stored(int8.case.data["in0"]).astype(np.int64) @ other.stored(int8.case.data["in1"])
    factor = np.asarray(np.float32(one.step * other.step / out.step))
    offset = np.asarray(float(out.zero))
    np.testing.assert_array_equal(int8.results["out0"], out.numbers(_requantised(total, factor, offset, out)))


@pytest.mark.parametrize("depth", [1024, 2112, 4096])
def test_sums_that_f32_does_not_hold_are_exact(depth: int) -> None:
    """255 * 127 * depth is above 2^24; the last rows differ by single products."""
    left = np.full((4, depth), 255.0, np.float32)
    left[1, 0], left[2, : depth // 2], left[3, 5] = 0.0, 0.0, 254.0
    right = np.full((depth, 3), 127.0, np.float32)
    right[::2, 1] = -127.0
    right[3, 2] = 126.0
    int8 = Int8Case(OpCase("MatMul", array(left, constant=False), array(right), why=f"deep_{depth}"))
    into = int8.types["in0::int8"]
    k, _ = _weights(right, 1)
    assert np.abs(into.stored(left) @ k).max() > 1 << 24
    _judge_product(int8)
    int8.compare_with_the_chip()


PAIRS = {
    "alike": ((-1.0, 1.0), (-1.0, 1.0)),
    "unlike": ((-1.0, 1.0), (-40.0, 40.0)),
    "unsigned": ((0.0, 2.0), (0.0, 5.0)),
    "mixed": ((-1.0, 1.0), (0.0, 5.0)),
    "zero_points": ((-0.3, 2.0), (-4.0, 0.5)),
    "one_zero_point": ((-1.0, 1.0), (0.5, 4.0)),
}


@pytest.mark.parametrize("op", ["Add", "Mul", "Max", "Min"])
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    "shapes", [((2, 65, 3, 5), (2, 65, 3, 5)), ((1, 3, 7, 130), (3, 1, 1)), ((9, 33), (33,))]
)
def test_two_operands(op: str, pair: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    one, other = PAIRS[pair]
    case = OpCase(op, _uniform(*one, *shapes[0]), _uniform(*other, *shapes[1]), why=pair)
    for part in (1.0, 0.4):
        int8 = Int8Case(case, part=part)
        assert int8.is_quantized
        int8.compare_with_the_chip()
        if part == 1.0:
            int8.judge()
    if op == "Mul":
        _judge_product_of_elements(Int8Case(case))


def _judge_product_of_elements(int8: Int8Case) -> None:
    left, right, out = (int8.types[name] for name in ("in0::int8", "in1::int8", "out0::int8"))
    a, b = (kind.stored(int8.case.data[f"in{i}"]) - kind.zero for i, kind in enumerate((left, right)))
    factor = np.float32(left.step * right.step / out.step)
    want = _requantised(a * b, np.asarray(factor), np.asarray(float(out.zero)), out)
    np.testing.assert_array_equal(int8.results["out0"], out.numbers(want))


FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "leaky": ("LeakyRelu", {"alpha": 0.1}),
    "steep": ("LeakyRelu", {"alpha": 1.7}),
    "hardswish": ("HardSwish", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_every_stored_byte(name: str, kind: str) -> None:
    """Inputs from end to end of the range, so that every entry of a table is read."""
    op, attributes = FUNCTIONS[name]
    low, high = INPUTS[kind]
    data = np.linspace(low, high, 3 * 65 * 11, dtype=np.float32).reshape(1, 3, 65, 11)
    int8 = Int8Case(OpCase(op, array(data, constant=False), why=f"{name}_{kind}", opset=17, **attributes))
    assert int8.is_quantized
    if kind != "negative":
        assert len(np.unique(int8.types["in0::int8"].stored(data))) > 250
    int8.compare_with_the_chip()
    int8.judge()


def test_a_plane_of_more_indices_than_a_command_takes() -> None:
    data = np.linspace(-3, 3, 2 * 66000, dtype=np.float32).reshape(1, 2, 66000)
    int8 = Int8Case(OpCase("Sigmoid", array(data, constant=False), why="long_plane"))
    assert [op.kind for op in int8.ops].count("tpu.Lut") == 1
    int8.compare_with_the_chip()
    int8.judge()


@pytest.mark.parametrize("kind", INPUTS)
def test_pads_are_zeros_whatever_stands_for_them(kind: str) -> None:
    for case in (
        OpCase("Pad", _uniform(*INPUTS[kind], 1, 65, 4, 5), array([0, 0, 1, 2, 0, 0, 3, 0]), why=kind),
        OpCase(
            "AveragePool",
            _uniform(*INPUTS[kind], 1, 65, 9, 9),
            kernel_shape=[3, 3],
            pads=[1] * 4,
            why=kind,
            count_include_pad=1,
        ),
        OpCase(
            "MaxPool",
            _uniform(*INPUTS[kind], 1, 65, 9, 9),
            kernel_shape=[3, 3],
            pads=[1] * 4,
            strides=[2, 2],
            why=kind,
        ),
    ):
        int8 = Int8Case(case)
        int8.compare_with_the_chip()
        int8.judge()


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 3, 4, 5),  # less than a line: one window
        (1, 65, 8, 8),  # one line
        (2, 70, 9, 15),  # lines and a rest, two rows of channels, two batches
        (1, 130, 20, 48),
        (3, 5, 1000),
    ],
)
def test_means_of_whole_planes(kind: str, shape: tuple[int, ...]) -> None:
    int8 = Int8Case(OpCase("GlobalAveragePool", _uniform(*INPUTS[kind], *shape), why=kind))
    assert int8.is_quantized
    into, out = int8.types["in0::int8"], int8.types["out0::int8"]
    q = into.stored(int8.case.data["in0"])
    count = int(np.prod(shape[2:]))
    total = q.sum(axis=tuple(range(2, len(shape))), keepdims=True)
    factor = np.float32(into.step / (out.step * count))
    offset = np.float32(out.zero - float(factor) * into.zero * count)
    want = _requantised(total, np.asarray(factor), np.asarray(offset), out)
    np.testing.assert_array_equal(int8.results["out0"], out.numbers(want))
    int8.compare_with_the_chip()


def test_a_mean_of_a_plane_does_not_take_a_cycle_for_each_element() -> None:
    int8 = Int8Case(OpCase("GlobalAveragePool", x(1, 64, 100, 144), why="great_plane"))
    kinds = {row.op: row.sums.tiu for row in profile(int8.tpu.finalize().compile(), names=False).kinds}
    assert kinds["pord.avgpooling"] <= 100 * 144 / 64


def test_sums_and_what_is_made_of_them_begin_in_different_banks() -> None:
    """A requantisation within one bank takes two cycles for 16 elements instead of one."""
    int8 = Int8Case(OpCase("Conv", x(1, 64, 16, 16), w(64, 64, 1, 1), why="banks"))
    kinds = {row.op: row.sums.tiu for row in profile(int8.tpu.finalize().compile(), names=False).kinds}
    assert kinds["quant.rq0"] == 16 * 16 / 16


def test_a_table_is_read_once_for_all_lanes() -> None:
    int8 = Int8Case(OpCase("Sigmoid", x(1, 64, 8, 8), why="table"))
    bmodel = int8.tpu.finalize().compile()
    kinds = {row.op: row.sums for row in profile(bmodel, names=False).kinds}
    # Four copies for four elements a cycle.
    assert kinds["dma.tensor.broadcast"].read == 4 * 256
    assert kinds["sg.pe_m_gather_d1coor"].tiu == 8 * 8 / 4


def test_a_group_is_cut_finer_where_that_leaves_room_for_the_copies_of_a_table() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("Conv", ["m", "v"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["e"]),
        helper.make_node("Conv", ["e", "v"], ["y"]),
    ]
    shape = (1, 32, 160, 160)
    weights = {"w": (32, 32, 3, 3), "v": (32, 32, 1, 1)}
    constants = [
        numpy_helper.from_array(RNG.standard_normal(size).astype(np.float32), name)
        for name, size in weights.items()
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    top = tpumlir.load_onnx(
        helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], constants))
    )
    inputs = {"x": RNG.uniform(-4, 4, shape).astype(np.float32)}
    low = top.lower("INT8", calibration_table=calibrated(top, [inputs]))
    kinds = {row.op: row.sums.tiu for row in profile(low.finalize().compile(), names=False).kinds}
    assert kinds["sg.pe_m_gather_d1coor"] == 2 * 160 * 160 / 4


LOOKED_UP = {
    "small_planes": (3, 130, 5, 7),
    "a_plane_longer_than_what_passes_at_once": (2, 66, 90, 100),
    "few_elements": (2, 64, 5, 5),
    "more_than_the_parts_hold": (1, 65, 190, 190),
}


@pytest.mark.parametrize("opt", [0, 2])
@pytest.mark.parametrize("name", LOOKED_UP)
def test_tables_in_a_group_and_by_themselves(name: str, opt: int) -> None:
    shape = LOOKED_UP[name]
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Sigmoid", ["p"], ["s"]),
        helper.make_node("MaxPool", ["s"], ["y"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Tanh", ["y"], ["z"]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tables",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("y", "z")],
        )
    )
    top = tpumlir.load_onnx(model)
    inputs = {"x": RNG.uniform(-4, 4, shape).astype(np.float32)}
    table = calibrated(top, [inputs])
    low = top.lower("INT8", calibration_table=table, quantize_table=dict.fromkeys("psyz", "INT8"))
    assert [op.kind for op in low.ops()].count("tpu.Lut") == 2
    want = tpumlir.ModuleInterpreter(low).run(inputs)
    got = low.finalize(opt=opt).compile().run(inputs, detect_races=True)
    for output, numbers in want.items():
        np.testing.assert_array_equal(got[output], numbers)


def test_a_byte_of_each_channel_is_stored_by_rows() -> None:
    """What has no plane lies apart in the lanes; GDMA would count 256 bytes for each element."""
    case = OpCase("Conv", x(32, 64, 1, 1), w(130, 64, 1, 1), w(130), why="rows")
    int8 = Int8Case(case)
    int8.compare_with_the_chip()
    low = case.top.lower(
        "INT8", calibration_table=int8.table, quantize_table={"out0": "INT8"}, quant_output=True
    )
    bmodel = low.finalize().compile()
    assert sum(row.sums.store for row in profile(bmodel, names=False).kinds) < 32 * 130 * 256 / 44 / 10


def test_operands_of_a_concat_have_one_scale() -> None:
    parts = (_uniform(-1, 1, 1, 3, 8), _uniform(0, 2, 1, 65, 8), _uniform(-0.4, 0.9, 1, 2, 8))
    int8 = Int8Case(OpCase("Concat", *parts, axis=1, why="unlike"))
    int8.compare_with_the_chip()


def test_a_filter_that_is_computed() -> None:
    int8 = Int8Case(OpCase("Conv", x(1, 66, 7, 7), x(9, 66, 3, 3), pads=[1] * 4, why="computed"))
    assert int8.types["in1::int8"].zero == 0
    int8.compare_with_the_chip()
    int8.judge()


@pytest.mark.parametrize(
    ("op", "filters", "group"),
    [
        ("Conv", (5, 4, 3, 3), 1), ("Conv", (66, 4, 1, 1), 1), ("Conv", (4, 1, 3, 2), 4),
        ("ConvTranspose", (4, 5, 3, 3), 1), ("ConvTranspose", (4, 5, 2, 2), 1),
    ],
)  # fmt: skip
def test_a_filter_without_sign_that_is_computed(op: str, filters: tuple[int, ...], group: int) -> None:
    """Its integers go up to 255: what a Sigmoid makes, say."""
    operands = (_uniform(-1, 1, 1, 4, 7, 7), _uniform(0, 1, *filters))
    strides = [filters[2]] * 2 if op == "ConvTranspose" else [1, 1]
    int8 = Int8Case(OpCase(op, *operands, group=group, strides=strides, why="unsigned"))
    (made,) = [op for op in int8.ops if op.kind in ("tpu.Conv2D", "tpu.Deconv")]
    assert not int8.types[made.operands[1]].signed
    int8.compare_with_the_chip()
    int8.judge()


@pytest.mark.parametrize("shapes", [((3, 64), (5, 64)), ((2, 4, 33), (70, 33))])
def test_a_matrix_without_sign_that_is_computed(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Two axes, transposed: a filter of one place."""
    left, right = shapes
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    rng = np.random.default_rng(3)
    inputs = {
        "x": rng.uniform(-1, 1, left).astype(np.float32), "w": rng.uniform(0, 1, right).astype(np.float32)
    }  # fmt: skip
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in inputs.items()]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [*left[:-1], right[0]])
    top = tpumlir.load_onnx(
        helper.make_model(
            helper.make_graph(nodes, "g", infos, [y]),
            ir_version=8,
            opset_imports=[helper.make_opsetid("", 17)],
        )
    )
    tpu = top.lower("INT8", calibration_table=calibrated(top, [inputs]))
    assert "ui8" in {r.dtype for op in tpu.ops() for r in op.results if r.name.startswith("w::")}
    want = tpumlir.ModuleInterpreter(tpu).run(inputs)
    for opt in (0, 2):
        np.testing.assert_array_equal(tpu.finalize(opt=opt).compile().run(inputs)["y"], want["y"])


TRANSPOSED: dict[str, tuple[Sequence[int], Sequence[int], dict[str, Any]]] = {
    "doubled": ((1, 66, 7, 7), (66, 9, 3, 3), {"strides": [2, 2]}),
    "padded": ((2, 5, 6, 4), (5, 65, 4, 3), {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
    "output_padding": (
        (1, 64, 4, 5),
        (64, 64, 4, 3),
        {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]},
    ),
    "dilated": ((1, 4, 5, 6), (4, 6, 2, 3), {"dilations": [2, 2]}),
    "one_axis": ((1, 3, 9), (3, 4, 4), {"strides": [2]}),
    "one_channel": ((3, 1, 6, 6), (1, 1, 3, 3), {}),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", TRANSPOSED)
def test_a_transposed_filter_that_is_computed(name: str, kind: str) -> None:
    """An up-sampling layer that a style modulates: neither filter nor input has a zero point."""
    shape, filters, attributes = TRANSPOSED[name]
    operands = (_uniform(*INPUTS[kind], *shape), x(*filters))
    int8 = Int8Case(OpCase("ConvTranspose", *operands, why=f"{name}_{kind}", **attributes))
    (op,) = [op for op in int8.ops if op.kind == "tpu.Deconv"]
    assert {result.dtype for result in op.results} <= {"i8", "ui8"}
    assert [int8.types[operand].zero for operand in op.operands[:2]] == [0, 0]
    int8.compare_with_the_chip()
    int8.judge()


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (OpCase("Conv", x(1, 4, 40), w(6, 4, 4), strides=[17], why="far"), "more than one command"),
        (
            OpCase("Conv", x(1, 8, 40), x(6, 4, 4), group=2, strides=[17], why="both"),
            "more than one command",
        ),
    ],
    ids=repr,
)
def test_what_has_no_form_in_integers_stays_a_half(case: OpCase, why: str) -> None:
    int8 = Int8Case(case)
    (op,) = [op for op in int8.ops if op.kind in ("tpu.Conv2D", "tpu.Deconv", "tpu.MatMul")]
    assert {result.dtype for result in op.results} == {"f16"}
    assert why in op.why


def test_a_table_without_a_row_is_refused() -> None:
    case = OpCase("Conv", x(1, 4, 6, 6), w(6, 4, 3, 3), why="no_row")
    with pytest.raises(tpumlir.TpumlirError, match="calibration"):
        case.top.lower("INT8")


@pytest.mark.parametrize("heads", [(2, 3, 21, 16), (1, 4, 70, 33)])
def test_attention_is_two_products_of_integers(heads: tuple[int, ...]) -> None:
    """The scale of the scores goes into their requantisation, the keys are read as they lie."""
    float32, names = TensorProto.FLOAT, ("q", "k", "v")
    nodes = [
        helper.make_node("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "t"], ["scores"]),
        helper.make_node("Mul", ["scores", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info(name, float32, heads) for name in names],
        [helper.make_tensor_value_info("y", float32, heads)],
        [helper.make_tensor("scale", float32, [], [heads[-1] ** -0.5])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rng = np.random.default_rng(3)
    samples = [{name: rng.standard_normal(heads).astype(np.float32) for name in names} for _ in range(3)]
    top = tpumlir.load_onnx(model)
    deployed = tpumlir.deploy(
        top, quantize="INT8", calibration_table=tpumlir.calibrate(top, samples), test_input=samples[0]
    )
    assert all(verdict.passed for verdict in deployed.validations)
    products = [op for op in deployed.tpu.ops() if op.kind == "tpu.MatMul"]
    assert [op.results[0].scales != [] for op in products] == [True, True]
    assert [op.kind for op in deployed.tpu.ops() if op.kind in ("tpu.MulConst", "tpu.Permute")] == []
    want = tpumlir.ModuleInterpreter(top).run(samples[0])
    got = tpumlir.ModuleInterpreter(deployed.tpu).run(samples[0])
    error = np.linalg.norm(got["y"] - want["y"]) / np.linalg.norm(want["y"])
    assert error < 0.05


@pytest.mark.parametrize("function", ["Sqrt", "Log"])
def test_a_root_of_a_mean_does_not_keep_floats_in_front_of_it(function: str) -> None:
    """A norm by the mean of squares reads steps of its tensor's own size; a logarithm shows every digit."""
    ids = RNG.integers(0, 40, (1, 64, 1)).astype(np.int32)
    constants = {"classes": np.arange(40, dtype=np.int32).reshape(1, 1, 40), "epsilon": np.float32(1e-6),
                 "w": RNG.standard_normal((40, 48)).astype(np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("Equal", ["ids", "classes"], ["hits"]),
        helper.make_node("Cast", ["hits"], ["hot"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["hot", "w"], ["y"]),
        helper.make_node("Mul", ["y", "y"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["mean", "epsilon"], ["above"]),
        helper.make_node(function, ["above"], ["root"]),
        helper.make_node("Div", ["y", "root"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("ids", TensorProto.INT32, ids.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 64, 48])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    top = tpumlir.load_onnx(model)
    inputs = {"ids": ids}
    low = top.lower("INT8", calibration_table=calibrated(top, [inputs]))
    product = next(op for op in low.ops() if op.kind == "tpu.MatMul")
    assert (Quantized.of(product.results[0]) is not None) == (function == "Sqrt")
    got, want = (tpumlir.ModuleInterpreter(module).run(inputs)["out"] for module in (low, top))
    assert np.linalg.norm(got - want) < 0.02 * np.linalg.norm(want)
    # Floats behind the integers: the chip divides and takes roots in its own way.
    np.testing.assert_allclose(low.finalize().compile().run(inputs)["out"], got, rtol=1e-3, atol=1e-3)


def spectrum(windows: tuple[int, ...], strides: list[int]) -> tuple[tpumlir.Module, Array, Array]:
    """The logarithm of a power: a module, its input and the filter of the transform."""
    signal = RNG.uniform(-1, 1, (1, 1, *([1] * (len(windows) - 3)), 600)).astype(np.float32)
    filters = RNG.standard_normal(windows).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["t"], strides=strides),
        helper.make_node("Mul", ["t", "t"], ["p"]),
        helper.make_node("Log", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, signal.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
         helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(filters, "w"),
         numpy_helper.from_array(RNG.standard_normal(windows[0]).astype(np.float32), "b")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return tpumlir.load_onnx(model, input_shapes=[list(signal.shape)]), signal, filters


@pytest.mark.parametrize(
    ("windows", "strides"),
    [((70, 1, 96), [32]), ((66, 1, 1, 130), [1, 20]), ((5, 1, 9), [2])],
    ids=["windows", "of_two_axes", "short"],
)
def test_sums_under_a_logarithm_stay_floats(windows: tuple[int, ...], strides: list[int]) -> None:
    """The table asks for integers against the rule: they are multiplied, what they add up to is F32."""
    top, signal, filters = spectrum(windows, strides)
    inputs = {"x": signal}
    ranges = calibrated(top, [inputs])
    by_rule = top.lower("INT8", calibration_table=ranges)
    assert all(Quantized.of(op.results[0]) is None for op in by_rule.ops() if op.kind == "tpu.Conv2D")
    low = top.lower("INT8", calibration_table=ranges, quantize_table={"t": "INT8"})
    (conv,) = [op for op in low.ops() if op.kind == "tpu.Conv2D"]
    into = next(Quantized.of(r) for op in low.ops() for r in op.results if r.name == conv.operands[0])
    assert into is not None
    assert conv.results[0].dtype == "f32"
    assert "stay f32" in conv.why
    for opt in (0, 2):
        got = low.finalize(opt=opt).compile().run(inputs, detect_races=True)
        np.testing.assert_array_equal(got["t"], tpumlir.ModuleInterpreter(low).run(inputs)["t"])
    k, scales = _weights(filters, 0)
    rows = k.reshape(len(k), -1)
    q = into.stored(signal).reshape(-1)
    step, taps = strides[-1], rows.shape[1]
    total = np.stack([rows @ q[i : i + taps] for i in range(0, q.size - taps + 1, step)], axis=1)
    factor = (into.step * scales).astype(np.float32)
    multi = low.weights[conv.operands[3]] if len(conv.operands) > 3 else None
    assert multi is not None
    np.testing.assert_array_equal(np.asarray(multi).reshape(-1, 2)[:, 0], factor)
    offset = np.asarray(multi).reshape(-1, 2)[:, 1]
    want = (total.astype(np.float32) * factor[:, None]).astype(np.float32) + offset[:, None]
    result = tpumlir.ModuleInterpreter(low).run(inputs)["t"].reshape(want.shape)
    np.testing.assert_array_equal(result, want.astype(np.float32))


@pytest.mark.parametrize("channels", [3, 96])
def test_a_picture_becomes_integers_before_it_is_turned(channels: int) -> None:
    """Bytes are fewer to turn; the columns of its windows, of few channels, are taken in the lanes."""
    weight = RNG.standard_normal((16, channels, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 24, 24, channels])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 22, 22])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    top = tpumlir.load_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    inputs = {"x": RNG.uniform(-1, 1, (1, 24, 24, channels)).astype(np.float32)}
    low = top.lower("INT8", calibration_table=calibrated(top, [inputs]), quantize_table={"r": "F16"})
    kinds = [op.kind for op in low.ops()]
    first = next(i for i, op in enumerate(low.ops()) if op.kind == "tpu.Cast" and Quantized.of(op.results[0]))
    assert first < kinds.index("tpu.Permute")
    columns = [line for line in low.finalize().print().splitlines() if '"tpu.Concat"' in line]
    assert [("tpu.group" in line, "tpu.place" in line) for line in columns] == [(True, False)] * (
        channels == 3
    )
    got = low.finalize().compile().run(inputs, detect_races=True)["y"]
    np.testing.assert_array_equal(got, tpumlir.ModuleInterpreter(low).run(inputs)["y"])
