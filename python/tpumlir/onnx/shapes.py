"""The static shape of every model input: from the file, from ``--input_shapes``, or from the test input."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from tpumlir.errors import Diagnostic, OnnxImportError
from tpumlir.extents import advice_on_file
from tpumlir.onnx.load import TensorInfo, sketch

if TYPE_CHECKING:
    from tpumlir.onnx.load import OnnxModel
    from tpumlir.onnx.options import InputShapes


def parse_input_shapes(text: str) -> list[list[int]]:
    """Read ``[[1,3,224,224],[1,10]]`` (or one bare shape). Raises: ValueError: anything else."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if isinstance(value, (list, tuple)) and value and all(type(v) is int for v in value):
        value = [value]
    if (
        not isinstance(value, (list, tuple))
        or not value
        or not all(isinstance(shape, (list, tuple)) and all(type(v) is int for v in shape) for shape in value)
    ):
        raise ValueError(f"expected shapes such as [[1,3,224,224]], got {text!r}")
    return [list(shape) for shape in value]


def resolve_input_shapes(
    inputs: Sequence[TensorInfo], given: InputShapes | None
) -> dict[str, tuple[int, ...]]:
    """The shape of every input, from the file where it is static and from ``given`` (by name or in order).

    A single unknown extent in front (the batch) is taken as 1. Raises: OnnxImportError: an unknown name, a
    count, a rank or an extent that contradicts the file, or an extent that nobody gives; all inputs are named
    at once.
    """
    wanted = shapes_by_name(inputs, given)
    shapes: dict[str, tuple[int, ...]] = {}
    wrong: list[Diagnostic] = []
    for info in inputs:
        shape: Sequence[int | None] | None = wanted.get(info.name, info.shape)
        if shape and shape[0] is None and info.name not in wanted:
            shape = (1, *shape[1:])
        if shape is None or None in shape:
            wrong.append(
                Diagnostic(f"expected a static shape, got {describe(info)} (give --input_shapes)", info.name)
            )
            continue
        static = tuple(int(extent) for extent in shape if extent is not None)
        if any(extent < 0 for extent in static):
            wrong.append(Diagnostic(f"expected extents of at least 0, got {list(static)}", info.name))
        elif not _fits(info, static):
            wrong.append(
                Diagnostic(
                    f"expected a shape that fits {describe(info)}, got {list(static)}"
                    f"{advice_on_file(info.shape, static)}",
                    info.name,
                )
            )
        else:
            shapes[info.name] = static
    if wrong:
        raise OnnxImportError(*wrong)
    return shapes


def shapes_by_name(inputs: Sequence[TensorInfo], given: InputShapes | None) -> Mapping[str, Sequence[int]]:
    """The given shapes by the names of ``inputs``. Raises: OnnxImportError: an unknown name, a count."""
    names = [info.name for info in inputs]
    if given is None:
        return {}
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise OnnxImportError(
                f"expected a shape for one of {', '.join(names)}, got one for {', '.join(unknown)}"
            )
        return {name: _extents(shape, name) for name, shape in given.items()}
    given = in_order(given, len(inputs))
    if len(given) != len(inputs):
        raise OnnxImportError(
            f"expected {len(inputs)} input shapes ({', '.join(map(describe, inputs))}), got {len(given)}"
        )
    return {name: _extents(shape, name) for name, shape in zip(names, given, strict=True)}


def in_order(given: Sequence[Sequence[int]], count: int) -> list[Sequence[int]]:
    """Shapes without names as a list; for the only input of ``count`` one may be bare, as in a command.

    Raises: OnnxImportError: a text.
    """
    if isinstance(given, str):
        raise OnnxImportError(f"expected shapes such as [[1, 3, 224, 224]], got the text {given!r}")
    shapes: list[Any] = list(given)
    bare = count == 1 and shapes and all(isinstance(extent, (int, np.integer)) for extent in shapes)
    return [shapes] if bare else shapes


def _extents(shape: Sequence[int], name: str) -> list[int]:
    try:
        return [index(extent) for extent in shape]
    except TypeError:
        message = f"expected a shape of whole numbers, such as [1, 3, 224, 224], got {shape!r}"
        raise OnnxImportError(Diagnostic(message, name)) from None


def infer_types(
    model: OnnxModel, shapes: Mapping[str, Sequence[int]]
) -> dict[str, tuple[list[int], np.dtype[Any]]]:
    """What ONNX's own shape inference says of the tensors that nodes compute, unknown shapes left out."""
    import onnx
    from onnx import helper

    model_sketch = sketch(model.proto, model.folder)
    # An input that is read at run time may have a value in the file: it must not decide a shape.
    constants = [t for t in model_sketch.graph.initializer if t.name not in shapes]
    if len(constants) < len(model_sketch.graph.initializer):
        del model_sketch.graph.initializer[:]
        model_sketch.graph.initializer.extend(constants)
    for value in model_sketch.graph.input:
        if value.name in shapes:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shapes[value.name]))
    try:
        done = onnx.shape_inference.infer_shapes(model_sketch, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        return {}
    found = {}
    for value in done.graph.value_info:
        tensor = value.type.tensor_type
        extents = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
        if tensor.elem_type and tensor.HasField("shape"):
            found[value.name] = (extents, np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
    return found


def _fits(info: TensorInfo, shape: Sequence[int]) -> bool:
    return info.shape is None or (
        len(info.shape) == len(shape)
        and all(want is None or want == got for want, got in zip(info.shape, shape, strict=True))
    )


def describe(info: TensorInfo) -> str:
    """The declared shape in words: ``x [?, 3, H, W]``."""
    if info.shape is None:
        return f"{info.name} of unknown rank"
    dims = (
        str(extent) if extent is not None else (name or "?")
        for extent, name in zip(info.shape, info.dims, strict=True)
    )
    return f"{info.name} [{', '.join(dims)}]"
