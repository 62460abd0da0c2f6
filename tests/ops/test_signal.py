"""Rows of DFT, STFT and CumProd."""

from __future__ import annotations

import numpy as np
import pytest

import tpumlir
from harness import ABSENT, OpCase, Operand, Stage, array, check, rows, x


def length(value: int) -> Operand:
    """A constant of rank 0."""
    return array(np.array(value, np.int64))


CASES = [
    OpCase("DFT", x(2, 8, 1), why="real"),
    OpCase("DFT", x(2, 8, 2), why="complex"),
    OpCase("DFT", x(2, 7, 2), inverse=1, why="inverse"),
    OpCase("DFT", x(2, 8, 1), onesided=1, why="one side of even length"),
    OpCase("DFT", x(2, 9, 1), onesided=1, why="one side of odd length"),
    OpCase("DFT", x(2, 8, 1), length(5), why="cut"),
    OpCase("DFT", x(2, 8, 2), length(12), why="padded"),
    OpCase("DFT", x(2, 8, 1), length(5), onesided=1, why="cut to one side"),
    OpCase("DFT", x(2, 3, 6, 2), axis=2, why="axis 2"),
    OpCase("DFT", x(2, 6, 3, 1), axis=1, why="axis 1 of two"),
    OpCase("DFT", x(2, 6, 3, 1), axis=-2, why="axis from the back"),
    OpCase("DFT", x(1, 200, 1), why="past the lanes"),
    OpCase("DFT", x(2, 6, 3, 1), ABSENT, array(np.array(1, np.int64)), opset=20, why="axis operand"),
    OpCase("DFT", x(2, 6, 1), opset=20, why="last axis by default"),
    OpCase("STFT", x(2, 32, 1), length(8), ABSENT, length(16), why="plain"),
    OpCase("STFT", x(2, 32, 1), length(5), ABSENT, length(9), why="odd"),
    OpCase("STFT", x(2, 32, 1), length(8), x(16), why="window at run time"),
    OpCase("STFT", x(2, 32, 1), length(8), x(16), length(16), onesided=0, why="both sides"),
    OpCase("STFT", x(1, 32, 2), length(16), ABSENT, length(16), onesided=0, why="complex"),
]


@rows(CASES)
def test_signal(case: OpCase, stage: Stage) -> None:
    check(case, stage)


@pytest.mark.parametrize("count", [1, 6, 7, 8])
def test_inverse_of_one_side_gives_the_real_signal(count: int) -> None:
    """ONNX Runtime does not have it."""
    signal = np.random.default_rng(count).standard_normal((2, count))
    half = np.fft.rfft(signal, axis=1)
    data = np.stack([half.real, half.imag], -1).astype(np.float32)
    case = OpCase(
        "DFT", array(data, constant=False), length(count), opset=20, inverse=1, onesided=1, why=str(count)
    )
    np.testing.assert_allclose(case.top_results["out0"][..., 0], signal, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize(
    ("shape", "axis"), [((7,), 0), ((3, 5), 1), ((3, 5), -2), ((2, 1), 1), ((2, 8, 3), 1)]
)
def test_cumprod(shape: tuple[int, ...], axis: int, exclusive: int, reverse: int) -> None:
    """ONNX Runtime does not have it."""
    case = OpCase(
        "CumProd", x(*shape), length(axis), opset=26, exclusive=exclusive, reverse=reverse, why=str(axis)
    )
    data = next(iter(case.inputs.values()))
    turned = np.flip(data, axis) if reverse else data
    if exclusive:
        turned = np.concatenate([np.ones_like(turned.take([0], axis)), turned], axis)
        turned = turned.take(range(data.shape[axis]), axis)
    wanted = np.cumprod(turned, axis)
    wanted = np.flip(wanted, axis) if reverse else wanted
    np.testing.assert_allclose(case.top_results["out0"], wanted, rtol=1e-5)
    np.testing.assert_allclose(case.bmodel_results["out0"], wanted, rtol=1e-5)


def test_lengths_that_only_run_time_knows_are_refused() -> None:
    case = OpCase("DFT", x(2, 8, 1), Operand((), data=np.array(5, np.int64)))
    with pytest.raises(tpumlir.UnsupportedError, match=r"node: DFT .*its length \(in1\).* at run time"):
        tpumlir.load_onnx(case.proto)
