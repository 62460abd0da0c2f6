"""Element types of ONNX tensors: what the operator's schema makes of the types of its inputs.

Top has two types, f32 and i32; how a value is to be read (a truth value, an 8-bit number that wraps) is known
from here only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tpumlir.data.types import DType, numpy_type

BOOL = np.dtype(np.bool_)
_WRAPPING = {np.dtype(kind) for kind in ("int8", "uint8", "int16", "uint16")}
# The attributes that choose a type, by how operators call them.
_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype", "stash_type")


def is_integer(dtype: DType) -> bool:
    """True for signed and unsigned integers of 8 to 64 bits; a truth value is none."""
    return dtype.kind in "iu"


@cache
def is_whole(dtype: DType) -> bool:
    """True for every integer type, also those of less than a byte, and for truth values: i32 in Top."""
    return dtype.kind in "iub" or dtype.name.lstrip("u") in {"int2", "int4"}


def is_stored_only(dtype: DType) -> bool:
    """True for the types that numpy does not compute in as ONNX does: less than a byte, floats of 8 bits."""
    return dtype.itemsize == 1 and dtype.name not in {"int8", "uint8", "bool"}


def wraps(dtype: DType | None) -> bool:
    """True for the integers of 8 and 16 bits: arithmetic in 32 bits may leave their range."""
    return dtype in _WRAPPING


def output_types(
    op_type: str, opset: int, inputs: Sequence[DType | None], attributes: Mapping[str, Any], count: int
) -> list[DType | None]:
    """The types of the first ``count`` outputs; None where they cannot be known."""
    signature = _signature(op_type, opset)
    if signature is None:
        return [None] * count
    formal, results, single = signature
    bound: dict[str, DType] = {}
    for index, dtype in enumerate(inputs):
        if formal and dtype is not None:
            bound.setdefault(formal[min(index, len(formal) - 1)], dtype)
    types: list[DType | None] = []
    for index in range(count):
        kind = results[min(index, len(results) - 1)] if results else ""
        types.append(_concrete(kind) or single.get(kind) or bound.get(kind))
        if types[-1] is None or op_type in {"QuantizeLinear", "DequantizeLinear"}:
            types[-1] = _chosen(op_type, inputs, attributes) or types[-1]
    return types


def _chosen(op_type: str, inputs: Sequence[DType | None], attributes: Mapping[str, Any]) -> DType | None:
    """The type that an attribute chooses, or the operator's default."""
    for name in _ATTRIBUTES:
        if attributes.get(name):
            return numpy_type(int(attributes[name]))
    value = attributes.get("value")
    if isinstance(value, np.ndarray):
        return np.dtype(value.dtype)
    if op_type == "QuantizeLinear":
        return next((dtype for dtype in inputs[2:3] if dtype is not None), np.dtype(np.uint8))
    if op_type == "DequantizeLinear":
        return next((dtype for dtype in inputs[1:2] if dtype is not None), np.dtype(np.float32))
    if op_type in {"EyeLike", "Bernoulli", "RandomNormalLike", "RandomUniformLike"}:
        return inputs[0]
    return np.dtype(np.float32)


Signature = tuple[list[str], list[str], dict[str, DType]]


@cache
def _signature(op_type: str, opset: int) -> Signature | None:
    """Type words of inputs and outputs, and those that stand for one type only; None: no such operator."""
    import onnx

    try:
        schema = onnx.defs.get_schema(op_type, opset)
    except (onnx.defs.SchemaError, TypeError):
        return None
    single = {}
    for constraint in schema.type_constraints:
        allowed = list(constraint.allowed_type_strs)
        dtype = _concrete(allowed[0]) if len(allowed) == 1 else None
        if dtype is not None:
            single[constraint.type_param_str] = dtype
    return [i.type_str for i in schema.inputs], [o.type_str for o in schema.outputs], single


@cache
def _concrete(word: str) -> DType | None:
    """The type that a word of a schema like tensor(int64) names."""
    import onnx

    if not word.startswith("tensor("):
        return None
    codes = dict(onnx.TensorProto.DataType.items())
    code = codes.get(word.removeprefix("tensor(").removesuffix(")").upper())
    return None if code is None else numpy_type(code)
