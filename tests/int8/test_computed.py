"""Convolutions in groups and biases that the network computes, against formulas in numpy.

As in ``test_kernels``: sums in int64 of the stored integers, requantised in float32. Scales and zero points
are read from the module's types.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from graphs import Graph
from harness import OpCase, Operand, array, w, x
from quantized import Int8Case, calibrated
from tpumlir.calibration.table import CalibrationTable, Row

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
INTEGERS = {"i8", "ui8"}
PRODUCTS = ("tpu.Conv2D", "tpu.Deconv", "tpu.MatMul")
# What the input's range makes of it: signed, unsigned, and what would have a zero point.
RANGES = {"signed": (-2.0, 2.0), "unsigned": (0.0, 3.0), "lopsided": (-0.5, 3.0), "negative": (-3.0, -0.5)}


def _uniform(kind: str, *shape: int) -> Operand:
    low, high = RANGES[kind]
    return x(*shape, low=low, high=high)


def _product(int8: Int8Case) -> Any:
    """The one product, which must be in integers."""
    (op,) = [op for op in int8.ops if op.kind in PRODUCTS]
    assert {result.dtype for result in op.results} <= INTEGERS, op.why
    return op


def _spatial(attributes: dict[str, Any], axes: int) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and pads."""
    return (
        list(attributes.get("strides", [1] * axes)),
        list(attributes.get("dilations", [1] * axes)),
        list(attributes.get("pads", [0] * 2 * axes)),
    )


# Of a tensor, its batches and channels; what is added to it says which places.
_ALL = (slice(None), slice(None))


def conv_sums(q: Array, k: Array, attributes: dict[str, Any]) -> Array:
    """Exact sums of a convolution; what is padded is 0."""
    axes, group = k.ndim - 2, attributes.get("group", 1)
    strides, dilations, pads = _spatial(attributes, axes)
    q = np.pad(q, ((0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)))
    extents = [
        (q.shape[2 + i] - (k.shape[2 + i] - 1) * dilations[i] - 1) // strides[i] + 1 for i in range(axes)
    ]
    total = np.zeros((len(q), len(k), *extents), np.int64)
    outputs, inputs = len(k) // group, k.shape[1]
    for g in range(group):
        for tap in np.ndindex(*k.shape[2:]):
            window = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, extents, strides, strict=True)
            )
            part = q[:, g * inputs : (g + 1) * inputs][_ALL + window]
            rows = slice(g * outputs, (g + 1) * outputs)
            total[:, rows] += np.einsum("nc...,oc->no...", part, k[rows][_ALL + tap])
    return total


def deconv_sums(q: Array, k: Array, attributes: dict[str, Any]) -> Array:
    """Exact sums of a transposed convolution: every input adds the filter where its window lies."""
    axes, group = k.ndim - 2, attributes.get("group", 1)
    strides, dilations, pads = _spatial(attributes, axes)
    more = attributes.get("output_padding", [0] * axes)
    whole = [
        (q.shape[2 + i] - 1) * strides[i] + (k.shape[2 + i] - 1) * dilations[i] + 1 + more[i]
        for i in range(axes)
    ]
    outputs, inputs = k.shape[1], len(k) // group
    total = np.zeros((len(q), group * outputs, *whole), np.int64)
    for g in range(group):
        part = q[:, g * inputs : (g + 1) * inputs]
        for tap in np.ndindex(*k.shape[2:]):
            window = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, q.shape[2:], strides, strict=True)
            )
            filters = k[g * inputs : (g + 1) * inputs][_ALL + tap]
            rows = slice(g * outputs, (g + 1) * outputs)
            total[:, rows][_ALL + window] += np.einsum("nc...,co->no...", part, filters)
    ends = tuple(slice(pads[i], whole[i] - pads[axes + i]) for i in range(axes))
    return total[_ALL + ends]


