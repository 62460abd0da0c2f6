"""BitCast and MelWeightMatrix: what ONNX itself computes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import tpumlir
from harness import OpCase, Operand, array, x
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
