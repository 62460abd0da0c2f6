"""Casts among all types: what a number becomes, and which ones need no operation at all."""

from __future__ import annotations

import numpy as np

import tpumlir
from harness import OpCase, Operand, Precision, Stage, array, check, opsets, rows
from onnx import helper

F32: tuple[Precision, ...] = ("F32",)
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = ("float16", "float32", "float64")
# In the range of every type, with fractions for floats.
PLAIN = {
    "i": [0, 1, 7, 100, 127],
    "u": [0, 1, 7, 100, 127],
    "b": [0, 1, 1, 0, 1],
    "f": [0.0, 1.0, 7.9, 100.5, 0.3],
}


def code(kind: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def given(kind: str, values: object = None) -> Operand:
    dtype = np.dtype(kind)
    return array(np.array(PLAIN[dtype.kind] if values is None else values).astype(dtype), constant=False)


def cast(source: str, target: str, values: object = None, why: str = "", **attributes: object) -> OpCase:
    name = f"{source}_to_{target}{why and '_'}{why}"
    return OpCase("Cast", given(source, values), to=code(target), why=name, precisions=F32, **attributes)  # type: ignore[arg-type]


ALL = [cast(a, b) for a in (*INTEGERS, *FLOATS, "bool") for b in (*INTEGERS, *FLOATS, "bool")]
WRAP = [
    cast("int32", "int8", [0, 127, 128, 255, 256, -1, -128, -129, 2**31 - 1, -(2**31)], "wraps"),
    cast("int32", "uint8", [0, 127, 128, 255, 256, -1, -128, -129, 2**31 - 1, -(2**31)], "wraps"),
    cast("int32", "int16", [0, 32767, 32768, 65535, 65536, -1, -32769, 2**31 - 1, -(2**31)], "wraps"),
    cast("int32", "uint16", [0, 32767, 32768, 65535, 65536, -1, -32769, 2**31 - 1, -(2**31)], "wraps"),
    cast("uint8", "int8", [0, 127, 128, 255], "wraps"),
    cast("int8", "uint8", [0, 127, -128, -1], "wraps"),
]
NUMBERS = [
    cast(
        "float32",
        "int32",
        [-7.9, -0.5, 0.5, 7.9, -0.0, 2147483520.0, -2147483648.0, 16777217.0],
        "towards_zero",
    ),
    cast("float32", "int64", [-7.9, -0.5, 0.5, 7.9, -0.0], "towards_zero"),
    cast("float32", "int8", [-7.9, -0.5, 0.5, 7.9, -128.0, 127.9], "towards_zero"),
    cast("float32", "bool", [0.0, -0.0, 0.5, -1e-30, np.nan, np.inf, -3.0], "not_zero"),
    cast("int32", "bool", [0, 1, -1, 256, -(2**31)], "not_zero"),
    cast("int32", "float32", [0, -1, 16777217, 16777219, 2**31 - 1, -(2**31), -16777217], "rounds_to_even"),
    cast("int32", "float16", [0, -1, 2049, 2051, 65504, 65519, 65520, -70000], "rounds_to_even"),
    cast(
        "float32",
        "float16",
        [1.0002441, 1.0007324, 65504.0, 65519.0, 65520.0, -1e30, 6e-8, np.inf, np.nan],
        "rounds",
    ),
    cast("float32", "float64", [1.1, np.inf, -np.inf, np.nan], "keeps"),
]
SHAPES = [
    OpCase(
        "Cast", given("float32", np.arange(2 * 65 * 7).reshape(2, 65, 7) / 3), to=code("int32"), why="lanes"
    ),
    OpCase(
        "Cast", given("int32", np.arange(2 * 65 * 7).reshape(2, 65, 7)), to=code("float32"), why="lanes_back"
    ),
    OpCase(
        "Cast", given("int32", np.arange(24).reshape(1, 2, 1, 3, 2, 2)), to=code("float32"), why="rank_six"
    ),
    OpCase("Cast", given("float32", [3.5]), to=code("int32"), why="one_element"),
]
VERSIONS = [
    OpCase("Cast", given("float32"), to=code("int32"), opset=opset, why=f"opset_{opset}", precisions=F32)
    for opset in opsets("Cast")
] + [
    OpCase(
        "CastLike", given("float32"), given(kind), opset=opset, why=f"{kind}_opset_{opset}", precisions=F32
    )
    for opset in opsets("CastLike")
    for kind in ("int32", "uint8", "bool", "float16", "float32")
]


@rows(ALL + WRAP + NUMBERS + SHAPES + VERSIONS)
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


def test_what_is_out_of_range_saturates_and_nan_is_zero() -> None:
    # ONNX leaves it open; the chip, the interpreter and the documentation say the same.
    case = cast("float32", "int32", [1e30, -1e30, np.inf, -np.inf, np.nan, 2147483648.0])
    want = [2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 0, 2**31 - 1]
    lowered = case.lowered("F32")
    for results in (lowered.top_results, lowered.tpu_results, lowered.bmodel_results):
        assert results["out0"].tolist() == want


def test_a_cast_that_changes_nothing_is_no_operation() -> None:
    for source, target in (("int64", "int32"), ("uint8", "int64"), ("float16", "float32"), ("bool", "int32")):
        kinds = [op.kind for op in tpumlir.load_onnx(cast(source, target).proto).ops()]
        assert "top.Cast" not in kinds, (source, target)
