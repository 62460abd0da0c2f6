"""Operators that choose elements by index: gather, scatter, sort, triangles.

Constant indices are checked and counted from 0 here; those of a run are what Top's operations take them for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.layout import slice_attributes, slice_operands
from tpumlir.onnx.registry import (
    Array,
    Attribute,
    InvalidNodeError,
    Node,
    NotSupportedError,
    Result,
    converts,
)
from tpumlir.onnx.types import is_integer

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


def from_zero(indices: Array, extents: Sequence[int] | int) -> Array:
    """Constant ``indices`` as int32 from 0 on; ``extents`` broadcasts to them. Raises: InvalidNodeError."""
    limits = np.broadcast_to(np.asarray(extents, np.int64), indices.shape)
    wide = indices.astype(np.int64)
    wrong = (wide < -limits) | (wide >= limits)
    if wrong.any():
        at = int(np.flatnonzero(wrong.reshape(-1))[0])
        limit, got = limits.reshape(-1)[at], wide.reshape(-1)[at]
        raise InvalidNodeError(f"expected an index in [{-limit}, {limit - 1}], got {got}")
    return np.where(wide < 0, wide + limits, wide).astype(np.int32)


def _indices(node: Node, index: int, extents: Sequence[int] | int) -> Value:
    """Operand ``index`` as indices into ``extents``."""
    constant = node.const(index)
    if constant is None:
        return node.operand(index)
    return node.derived_weight(index, "indices", from_zero(constant, extents))


def _empty(node: Node, shape: Sequence[int]) -> Array | None:
    """The result if ``shape`` has no elements."""
    return None if math.prod(shape) else np.empty(shape, node.output_dtype())


@converts("Gather", since=1)
def gather(node: Node) -> Value | Array:
    """``top.Slice`` for one constant index, else ``top.Gather``. Source: ONNX Gather, opset 13."""
    shape = node.shape(0)
    axis = node.axis(node.int("axis", 0), len(shape))
    result = [*shape[:axis], *node.shape(1), *shape[axis + 1 :]]
    empty = _empty(node, result)
    if empty is not None:
        return empty
    indices = node.const(1)
    if indices is not None and indices.size == 1:
        index = int(from_zero(indices, shape[axis]).reshape(-1)[0])
        ranges = [range(extent) for extent in shape]
        ranges[axis] = range(index, index + 1)
        cut = node.helper(
            "top.Slice", slice_operands(node, node.operand(0)), "index", **slice_attributes(ranges)
        )
        return node.reshape(cut, result)
    chosen = _indices(node, 1, shape[axis])
    return node.emit("top.Gather", [node.operand(0), chosen], axis=axis, keepdims=True)


@converts("GatherElements", since=11)
def gather_elements(node: Node) -> Value | Array:
    """``top.GatherElements``. Source: ONNX GatherElements, opset 13."""
    shape = node.shape(0)
    axis = node.axis(node.int("axis", 0), len(shape))
    empty = _empty(node, node.shape(1))
    if empty is not None:
        return empty
    return node.emit("top.GatherElements", [node.operand(0), _indices(node, 1, shape[axis])], axis=axis)


@converts("GatherND", since=11)
def gather_nd(node: Node) -> Value | Array:
    """``top.GatherND``. Source: ONNX GatherND, opset 13 (11 has no batch axes)."""
    shape, indices = node.shape(0), node.shape(1)
    batch = node.int("batch_dims", 0)
    if not indices or not 0 <= batch < min(len(shape), len(indices)):
        raise InvalidNodeError(f"expected batch_dims below both ranks, got {batch}")
    if not 1 <= indices[-1] <= len(shape) - batch:
        raise InvalidNodeError(f"expected tuples of 1 to {len(shape) - batch} indices, got {indices[-1]}")
    empty = _empty(node, [*indices[:-1], *shape[batch + indices[-1] :]])
    if empty is not None:
        return empty
    chosen = _indices(node, 1, shape[batch : batch + indices[-1]])
    return node.emit("top.GatherND", [node.operand(0), chosen], batch_dims=batch)


# As Top numbers them.
_REDUCTIONS = {"none": 0, "add": 1, "mul": 2, "max": 3, "min": 4}


def _reduction(node: Node) -> int:
    name = node.str("reduction", "none")
    if name not in _REDUCTIONS:
        raise InvalidNodeError(f"expected a reduction of {', '.join(_REDUCTIONS)}, got {name}")
    return _REDUCTIONS[name]


@converts("Scatter", since=9)
@converts("ScatterElements", since=11)
def scatter_elements(node: Node) -> Value:
    """``top.ScatterElements``. Source: ONNX ScatterElements, opset 18; Scatter, opset 9."""
    shape, reduction = node.shape(0), _reduction(node)
    axis = node.axis(node.int("axis", 0), len(shape))
    if not math.prod(node.shape(1)):
        return node.reshape(node.operand(0), shape)
    operands = [node.operand(0), _indices(node, 1, shape[axis]), node.operand(2)]
    return node.emit("top.ScatterElements", operands, axis=axis, reduction=reduction)


@converts("ScatterND", since=11)
def scatter_nd(node: Node) -> Value:
    """``top.ScatterND``. Source: ONNX ScatterND, opset 18."""
    shape, indices, reduction = node.shape(0), node.shape(1), _reduction(node)
    if not indices or not 1 <= indices[-1] <= len(shape):
        raise InvalidNodeError(f"expected tuples of 1 to {len(shape)} indices, got {list(indices)}")
    if not math.prod(indices):
        return node.reshape(node.operand(0), shape)
    operands = [node.operand(0), _indices(node, 1, shape[: indices[-1]]), node.operand(2)]
    return node.emit("top.ScatterND", operands, reduction=reduction)


@converts("TensorScatter", since=24)
def tensor_scatter(node: Node) -> Value:
    """The update written from each batch's index on. Source: ONNX TensorScatter, opset 24."""
    shape, part = node.shape(0), node.shape(1)
    axis, mode = node.axis(node.int("axis", -2), len(shape)), node.str("mode", "linear")
    if axis == 0 or mode not in {"linear", "circular"}:
        raise InvalidNodeError(f"expected an axis behind the batch and mode linear or circular, got {mode}")
    batch, length, count = shape[0], shape[axis], part[axis]
    steps = np.arange(count, dtype=np.int32).reshape(1, count)
    batches = np.broadcast_to(np.arange(batch, dtype=np.int32).reshape(batch, 1, 1), (batch, count, 1))
    starts = node.const(2) if node.has(2) else np.zeros(batch, np.int64)
    if starts is not None:
        places = starts.reshape(batch, 1) + steps
        places = from_zero(places % length if mode == "circular" else places, length)
        tuples = node.weight("tuples", np.concatenate([batches, places[:, :, None]], 2))
    else:
        column = node.reshape(node.operand(2), [batch, 1], "column")
        run_time = node.helper("top.Add", [column, node.weight("steps", steps)], "places")
        if mode == "circular":
            limit = node.weight("limit", np.full((1, 1), length, np.int32))
            over = node.helper("top.Compare", [run_time, limit], "over", mode="GreaterOrEqual")
            wrapped = node.helper("top.Sub", [run_time, limit], "wrapped")
            run_time = node.helper("top.Where", [over, wrapped, run_time], "in_range")
        run_time = node.reshape(run_time, [batch, count, 1], "last")
        tuples = node.helper("top.Concat", [node.weight("batches", batches), run_time], "tuples", axis=2)
    rest = [i for i in range(1, len(shape)) if i != axis]
    order = [0, axis, *rest]
    values = [node.helper("top.Permute", [node.operand(i)], f"rows{i}", order=order) for i in (0, 1)]
    written = node.helper("top.ScatterND", [values[0], tuples, values[1]], "written", reduction=0)
    return node.emit("top.Permute", [written], order=[order.index(i) for i in range(len(shape))])


