"""Graphs whose channels have ranges that are far apart, and what becomes of them in INT8."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

import tpumlir
from graphs import Graph
from tpumlir.calibration.table import CalibrationTable
from tpumlir.errors import Note

CHANNELS = 70  # more than the lanes
RNG = np.random.default_rng(3)
# Of each channel of the filters in front.
LOUDNESS = np.exp2(RNG.uniform(-5, 1, CHANNELS)).astype(np.float32)
_START = RNG.bit_generator.state


def front(graph: Graph, *extents: int) -> str:
    """A convolution whose channels are loud and soft."""
    axes = len(extents)
    filters = RNG.standard_normal((CHANNELS, 8, *[1] * axes)).astype(np.float32)
    filters *= LOUDNESS.reshape(-1, *[1] * (axes + 1))
    bias = RNG.standard_normal(CHANNELS).astype(np.float32) * LOUDNESS
    return graph.op("Conv", graph.input("x", 1, 8, *extents), graph.const(filters), graph.const(bias))


def depthwise(graph: Graph, x: str, axes: int = 2, times: int = 1, pad: int = 1) -> str:
    """What was soft is made as loud as the rest."""
    filters = RNG.standard_normal((CHANNELS * times, 1, *[3] * axes)).astype(np.float32)
    filters /= np.repeat(LOUDNESS, times).reshape(-1, *[1] * (axes + 1))
    return graph.op("Conv", x, graph.const(filters), group=CHANNELS, pads=[pad] * 2 * axes)


def dense(graph: Graph, x: str, axes: int = 2, inputs: int = CHANNELS, scale: Any = 0.2) -> None:
    filters = RNG.standard_normal((4, inputs, *[1] * axes)) * np.reshape(scale, (-1, *[1] * axes))
    graph.output(graph.op("Conv", x, graph.const(filters, np.float32)))


def _hard_swish(graph: Graph) -> None:
    y = graph.op("HardSwish", front(graph, 9, 11))
    dense(graph, graph.op("HardSwish", depthwise(graph, y)))


def _hard_swish_of_one_axis(graph: Graph) -> None:
    y = graph.op("HardSwish", front(graph, 13))
    dense(graph, depthwise(graph, y, 1), 1)


def _moved(graph: Graph) -> None:
    """What is added behind the function is a border of the window as well."""
    y = graph.op("HardSwish", front(graph, 9, 11))
    y = graph.op("Add", graph.op("Mul", y, graph.const(0.6, np.float32)), graph.const(-0.9, np.float32))
    dense(graph, depthwise(graph, y))


def _relu(graph: Graph) -> None:
    dense(graph, depthwise(graph, graph.op("Relu", front(graph, 9, 11))))


def _several_results(graph: Graph) -> None:
    """Two channels of the result for each of the input."""
    dense(graph, depthwise(graph, front(graph, 9, 11), times=2), inputs=2 * CHANNELS)


def _leaky(graph: Graph) -> None:
    x = graph.op("LeakyRelu", graph.op("HardSwish", front(graph, 9, 11)), alpha=0.1)
    dense(graph, x, scale=0.2 / LOUDNESS)


def _slopes(graph: Graph) -> None:
    slopes = graph.const(RNG.uniform(0.0, 0.5, (CHANNELS, 1, 1)), np.float32)
    dense(graph, graph.op("PRelu", graph.op("HardSwish", front(graph, 9, 11)), slopes), scale=0.2 / LOUDNESS)


def _two_readers(graph: Graph) -> None:
    x = front(graph, 9, 11)
    y = graph.op("HardSwish", x)
    dense(graph, graph.op("Add", depthwise(graph, x), depthwise(graph, y)))


GRAPHS = {
    build.__name__.strip("_"): build
    for build in (
        _hard_swish, _hard_swish_of_one_axis, _moved, _relu, _several_results, _leaky, _slopes, _two_readers,
    )
}  # fmt: skip


class Case:
    """A graph, its table from samples, and its Tpu modules with scales per channel and without."""

    def __init__(self, build: Any) -> None:
        RNG.bit_generator.state = _START  # the same numbers, whichever graphs were built before
        graph = Graph()
        build(graph)
        self.onnx = graph.model()
        self.top = tpumlir.load_onnx(self.onnx)
        shape = graph.inputs["x"]
        rng = np.random.default_rng(5)
        self.samples = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(4)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Note)  # most numbers are small: that is what this is about
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