def _constant_filter(value: Array, axes: tuple[int, ...], shape: Shape) -> tuple[Array, Array]:
    """Integers of the output channels and their scales, as [group * outputs]; ``axes`` make a channel."""
    most = np.abs(value).max(axis=axes, keepdims=True)
    scales = (most.astype(np.float64) / 127).astype(np.float32).astype(np.float64)
    integers = np.clip(np.rint(value / scales), -127, 127).astype(np.int64).reshape(shape)
    return integers, scales.reshape(-1)


def judge(int8: Int8Case) -> None:
    """Assert the integers of a convolution of either direction."""
    case, op = int8.case, _product(int8)
    into, out = int8.types["in0::int8"], int8.types["out0::int8"]
    value, group = case.data["in1"], case.attributes.get("group", 1)
    transposed = case.op == "ConvTranspose"
    if case.operands[1].constant:
        if transposed:  # [group, inputs, outputs, taps]
            apart = value.reshape(group, len(value) // group, value.shape[1], -1)
            k, scales = _constant_filter(apart, (1, 3), value.shape)
        else:
            k, scales = _constant_filter(value.reshape(len(value), -1), (1,), value.shape)
    else:
        kind = int8.types[op.operands[1]]
        assert kind.zero == 0
        if any(result.dtype == "f16" for made in int8.ops for result in made.results):
            # What is moved first is a half on the way.
            value = value.astype(np.float16).astype(np.float32)
        k, scales = kind.stored(value), np.full(int8.results["out0"].shape[1], kind.step)
    q = into.stored(case.inputs.get("in0", case.data["in0"])) - into.zero
    sums = (deconv_sums if transposed else conv_sums)(q, k, case.attributes)
    axis = (slice(None), *[None] * (sums.ndim - 2))
    # Sums are of stored integers: the zero point, which pads too, goes into the offsets.
    ones = k.sum(axis=tuple(range(1, k.ndim))) if not transposed else np.zeros(sums.shape[1], np.int64)
    assert into.zero == 0 or (case.operands[1].constant and not transposed)
    sums = sums + (into.zero * ones)[axis]
    factor = (into.step * scales / out.step).astype(np.float32)
    offset = out.zero - factor.astype(np.float64) * into.zero * ones
    bias = case.data.get("in2")
    if bias is not None and case.operands[2].constant:
        offset = offset + bias.astype(np.float64) / out.step
    offset = offset.astype(np.float32)
    if bias is not None and not case.operands[2].constant:
        with np.errstate(over="ignore"):
            offset = bias * np.float32(1 / out.step) + offset
    scaled = (sums.astype(np.float32) * factor[axis]).astype(np.float32)
    want = np.clip(np.rint(scaled + offset[axis]), out.least, out.greatest).astype(np.int64)
    np.testing.assert_array_equal(int8.results["out0"], out.numbers(want))


# Taken apart: what reads them is moved to channels before.
UNFOLDED: dict[str, tuple[str, Shape, Shape, dict[str, Any]]] = {
    "three_axes": (
        "Conv",
        (2, 6, 5, 6, 7),
        (9, 6, 3, 2, 3),
        {"pads": [1, 0, 1, 1, 1, 0], "strides": [2, 1, 1]},
    ),
    "three_axes_in_groups": ("Conv", (1, 6, 4, 5, 5), (4, 3, 2, 3, 3), {"group": 2, "pads": [1] * 6}),
    "three_axes_depthwise": ("Conv", (1, 5, 4, 5, 5), (5, 1, 2, 3, 3), {"group": 5, "pads": [1] * 6}),
    "three_axes_transposed": ("ConvTranspose", (1, 6, 3, 4, 4), (6, 5, 2, 3, 3), {"strides": [2, 2, 2]}),
    "dilated": ("Conv", (1, 5, 40, 9), (6, 5, 3, 3), {"dilations": [17, 1], "pads": [17, 1, 17, 1]}),
    "dilated_rows": ("Conv", (1, 65, 70), (33, 65, 2), {"dilations": [32], "pads": [32, 0]}),
    "dilated_both": ("Conv", (1, 3, 36, 40), (4, 3, 2, 2), {"dilations": [16, 20]}),
}
CONVS: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "two": ((1, 10, 7, 6), (6, 5, 3, 3), {"group": 2, "pads": [1, 0, 2, 1]}),
    "whole_rows": ((2, 128, 5, 6), (192, 64, 3, 3), {"group": 2, "pads": [1] * 4}),
    "filling_rows": ((2, 128, 5, 6), (128, 4, 3, 2), {"group": 32, "strides": [2, 1]}),
    "filling_no_row": ((1, 120, 5, 5), (36, 40, 2, 1), {"group": 3, "dilations": [2, 1]}),
    "multiplier": ((1, 6, 5, 5), (12, 1, 3, 3), {"group": 6, "pads": [1] * 4}),
    "one_output_each": ((3, 8, 5, 5), (4, 2, 3, 3), {"group": 4}),
    "one_tap": ((1, 64, 5, 5), (6, 32, 1, 1), {"group": 2}),
    "depthwise": ((2, 66, 7, 7), (66, 1, 3, 3), {"group": 66, "pads": [1] * 4, "strides": [2, 2]}),
    "depthwise_dilated": ((1, 3, 9, 8), (3, 1, 4, 2), {"group": 3, "dilations": [2, 3], "pads": [0, 1] * 2}),
    "one_axis": ((1, 6, 9), (4, 3, 4), {"group": 2, "pads": [1, 2], "strides": [2]}),
}
DECONVS: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "two": ((2, 6, 5, 4), (6, 2, 3, 3), {"group": 2, "strides": [2, 1], "pads": [1, 0, 0, 1]}),
    "whole_rows": (
        (1, 128, 3, 4),
        (128, 64, 3, 4),
        {"group": 2, "strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]},
    ),
    "filling_rows": ((2, 128, 3, 4), (128, 4, 3, 3), {"group": 32, "strides": [2, 2]}),
    "filling_no_row": ((1, 12, 5, 6), (12, 3, 2, 3), {"group": 3, "dilations": [2, 2]}),
    "not_overlapping": ((1, 128, 3, 3), (128, 64, 2, 2), {"group": 2, "strides": [2, 2]}),
    "multiplier": ((1, 4, 5, 5), (4, 3, 3, 3), {"group": 4, "strides": [2, 2]}),
    "one_output_each": ((1, 8, 5, 5), (8, 1, 3, 3), {"group": 4}),
    "depthwise": ((2, 66, 5, 5), (66, 1, 4, 4), {"group": 66, "strides": [2, 2], "pads": [1] * 4}),
    "one_axis": ((1, 6, 9), (6, 2, 4), {"group": 2, "strides": [2], "pads": [1, 2]}),
    "one_group": ((1, 6, 5, 5), (6, 5, 3, 3), {"strides": [2, 2]}),
}
BIASES = ("none", "constant", "computed")


