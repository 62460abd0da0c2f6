"""Evaluation of nodes whose operands are all constants: numpy for shape arithmetic, else ONNX Runtime.

The numpy evaluators keep ONNX's integer semantics exactly (int64 division truncates, Gather takes negative
indices, ...). ONNX Runtime is only imported if a node needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tpumlir.data.types import numpy_type
from tpumlir.errors import Diagnostic, OnnxImportError
from tpumlir.onnx.indexing import (
    broadcast,
    normalize_axis,
    resolve_reshape,
    resolve_slice,
    squeezed,
    unsqueezed,
)
from tpumlir.onnx.load import Array, NodeInfo
from tpumlir.onnx.registry import NotSupportedError
from tpumlir.onnx.types import is_stored_only

Inputs = Sequence[Array | None]
Folder = Callable[[NodeInfo, list[Any], int], "Array | list[Array] | None"]

# Same operands, another result at each run: not constants.
RANDOM_OPS = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)

_FOLDERS: dict[str, Folder] = {}


def folds(*op_types: str) -> Callable[[Folder], Folder]:
    """Register a numpy evaluator; it returns None if it leaves the case to ONNX Runtime."""

    def register(function: Folder) -> Folder:
        _FOLDERS.update(dict.fromkeys(op_types, function))
        return function

    return register


def evaluate(node: NodeInfo, inputs: Inputs, opset: int) -> list[Array]:
    """The outputs of ``node`` for constant ``inputs``.

    Raises: OnnxImportError: the node contradicts its operands; NotSupportedError: nobody can evaluate it.
    """
    folder = _FOLDERS.get(node.op_type) if not node.domain else None
    if folder is not None:
        try:
            result = folder(node, list(inputs), opset)
        except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            raise OnnxImportError(Diagnostic(f"{node.op_type} of constants: {error}", node.label)) from None
        if result is not None:
            return result if isinstance(result, list) else [np.asarray(result)]
    return _onnxruntime(node, inputs, opset)


def evaluate_moving(node: NodeInfo, inputs: Inputs, opset: int) -> Array | None:
    """The output of a node that only moves elements, which may be objects of any kind."""
    result = _FOLDERS[node.op_type](node, list(inputs), opset)
    return None if result is None or isinstance(result, list) else result


def _onnxruntime(node: NodeInfo, inputs: Inputs, opset: int) -> list[Array]:
    import onnxruntime

    import onnx
    from tpumlir.onnx import faults
    from tpumlir.onnx.exact import exact_products
    from tpumlir.onnx.reference import session_options

    values = {name: array for name, array in zip(node.inputs, inputs, strict=False) if array is not None}
    if node.op_type in {"Cast", "QuantizeLinear"} and _makes_stored_only(node, values.values()):
        return _reference(node, values, opset)
    if any(array.dtype.kind == "V" for array in values.values()):  # a type that ONNX Runtime does not take
        raise NotSupportedError("of constants", "store its result in the model")
    graph = onnx.helper.make_graph(
        [node.proto],
        "constant",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in values.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in node.outputs if name],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid(node.domain, 1 if node.domain else opset)]
    )
    model.ir_version = min(model.ir_version, 10)
    if faults.wrong_in_onnxruntime(model):
        return _reference(node, values, opset)
    options = session_options()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            faults.equal_form(exact_products(model)).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )
        results = session.run(None, values)
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        reason = " ".join(str(error).split())
        # An opset that this release does not know yet, or what only later ones take.
        if "Current official support for domain" in reason or faults.is_limit(reason):
            return _reference(node, values, opset)
        if "NOT_IMPLEMENTED" in reason:
            raise NotSupportedError("of constants", "store its result in the model") from None
        raise OnnxImportError(
            Diagnostic(f"{node.op_type} of constants cannot be evaluated: {reason}", node.label)
        ) from None
    outputs = iter(results)
    return [np.asarray(next(outputs)) if name else np.empty(0) for name in node.outputs]


def _makes_stored_only(node: NodeInfo, arrays: Iterable[Array]) -> bool:
    """True if the node rounds to a type that ONNX Runtime does not give back."""
    codes = [node.attributes.get(name, 0) for name in ("to", "output_dtype")]
    types = [*(numpy_type(code) for code in codes if code), *(array.dtype for array in arrays)]
    return any(dtype is not None and is_stored_only(dtype) for dtype in types)


def _reference(node: NodeInfo, values: dict[str, Array], opset: int) -> list[Array]:
    """As ONNX itself says by its reference implementation."""
    import onnx
    from tpumlir.onnx.faults import evaluator, wrong_in_evaluator

    graph = onnx.helper.make_graph(
        [node.proto],
        "constant",
        [
            onnx.helper.make_tensor_value_info(name, _code(array), array.shape)
            for name, array in values.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in node.outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    wrong = wrong_in_evaluator(model)
    if wrong:
        raise NotSupportedError(f"of constants ({wrong})", "store its result in the model")
    try:
        return list(map(np.asarray, evaluator(model).run(None, values)))
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise NotSupportedError(f"of constants ({reason})", "store its result in the model") from None


def _code(array: Array) -> int:
    import onnx

    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


# --- constants ---------------------------------------------------------------


@folds("Constant")
def _constant(node: NodeInfo, _inputs: list[Any], _opset: int) -> Array | None:
    for name, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if name in node.attributes:
            return np.array(node.attributes[name], dtype)
    value = node.attributes.get("value")
    return value if isinstance(value, np.ndarray) else None


@folds("ConstantOfShape")
def _constant_of_shape(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return np.full(tuple(int(extent) for extent in inputs[0]), value.reshape(-1)[0], value.dtype)


@folds("Identity")
def _identity(node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    return inputs[0] if len(node.outputs) == 1 else None


@folds("Shape")
def _shape(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return shape_of(node, inputs[0].shape)


def shape_of(node: NodeInfo, shape: Sequence[int]) -> Array:
    """The result of a Shape node on a tensor of ``shape``.

    Source: ONNX Shape, opset 15 (start and end clamp).
    """
    return np.array(shape[node.attributes.get("start", 0) : node.attributes.get("end", len(shape))], np.int64)


@folds("Size")
def _size(_node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return np.array(inputs[0].size, np.int64)


@folds("Range")
def _range(_node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    start, limit, delta = (value.reshape(())[()] for value in inputs)
    if start.dtype.kind not in "iu":
        return None  # float accumulation: as ONNX Runtime does it
    values: Array = np.arange(int(start), int(limit), int(delta)).astype(start.dtype)
    return values


@folds("Cast")
def _cast(node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    import onnx

    value, target = inputs[0], np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.attributes["to"]))
    if is_stored_only(value.dtype):  # all of these are numbers of float32
        value = value.astype(np.float32)
    if not (_is_plain(value.dtype) and _is_plain(target)):
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        return value.astype(target)  # type: ignore[no-any-return]


def _is_plain(dtype: np.dtype[Any]) -> bool:
    """True for types that numpy casts as ONNX does."""
    return not is_stored_only(dtype) and (dtype.kind in "fiub" or dtype.name == "bfloat16")


@folds("OptionalHasElement")
def _has_element(_node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return np.array(any(value is not None for value in inputs))


# --- layout ------------------------------------------------------------------


@folds("Reshape")
def _reshape(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    target = [int(v) for v in inputs[1]]
    shape = resolve_reshape(inputs[0].shape, target, allow_zero=bool(node.attributes.get("allowzero", 0)))
    return inputs[0].reshape(shape)  # type: ignore[no-any-return]


@folds("Flatten")
def _flatten(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    axis = node.attributes.get("axis", 1)
    axis = axis + inputs[0].ndim if axis < 0 else axis
    return inputs[0].reshape(int(np.prod(inputs[0].shape[:axis])), -1)  # type: ignore[no-any-return]


def _axes(node: NodeInfo, inputs: list[Any], index: int = 1) -> list[int] | None:
    if "axes" in node.attributes:
        return [int(v) for v in node.attributes["axes"]]
    if len(inputs) > index and inputs[index] is not None:
        return [int(v) for v in inputs[index].reshape(-1)]
    return None


@folds("Squeeze")
def _squeeze(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return inputs[0].reshape(squeezed(inputs[0].shape, _axes(node, inputs)))  # type: ignore[no-any-return]


@folds("Unsqueeze")
def _unsqueeze(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    shape = unsqueezed(inputs[0].shape, _axes(node, inputs) or [])
    return inputs[0].reshape(shape)  # type: ignore[no-any-return]


@folds("Transpose")
def _transpose(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return np.ascontiguousarray(inputs[0].transpose(node.attributes.get("perm")))


@folds("Concat")
def _concat(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    joined: Array = np.concatenate(inputs, node.attributes["axis"])
    return joined


@folds("Expand")
def _expand(_node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    shape = broadcast(inputs[0].shape, [int(v) for v in inputs[1]])
    return np.array(np.broadcast_to(inputs[0], shape))


@folds("Tile")
def _tile(_node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return np.tile(inputs[0], [int(v) for v in inputs[1]])


@folds("Slice")
def _slice(node: NodeInfo, inputs: list[Any], opset: int) -> Array:
    def ints(index: int) -> list[int] | None:
        return [int(v) for v in inputs[index]] if len(inputs) > index and inputs[index] is not None else None

    if opset < 10:
        attributes = node.attributes
        ranges = resolve_slice(
            inputs[0].shape, attributes["starts"], attributes["ends"], attributes.get("axes"), None
        )
    else:
        ranges = resolve_slice(inputs[0].shape, ints(1) or [], ints(2) or [], ints(3), ints(4))
    return inputs[0][np.ix_(*ranges)] if ranges else inputs[0]  # type: ignore[no-any-return]


@folds("Gather")
def _gather(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return np.asarray(np.take(inputs[0], inputs[1], axis=node.attributes.get("axis", 0)))


@folds("Split")
def _split(node: NodeInfo, inputs: list[Any], _opset: int) -> list[Array]:
    axis = normalize_axis(node.attributes.get("axis", 0), inputs[0].ndim)
    sizes = node.attributes.get("split")
    if sizes is None and len(inputs) > 1 and inputs[1] is not None:
        sizes = [int(v) for v in inputs[1]]
    sizes = split_sizes(inputs[0].shape[axis], len(node.outputs), sizes)
    return list(np.split(inputs[0], np.cumsum(sizes)[:-1], axis))


def split_sizes(extent: int, count: int, sizes: Sequence[int] | None) -> list[int]:
    """The extents of a Split's outputs. Source: ONNX Split, opset 18 (the last part may be smaller).

    Raises: ValueError: sizes that do not add up.
    """
    if sizes is None:
        part = -(-extent // count)
        sizes = [part] * (count - 1) + [extent - part * (count - 1)]
    if sum(sizes) != extent or len(sizes) != count or any(size < 0 for size in sizes):
        raise ValueError(f"expected {count} parts that add up to {extent}, got {list(sizes)}")
    return list(sizes)


def part_sizes(extent: int, size: int) -> list[int]:
    """The extents of parts of ``size``, of which the last may be smaller. Raises: ValueError."""
    if size < 1:
        raise ValueError(f"expected parts of at least 1, got {size}")
    return [min(size, extent - start) for start in range(0, extent, size)]


# --- arithmetic --------------------------------------------------------------


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        if (b == 0).any():
            raise ValueError("division of an integer by zero")
        # ONNX truncates, numpy's // floors.
        quotient = np.abs(a) // np.abs(b)
        return np.where((a < 0) != (b < 0), -quotient, quotient).astype(a.dtype)
    return a / b


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}


@folds(*_BINARY)
def _binary(node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    if any(value.dtype.kind not in "fiub" for value in inputs):
        return None
    with np.errstate(all="ignore"):
        return np.asarray(_BINARY[node.op_type](*inputs))


@folds("Max", "Min")
def _extreme(node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    result = inputs[0]
    for value in inputs[1:]:
        result = (np.maximum if node.op_type == "Max" else np.minimum)(result, value)
    return np.asarray(result)


@folds("Mod")
def _mod(node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    if inputs[0].dtype.kind not in "iu" or (inputs[1] == 0).any():
        return None
    return np.asarray((np.fmod if node.attributes.get("fmod", 0) else np.mod)(*inputs))


_UNARY: dict[str, Callable[[Any], Any]] = {
    "Neg": np.negative,
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Sqrt": np.sqrt,
    "Not": np.logical_not,
    "Reciprocal": lambda x: (1 / x).astype(x.dtype),
    "Sign": np.sign,
}


@folds(*_UNARY)
def _unary(node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    if inputs[0].dtype.kind not in "fiub":
        return None
    with np.errstate(all="ignore"):
        return np.asarray(_UNARY[node.op_type](inputs[0]))


@folds("Where")
def _where(_node: NodeInfo, inputs: list[Any], _opset: int) -> Array:
    return np.asarray(np.where(*inputs))


_REDUCE: dict[str, Any] = {
    "ReduceSum": np.sum,
    "ReduceProd": np.prod,
    "ReduceMax": np.max,
    "ReduceMin": np.min,
}

# Of no elements. Source: ONNX Reduce*, opset 20.
_OF_NOTHING = {
    "ReduceMean": np.nan,
    "ReduceSum": 0.0,
    "ReduceProd": 1.0,
    "ReduceMax": -np.inf,
    "ReduceMin": np.inf,
    "ReduceL1": 0.0,
    "ReduceL2": 0.0,
    "ReduceSumSquare": 0.0,
    "ReduceLogSum": -np.inf,
    "ReduceLogSumExp": -np.inf,
}


@folds(*_OF_NOTHING)
def _reduce(node: NodeInfo, inputs: list[Any], _opset: int) -> Array | None:
    value, axes = inputs[0], _axes(node, inputs)
    keep = bool(node.attributes.get("keepdims", 1))
    noop = not axes and bool(node.attributes.get("noop_with_empty_axes", 0))
    if not value.size and not noop:
        return _reduce_nothing(node.op_type, value, axes, keep)
    if value.dtype.kind not in "iu" or node.op_type not in _REDUCE:
        return None
    if noop:
        return value  # type: ignore[no-any-return]
    return np.asarray(_REDUCE[node.op_type](value, axis=tuple(axes) if axes else None, keepdims=keep)).astype(
        value.dtype
    )


def _reduce_nothing(op_type: str, value: Array, axes: list[int] | None, keep: bool) -> Array:
    shape = np.sum(value, axis=tuple(axes) if axes else None, keepdims=keep).shape
    result = _OF_NOTHING[op_type]
    if value.dtype.kind == "b":  # the least truth value is false
        result = max(result, 0.0)
    if value.dtype.kind in "iu" and not np.isfinite(result):
        if np.isnan(result):
            raise ValueError("a mean of no integers")
        limits = np.iinfo(value.dtype)
        result = limits.min if result < 0 else limits.max
    return np.full(shape, result, value.dtype)
