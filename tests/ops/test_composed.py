"""TensorScatter, BitCast and MelWeightMatrix: what ONNX itself computes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import tpumlir
from harness import OpCase, Operand, array, c, x
from onnx import TensorProto

SCATTERS = [
    OpCase("TensorScatter", x(2, 5, 3), x(2, 2, 3), c(1, 3), opset=24, why="linear"),
    OpCase("TensorScatter", x(2, 5, 3), x(2, 2, 3), opset=24, why="from the start"),
    OpCase("TensorScatter", x(2, 5, 3), x(2, 4, 3), c(4, 2), opset=24, mode="circular"),
    OpCase("TensorScatter", x(3, 2, 5), x(3, 2, 2), c(0, 1, 3), opset=24, axis=-1, why="last axis"),
    OpCase("TensorScatter", x(1, 2, 5, 4), x(1, 2, 5, 4), opset=24, why="all of it"),
]


@pytest.mark.parametrize("case", SCATTERS, ids=str)
def test_tensor_scatter_writes_where_it_should(case: OpCase) -> None:
    (wanted,) = ReferenceEvaluator(case.proto).run(None, case.inputs)
    np.testing.assert_array_equal(case.top_results["out0"], wanted)
    np.testing.assert_array_equal(case.bmodel_results["out0"], wanted)


@pytest.mark.parametrize(
    ("case", "error", "message"),
    [
        (
            OpCase("TensorScatter", x(1, 5, 3), x(1, 2, 3), array([1], constant=False), opset=24),
            tpumlir.UnsupportedError,
            "its write indices .in2. is computed at run time",
        ),
        (
            OpCase("TensorScatter", x(1, 5, 3), x(1, 2, 3), c(4), opset=24),
            tpumlir.OnnxImportError,
            "expected a start in",
        ),
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
    ids=["indices at run time", "start out of range", "bits of floats", "matrix at run time"],
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