@converts("Compress", since=9)
def compress(node: Node) -> Value | Array:
    """``top.Gather`` of what a constant condition keeps. Source: ONNX Compress, opset 11."""
    condition = node.const(1)
    if condition is None:
        raise NotSupportedError(
            f"its condition ({node.input_names[1]}) is computed at run time: its size depends on data",
            "cut it off with --output_names",
            constants=[node.input_names[1]],
        )
    shape, x = node.shape(0), node.operand(0)
    if "axis" in node.attributes:
        axis = node.axis(node.int("axis", 0), len(shape))
    else:
        shape, axis = (math.prod(shape),), 0
        x = node.reshape(x, shape, "flat")
    kept = np.flatnonzero(condition.reshape(-1))
    if kept.size and kept[-1] >= shape[axis]:
        raise InvalidNodeError(f"expected at most {shape[axis]} conditions, got {condition.size}")
    empty = _empty(node, [*shape[:axis], kept.size, *shape[axis + 1 :]])
    if empty is not None:
        return empty
    chosen = node.derived_weight(1, "indices", kept.astype(np.int32))
    return node.emit("top.Gather", [x, chosen], axis=axis, keepdims=True)


@converts("Range", since=11)
def range_of(node: Node) -> Result:
    """A run-time start, and a constant length; one of constants is folded. Source: ONNX Range, opset 11."""
    delta = (node.known_ints(2, "its delta") or [0])[0]
    if is_integer(node.dtype(0)) and delta:
        bounds = [node.sums(index) for index in (0, 1)]
        if bounds[0] is not None and bounds[1] is not None:
            distance = bounds[1][0] - bounds[0][0]
            if distance.known:
                steps = np.arange(0, distance.constant, delta, dtype=node.dtype(0))
                if not steps.size:
                    return steps
                return node.tensor(node.onnx("Add", node.input_names[0], steps, into=node.output_names[0]))
    start, limit = ((node.known_ints(i, what) or [0])[0] for i, what in enumerate(("its start", "its limit")))
    return np.arange(start, limit, delta, dtype=node.output_dtype())