def _case(op: str, name: str, filters: str, bias: str, kind: str = "signed") -> OpCase:
    shape, filter, attributes = (DECONVS if op == "ConvTranspose" else CONVS)[name]
    channels = filter[1] * attributes.get("group", 1) if op == "ConvTranspose" else filter[0]
    made = {"constant": w, "computed": x}
    operands = [_uniform(kind, *shape), made[filters](*filter)]
    if bias != "none":
        operands.append(made[bias](channels))
    return OpCase(op, *operands, why=f"{name}_{filters}_{bias}_{kind}", **attributes)


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("filters", ["constant", "computed"])
@pytest.mark.parametrize("name", UNFOLDED)
def test_what_is_taken_apart_has_the_ranges_of_the_whole(name: str, filters: str, kind: str) -> None:
    op, shape, filter, attributes = UNFOLDED[name]
    made = {"constant": w, "computed": x}[filters]
    case = OpCase(op, _uniform(kind, *shape), made(*filter), why=f"{name}_{filters}_{kind}", **attributes)
    int8 = Int8Case(case)
    _product(int8)
    moved = {op.results[0].dtype for op in int8.ops if op.kind in ("tpu.Slice", "tpu.Concat")}
    assert moved <= INTEGERS or (kind == "lopsided" and (op == "ConvTranspose" or filters == "computed"))
    _judge_module(case.top, case.inputs)


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("name", CONVS)
def test_filters_in_groups_that_are_computed(name: str, bias: str) -> None:
    int8 = Int8Case(_case("Conv", name, "computed", bias))
    judge(int8)
    int8.compare_with_the_chip()


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("filters", ["constant", "computed"])
@pytest.mark.parametrize("name", DECONVS)
def test_transposed_filters_in_groups(name: str, filters: str, bias: str) -> None:
    int8 = Int8Case(_case("ConvTranspose", name, filters, bias))
    judge(int8)
    int8.compare_with_the_chip()


