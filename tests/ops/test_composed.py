"""BitCast and MelWeightMatrix: what ONNX itself computes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import tpumlir
from harness import OpCase, Operand, array, c, x
from onnx import TensorProto


@pytest.mark.parametrize(
    ("case", "error", "message"),
    [
        (
            OpCase("BitCast", x(3), opset=26, to=TensorProto.INT32),
            tpumlir.UnsupportedError,
            "the bits of float32 as int32",
        ),
        (
            OpCase("MelWeightMatrix", *(Operand((), data=np.array(v)) for v in (8, 16, 8192, 0.0, 4096.0))),
            tpumlir.UnsupportedError,
            "is computed at run time",
        ),
    ],
    ids=["bits of floats", "matrix at run time"],
)
def test_what_cannot_be_is_said(case: OpCase, error: type[tpumlir.TpumlirError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        tpumlir.load_onnx(case.proto)
    assert caught.value.node == "node"


def test_mel_weights_are_constant() -> None:
    numbers = (np.array(8), np.array(16), np.array(8192), np.array(0, np.float32), np.array(4096, np.float32))
    case = OpCase("MelWeightMatrix", *(array(value) for value in numbers), opset=17)
    (wanted,) = ReferenceEvaluator(case.proto).run(None, {})
    got = tpumlir.ModuleInterpreter(case.top).run({})["out0"]
    np.testing.assert_allclose(got, np.asarray(wanted), rtol=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        OpCase("TensorScatter", x(2, 5, 3), x(2, 2, 3), c(1, 3), opset=24, why="linear"),
        OpCase("TensorScatter", x(2, 5, 3), x(2, 4, 3), c(4, 2), opset=24, mode="circular"),
    ],
    ids=str,
)
def test_tensor_scatter_writes_where_it_should(case: OpCase) -> None:
    (wanted,) = ReferenceEvaluator(case.proto).run(None, case.inputs)
    np.testing.assert_array_equal(case.top_results["out0"], np.asarray(wanted))


@pytest.mark.parametrize(
    "case",
    [
        OpCase("NonZero", x(3)),
        OpCase("Unique", x(3)),
        OpCase("ConstantOfShape", array([2, 3], constant=False)),
    ],
    ids=str,
)
def test_sizes_that_only_run_time_knows_are_refused(case: OpCase) -> None:
    with pytest.raises(tpumlir.UnsupportedError) as caught:
        tpumlir.load_onnx(case.proto)
    assert caught.value.node == "node"


def test_operators_of_shapes_alone_are_constants() -> None:
    eye = OpCase("EyeLike", x(3, 4), opset=17, k=1, dtype=1)
    np.testing.assert_array_equal(eye.top_results["out0"], np.eye(3, 4, 1))
    steps = OpCase("Range", *(array(np.array(v, np.float32)) for v in (1, 7, 2)))
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(steps.top).run({})["out0"], [1, 3, 5])
