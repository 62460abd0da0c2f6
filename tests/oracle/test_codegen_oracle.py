"""Programs of our code generator on the vendor's runtime: the same bits as on our simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import PRECISIONS, OpCase, Precision, c, scalar, w, x
from oracle.runtime import run_bmodel
from tpumlir.bmodel import write

pytestmark = pytest.mark.oracle

CASES = [
    OpCase("Conv", x(1, 70, 9, 9), w(66, 70, 3, 3), w(66), pads=[1] * 4, strides=[2, 2], why="dense"),
    OpCase("Conv", x(1, 3, 120, 300), w(8, 3, 5, 5), w(8), pads=[2] * 4, why="cut"),
    OpCase("Conv", x(1, 512, 5, 5), w(300, 512, 3, 3), why="accumulated"),
    OpCase("Conv", x(2, 70, 9, 9), x(70, 1, 3, 3), x(70), group=70, pads=[1] * 4, why="depthwise_run_time"),
    OpCase("Conv", x(1, 6, 9, 9), x(8, 3, 3, 3), group=2, dilations=[2, 3], why="grouped_run_time"),
    OpCase("ConvTranspose", x(1, 5, 6, 7), x(5, 4, 3, 3), x(4), strides=[2, 3], pads=[1] * 4, why="run_time"),
    OpCase("ConvTranspose", x(1, 3, 5, 4), w(3, 4, 20, 19), strides=[16, 17], why="explicit_zeros"),
    OpCase("MatMul", x(70, 600), w(600, 130), why="cut"),
    OpCase("MatMul", x(2, 33, 17), x(2, 17, 65), why="batch"),
    OpCase("Gemm", x(7, 53), w(40, 53), w(40), transB=1, why="transposed"),
    OpCase("MaxPool", x(1, 65, 17, 19), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, why="padded"),
    OpCase("AveragePool", x(1, 65, 17, 19), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, why="padded"),
    OpCase("Add", x(4, 70, 33), x(33), why="broadcast"),
    OpCase("Mul", x(1, 100, 30, 30), x(100, 1, 1), why="per_channel"),
    OpCase("Sub", x(3, 70, 33), x(70, 1), why="halves"),
    OpCase("Max", x(3, 333), x(333), why="halves"),
    OpCase("Min", x(3, 333), x(3, 333), why="halves"),
    OpCase("LeakyRelu", x(3, 333), alpha=0.25, why="halves"),
    OpCase("Clip", x(3, 333), scalar(-1), scalar(0.5), why="halves"),
    OpCase("Div", x(5, 333), x(5, 333), why="division"),
    OpCase("Exp", x(3, 1000, low=-100, high=95), why="whole_range"),
    OpCase("Sigmoid", x(3, 1000, low=-100, high=100), why="whole_range"),
    OpCase("Tanh", x(3, 1000, low=-12, high=12), why="whole_range"),
    OpCase("Log", x(3, 1000, low=1e-6, high=1e6), why="wide_range"),
    OpCase("Sqrt", x(3, 1000, low=0, high=1e6), why="wide_range"),
    OpCase("Erf", x(3, 1000, low=-5, high=5), why="whole_range"),
    OpCase("HardSwish", x(3, 1000, low=-5, high=5), why="whole_range"),
    OpCase("Softplus", x(3, 1000, low=-30, high=30), why="whole_range"),
    OpCase("Softmax", x(3, 70, 40), axis=1, why="middle"),
    OpCase("ReduceMean", x(3, 5, 700), axes=[2], why="rows"),
    OpCase("Transpose", x(2, 3, 4, 5, 6), perm=[4, 2, 0, 3, 1], why="five_axes"),
    OpCase("Pad", x(2, 5, 6), c(0, 2, 3, 0, 1, 5), mode="reflect", why="mirrored"),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_vendor_runtime_gives_the_same_bits(
    case: OpCase, precision: Precision, oracle: Path, tmp_path: Path
) -> None:
    lowered = case.lowered(precision)
    bmodel = lowered.tpu.compile()
    path = tmp_path / "case.bmodel"
    write(path, bmodel)
    ours = bmodel.run(lowered.inputs, allow_nan=True)
    theirs = run_bmodel(oracle, path, lowered.inputs)
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name].view(np.uint32), value.view(np.uint32))
