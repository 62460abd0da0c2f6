"""Models that come quantised: QuantizeLinear and DequantizeLinear become integers with their own scales.

Each row is a graph. ONNX Runtime, without its optimisations, computes it as the operators say; what the
interpreter makes of the Tpu module is compared with that in steps of the output, the simulated chip with the
interpreter by its bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from quantized_graphs import Graph, integer_ops, run_onnx

Array = npt.NDArray[Any]


Build = Callable[[Graph], None]
ROWS: dict[str, tuple[Build, dict[str, int], float]] = {}
"""What builds the graph, the operations that must be in integers, the step of the output."""
HALVES = 0.0  # no step: halves compute a part of it


def row(step: float, **counts: int) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        ROWS[build.__name__] = (build, counts, step)
        return build

    return add


def conv(g: Graph, x: str, filter: str, bias: bool = False, **attributes: Any) -> str:
    return g.op("Conv", x, filter, *([g.bias(_shape_of(g, filter)[0])] if bias else []), **attributes)


def _shape_of(g: Graph, dequantized: str) -> tuple[int, ...]:
    node = next(n for n in g.nodes if n.output[0] == dequantized)
    return tuple(next(c.dims for c in g.constants if c.name == node.input[0]))


@row(0.05, Conv2D=1)
def conv_of_unsigned_per_channel(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 9, 7), 0.02, 128)
    y = conv(g, x, g.weight(6, 8, 3, 3, axis=0), bias=True, pads=[1, 1, 1, 1])
    g.output(g.pair(g.op("Relu", y), 0.05, 0))


@row(0.1, Conv2D=1)
def conv_of_signed_with_zero_points(g: Graph) -> None:
    x = g.pair(g.input("x", 2, 5, 8, 8), 0.03, -7, np.int8)
    y = conv(g, x, g.weight(4, 5, 3, 3, axis=0), pads=[1, 0, 2, 1], strides=[2, 2])
    g.output(g.pair(y, 0.1, 21, np.int8))


@row(0.1, Conv2D=1)
def conv_with_unsigned_weights(g: Graph) -> None:
    """Their zero point is the middle: less it they are integers with a sign."""
    x = g.pair(g.input("x", 1, 5, 8, 8), 0.03, 120)
    y = conv(g, x, g.weight(4, 5, 1, 1, dtype=np.uint8, zero=128), bias=True)
    g.output(g.pair(y, 0.1, 100))


@row(0.1, Conv2D=1)
def conv_with_weights_of_four_bits(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 5, 8, 8), 0.03, 120)
    integers = g.rng.integers(-8, 8, (4, 5, 1, 1)).astype(ml_dtypes.int4)
    scales, zeros = g.const(g.rng.uniform(0.05, 0.2, 4), np.float32), g.const(np.zeros(4), ml_dtypes.int4)
    y = g.op("Conv", x, g.op("DequantizeLinear", g.const(integers), scales, zeros, axis=0))
    g.output(g.pair(y, 0.1, 100))


@row(0.2)
def conv_with_lopsided_weights_stays_float(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 5, 8, 8), 0.03, 120)
    g.output(g.pair(conv(g, x, g.weight(4, 5, 1, 1, dtype=np.uint8, zero=3)), 0.2, 100))


@row(0.1)
def conv_with_float_weights_stays_float(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 5, 8, 8), 0.03, 120)
    w = g.const(g.rng.standard_normal((4, 5, 1, 1)), np.float32)
    g.output(g.pair(g.op("Conv", x, w), 0.1, 100))


@row(0.05, Conv2D=1)
def conv_with_weights_that_are_quantised_floats(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 5, 8, 8), 0.03, 120)
    w = g.const(g.rng.standard_normal((4, 5, 1, 1)), np.float32)
    scales = [0.01, 0.02, 0.03, 0.04]
    g.output(g.pair(g.op("Conv", x, g.pair(w, scales, [0] * 4, np.int8, axis=0)), 0.05, 100))


@row(0.02, Conv2D=1)
def depthwise_relu6(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 12, 8, 8), 0.03, 120)
    y = conv(g, x, g.weight(12, 1, 3, 3, axis=0), bias=True, group=12, pads=[1, 1, 1, 1])
    y = g.op("Clip", y, g.const(0, np.float32), g.const(6, np.float32))
    g.output(g.pair(y, 6 / 255, 0))


@row(0.1, Conv2D=2, Add=1)
def residual(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.03, 120)
    a = g.pair(conv(g, x, g.weight(8, 8, 1, 1, axis=0), bias=True), 0.05, 110)
    b = g.pair(conv(g, a, g.weight(8, 8, 1, 1, axis=0)), 0.2, 140)
    g.output(g.pair(g.op("Relu", g.op("Add", b, x)), 0.1, 0))


@row(0.0937, Concat=1, Conv2D=1)
def concat_of_unlike_scales(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.01, 120)
    y = g.pair(conv(g, x, g.weight(4, 8, 1, 1, axis=0)), 0.08, 110)
    g.output(g.pair(g.op("Concat", x, y, axis=1), 0.0937, 99))


@row(0.03, Pool2D=1)
def max_pool_of_its_own_scale(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 9, 9), 0.03, 120)
    y = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    g.output(g.pair(y, 0.03, 120))


@row(0.02, Pool2D=1, RequantFp=1)
def max_pool_of_another_scale(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 9, 9), 0.03, 120)
    y = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    g.output(g.pair(y, 0.02, 100))


@row(0.01, Pool2D=2)
def average_pools(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 9, 9), 0.03, 120)
    y = g.op("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    y = g.pair(y, 0.02, 125)
    g.output(g.pair(g.op("GlobalAveragePool", y), 0.01, 130))


@row(0.1, MatMul=1)
def matmul_per_column(g: Graph) -> None:
    x = g.pair(g.input("x", 5, 64), 0.02, 128)
    g.output(g.pair(g.op("MatMul", x, g.weight(64, 9, axis=1)), 0.1, 100))


@row(0.1, MatMul=1)
def gemm_transposed(g: Graph) -> None:
    x = g.pair(g.input("x", 5, 128), 0.02, 3, np.int8)
    y = g.op("Gemm", x, g.weight(10, 128, axis=0), g.bias(10), transB=1)
    g.output(g.pair(y, 0.1, -5, np.int8))


@row(0.1)
def matmul_per_row_stays_float(g: Graph) -> None:
    """A scale for each term of the sum is no factor of the sum."""
    x = g.pair(g.input("x", 5, 64), 0.02, 128)
    g.output(g.pair(g.op("MatMul", x, g.weight(64, 9, axis=0)), 0.1, 100))


@row(0.05, Deconv=1)
def transposed_convolution_per_channel(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 6, 5, 5), 0.03, 0, np.int8)
    y = g.op("ConvTranspose", x, g.weight(6, 4, 2, 2, axis=1), strides=[2, 2])
    g.output(g.pair(y, 0.05, 10, np.int8))


@row(0.1, Deconv=1)
def transposed_in_groups_per_channel(g: Graph) -> None:
    """A scale for each output of a group, the same in all groups."""
    x = g.pair(g.input("x", 1, 6, 5, 6), 0.02, 0, np.int8)
    y = g.op("ConvTranspose", x, g.weight(6, 2, 3, 3, axis=1), g.bias(6), group=3, strides=[2, 1])
    g.output(g.pair(y, 0.1, 3, np.int8))


@row(0.1, Deconv=1)
def transposed_in_groups_per_tensor(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 128, 3, 4), 0.02, 0, np.int8)
    y = g.op("ConvTranspose", x, g.weight(128, 4, 2, 2), group=32, strides=[2, 2])
    g.output(g.pair(y, 0.1, 3, np.int8))


@row(0.1, Deconv=1)
def transposed_depthwise(g: Graph) -> None:
    """One scale along the axis of the outputs of a group, of which there is one."""
    x = g.pair(g.input("x", 1, 6, 5, 6), 0.02, 0, np.int8)
    y = g.op("ConvTranspose", x, g.weight(6, 1, 3, 3, axis=1), group=6, strides=[2, 2])
    g.output(g.pair(y, 0.1, 3, np.int8))


@row(0.1, Conv2D=1, Permute=1)
def conv_in_groups_of_a_computed_filter(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 6, 7, 6), 0.02, 0, np.int8)
    k = g.pair(g.input("k", 4, 3, 3, 3), 0.03, 0, np.int8)
    g.output(g.pair(g.op("Conv", x, k, g.input("b", 4), group=2, pads=[1] * 4), 0.1, 3, np.int8))


@row(0.1, Conv2D=1, Permute=1)
def conv_in_groups_of_a_computed_filter_with_zero_points(g: Graph) -> None:
    x = g.pair(g.input("x", 2, 6, 7, 6), 0.02, 150)
    k = g.pair(g.input("k", 4, 3, 3, 3), 0.03, 120)
    g.output(g.pair(g.op("Conv", x, k, group=2, pads=[1, 0, 2, 1]), 0.1, 3, np.int8))


@row(0.1, Conv2D=1)
def conv_of_a_computed_filter_beside_a_zero_point(g: Graph) -> None:
    x = g.pair(g.input("x", 2, 66, 9, 6), 0.02, 40)
    k = g.pair(g.input("k", 5, 66, 3, 2), 0.003, 0, np.int8)
    y = g.op("Conv", x, k, g.input("b", 5), strides=[2, 1], dilations=[1, 2], pads=[1] * 4)
    g.output(g.pair(y, 0.1, 3, np.int8))


@row(0.1, Conv2D=1)
def depthwise_conv_of_a_computed_filter_beside_a_zero_point(g: Graph) -> None:
    x = g.pair(g.input("x", 2, 66, 9, 6), 0.02, 40)
    k = g.pair(g.input("k", 66, 1, 3, 3), 0.03, 0, np.int8)
    g.output(g.pair(g.op("Conv", x, k, group=66, pads=[1] * 4), 0.1, 3, np.int8))


@row(HALVES)
def depthwise_conv_of_a_computed_filter_with_a_zero_point_stays_float(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 6, 9, 6), 0.02, 0, np.int8)
    k = g.pair(g.input("k", 6, 1, 3, 3), 0.03, 120)
    g.output(g.pair(g.op("Conv", x, k, group=6), 0.1, 3, np.int8))


@row(0.1, Deconv=1)
def transposed_conv_of_a_computed_filter_with_a_zero_point(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 6, 5, 5), 0.02, 0, np.int8)
    k = g.pair(g.input("k", 6, 5, 3, 3), 0.03, 120)
    g.output(g.pair(g.op("ConvTranspose", x, k, strides=[2, 2]), 0.1, 3, np.int8))


@row(0.1, Deconv=1)
def patches_of_a_computed_filter_with_a_zero_point(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 64, 5, 5), 0.02, 0, np.int8)
    k = g.pair(g.input("k", 64, 5, 2, 2), 0.003, 120)
    g.output(g.pair(g.op("ConvTranspose", x, k, strides=[2, 2]), 0.1, 3, np.int8))


@row(0.2, MatMul=1)
def batches_of_matrices_with_zero_points(g: Graph) -> None:
    x = g.pair(g.input("x", 2, 3, 7, 70), 0.02, 150)
    y = g.pair(g.input("y", 2, 3, 70, 9), 0.03, 100)
    g.output(g.pair(g.op("MatMul", x, y), 0.2, 3, np.int8))


@row(0.2, MatMul=1)
def batches_that_share_a_matrix_with_a_zero_point(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 70, 64), 0.02, 150)
    y = g.pair(g.input("y", 3, 64, 9), 0.03, -20, np.int8)
    g.output(g.pair(g.op("MatMul", x, y), 0.2, 3, np.int8))


@row(0.2, MatMul=1)
def matrix_for_all_rows_with_a_zero_point(g: Graph) -> None:
    x = g.pair(g.input("x", 2, 7, 70), 0.02, 150)
    y = g.pair(g.input("y", 66, 70), 0.03, 100)
    g.output(g.pair(g.op("MatMul", x, g.op("Transpose", y, perm=[1, 0])), 0.2, 3, np.int8))


@row(0.2, MatMul=1)
def a_row_times_a_matrix_with_a_zero_point(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 70), 0.02, 150)
    y = g.pair(g.input("y", 66, 70), 0.03, 100)
    g.output(g.pair(g.op("Gemm", x, y, transB=1), 0.2, 3, np.int8))


@row(1 / 256, Lut=2, Mul=1)
def functions_and_products(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.03, 120)
    s = g.pair(g.op("Sigmoid", x), 1 / 256, 0)
    g.output(g.pair(g.op("Tanh", g.pair(g.op("Mul", x, s), 0.02, 10)), 1 / 256, 0))


@row(0.0497, Add=1)
def constants_as_the_model_has_them(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 4, 4), 0.03, 120)
    g.output(g.pair(g.op("Add", x, g.weight(8, 1, 1, dtype=np.uint8, zero=100, scale=0.0213)), 0.0497, 120))


@row(0.03, Reshape=1, Permute=1, Slice=1)
def moves(g: Graph) -> None:
    x = g.pair(g.input("x", 2, 6, 4, 4), 0.03, 120)
    y = g.op("Transpose", x, perm=[0, 2, 3, 1])
    y = g.pair(y, 0.03, 120)
    y = g.pair(g.op("Reshape", y, g.const([2, 16, 6])), 0.03, 120)
    y = g.op("Slice", y, g.const([3]), g.const([11]), g.const([1]))
    g.output(g.pair(y, 0.03, 120))


@row(0.05, Conv2D=2, Pool2D=1, Concat=1)
def rounded_behind_what_only_chooses(g: Graph) -> None:
    """A maximum, or an element in another place, is the same before or behind the rounding."""
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.03, 120)
    a = conv(g, x, g.weight(4, 8, 1, 1, axis=0))
    b = g.op("MaxPool", conv(g, x, g.weight(3, 8, 1, 1, axis=0)), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    g.output(g.pair(g.op("Concat", a, b, axis=1), 0.05, 110))


@row(0.05, Conv2D=2)
def one_pair_for_two_readers(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.03, 120)
    for _ in range(2):
        g.output(g.pair(conv(g, x, g.weight(4, 8, 1, 1, axis=0)), 0.05, 110))


@row(0.05, Conv2D=3)
def one_pair_for_each_reader(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.03, 120)
    y = conv(g, x, g.weight(8, 8, 1, 1, axis=0))
    for _ in range(2):
        g.output(g.pair(conv(g, g.pair(y, 0.1, 99), g.weight(4, 8, 1, 1, axis=0)), 0.05, 110))


@row(HALVES, Conv2D=1)
def who_reads_floats_gets_floats(g: Graph) -> None:
    """One reads the sum as it is: it must not see the coarse steps of the other."""
    x = g.input("x", 1, 8, 8, 8)
    y = g.op("Add", x, x)
    g.output(g.op("Mul", y, y))
    g.output(g.pair(conv(g, g.pair(y, 1.0, 128), g.weight(4, 8, 1, 1, axis=0)), 0.5, 128))


@row(HALVES, Conv2D=1)
def floats_behind_integers(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.03, 120)
    y = g.pair(conv(g, x, g.weight(4, 8, 1, 1, axis=0)), 0.05, 110)
    g.output(g.op("Softmax", y, axis=1))


@row(HALVES)
def rounded_between_floats(g: Graph) -> None:
    """Neither side is computed in integers: the rounding is there all the same."""
    y = g.pair(g.op("Softmax", g.input("x", 3, 40), axis=-1), 1 / 64, 0)
    g.output(g.op("Softmax", y, axis=-1))


@row(0.05, Conv2D=1)
def other_scales_behind_than_before(g: Graph) -> None:
    """Integers that are read as other numbers are computed in floats; the convolution is not concerned."""
    x = g.dequantize(g.quantize(g.input("x", 1, 8, 8, 8), 0.03, 120), 0.01, 120)
    y = g.pair(g.op("Add", x, x), 0.05, 128)
    g.output(g.pair(conv(g, y, g.weight(4, 8, 1, 1, axis=0)), 0.05, 128))


@row(HALVES, Conv2D=1)
def sixteen_bits_stay_float(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 8, 8, 8), 1e-4, 7, np.int16)
    y = g.pair(g.op("Mul", x, x), 0.05, 128)
    g.output(g.pair(conv(g, y, g.weight(4, 8, 1, 1, axis=0)), 0.05, 128))


@row(0.05, Conv2D=1)
def scales_per_channel_of_an_activation(g: Graph) -> None:
    x = g.pair(g.input("x", 1, 3, 8, 8), [0.01, 0.02, 0.03], [0, 1, 128])
    y = g.pair(g.op("Mul", x, x), 0.05, 128)
    g.output(g.pair(conv(g, y, g.weight(4, 3, 1, 1, axis=0)), 0.05, 128))


def _opset(name: str) -> int:
    return 21 if name in {"sixteen_bits_stay_float", "conv_with_weights_of_four_bits"} else 13


@cache
def results(name: str) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array], tpumlir.Module]:
    """Of ONNX Runtime, the interpreter and the chip; and the Tpu module."""
    build, _, _ = ROWS[name]
    graph = Graph(opset=_opset(name))
    build(graph)
    model = graph.model()
    inputs = {key: graph.rng.standard_normal(shape).astype(np.float32) for key, shape in graph.inputs.items()}
    tpu = tpumlir.load_onnx(model).lower("INT8")
    return (
        run_onnx(model, inputs),
        tpumlir.ModuleInterpreter(tpu).run(inputs),
        tpu.compile().run(inputs, detect_races=True),
        tpu,
    )


@pytest.mark.parametrize("name", ROWS)
def test_computed_in_integers_where_the_model_says_so(name: str) -> None:
    found = integer_ops(results(name)[3])
    assert {kind: found[kind] for kind in (*ROWS[name][1], "Conv2D", "MatMul", "Deconv") if found[kind]} == {
        kind: count for kind, count in ROWS[name][1].items() if count
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_step_from_onnx_runtime_at_most(name: str) -> None:
    expected, computed, _, _ = results(name)
    step = ROWS[name][2]
    for key, value in expected.items():
        error = np.abs(value - computed[key])
        if step == HALVES:
            agreement = np.sum(value * computed[key]) / np.linalg.norm(value) / np.linalg.norm(computed[key])
            assert agreement >= 0.999, key
            continue
        assert error.max() <= 1.001 * step, key
        # A tie, or a sum, whose factors have 8 bits: seldom.
        assert np.mean(error > 0.01 * step) < (0.15 if "Add" in ROWS[name][1] else 0.01), key


@pytest.mark.parametrize("name", ROWS)
def test_the_chip_has_the_same_bits(name: str) -> None:
    _, computed, chip, tpu = results(name)
    for key, value in computed.items():
        if integer_ops(tpu) and ROWS[name][2] != HALVES:
            np.testing.assert_array_equal(value, chip[key])
        else:
            np.testing.assert_allclose(value, chip[key], rtol=2e-3, atol=2e-3)


def test_the_road_needs_no_calibration_and_compares_what_is_rounded() -> None:
    """The pair holds the sums at 0, as a Relu would: the tensor before it has other numbers."""
    g = Graph()
    x = g.pair(g.input("x", 1, 8, 8, 8), 0.03125, 128)
    y = conv(g, x, g.weight(4, 8, 1, 1, axis=0))
    g.output(g.op("Softmax", g.pair(y, 0.03, 0), axis=1))
    result = tpumlir.compile_onnx(g.model(), quantize="INT8")
    assert [verdict.passed for verdict in result.validations] == [True, True, True]


def test_a_constant_remembers_its_integers_in_the_text(tmp_path: Path) -> None:
    g = Graph()
    ROWS["residual"][0](g)
    top = tpumlir.load_onnx(g.model())
    top.save(tmp_path / "m.mlir")
    assert "quantized = !quant.uniform<i8:f32:0, {" in (tmp_path / "m.mlir").read_text()
    again = tpumlir.Module.load(tmp_path / "m.mlir").lower("INT8")
    assert integer_ops(again) == integer_ops(top.lower("INT8"))


def test_without_pairs_of_8_bits_a_calibration_is_asked_for() -> None:
    g = Graph(opset=21)
    g.output(g.pair(g.op("Relu", g.input("x", 2, 3)), 1e-4, 7, np.int16))
    with pytest.raises(tpumlir.UnsupportedError, match="nor does the model quantise a tensor to 8 bits"):
        tpumlir.load_onnx(g.model()).lower("INT8")
