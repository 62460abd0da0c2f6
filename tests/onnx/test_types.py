"""The element type of every tensor, as the operators' schemas say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tpumlir.onnx.types import output_types, wraps

F32, F64, I64, I32, U8, BOOL = (
    np.dtype(kind) for kind in ("float32", "float64", "int64", "int32", "uint8", "bool")
)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "want"),
    [
        ("Add", [I64, I64], {}, [I64]),
        ("Concat", [U8, U8, U8], {}, [U8]),
        ("Equal", [F64, F64], {}, [BOOL]),
        ("Where", [BOOL, I32, I32], {}, [I32]),
        ("Cast", [F32], {"to": 2}, [U8]),
        ("CastLike", [F32, I64], {}, [I64]),
        ("ConstantOfShape", [I64], {}, [F32]),
        ("ConstantOfShape", [I64], {"value": np.array([1], np.uint8)}, [U8]),
        ("EyeLike", [I32], {}, [I32]),
        ("EyeLike", [I32], {"dtype": 11}, [F64]),
        ("TopK", [F32, I64], {}, [F32, I64]),
        ("QuantizeLinear", [F32, F32, np.dtype("int8")], {}, [np.dtype("int8")]),
        ("QuantizeLinear", [F32, F32], {}, [U8]),
        ("DequantizeLinear", [U8, F32, U8], {}, [F32]),
        ("LSTM", [F32, F32, F32], {}, [F32, F32, F32]),
        ("IsNaN", [F64], {}, [BOOL]),
        ("Pow", [I32, F32], {}, [I32]),
        ("OneHot", [I64, I64, F32], {}, [F32]),
        ("NoSuchOperator", [F32], {}, [None]),
    ],
)
def test_output_types(
    op: str, inputs: list[np.dtype[Any]], attributes: dict[str, Any], want: list[np.dtype[Any] | None]
) -> None:
    assert output_types(op, 18, inputs, attributes, len(want)) == want


def test_integers_of_8_and_16_bits_wrap() -> None:
    assert [
        kind for kind in ("int8", "uint16", "int32", "uint32", "int64", "bool") if wraps(np.dtype(kind))
    ] == [
        "int8",
        "uint16",
    ]
