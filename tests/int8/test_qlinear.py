"""Models of the QOperator form: QLinear operators become integers as their neighbours' pairs would.

ONNX Runtime, without its optimisations, says what each operator means. The interpreter makes the integers of
it of the Tpu module, ties and the factors of a sum left out; the simulated chip makes exactly those.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import tpumlir
from onnx import TensorProto
from quantized_graphs import Array, Graph, integer_ops
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx

MS = "com.microsoft"


class Tensor(NamedTuple):
    """A quantised tensor of a graph: its name and those of its scale and zero point."""

    name: str
    scale: str
    zero: str


class Builder(Graph):
    """Builds a model of QLinear operators."""

    def steps(self, scale: Any, zero: Any, dtype: Any = np.uint8) -> tuple[str, str]:
        return self.const(scale, np.float32), self.const(zero, dtype)

    def quantized_input(
        self, *shape: int, scale: float = 0.0213, zero: int = 121, dtype: Any = np.uint8
    ) -> Tensor:
        """A float input, quantised."""
        steps = self.steps(scale, zero, dtype)
        return Tensor(self.op("QuantizeLinear", self.input("x", *shape), *steps), *steps)

    def byte_input(
        self, *shape: int, scale: float = 0.0213, zero: int = 121, dtype: Any = np.uint8
    ) -> Tensor:
        """An input of integers."""
        kind = TensorProto.UINT8 if dtype == np.uint8 else TensorProto.INT8
        name = self.input("x", *shape, dtype=kind)
        return Tensor(name, *self.steps(scale, zero, dtype))

    def filter(
        self,
        *shape: int,
        channels: int | None = None,
        dtype: Any = np.int8,
        zero: int = 0,
        scale: float = 0.0113,
    ) -> Tensor:
        """Constant integers over their range, with a scale each for ``channels``."""
        limits = np.iinfo(dtype)
        integers = self.rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
        if channels is None:
            return Tensor(self.const(integers), *self.steps(scale, zero, dtype))
        scales = scale * self.rng.uniform(0.25, 1, channels)
        return Tensor(self.const(integers), *self.steps(scales, [zero] * channels, dtype))

    def make(
        self, kind: str, *operands: str, scale: float, zero: int, dtype: Any = np.uint8, **attributes: Any
    ) -> Tensor:
        """An operator whose last operands are the scale and zero point of its result."""
        steps = self.steps(scale, zero, dtype)
        domain = "" if kind in {"QLinearConv", "QLinearMatMul"} else MS
        bias = attributes.pop("bias", ())
        last = [*(bias or [""]), *steps] if kind == "QGemm" else [*steps, *bias]
        return Tensor(self.op(kind, *operands, *last, domain=domain, **attributes), *steps)

    def moved(self, kind: str, x: Tensor, *operands: str, **attributes: Any) -> Tensor:
        """A plain operator on the integers."""
        return x._replace(name=self.op(kind, x.name, *operands, **attributes))

    def numbers(self, x: Tensor) -> None:
        """What the tensor stands for as an output."""
        self.output(self.op("DequantizeLinear", *x))

    def bytes(self, x: Tensor) -> None:
        """The integers as an output."""
        self.output(x.name)


Build = Callable[[Builder], None]
ROWS: dict[str, tuple[Build, dict[str, int], float]] = {}
"""What builds the graph, the operations that must be in integers, the step of the output."""
HALVES = 0.0


def row(step: float, **counts: int) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        ROWS[build.__name__] = (build, counts, step)
        return build

    return add


@row(0.0517, Conv2D=1)
def conv_per_channel(g: Builder) -> None:
    bias = [g.const(g.rng.integers(-5000, 5000, 6), np.int32)]
    w = g.filter(6, 8, 3, 3, channels=6)
    g.numbers(
        g.make(
            "QLinearConv", *g.quantized_input(1, 8, 9, 7), *w, scale=0.0517, zero=110, pads=[1] * 4, bias=bias
        )
    )


@row(0.1171, Conv2D=1)
def conv_of_signed(g: Builder) -> None:
    x = g.quantized_input(2, 5, 8, 8, scale=0.031, zero=-7, dtype=np.int8)
    y = g.make(
        "QLinearConv",
        *x,
        *g.filter(4, 5, 3, 3),
        scale=0.1171,
        zero=21,
        dtype=np.int8,
        pads=[1, 0, 2, 1],
        strides=[2, 2],
    )
    g.numbers(y)


@row(0.0517, Conv2D=1)
def conv_that_saturates_both_ways(g: Builder) -> None:
    x = g.quantized_input(1, 64, 5, 5)
    g.numbers(g.make("QLinearConv", *x, *g.filter(65, 64, 3, 3, channels=65), scale=0.0517, zero=128))


@row(0.1171, Conv2D=1)
def conv_with_unsigned_weights(g: Builder) -> None:
    w = g.filter(4, 5, 1, 1, dtype=np.uint8, zero=128)
    g.numbers(g.make("QLinearConv", *g.quantized_input(1, 5, 8, 8), *w, scale=0.1171, zero=100))


@row(0.0317, Conv2D=1)
def depthwise(g: Builder) -> None:
    w = g.filter(12, 1, 3, 3, channels=12)
    g.numbers(
        g.make(
            "QLinearConv", *g.quantized_input(1, 12, 8, 8), *w, scale=0.0317, zero=99, group=12, pads=[1] * 4
        )
    )


@row(0.0517, Conv2D=1)
def conv_along_one_axis(g: Builder) -> None:
    w = g.filter(6, 8, 3, channels=6)
    g.numbers(
        g.make("QLinearConv", *g.quantized_input(1, 8, 21), *w, scale=0.0517, zero=110, auto_pad="SAME_UPPER")
    )


@row(1.0, Conv2D=1)
def conv_of_bytes_to_bytes(g: Builder) -> None:
    """What comes in and goes out are the integers themselves."""
    y = g.make(
        "QLinearConv", *g.byte_input(1, 8, 9, 7), *g.filter(6, 8, 3, 3, channels=6), scale=0.0517, zero=110
    )
    g.bytes(y)


@row(0.0517, Conv2D=3)
def conv_whose_integers_are_read_too(g: Builder) -> None:
    """The ones are compared, the others go on: nobody sees another number than the file says."""
    y = g.make("QLinearConv", *g.quantized_input(1, 8, 9, 7), *g.filter(8, 8, 3, 3), scale=0.0617, zero=110)
    for _ in range(2):
        g.numbers(g.make("QLinearConv", *y, *g.filter(4, 8, 1, 1), scale=0.0517, zero=110))
    g.output(g.op("ArgMax", y.name, axis=1))


@row(0.2171, Conv2D=1)
def conv_with_lopsided_weights_stays_float(g: Builder) -> None:
    """It is exact all the same, and no hindrance to its neighbour."""
    y = g.make("QLinearConv", *g.quantized_input(1, 5, 8, 8), *g.filter(5, 5, 1, 1), scale=0.0517, zero=110)
    w = g.filter(4, 5, 1, 1, dtype=np.uint8, zero=3)
    g.numbers(g.make("QLinearConv", *y, *w, scale=0.2171, zero=100))


@row(0.1171, Conv2D=1)
def conv_read_in_other_steps(g: Builder) -> None:
    """The scale of the reader counts, not that of who made the integers."""
    x = g.quantized_input(1, 5, 8, 8)
    other = Tensor(x.name, *g.steps(0.0437, 118))
    g.numbers(g.make("QLinearConv", *other, *g.filter(4, 5, 1, 1), scale=0.1171, zero=100))


@row(0.1171, MatMul=1)
def matmul_per_column(g: Builder) -> None:
    g.numbers(
        g.make(
            "QLinearMatMul", *g.quantized_input(5, 64), *g.filter(64, 9, channels=9), scale=0.1171, zero=100
        )
    )


@row(0.1171, MatMul=1)
def matmul_of_batches(g: Builder) -> None:
    g.numbers(g.make("QLinearMatMul", *g.quantized_input(2, 5, 64), *g.filter(64, 9), scale=0.1171, zero=100))


def product_of_activations(g: Builder, zero: int) -> None:
    x = g.quantized_input(1, 5, 16, dtype=np.int8, zero=zero)
    y = g.moved("Transpose", x, perm=[0, 2, 1])
    g.numbers(g.make("QLinearMatMul", *x, *y, scale=0.3171, zero=-100, dtype=np.int8))


@row(0.3171, MatMul=1)
def matmul_of_two_activations(g: Builder) -> None:
    product_of_activations(g, 0)


@row(0.3171, MatMul=1)
def matmul_of_two_activations_with_zero_points(g: Builder) -> None:
    product_of_activations(g, 3)


@row(0.1171, Conv2D=1)
def conv_with_a_filter_that_is_computed(g: Builder) -> None:
    x = g.quantized_input(1, 6, 7, 7, dtype=np.int8, zero=0)
    steps = g.steps(0.0217, 0, np.int8)
    w = Tensor(g.op("QuantizeLinear", g.input("w", 4, 6, 3, 3), *steps), *steps)
    g.numbers(g.make("QLinearConv", *x, *w, scale=0.1171, zero=9, dtype=np.int8))


@row(0.1171, MatMul=1)
def gemm(g: Builder) -> None:
    w, bias = g.filter(10, 64, channels=10), [g.const(g.rng.integers(-5000, 5000, 10), np.int32)]
    g.numbers(g.make("QGemm", *g.quantized_input(5, 64), *w, scale=0.1171, zero=100, transB=1, bias=bias))


@row(0.0497, Add=1)
def add(g: Builder) -> None:
    x = g.quantized_input(1, 8, 4, 4)
    y = g.moved("Transpose", x, perm=[0, 1, 3, 2])
    g.numbers(g.make("QLinearAdd", *x, *y, scale=0.0497, zero=120))


@row(0.0297, Mul=1, Lut=1)
def sigmoid_times_itself(g: Builder) -> None:
    x = g.quantized_input(1, 8, 4, 4)
    s = g.make("QLinearSigmoid", *x, scale=1 / 256, zero=0)
    g.numbers(g.make("QLinearMul", *x, *s, scale=0.0297, zero=90))


@row(0.0171, RequantFp=2, Max=1)
def leaky_relu(g: Builder) -> None:
    g.numbers(g.make("QLinearLeakyRelu", *g.quantized_input(1, 8, 4, 4), scale=0.0171, zero=30, alpha=0.1))


@row(0.0171, Pool2D=2)
def means(g: Builder) -> None:
    x = g.quantized_input(1, 8, 8, 8)
    y = g.make("QLinearAveragePool", *x, scale=0.0187, zero=125, kernel_shape=[2, 2], strides=[2, 2])
    g.numbers(g.make("QLinearGlobalAveragePool", *y, scale=0.0171, zero=130))


@row(0.0471, Concat=1, Conv2D=1)
def concat(g: Builder) -> None:
    x = g.quantized_input(1, 8, 8, 8)
    y = g.make("QLinearConv", *x, *g.filter(4, 8, 1, 1), scale=0.0517, zero=110)
    steps = g.steps(0.0471, 99)
    g.numbers(Tensor(g.op("QLinearConcat", *steps, *x, *y, domain=MS, axis=1), *steps))


@row(1 / 256)
def softmax(g: Builder) -> None:
    x = g.quantized_input(4, 10, scale=0.05)
    g.numbers(g.make("QLinearSoftmax", *x, scale=1 / 256, zero=0, axis=-1, opset=13))


@row(0.1171, Conv2D=1, MatMul=1, Pool2D=1, Reshape=1)
def plain_operators_on_integers(g: Builder) -> None:
    """As the quantiser leaves them: the scale goes along."""
    y = g.make(
        "QLinearConv", *g.quantized_input(1, 8, 8, 8), *g.filter(4, 8, 3, 3, channels=4), scale=0.0617, zero=0
    )
    y = g.moved("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = g.moved("Reshape", y, g.const([1, 36]))
    g.numbers(g.make("QLinearMatMul", *y, *g.filter(36, 10, channels=10), scale=0.1171, zero=100))


@row(0.0617, Conv2D=1, Slice=2)
def parts_of_integers(g: Builder) -> None:
    y = g.make("QLinearConv", *g.quantized_input(1, 8, 8, 8), *g.filter(4, 8, 1, 1), scale=0.0617, zero=110)
    for name in g.ops("Split", y.name, g.ints(1, 3), outputs=2, axis=1):
        g.numbers(y._replace(name=name))


@cache
def results(name: str) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array], tpumlir.Module]:
    """Of ONNX Runtime, the interpreter and the chip; and the Tpu module."""
    graph = Builder()
    ROWS[name][0](graph)
    model = graph.model()
    inputs: dict[str, Array] = {}
    given: dict[str, Array] = {}  # integers of the chip have 32 bits
    for key, shape in graph.inputs.items():
        if graph.types[key] != TensorProto.FLOAT:
            inputs[key] = graph.rng.integers(0, 256, shape).astype(np.uint8)
            given[key] = inputs[key].astype(np.int32)
        else:
            inputs[key] = graph.rng.standard_normal(shape).astype(np.float32)
    tpu = tpumlir.load_onnx(model).lower("INT8")
    given = inputs | given
    return (
        run_onnx(load(model), inputs),
        tpumlir.ModuleInterpreter(tpu).run(given),
        tpu.compile().run(given, detect_races=True),
        tpu,
    )


@pytest.mark.parametrize("name", ROWS)
def test_computed_in_integers(name: str) -> None:
    found = integer_ops(results(name)[3])
    assert {kind: found[kind] for kind in (*ROWS[name][1], "Conv2D", "MatMul") if found[kind]} == ROWS[name][
        1
    ]


@pytest.mark.parametrize("name", ROWS)
def test_a_step_from_onnx_runtime_at_most(name: str) -> None:
    expected, computed, _, _ = results(name)
    step = ROWS[name][2]
    for key, value in expected.items():
        error = np.abs(value.astype(np.float64) - computed[key])
        assert error.max() <= 1.001 * step, key
        # A half may stand for the integers.
        assert np.mean(error > 0.1 * step) < (0.15 if "Add" in ROWS[name][1] else 0.01), key


@pytest.mark.parametrize("name", ROWS)
def test_the_chip_computes_the_same_integers(name: str) -> None:
    _, computed, chip, _ = results(name)
    for key, value in computed.items():
        np.testing.assert_array_equal(chip[key], value, key)


MOVES: dict[str, tuple[str, int, tuple[Any, ...], dict[str, Any]]] = {
    "reshape": ("Reshape", 13, ([2, 12],), {}),
    "flatten": ("Flatten", 13, (), {"axis": 2}),
    "squeeze_11": ("Squeeze", 11, (), {"axes": [0]}),
    "squeeze_13": ("Squeeze", 13, ([0],), {}),
    "unsqueeze_11": ("Unsqueeze", 11, (), {"axes": [1]}),
    "unsqueeze_13": ("Unsqueeze", 13, ([-1],), {}),
    "transpose": ("Transpose", 13, (), {"perm": [0, 2, 3, 1]}),
    "slice_10": ("Slice", 10, ([1], [3], [1]), {}),
    "slice_13": ("Slice", 13, ([-1], [-5], [1], [-2]), {}),
    "gather": ("Gather", 13, ([3, -1, 0],), {"axis": 1}),
    "expand": ("Expand", 13, ([3, 4, 2, 3],), {}),
    "tile": ("Tile", 13, ([1, 2, 1, 1],), {}),
    "depth_to_space": ("DepthToSpace", 13, (), {"blocksize": 2}),
    "space_to_depth": ("SpaceToDepth", 13, (), {"blocksize": 1}),
    "max_pool": ("MaxPool", 12, (), {"kernel_shape": [2, 2], "pads": [1, 0, 0, 0]}),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("name", MOVES)
def test_moves_keep_the_steps(name: str, dtype: Any) -> None:
    kind, opset, operands, attributes = MOVES[name]
    graph = Builder(opset=opset)
    x = graph.quantized_input(1, 4, 2, 3, zero=7, dtype=dtype)
    graph.numbers(graph.moved(kind, x, *(graph.const(operand) for operand in operands), **attributes))
    model = graph.model()
    inputs = {"x": graph.rng.standard_normal((1, 4, 2, 3)).astype(np.float32)}
    (expected,) = run_onnx(load(model), inputs).values()
    for precision in ("F32", "INT8"):
        tpu = tpumlir.load_onnx(model).lower(precision)
        (computed,) = tpumlir.ModuleInterpreter(tpu).run(inputs).values()
        np.testing.assert_allclose(computed, expected, rtol=1e-6)
        (chip,) = tpu.compile().run(inputs, detect_races=True).values()
        np.testing.assert_array_equal(chip, computed)
    assert "xi32>" not in tpu.print()
