"""Sequences of tensors: lists while the model is imported, nothing in the module.

A chip program has tensors only. How many tensors a sequence has and which of them is taken must be known when
the program is made; exporters write both as constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.ir.names import part_of
from tpumlir.onnx.control import Scope, inline
from tpumlir.onnx.fold import part_sizes
from tpumlir.onnx.indexing import normalize_axis
from tpumlir.onnx.load import NodeInfo
from tpumlir.onnx.registry import InvalidNodeError, NotSupportedError, TensorList

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

Array = npt.NDArray[Any]
Bound = str | Array | TensorList

_REMEDY = "make it a constant of the model"


def is_sequence_operator(info: NodeInfo) -> bool:
    """True for the operators of this module."""
    return not info.domain and info.op_type in _OPERATORS


def evaluate(scope: Scope, info: NodeInfo) -> list[Bound]:
    """What the node's outputs are. Raises: NotSupportedError: a position that is not known."""
    if info.op_type in {"Identity", "Optional", "OptionalGetElement"} and info.inputs:
        return [info.inputs[0]]
    if info.op_type not in _OPERATORS:
        raise NotSupportedError("it takes a sequence of tensors", "give it the tensors one by one")
    return _OPERATORS[info.op_type](scope, info)


# --- operators --------------------------------------------------------------------------


def _split(scope: Scope, info: NodeInfo) -> list[Bound]:
    """Slices of equal or given sizes. Source: ONNX SplitToSequence, opset 24."""
    shape = _tensor(scope, info, 0).shape
    axis = normalize_axis(int(info.attributes.get("axis", 0)), len(shape))
    extent, sizes = shape[axis], _constant(scope, info, 1, "its sizes (split)")
    keep = sizes is not None or bool(info.attributes.get("keepdims", 1))
    if sizes is None:
        parts = [1] * extent
    elif sizes.ndim == 0:
        parts = part_sizes(extent, int(sizes))
    else:
        parts = [int(size) for size in sizes]
    if sum(parts) != extent or min(parts, default=0) < 0:
        raise InvalidNodeError(f"expected parts that add up to {extent}, got {parts}")
    names, start = [], 0
    rest = [*shape[:axis], *shape[axis + 1 :]]
    for size in parts:
        bounds = [np.array([number], np.int64) for number in (start, start + size, axis)]
        name = _compose(scope, info, "Slice", [info.inputs[0], *bounds])
        names.append(name if keep else _compose(scope, info, "Reshape", [name, np.array(rest, np.int64)]))
        start += size
    return [TensorList(tuple(names))]


def _construct(_scope: Scope, info: NodeInfo) -> list[Bound]:
    """Source: ONNX SequenceConstruct, opset 11."""
    return [TensorList(info.inputs)]


def _empty(_scope: Scope, _info: NodeInfo) -> list[Bound]:
    """Source: ONNX SequenceEmpty, opset 11."""
    return [TensorList(())]


def _at(scope: Scope, info: NodeInfo) -> list[Bound]:
    """Source: ONNX SequenceAt, opset 11."""
    names = _sequence(scope, info, 0).names
    return [names[_position(scope, info, 1, len(names))]]


def _insert(scope: Scope, info: NodeInfo) -> list[Bound]:
    """Behind the last one without a position. Source: ONNX SequenceInsert, opset 11."""
    names = list(_sequence(scope, info, 0).names)
    place = _position(scope, info, 2, len(names) + 1, len(names)) if _has(info, 2) else len(names)
    names.insert(place, info.inputs[1])
    return [TensorList(tuple(names))]


def _erase(scope: Scope, info: NodeInfo) -> list[Bound]:
    """The last one without a position. Source: ONNX SequenceErase, opset 11."""
    names = list(_sequence(scope, info, 0).names)
    if not names:
        raise InvalidNodeError("expected a sequence with tensors, got an empty one")
    del names[_position(scope, info, 1, len(names)) if _has(info, 1) else -1]
    return [TensorList(tuple(names))]


def _length(scope: Scope, info: NodeInfo) -> list[Bound]:
    """Source: ONNX SequenceLength, opset 11."""
    return [np.array(len(_sequence(scope, info, 0).names), np.int64)]