@converts("ConstantOfShape", since=9)
def constant_of_shape(node: Node) -> Array:
    """Refuse a run-time shape; of a constant one it is folded. Source: ONNX ConstantOfShape, opset 9."""
    return np.full(node.known_ints(0, "its shape") or [], 0)


@converts("NonZero", since=9)
@converts("Unique", since=11)
def size_depends_on_data(_node: Node) -> Value:
    """Refuse an operator whose result is as long as the data say; of constants it is folded."""
    raise NotSupportedError(
        "the size of its output depends on data", "cut it off with --output_names and run it on the host"
    )


@converts("ReverseSequence", since=10)
def reverse_sequence(node: Node) -> Value:
    """``top.GatherND`` of each sequence's steps. Source: ONNX ReverseSequence, opset 10."""
    shape = node.shape(0)
    batch_axis, time_axis = node.int("batch_axis", 1), node.int("time_axis", 0)
    if {batch_axis, time_axis} != {0, 1}:
        raise InvalidNodeError(
            f"expected 0 and 1 as batch_axis and time_axis, got {batch_axis} and {time_axis}"
        )
    batch, steps = shape[batch_axis], shape[time_axis]
    time = np.arange(steps, dtype=np.int32).reshape(1, steps)
    lengths = node.const(1)
    if lengths is not None:
        if ((lengths < 0) | (lengths > steps)).any():
            raise InvalidNodeError(f"expected lengths in [0, {steps}], got {lengths.tolist()}")
        column = lengths.reshape(batch, 1)
        places = np.where(time < column, column - 1 - time, time)
        tuples = node.weight("places", places.astype(np.int32)[:, :, None])
    else:
        column_value = node.reshape(node.operand(1), [batch, 1], "lengths")
        backwards = node.helper("top.Sub", [column_value, node.weight("from_end", time + 1)], "backwards")
        forwards = node.weight("time", time)
        inside = node.helper("top.Compare", [forwards, column_value], "inside", mode="Less")
        chosen = node.helper("top.Where", [inside, backwards, forwards], "places")
        tuples = node.reshape(chosen, [batch, steps, 1], "tuples")
    x = node.operand(0)
    if batch_axis == 0:
        return node.emit("top.GatherND", [x, tuples], batch_dims=1)
    order = [1, 0, *range(2, len(shape))]
    x = node.helper("top.Permute", [x], "batch_first", order=order)
    x = node.helper("top.GatherND", [x, tuples], "reversed", batch_dims=1)
    return node.emit("top.Permute", [x], order=order)


# --- sorting -----------------------------------------------------------------


