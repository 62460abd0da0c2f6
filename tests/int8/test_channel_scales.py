"""Scales for each channel of what depthwise convolutions and functions of single elements read.

The channels of these graphs have ranges that are far apart. Integers are judged against formulas in numpy,
with the types of the module; accuracy against the same module with one scale for each tensor.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from graphs import Graph
from tpumlir.calibration.table import CalibrationTable

Array = npt.NDArray[Any]
CHANNELS = 70  # more than the lanes
RNG = np.random.default_rng(3)
_ALL = (slice(None), slice(None))
# Of each channel of the filters in front.
LOUDNESS = np.exp2(RNG.uniform(-5, 1, CHANNELS)).astype(np.float32)


def _front(graph: Graph, *extents: int) -> str:
    """A convolution whose channels are loud and soft."""
    axes = len(extents)
    filters = RNG.standard_normal((CHANNELS, 8, *[1] * axes)).astype(np.float32)
    filters *= LOUDNESS.reshape(-1, *[1] * (axes + 1))
    bias = RNG.standard_normal(CHANNELS).astype(np.float32) * LOUDNESS
    return graph.op("Conv", graph.input("x", 1, 8, *extents), graph.const(filters), graph.const(bias))


def _depthwise(graph: Graph, x: str, axes: int = 2, times: int = 1, pad: int = 1) -> str:
    """What was soft is made as loud as the rest."""
    filters = RNG.standard_normal((CHANNELS * times, 1, *[3] * axes)).astype(np.float32)
    filters /= np.repeat(LOUDNESS, times).reshape(-1, *[1] * (axes + 1))
    return graph.op("Conv", x, graph.const(filters), group=CHANNELS, pads=[pad] * 2 * axes)


def _dense(graph: Graph, x: str, axes: int = 2, inputs: int = CHANNELS, scale: Any = 0.2) -> None:
    filters = RNG.standard_normal((4, inputs, *[1] * axes)) * np.reshape(scale, (-1, *[1] * axes))
    graph.output(graph.op("Conv", x, graph.const(filters, np.float32)))


def _hard_swish(graph: Graph) -> None:
    y = graph.op("HardSwish", _front(graph, 9, 11))
    _dense(graph, graph.op("HardSwish", _depthwise(graph, y)))


def _hard_swish_of_one_axis(graph: Graph) -> None:
    y = graph.op("HardSwish", _front(graph, 13))
    _dense(graph, _depthwise(graph, y, 1), 1)


def _moved(graph: Graph) -> None:
    """What is added behind the function is a border of the window as well."""
    y = graph.op("HardSwish", _front(graph, 9, 11))
    y = graph.op("Add", graph.op("Mul", y, graph.const(0.6, np.float32)), graph.const(-0.9, np.float32))
    _dense(graph, _depthwise(graph, y))


def _relu(graph: Graph) -> None:
    _dense(graph, _depthwise(graph, graph.op("Relu", _front(graph, 9, 11))))


def _several_results(graph: Graph) -> None:
    """Two channels of the result for each of the input."""
    _dense(graph, _depthwise(graph, _front(graph, 9, 11), times=2), inputs=2 * CHANNELS)


def _leaky(graph: Graph) -> None:
    x = graph.op("LeakyRelu", _front(graph, 9, 11), alpha=0.1)
    _dense(graph, x, scale=0.2 / LOUDNESS)


def _slopes(graph: Graph) -> None:
    slopes = graph.const(RNG.uniform(0.0, 0.5, (CHANNELS, 1, 1)), np.float32)
    _dense(graph, graph.op("PRelu", _front(graph, 9, 11), slopes), scale=0.2 / LOUDNESS)


def _two_readers(graph: Graph) -> None:
    x = _front(graph, 9, 11)
    y = graph.op("HardSwish", x)
    _dense(graph, graph.op("Add", _depthwise(graph, x), _depthwise(graph, y)))


GRAPHS = {
    build.__name__.strip("_"): build
    for build in (
        _hard_swish, _hard_swish_of_one_axis, _moved, _relu, _several_results, _leaky, _slopes, _two_readers,
    )
}  # fmt: skip


class Case:
    """A graph, its table from samples, and its Tpu modules with scales per channel and without."""

    def __init__(self, build: Any) -> None:
        graph = Graph()
        build(graph)
        self.onnx = graph.model()
        self.top = tpumlir.load_onnx(self.onnx)
        shape = graph.inputs["x"]
        rng = np.random.default_rng(5)
        self.samples = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(4)]
        self.table = tpumlir.calibrate(self.top, self.samples, method="max")
        self.tpu = self.top.lower("INT8", calibration_table=self.table)
        rows = {name: replace(row, channels=()) for name, row in self.table.rows.items()}
        self.plain = self.top.lower("INT8", calibration_table=CalibrationTable(rows))
        self.values = tpumlir.ModuleInterpreter(self.tpu).run(self.samples[0], all_tensors=True)

    def per_channel(self, module: tpumlir.Module | None = None) -> dict[str, Any]:
        """The tensors with several scales, none of them constants."""
        return {
            result.name: result
            for op in (module or self.tpu).ops()
            if op.kind != "top.Weight"
            for result in op.results
            if len(result.scales) > 1
        }

    def noise(self, module: tpumlir.Module) -> float:
        """Of the outputs, relative to what they are."""
        worst = 0.0
        for sample in self.samples:
            want = tpumlir.ModuleInterpreter(self.top).run(sample)
            got = tpumlir.ModuleInterpreter(module).run(sample)
            for name, value in want.items():
                worst = max(worst, float(np.square(got[name] - value).sum() / np.square(value).sum()))
        return worst


CASES: dict[str, Case] = {}


@pytest.fixture(params=GRAPHS)
def case(request: pytest.FixtureRequest) -> Case:
    """Made once."""
    name = request.param
    return CASES.setdefault(name, CASES.get(name) or Case(GRAPHS[name]))


def _stored(info: Any, numbers: Array) -> Array:
    """The integers that numbers of a tensor stand for."""
    scales = np.asarray(info.scales, np.float64).reshape(1, -1, *[1] * (numbers.ndim - 2))
    return np.asarray(np.rint(numbers / scales) + info.zero_points[0], np.int64)


def test_scales_per_channel_are_there_and_help(case: Case) -> None:
    """With one scale for each tensor there is much more noise."""
    found = case.per_channel()
    assert found
    assert not case.per_channel(case.plain)
    for info in found.values():
        assert len(info.scales) == info.shape[1]
        assert info.axis == 1
        assert len(set(info.zero_points)) == 1
    assert case.noise(case.tpu) < 0.75 * case.noise(case.plain)


def test_formulas(case: Case) -> None:
    """Every operation that reads or makes scales per channel has the integers of its formula."""
    infos = {result.name: result for op in case.tpu.ops() for result in op.results}
    weights = case.tpu.weights
    judged = 0
    for op in case.tpu.ops():
        ends = [infos[name] for name in (*op.operands[:1], op.name) if name in infos]
        if op.kind == "top.Weight" or not any(len(end.scales) > 1 for end in ends):
            continue
        operands = [_stored(infos[name], case.values[name]) for name in op.operands if name in case.values]
        result = infos[op.name]
        got = _stored(result, case.values[op.name])
        zeros = [infos[name].zero_points[0] for name in op.operands if name in case.values]
        if op.kind == "tpu.Max":
            want = np.maximum(*operands)
        else:
            multi = weights[op.operands[-1]].reshape(-1, 2)
            factor, offset = (multi[:, i].reshape(1, -1, *[1] * (got.ndim - 2)) for i in range(2))
            if op.kind == "tpu.RequantFpAxis":
                total = operands[0]
            elif op.kind == "tpu.MulFpAxis":
                total = (operands[0] - zeros[0]) * (operands[1] - zeros[1])
            else:
                assert op.kind == "tpu.Conv2D"
                total = _sums(op, operands[0], weights[op.operands[1]], zeros[0])
            least = op.attrs.get("least", -128 if result.dtype == "i8" else 0)
            greatest = op.attrs.get("greatest", 127 if result.dtype == "i8" else 255)
            if op.attrs.get("do_relu"):
                least = max(least, result.zero_points[0])
            numbers = total.astype(np.float32) * factor.astype(np.float32) + offset.astype(np.float32)
            want = np.clip(np.rint(numbers), least, greatest)
        np.testing.assert_array_equal(got, want, err_msg=f"{op.kind} {op.name}")
        judged += 1
    assert judged >= 2


def _sums(op: Any, q: Array, filters: Array, zero: int) -> Array:
    """Of stored integers: what is padded is the zero point."""
    attrs, axes = op.attrs, q.ndim - 2
    group, pads = attrs.get("group", 1), attrs["pads"]
    k = filters.astype(np.int64).reshape(len(filters), -1, *attrs["kernel_shape"])
    q = np.pad(q, ((0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)), constant_values=zero)
    outputs, inputs = len(k) // group, k.shape[1]
    extents = [q.shape[2 + i] - k.shape[2 + i] + 1 for i in range(axes)]
    total = np.zeros((len(q), len(k), *extents), np.int64)
    for g in range(group):
        part, rows = q[:, g * inputs : (g + 1) * inputs], slice(g * outputs, (g + 1) * outputs)
        for tap in np.ndindex(*k.shape[2:]):
            window = tuple(slice(t, t + n) for t, n in zip(tap, extents, strict=True))
            total[:, rows] += np.einsum("nc...,oc->no...", part[_ALL + window], k[rows][_ALL + tap])
    return total


@pytest.mark.parametrize("opt", [0, 2])
def test_chip(case: Case, opt: int) -> None:
    """The bmodel gives the numbers of the interpreter, in groups and without."""
    want = tpumlir.ModuleInterpreter(case.tpu).run(case.samples[0])
    got = case.tpu.finalize(opt=opt).compile().run_numbers(case.samples[0])
    assert want.keys() == got.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def _clipped(graph: Graph) -> None:
    """6 is another integer in every channel."""
    low, high = (graph.const(bound, np.float32) for bound in (0.0, 1.5))
    _dense(graph, _depthwise(graph, graph.op("Clip", _front(graph, 9, 11), low, high)))


def _output_too(graph: Graph) -> None:
    x = _front(graph, 9, 11)
    graph.output(x)
    _dense(graph, _depthwise(graph, x))


def _dense_reader(graph: Graph) -> None:
    x = _front(graph, 9, 11)
    _dense(graph, x)
    _dense(graph, _depthwise(graph, x))


def _table(graph: Graph) -> None:
    """A Sigmoid is a table of 256 entries for all channels."""
    x = graph.op("Mul", graph.op("Relu", _front(graph, 9, 11)), graph.const(0.5, np.float32))
    _dense(graph, graph.op("Sigmoid", x))


@pytest.mark.parametrize("build", [_clipped, _output_too, _dense_reader, _table])
def test_one_scale_where_channels_meet(build: Any) -> None:
    """What else reads the tensor decides; the program is right all the same."""
    case = Case(build)
    assert not case.per_channel()
    want = tpumlir.ModuleInterpreter(case.tpu).run(case.samples[0])
    got = case.tpu.finalize().compile().run_numbers(case.samples[0])
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_a_float_reader_gets_one_scale() -> None:
    """A row of the quantize table makes a float of the reader, which takes one scale."""
    case = CASES.setdefault("relu", CASES.get("relu") or Case(_relu))
    (depthwise,) = [op for op in case.top.ops() if op.kind == "top.Conv" and op.attrs["group"] > 1]
    mixed = case.top.lower("INT8", calibration_table=case.table, quantize_table={depthwise.name: "F16"})
    assert not case.per_channel(mixed)
    want = tpumlir.ModuleInterpreter(mixed).run(case.samples[0])
    got = mixed.finalize().compile().run_numbers(case.samples[0])
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_text_of_the_module(case: Case) -> None:
    """The types and the table survive the text."""
    text = case.tpu.print()
    again = tpumlir.Module.parse(text, case.tpu.weights)
    assert again.print() == text
    assert case.per_channel(again).keys() == case.per_channel().keys()


def test_channels_hold_the_extremes(tmp_path: Path, case: Case) -> None:
    """What the table says of the channels, also through its file."""
    path = tmp_path / "table"
    case.table.write(path)
    assert CalibrationTable.read(path).rows == case.table.rows
    names = [name for name, row in case.table.rows.items() if row.channels]
    interpreter = tpumlir.ModuleInterpreter(case.top)
    runs = [interpreter.run(sample, all_tensors=True) for sample in case.samples]
    assert names
    for name in names:
        values = np.stack([run[name] for run in runs])
        axes = (0, 1, *range(3, values.ndim))
        low, high = values.min(axis=axes), values.max(axis=axes)
        np.testing.assert_array_equal(case.table[name].channels, np.stack([low, high], axis=1))


def test_a_silent_channel_is_no_fault() -> None:
    """A channel that held one number, and one that held nothing but 0."""
    graph = Graph()
    x = graph.input("x", 1, 8, 9, 11)
    filters = RNG.standard_normal((CHANNELS, 8, 1, 1)).astype(np.float32)
    filters[3] = filters[4] = 0
    bias = np.zeros(CHANNELS, np.float32)
    bias[4] = -0.25
    y = graph.op("Conv", x, graph.const(filters), graph.const(bias))
    _dense(graph, _depthwise(graph, y))
    top = tpumlir.load_onnx(graph.model())
    rng = np.random.default_rng(1)
    samples = [{"x": rng.standard_normal((1, 8, 9, 11)).astype(np.float32)} for _ in range(2)]
    tpu = top.lower("INT8", calibration_table=tpumlir.calibrate(top, samples, method="max"))
    sample = samples[0]
    want = tpumlir.ModuleInterpreter(top).run(sample)
    got = tpumlir.ModuleInterpreter(tpu).run(sample)
    for name, value in want.items():
        assert np.abs(got[name] - value).max() < 0.1 * np.abs(value).max()
