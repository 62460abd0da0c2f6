"""Scales for each channel of what depthwise convolutions and functions of single elements read.

The channels of these graphs have ranges that are far apart. Integers are judged against formulas in numpy,
with the types of the module; accuracy against the same module with one scale for each tensor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from channel_graphs import CHANNELS, GRAPHS, RNG, Case, dense, depthwise, front
from graphs import Graph
from tpumlir.calibration.table import CalibrationTable
from tpumlir.debugger import Session
from tpumlir.verify import Reference, verify

Array = npt.NDArray[Any]
_ALL = (slice(None), slice(None))
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
    """With one scale for each tensor there is more noise, mostly much more."""
    found = case.per_channel()
    assert found
    assert not case.per_channel(case.plain)
    for info in found.values():
        assert len(info.scales) == info.shape[1]
        assert info.axis == 1
        assert len(set(info.zero_points)) == 1
    # The greater of two functions has one scale, whose rounding is most of what is left.
    part = 0.99 if any(op.kind == "tpu.Max" for op in case.tpu.ops()) else 0.8
    assert case.noise(case.tpu) < part * case.noise(case.plain)


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
    dense(graph, depthwise(graph, graph.op("Clip", front(graph, 9, 11), low, high)))


def _output_too(graph: Graph) -> None:
    x = front(graph, 9, 11)
    graph.output(x)
    dense(graph, depthwise(graph, x))


def _dense_reader(graph: Graph) -> None:
    x = front(graph, 9, 11)
    dense(graph, x)
    dense(graph, depthwise(graph, x))


def _table(graph: Graph) -> None:
    """A Sigmoid is a table of 256 entries for all channels."""
    x = graph.op("Mul", graph.op("Relu", front(graph, 9, 11)), graph.const(0.5, np.float32))
    dense(graph, graph.op("Sigmoid", x))


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
    case = CASES.setdefault("relu", CASES.get("relu") or Case(GRAPHS["relu"]))
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
    dense(graph, depthwise(graph, y))
    top = tpumlir.load_onnx(graph.model())
    rng = np.random.default_rng(1)
    samples = [{"x": rng.standard_normal((1, 8, 9, 11)).astype(np.float32)} for _ in range(2)]
    tpu = top.lower("INT8", calibration_table=tpumlir.calibrate(top, samples, method="max"))
    sample = samples[0]
    want = tpumlir.ModuleInterpreter(top).run(sample)
    got = tpumlir.ModuleInterpreter(tpu).run(sample)
    for name, value in want.items():
        assert np.abs(got[name] - value).max() < 0.1 * np.abs(value).max()


@pytest.mark.parametrize("opt", [0, 2])
def test_verify_sees_the_numbers_behind_the_integers(case: Case, opt: int) -> None:
    """Every tensor of the chip is compared as the numbers that it stands for, exactly."""
    final = case.tpu.finalize(opt=opt)
    found = verify(final.compile(), Reference.of(final, case.samples[0]), exact=True)
    assert found.passed, found.findings
    seen = {row.tensor for row in found.tensors if row.seen}
    assert case.per_channel(final).keys() & seen


def test_a_wrong_factor_of_a_channel_is_blamed() -> None:
    """Of one channel the scale in the program is not that of the module."""
    case = CASES.setdefault("hard_swish", CASES.get("hard_swish") or Case(GRAPHS["hard_swish"]))
    final = case.tpu.finalize()
    model = final.compile()
    name = next(name for name, info in case.per_channel(final).items() if info.dtype == "ui8")
    values = Reference.of(final, case.samples[0]).values
    wrong = values[name].copy()
    wrong[:, 5] *= 1.5
    found = verify(model, Reference(case.samples[0], {**values, name: wrong}, final), exact=True)
    assert name in {cause.tensor for cause in found.causes}


def test_the_debugger_shows_numbers() -> None:
    """At the end of the program what is left on the chip is what the interpreter has."""
    case = CASES.setdefault("hard_swish", CASES.get("hard_swish") or Case(GRAPHS["hard_swish"]))
    final = case.tpu.finalize(opt=0)
    session = Session(final.compile(), case.samples[0])
    session.run()
    found = {name: session.numbers(name) for name in case.per_channel(final)}
    left = {name: value for name, value in found.items() if value is not None}
    assert left
    for name, value in left.items():
        np.testing.assert_allclose(value, case.values[name], rtol=1e-6, err_msg=name)