def _arg(op_type: str) -> None:
    @converts(op_type, since=1)
    def convert(node: Node) -> Value:
        axis = node.axis(node.int("axis", 0), len(node.shape(0)))
        return node.emit(
            "top.Arg",
            [node.operand(0)],
            axis=axis,
            keepdims=bool(node.int("keepdims", 1)),
            mode=op_type,
            select_last_index=bool(node.int("select_last_index", 0)),
        )


_arg("ArgMax")
_arg("ArgMin")


@converts("TopK", since=1)
def top_k(node: Node) -> list[Value] | list[Array]:
    """``top.TopK``. Source: ONNX TopK, opset 11 (1 has k as an attribute, 10 no ``largest``)."""
    shape = list(node.shape(0))
    axis = node.axis(node.int("axis", -1), len(shape))
    k = node.int("k", -1) if node.opset < 10 else (node.known_ints(1, "its k") or [-1])[0]
    if not 0 <= k <= shape[axis]:
        raise InvalidNodeError(f"expected k in [0, {shape[axis]}], got {k}")
    shape[axis] = k
    if k == 0:
        return [np.empty(shape, node.output_dtype(i)) for i in range(2)]
    names = [*node.output_names, ""][:2]
    attributes: dict[str, Attribute] = {
        "axis": axis,
        "K": k,
        "largest": bool(node.int("largest", 1)),
        "sorted": True,
    }
    return node.emitter.emit("top.TopK", [node.operand(0)], attributes, names, node.name)


# --- made from places --------------------------------------------------------


def one_hot_of(node: Node, places: Sequence[Value], on: Value, off: Value) -> Value:
    """``on`` where one of ``places`` holds (truth values that broadcast), else ``off``: the node's output."""
    value = off
    for i, place in enumerate(places[:-1]):
        value = node.helper("top.Where", [place, on, value], f"where{i}")
    return node.emit("top.Where", [places[-1], on, value])


def place_axis(node: Node, index: Value, rank: int, axis: int, values: Array, suffix: str) -> Value:
    """Where ``index`` (1 at ``axis``) equals ``values``, which lie along ``axis`` of ``rank``."""
    shape = [1] * rank
    shape[axis] = values.size
    dtype = np.float32 if index.dtype == "f32" else np.int32
    along = node.weight(suffix, values.astype(dtype).reshape(shape))
    return node.helper("top.Compare", [index, along], f"is_{suffix}", mode="Equal")


@converts("OneHot", since=9)
def one_hot(node: Node) -> Value | Array:
    """Comparison with the places 0, 1, ... of the new axis. Source: ONNX OneHot, opset 11."""
    shape = list(node.shape(0))
    depth = (node.known_ints(1, "its depth") or [0])[0]
    axis = node.axis(node.int("axis", -1), len(shape) + 1)
    result = [*shape[:axis], depth, *shape[axis:]]
    empty = _empty(node, result)
    if empty is not None:
        return empty
    index = node.reshape(node.operand(0), [*shape[:axis], 1, *shape[axis:]], "index")
    from_start = np.arange(depth)
    values = node.operand(2)
    off, on = (
        node.helper(
            "top.Slice", slice_operands(node, values), name, **slice_attributes([range(place, place + 1)])
        )
        for place, name in enumerate(("off", "on"))
    )
    places = [
        place_axis(node, index, len(result), axis, from_start, "places"),
        place_axis(node, index, len(result), axis, from_start - depth, "places_from_end"),
    ]
    return one_hot_of(node, places, on, off)


@converts("EyeLike", since=9)
def eye_like(node: Node) -> Array:
    """A constant: only the shape of the operand counts. Source: ONNX EyeLike, opset 9."""
    shape = node.shape(0)
    if len(shape) != 2:
        raise InvalidNodeError(f"expected an operand of rank 2, got {len(shape)}")
    return np.eye(*shape, k=node.int("k", 0), dtype=node.output_dtype())


@converts("Trilu", since=14)
def trilu(node: Node) -> Value:
    """``top.Trilu``. Source: ONNX Trilu, opset 14."""
    diagonal = node.known_ints(1, "its k") or [0]
    rows, columns = node.shape(0)[-2:]
    k = min(max(diagonal[0], -rows), columns)
    return node.emit("top.Trilu", [node.operand(0)], upper=node.int("upper", 1), diagonal=k)