def _concat(scope: Scope, info: NodeInfo) -> list[Bound]:
    """Along an axis that the tensors have, or along a new one. Source: ONNX ConcatFromSequence, opset 11."""
    names = list(_sequence(scope, info, 0).names)
    if not names or "axis" not in info.attributes:
        raise InvalidNodeError("expected an axis and a sequence with tensors, got none")
    axis, output = int(info.attributes["axis"]), info.outputs[0]
    shapes = [_of(scope, info, name).shape for name in names]
    if info.attributes.get("new_axis", 0):
        axis = normalize_axis(axis, len(shapes[0]) + 1)
        names = [
            _compose(scope, info, "Reshape", [name, np.array([*shape[:axis], 1, *shape[axis:]], np.int64)])
            for name, shape in zip(names, shapes, strict=True)
        ]
    else:
        axis = normalize_axis(axis, len(shapes[0]))
    # One without elements adds nothing, and a tensor of none cannot be an operand.
    full = [name for name, shape in zip(names, shapes, strict=True) if math.prod(shape)] or names[:1]
    return [scope.compose(info.label, output, "Concat", full, {"axis": axis})]


def _map(scope: Scope, info: NodeInfo) -> list[Bound]:
    """The body for each tensor; further tensors go to every trip. Source: ONNX SequenceMap, opset 17."""
    body = info.attributes["body"]
    sources = [scope.value(info, name) for name in info.inputs]
    lengths = {len(source.names) for source in sources if isinstance(source, TensorList)}
    if len(lengths) != 1 or not isinstance(sources[0], TensorList):
        raise InvalidNodeError(f"expected sequences of one length, got {sorted(lengths)}")
    trips = [
        inline(
            scope, info, body,
            [source.names[trip] if isinstance(source, TensorList) else name
             for name, source in zip(info.inputs, sources, strict=True)],
            f"{trip}_",
        )
        for trip in range(lengths.pop())
    ]  # fmt: skip
    return [TensorList(tuple(results[i] for results in trips)) for i in range(len(info.outputs))]


def _has_element(_scope: Scope, info: NodeInfo) -> list[Bound]:
    """True for a tensor and a sequence. Source: ONNX OptionalHasElement, opset 18."""
    return [np.array(_has(info, 0))]


def _optional(_scope: Scope, _info: NodeInfo) -> list[Bound]:
    raise NotSupportedError("an optional without a value", "leave the operand out")


_OPERATORS: dict[str, Callable[[Scope, NodeInfo], list[Bound]]] = {
    "SplitToSequence": _split,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceAt": _at,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceLength": _length,
    "ConcatFromSequence": _concat,
    "SequenceMap": _map,
    "Optional": _optional,
    "OptionalHasElement": _has_element,
}


# --- pieces -------------------------------------------------------------------------------


def _has(info: NodeInfo, index: int) -> bool:
    return index < len(info.inputs) and bool(info.inputs[index])


def _of(scope: Scope, info: NodeInfo, name: str) -> Value | Array:
    source = scope.value(info, name)
    if source is None or isinstance(source, TensorList):
        raise InvalidNodeError(f"expected a tensor, got {'nothing' if source is None else 'a sequence'}")
    return source


def _tensor(scope: Scope, info: NodeInfo, index: int) -> Value | Array:
    return _of(scope, info, info.inputs[index] if index < len(info.inputs) else "")


def _sequence(scope: Scope, info: NodeInfo, index: int) -> TensorList:
    source = scope.value(info, info.inputs[index] if index < len(info.inputs) else "")
    if not isinstance(source, TensorList):
        raise InvalidNodeError(f"expected a sequence, got {'nothing' if source is None else 'a tensor'}")
    return source


def _constant(scope: Scope, info: NodeInfo, index: int, what: str) -> Array | None:
    if not _has(info, index):
        return None
    source = _tensor(scope, info, index)
    if not isinstance(source, np.ndarray):
        raise NotSupportedError(f"{what} is computed at run time", _REMEDY, constants=[info.inputs[index]])
    return source


def _position(scope: Scope, info: NodeInfo, index: int, count: int, length: int | None = None) -> int:
    """Operand ``index`` as one of ``count`` places in a sequence of ``length`` (by default ``count``)."""
    given = _constant(scope, info, index, f"its position ({info.inputs[index]})")
    if given is None or given.size != 1:
        raise InvalidNodeError("expected one position")
    place, length = int(given.reshape(-1)[0]), count if length is None else length
    if not -length <= place < count:
        raise InvalidNodeError(f"expected a position in [{-length}, {count - 1}], got {place}")
    return place + length if place < 0 else place


def _compose(scope: Scope, info: NodeInfo, op_type: str, operands: Sequence[str | Array]) -> str:
    result = scope.unique(part_of(info.outputs[0], op_type.lower()))
    return scope.compose(info.label, result, op_type, operands, {})