@pytest.mark.parametrize("kind", [kind for kind in RANGES if kind != "signed"])
@pytest.mark.parametrize("filters", ["constant", "computed"])
@pytest.mark.parametrize(("op", "name"), [("Conv", "two"), ("Conv", "depthwise"), ("ConvTranspose", "two")])
def test_signs_beside_a_computed_bias(op: str, name: str, filters: str, kind: str) -> None:
    int8 = Int8Case(_case(op, name, filters, "computed", kind))
    judge(int8)
    int8.compare_with_the_chip()


@pytest.mark.parametrize(("op", "name"), [("Conv", "filling_no_row"), ("ConvTranspose", "filling_rows")])
def test_what_leaves_the_range_saturates_on_both_sides(op: str, name: str) -> None:
    """The table knows a fifth of the results."""
    int8 = Int8Case(_case(op, name, "computed", "computed"))
    row = int8.table["out0"]
    fifth = Row(row.threshold / 5, row.low / 5, row.high / 5)
    int8.__dict__["table"] = CalibrationTable(dict(int8.table.rows) | {"out0": fifth})
    out = int8.types["out0::int8"]
    stored = np.rint(int8.results["out0"] / out.step) + out.zero
    assert {out.least, out.greatest} <= set(np.unique(stored).astype(int))
    judge(int8)
    int8.compare_with_the_chip()


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_a_computed_bias_of_any_magnitude(op: str) -> None:
    """Beyond 32 bits of the sums' scale it saturates; below their step it still moves what is rounded."""
    bias = np.array([1e30, -1e30, 3e38, 1e-4, 0.0, 2.0], np.float32)
    shape = (6, 6, 3, 3)
    case = OpCase(op, x(1, 6, 5, 5), w(*shape), array(bias, constant=False), why="magnitudes")
    table = calibrated(case.top, [case.inputs | {"in2": np.zeros_like(bias)}])
    int8 = Int8Case(case)
    int8.__dict__["table"] = table
    judge(int8)
    int8.compare_with_the_chip()
    out = int8.types["out0::int8"]
    found = [set(np.unique(int8.results["out0"][:, c] / out.step).round()) for c in range(3)]
    assert found == [{out.greatest}, {out.least}, {out.greatest}]


GEMMS: dict[str, tuple[Operand, Operand, Operand, dict[str, Any]]] = {
    "constant_right": (x(5, 33), w(33, 70), x(70), {}),
    "a_row": (x(5, 33), w(33, 70), x(1, 70), {"beta": 0.5}),
    "computed_right": (x(5, 33), x(70, 33), x(70), {"transB": 1}),
    "zero_point": (x(7, 20, low=-0.5, high=3), w(20, 9), x(9), {}),
}


