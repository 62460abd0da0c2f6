"""A LeakyRelu or PRelu behind a convolution of integers: the greater one of two functions of its sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from graphs import Graph
from quantized import Quantized, calibrated

Array = npt.NDArray[Any]

# Shape, filter, attributes of the convolution.
CONVS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "one_row_of_lanes": ((1, 24, 12, 9), (24, 24, 1, 3), {"pads": [0, 1, 0, 1]}),
    "some_of_two_rows": ((2, 65, 7, 6), (72, 65, 3, 3), {"strides": [2, 1]}),
    "long_sums": ((1, 8, 70, 80), (130, 8, 3, 3), {"pads": [1] * 4}),
    "depthwise": ((1, 66, 9, 9), (66, 1, 3, 3), {"group": 66}),
    "groups": ((2, 128, 5, 6), (128, 64, 1, 1), {"group": 2}),
    "columns": ((1, 3, 40, 40), (8, 3, 7, 7), {"pads": [3] * 4, "strides": [2, 2]}),
}
ACTIVATIONS = ("leaky", "rising_backwards", "prelu", "one_slope", "bounds")


class Case:
    """Lowered, and what its integers have to be."""

    def __init__(self, conv: str, activation: str, *, low: float = -2.0, high: float = 2.0) -> None:
        shape, filters, attributes = CONVS[conv]
        rng = np.random.default_rng(3)
        self.weight = rng.standard_normal(filters).astype(np.float32)
        self.bias = rng.standard_normal(filters[0]).astype(np.float32)
        self.slopes = {
            "prelu": rng.uniform(-0.5, 1.0, filters[0]).astype(np.float32),
            "one_slope": np.full(1, 0.3, np.float32),
            "rising_backwards": np.full(1, -0.4, np.float32),
        }.get(activation, np.full(1, 0.2, np.float32))
        net = Graph(opset=16, seed=7)
        net.input("x", *shape)
        names = [net.const(value, np.float32) for value in (self.weight, self.bias)]
        y = net.op("Conv", "x", *names, **attributes)
        if activation in ("prelu", "one_slope"):
            y = net.op("PRelu", y, net.const(self.slopes.reshape(-1, 1, 1), np.float32))
        else:
            y = net.op("LeakyRelu", y, alpha=float(self.slopes[0]))
        if activation == "bounds":
            y = net.op("Max", y, net.const(np.float32(-0.5), np.float32))
        # Reads integers and makes integers: the result does not go through floats.
        net.output(net.op("MaxPool", y, kernel_shape=[1, 1]))
        self.top = tpumlir.load_onnx(net.model())
        self.inputs = {"x": rng.uniform(low, high, shape).astype(np.float32)}
        self.low = self.top.lower("INT8", calibration_table=calibrated(self.top, [self.inputs]))
        self.ops = [op for op in self.low.ops() if op.kind.startswith("tpu.")]

    @property
    def kinds(self) -> list[str]:
        return [op.kind for op in self.ops]

    def chip(self, opt: int) -> Array:
        (value,) = self.low.finalize(opt=opt).compile().run(self.inputs, detect_races=True).values()
        return value


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("conv", CONVS)
def test_two_functions_of_the_sums(conv: str, activation: str) -> None:
    case = Case(conv, activation)
    arithmetic = {"tpu.RequantFp", "tpu.RequantFpAxis", "tpu.Max", "tpu.LeakyRelu", "tpu.PRelu"}
    assert not arithmetic & set(case.kinds)
    (got,) = tpumlir.ModuleInterpreter(case.low).run(case.inputs).values()
    (want,) = tpumlir.ModuleInterpreter(case.top).run(case.inputs).values()
    # Rounded inputs and weights: the error of the sums, and a rounding.
    assert np.linalg.norm(got - want) < 0.03 * np.linalg.norm(want)
    for opt in (2, 0):
        np.testing.assert_array_equal(case.chip(opt), got, err_msg=f"opt {opt}")


@pytest.mark.parametrize("kind", [(-2.0, 2.0), (0.0, 3.0), (-0.5, 3.0), (-3.0, -0.5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_integer_follows_from_the_types(activation: str, kind: tuple[float, float]) -> None:
    """Factors and offsets made anew, of a convolution of one place."""
    case = Case("groups", activation, low=kind[0], high=kind[1])
    conv = next(op for op in case.ops if op.kind == "tpu.Conv2D")
    types = {r.name: found for op in case.low.ops() for r in op.results if (found := Quantized.of(r))}
    into, out = types[conv.operands[0]], types[conv.name]
    rows = case.weight.reshape(len(case.weight), -1)
    scales = (np.abs(rows).max(axis=1).astype(np.float64) / 127).astype(np.float32).astype(np.float64)
    k = np.clip(np.rint(rows / scales[:, None]), -127, 127).astype(np.int64)
    q = into.stored(case.inputs["x"])
    halves = [np.einsum("nchw,oc->nohw", q[:, rows], k[rows]) for rows in (slice(64), slice(64, 128))]
    sums = np.concatenate(halves, axis=1)
    functions: list[Array] = []
    for steep in (np.ones(1), case.slopes.astype(np.float64)):
        slope = np.broadcast_to(steep, scales.shape)
        factor = (slope * into.step * scales / out.step).astype(np.float32)
        offset = out.zero - factor.astype(np.float64) * into.zero * k.sum(axis=1)
        offset = (offset + slope * case.bias / out.step).astype(np.float32)
        scaled = (sums.astype(np.float32) * factor[:, None, None]).astype(np.float32)
        functions.append(np.rint((scaled + offset[:, None, None]).astype(np.float32)))
    want = np.clip(np.maximum(*functions), out.least, out.greatest)
    (got,) = tpumlir.ModuleInterpreter(case.low).run(case.inputs).values()
    # A double sum of a product and a bias may be rounded to the other float32 beside it.
    off = np.abs(np.rint(got / out.step) + out.zero - want)
    assert off.max() <= 1
    assert np.count_nonzero(off) <= off.size // 1000


def _lowered(build: Any) -> tuple[tpumlir.Module, dict[str, Array]]:
    net = Graph(opset=16, seed=7)
    net.input("x", 1, 8, 9, 9)
    for output in build(net):
        net.output(output)
    top = tpumlir.load_onnx(net.model())
    inputs = {"x": np.random.default_rng(3).uniform(-2, 2, (1, 8, 9, 9)).astype(np.float32)}
    return top.lower("INT8", calibration_table=calibrated(top, [inputs])), inputs


def _conv(net: Graph, *bias: str) -> str:
    return net.op("Conv", "x", net.normal(8, 8, 3, 3, scale=0.3), *bias, pads=[1] * 4)


def _steep(net: Graph) -> list[str]:
    return [net.op("MaxPool", net.op("LeakyRelu", _conv(net), alpha=1.5), kernel_shape=[1, 1])]


def _behind_a_relu(net: Graph) -> list[str]:
    return [
        net.op("MaxPool", net.op("LeakyRelu", net.op("Relu", _conv(net)), alpha=0.2), kernel_shape=[1, 1])
    ]


def _read_twice(net: Graph) -> list[str]:
    y = _conv(net)
    return [net.op("MaxPool", value, kernel_shape=[1, 1]) for value in (net.op("LeakyRelu", y, alpha=0.2), y)]


def _computed_bias(net: Graph) -> list[str]:
    bias = net.op("Reshape", net.op("GlobalAveragePool", "x"), net.ints(8))
    return [net.op("MaxPool", net.op("LeakyRelu", _conv(net, bias), alpha=0.2), kernel_shape=[1, 1])]


def _bounds_of_its_own(net: Graph) -> list[str]:
    y = net.op("LeakyRelu", _conv(net), alpha=0.2)
    clipped = net.op("Clip", y, net.const(-0.1, np.float32), net.const(0.4, np.float32))
    return [net.op("MaxPool", net.op("Add", clipped, "x"), kernel_shape=[1, 1])]


@pytest.mark.parametrize("build", [_steep, _behind_a_relu, _read_twice, _computed_bias, _bounds_of_its_own])
def test_what_is_no_such_pair(build: Any) -> None:
    low, inputs = _lowered(build)
    want = tpumlir.ModuleInterpreter(low).run(inputs)
    for opt in (2, 0):
        got = low.finalize(opt=opt).compile().run(inputs, detect_races=True)
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-6 if build is _computed_bias else 0)
