"""INT8 on the vendor's runtime: bits as on our simulator, a small row of each kind of operation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tpumlir
from channel_graphs import GRAPHS, Case
from harness import OpCase, w, x
from oracle.runtime import run_bmodel
from quantized import Int8Case
from quantized_graphs import Graph
from tpumlir.bmodel import write

pytestmark = pytest.mark.oracle

CASES = [
    OpCase("Conv", x(1, 8, 9, 9), w(6, 8, 3, 3), w(6), pads=[1] * 4, why="signed"),
    OpCase("Conv", x(2, 66, 7, 7, low=-0.5, high=3), w(65, 66, 3, 3), pads=[1] * 4, why="zero_point"),
    OpCase("Conv", x(1, 66, 9, 9, low=0, high=3), w(66, 1, 3, 3), group=66, pads=[1] * 4, why="depthwise"),
    OpCase("Conv", x(1, 3, 32, 34), w(16, 3, 3, 3), pads=[1] * 4, strides=[2, 2], why="columns"),
    OpCase("Conv", x(1, 66, 5, 5), x(9, 66, 3, 3), pads=[1] * 4, why="computed_filter"),
    OpCase("Conv", x(2, 128, 5, 6), w(128, 4, 3, 3), group=32, pads=[1] * 4, why="groups"),
    OpCase("Conv", x(1, 6, 5, 6, 7), w(9, 6, 3, 2, 3), pads=[1] * 6, why="three_axes"),
    OpCase("Conv", x(1, 5, 40, 9), w(6, 5, 3, 3), dilations=[17, 1], why="dilated"),
    OpCase("ConvTranspose", x(1, 5, 6, 7), w(5, 4, 3, 3), strides=[2, 3], why="inserted"),
    OpCase("Conv", x(1, 12, 6, 6), x(8, 3, 3, 3), x(8), group=4, why="computed_groups_and_bias"),
    OpCase("Conv", x(2, 128, 4, 4), x(64, 4, 2, 2), group=32, why="computed_groups_that_fill_rows"),
    OpCase("Conv", x(1, 66, 5, 5), x(66, 1, 3, 3), x(66), group=66, pads=[1] * 4, why="computed_depthwise"),
    OpCase("ConvTranspose", x(1, 128, 3, 3), w(128, 64, 2, 2), group=2, strides=[2, 2], why="groups_of_rows"),
    OpCase("ConvTranspose", x(1, 6, 5, 5), x(6, 2, 3, 3), x(4), group=2, strides=[2, 2], why="computed"),
    OpCase("Gemm", x(5, 33), x(70, 33), x(70), transB=1, why="computed_bias"),
    OpCase("MatMul", x(3, 128), w(128, 70), why="rows"),
    OpCase("MatMul", x(2, 3, 70, 33), x(2, 3, 33, 9, low=0, high=2), why="computed"),
    OpCase("Add", x(3, 70), x(3, 70, low=0, high=4), why="mixed"),
    OpCase("Mul", x(3, 70), x(3, 70, low=0, high=4), why="mixed"),
    OpCase("Max", x(3, 70), x(3, 70, low=0, high=4), why="mixed"),
    OpCase("Relu", x(2, 65, 4, 5), why="requantised"),
    OpCase("LeakyRelu", x(2, 65, 4, 5), alpha=0.1, why="two_lines"),
    OpCase("HardSwish", x(2, 65, 4, 5), why="gate"),
    OpCase("Sigmoid", x(1, 65, 4, 5), why="table"),
    OpCase("Sigmoid", x(2, 65, 9, 9), why="table_four_at_a_time"),
    OpCase("MaxPool", x(1, 65, 9, 9, low=-1, high=3), kernel_shape=[3, 3], pads=[1] * 4, why="padded"),
    OpCase("AveragePool", x(1, 65, 9, 9), kernel_shape=[3, 3], why="mean"),
    OpCase("GlobalAveragePool", x(2, 70, 9, 15, low=-1, high=3), why="lines_and_a_rest"),
    OpCase("Conv", x(32, 64, 1, 1), w(130, 64, 1, 1), why="rows"),
    OpCase("Concat", x(1, 3, 8), x(1, 65, 8, low=0, high=2), axis=1, why="unlike"),
    OpCase("Transpose", x(2, 3, 4, 5), perm=[3, 1, 0, 2], why="bytes"),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_vendor_runtime_gives_the_same_bits(case: OpCase, oracle: Path, tmp_path: Path) -> None:
    bmodel = Int8Case(case).tpu.compile()
    path = tmp_path / "case.bmodel"
    write(path, bmodel)
    ours = bmodel.run(case.inputs, detect_races=True)
    theirs = run_bmodel(oracle, path, case.inputs)
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name].view(np.uint32), value.view(np.uint32))


def _conv(g: Graph) -> None:
    k = g.pair(g.input("k", 5, 66, 3, 3), 0.003, 120)
    g.output(g.pair(g.op("Conv", g.pair(g.input("x", 2, 66, 7, 6), 0.02, 150), k, pads=[1] * 4), 0.1, 9))


def _depthwise(g: Graph) -> None:
    k = g.pair(g.input("k", 66, 1, 3, 3), 0.03, 0, np.int8)
    g.output(g.pair(g.op("Conv", g.pair(g.input("x", 1, 66, 7, 6), 0.02, 150), k, group=66), 0.1, 9))


def _rows(g: Graph) -> None:
    y = g.pair(g.input("y", 66, 70), 0.03, 100)
    g.output(g.pair(g.op("Gemm", g.pair(g.input("x", 7, 70), 0.02, 150), y, transB=1), 0.2, 9))


def _batches(g: Graph) -> None:
    y = g.pair(g.input("y", 3, 70, 9), 0.03, 100)
    product = g.op("MatMul", g.pair(g.input("x", 3, 7, 70), 0.02, 150), y)
    g.output(g.pair(g.op("Add", product, g.normal(9)), 0.2, 9))


@pytest.mark.parametrize("build", [_conv, _depthwise, _rows, _batches])
def test_vendor_runtime_takes_zero_points_of_what_is_computed(
    build: Callable[[Graph], None], oracle: Path, tmp_path: Path
) -> None:
    g = Graph(seed=2)
    build(g)
    tpu = tpumlir.load_onnx(g.model()).lower("INT8")
    (product,) = [op for op in tpu.ops() if op.kind in ("tpu.Conv2D", "tpu.MatMul")]
    assert product.results[0].scales, product.why
    inputs = {name: g.rng.uniform(-2, 2, shape).astype(np.float32) for name, shape in g.inputs.items()}
    bmodel = tpu.finalize().compile()
    path = tmp_path / "case.bmodel"
    write(path, bmodel)
    ours, theirs = bmodel.run(inputs, detect_races=True), run_bmodel(oracle, path, inputs)
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name].view(np.uint32), value.view(np.uint32))


@pytest.mark.parametrize("mode", ["F16", "BF16", "INT8"])
def test_vendor_runtime_takes_what_is_stored(mode: str, oracle: Path, tmp_path: Path) -> None:
    """Inputs and outputs of the type that is computed with: the host converts them, not the chip."""
    case = CASES[1]
    table = Int8Case(case).table
    tpu = case.top.lower(mode, calibration_table=table, quant_input=True, quant_output=True)
    bmodel = tpu.compile()
    assert "f32" not in {tensor.dtype for tensor in (*bmodel.inputs, *bmodel.outputs)}
    path = tmp_path / "case.bmodel"
    write(path, bmodel)
    stored = {tensor.name: tensor.stored(case.inputs[tensor.name]) for tensor in bmodel.inputs}
    ours, theirs = bmodel.run(stored), run_bmodel(oracle, path, stored)
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name].view(np.uint8), value.view(np.uint8))


@pytest.mark.parametrize("name", ["hard_swish", "moved", "slopes"])
def test_vendor_runtime_gives_the_same_bits_of_scales_per_channel(
    name: str, oracle: Path, tmp_path: Path
) -> None:
    case = Case(GRAPHS[name])
    assert case.per_channel()
    bmodel = case.tpu.compile()
    path = tmp_path / "case.bmodel"
    write(path, bmodel)
    ours = bmodel.run(case.samples[0], detect_races=True)
    theirs = run_bmodel(oracle, path, case.samples[0])
    for output, value in ours.items():
        np.testing.assert_array_equal(theirs[output].view(np.uint32), value.view(np.uint32))