@pytest.mark.parametrize("name", GEMMS)
def test_a_computed_row_is_the_bias_of_a_product(name: str) -> None:
    *operands, attributes = GEMMS[name]
    int8 = Int8Case(OpCase("Gemm", *operands, why=name, **attributes))
    _product(int8)
    assert "tpu.Add" not in {op.kind for op in int8.ops if op.results[0].dtype in INTEGERS}
    _judge_module(int8.case.top, int8.case.inputs)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_row_of_top_with_a_computed_bias(transposed: bool) -> None:
    """The import adds what is computed to a single row."""
    right = x(65, 130) if transposed else w(130, 65)
    case = OpCase("Gemm", x(1, 130), right, w(65), why="one_row", transB=int(transposed))
    kind = "tensor<65xf32>"
    text = re.sub(r"(@main\(.*?)\) ->", rf"\1, %bias: {kind} loc(unknown)) ->", case.top.print(), count=1)
    text = re.sub(
        rf'"top.Weight"\(\) : \(\) -> {kind}',
        f'"top.Input"(%bias) {{do_preprocess = false}} : ({kind}) -> {kind}',
        text,
    )
    bias = np.random.default_rng(4).standard_normal(65).astype(np.float32)
    module = tpumlir.Module.parse(text, dict(case.top.weights))
    _judge_module(module, case.inputs | {"in2": bias})


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("shapes", [((2, 3, 7, 64), (2, 3, 64, 9)), ((1, 5, 33), (4, 33, 70))])
def test_a_bias_beside_batches_of_computed_matrices(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], computed: bool
) -> None:
    """A number for each column, as a mask of what is attended to, in the offsets."""
    g = Graph(seed=9)
    columns = shapes[1][-1]
    product = g.op("MatMul", g.input("x", *shapes[0]), g.input("y", *shapes[1]))
    g.output(g.op("Relu", g.op("Add", product, g.normal(columns))))
    top = tpumlir.load_onnx(g.model())
    inputs = {name: g.rng.standard_normal(shape).astype(np.float32) for name, shape in g.inputs.items()}
    kind = f"tensor<{columns}xf32>"
    assert f": () -> {kind}" in top.print(), "the sum was not made a bias"
    if computed:
        text = re.sub(r"(@main\(.*?)\) ->", rf"\1, %bias: {kind} loc(unknown)) ->", top.print(), count=1)
        text = re.sub(
            rf'"top.Weight"\(\) : \(\) -> {kind} loc\([^\n]*',
            f'"top.Input"(%bias) {{do_preprocess = false}} : ({kind}) -> {kind} loc("bias")',
            text,
        )
        top = tpumlir.Module.parse(text, dict(top.weights))
        inputs["bias"] = g.rng.standard_normal(columns).astype(np.float32)
    _judge_module(top, inputs)


@pytest.mark.parametrize(
    "shape", [(33, 5), (2, 70, 7), (1, 64, 66), (33, 1), (1, 33, 1), (3, 33, 1), (2, 1, 7)]
)
def test_a_left_matrix_that_lies_transposed(shape: tuple[int, ...]) -> None:
    """Its depth is over the lanes already."""
    g = Graph(seed=10)
    order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    left = g.op("Transpose", g.input("x", *shape), perm=order)
    g.output(g.op("MatMul", left, g.normal(shape[-2], 67)))
    _judge_graph(g)


@pytest.mark.parametrize(
    "case",
    [
        OpCase("Conv", w(1, 4, 6, 6), x(6, 4, 3, 3), why="learnt_image"),
        OpCase("Conv", w(1, 4, 6, 6, low=-0.3, high=2), x(6, 2, 3, 3), x(6), group=2, why="lopsided_image"),
        OpCase("ConvTranspose", w(1, 4, 6, 6, low=-0.3, high=2), x(4, 2, 3, 3), why="transposed_image"),
        OpCase("MatMul", w(3, 5, 20, low=-0.3, high=2), x(3, 20, 9), why="lopsided_matrix"),
    ],
    ids=repr,
)
def test_a_constant_beside_what_is_computed_has_no_zero_point(case: OpCase) -> None:
    """The image that a generator starts from is a constant, its filter is not."""
    int8 = Int8Case(case)
    op = _product(int8)
    assert [int8.types[operand].zero for operand in op.operands[:2]] == [0, 0]
    int8.judge()
    int8.compare_with_the_chip()


def _judge_module(top: tpumlir.Module, inputs: dict[str, Array]) -> None:
    """Assert that all products are in integers, near their floats, and the same on the chip."""
    tpu = top.lower("INT8", calibration_table=calibrated(top, [inputs]))
    products = [op for op in tpu.ops() if op.kind in PRODUCTS]
    assert products
    assert {op.results[0].dtype for op in products} <= INTEGERS, [op.why for op in products]
    floats = tpumlir.ModuleInterpreter(top).run(inputs)
    integers = tpumlir.ModuleInterpreter(tpu).run(inputs)
    for opt in (2, 0):
        chip = tpu.finalize(opt=opt).compile().run(inputs, detect_races=True)
        for name, want in floats.items():
            np.testing.assert_array_equal(chip[name], integers[name], err_msg=f"{name} at opt {opt}")
            off = np.linalg.norm(integers[name] - want) / np.linalg.norm(want)
            assert off < 0.05, (name, off)


def _judge_graph(g: Graph) -> None:
    """Judge what a graph makes of normal inputs."""
    inputs = {name: g.rng.standard_normal(shape).astype(np.float32) for name, shape in g.inputs.items()}
    _judge_module(tpumlir.load_onnx(g.model()), inputs)


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_a_filter_in_two_numbers_of_groups(op: str, computed: bool) -> None:
    """Who reads it decides where zeros stand in it."""
    g = Graph(seed=3)
    k = g.input("k", 8, 4, 3, 3) if computed else g.normal(8, 4, 3, 3)
    # A transposed one has as many rows as there are input channels.
    for name, channels, group in (("a", 8, 2), ("b", 16 if op == "Conv" else 8, 4)):
        g.output(g.op(op, g.input(name, 1, channels, 5, 5), k, group=group))
    _judge_graph(g)


def test_images_of_a_batch_with_filters_of_their_own() -> None:
    """A generator's layer: styles scale the filters, which are normalised; the images are the groups."""
    g, n, ic, oc = Graph(seed=5), 2, 8, 6
    style = g.op("Reshape", g.input("style", n, ic), g.ints(n, 1, ic, 1, 1))
    k = g.op("Mul", g.normal(1, oc, ic, 3, 3), style)
    squares = g.op("ReduceSum", g.op("Mul", k, k), g.ints(2, 3, 4), keepdims=1)
    k = g.op("Div", k, g.op("Sqrt", g.op("Add", squares, g.const([1e-8], np.float32))))
    k = g.op("Transpose", k, perm=[0, 2, 1, 3, 4])
    k = g.op("Reshape", k, g.ints(n * ic, oc, 3, 3))
    images = g.op("Reshape", g.input("x", n, ic, 5, 5), g.ints(1, n * ic, 5, 5))
    up = g.op("ConvTranspose", images, k, group=n, strides=[2, 2])
    g.output(g.op("Reshape", up, g.ints(n, oc, 11, 11)))
    _judge_graph(g)


def test_biases_from_a_layer_of_the_network() -> None:
    """A product's integers become the offsets of another's sums."""
    g = Graph(seed=6)
    row = g.op("Relu", g.op("Gemm", g.input("z", 1, 9), g.normal(9, 6), g.normal(6)))
    bias = g.op("Reshape", row, g.ints(6))
    conv = g.op("Conv", g.input("x", 1, 4, 7, 7), g.normal(6, 4, 3, 3), bias, pads=[1] * 4)
    g.output(g.op("Relu", conv))
    _judge_graph(g)


def test_a_bias_takes_part_in_what_follows_the_sums() -> None:
    """A linear function and a Relu behind a convolution are one with it."""
    g = Graph(seed=8)
    conv = g.op("Conv", g.input("x", 1, 4, 7, 7), g.normal(6, 4, 3, 3), g.input("b", 6))
    scaled = g.op("Mul", conv, g.const(-1.5, np.float32))
    g.output(g.op("Relu", g.op("Add", scaled, g.const(0.5, np.float32))))
    _judge_graph(g)
