"""Tensor data: in the file of the model or outside, in files beside it.

The folder is always that of the model, never the working directory, and a file may be a symbolic link, as it
is in download caches. Source: ONNX ExternalData.md.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.errors import Diagnostic, OnnxImportError
from tpumlir.ir.names import part_of

Array = npt.NDArray[Any]


def is_external(tensor: Any) -> bool:
    """True if the data of a TensorProto lies in another file."""
    return bool(tensor.data_location == tensor.EXTERNAL)


def read_tensor(tensor: Any, folder: str) -> Array:
    """The data of a TensorProto; external data lies in ``folder``. Raises: OnnxImportError: unreadable."""
    import onnx

    try:
        if not is_external(tensor):
            return onnx.numpy_helper.to_array(tensor)
        return _external(tensor, folder)
    except (OSError, ValueError, TypeError, KeyError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())
        raise OnnxImportError(
            Diagnostic(f"expected readable tensor data, got: {reason}", tensor.name)
        ) from None


def _external(tensor: Any, folder: str) -> Array:
    import onnx

    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    bits = _BITS.get(tensor.data_type, dtype.itemsize * 8)
    size = (math.prod(tensor.dims) * bits + 7) // 8
    data = _bytes(tensor, folder, size)
    if bits % 8:
        inner = onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=data)
        array: Array = onnx.numpy_helper.to_array(inner)
        return array
    stored: Array = np.frombuffer(data, dtype).reshape(tensor.dims)
    return stored


# Of the types that are packed, several to a byte: INT4, UINT4, FLOAT4E2M1, UINT2, INT2.
_BITS = {22: 4, 21: 4, 23: 4, 25: 2, 26: 2}


def _bytes(tensor: Any, folder: str, size: int) -> bytes:
    """The ``size`` bytes of ``tensor``. Raises: ValueError, OSError."""
    where = {entry.key: entry.value for entry in tensor.external_data}
    location = where.get("location", "")
    path = Path(location)
    # A model that somebody sent must not read files elsewhere.
    if not location or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"expected external data in the folder of the model, got location {location!r}")
    offset, length = int(where.get("offset") or 0), int(where.get("length") or size)
    if length != size or offset < 0:
        raise ValueError(
            f"expected {size} bytes of external data for {list(tensor.dims)}, got {length} at {offset}"
        )
    path = Path(folder) / path
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(size)
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or str(error)).lower()} (external data)") from None
    if len(data) != size:
        raise ValueError(f"{path}: expected {size} bytes at {offset}, got {len(data)} (external data)")
    return data


def embed(graph: Any, folder: str, most: int) -> None:
    """Rewrite what is external in a graph or function, for tools that look at types and shapes only.

    Such tools look for the files in the working directory. Tensors of up to ``most`` elements, which may
    decide a shape, get their data; in the place of longer ones stands a node that makes zeros.
    """
    nodes: list[Any] = []
    kept = []
    for tensor in _stored(graph):
        if is_external(tensor) and math.prod(tensor.dims) > most:
            nodes += _zeros(tensor.name, tensor)
        else:
            kept.append(_embedded(tensor, folder))
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.HasField("t") and is_external(a.t)), None)
        if value is not None and node.op_type == "Constant" and math.prod(value.dims) > most:
            nodes += _zeros(node.output[0], value)
            continue
        for attribute in node.attribute:
            if attribute.HasField("t"):
                attribute.t.CopyFrom(_embedded(attribute.t, folder))
            if attribute.HasField("g"):
                embed(attribute.g, folder, most)
        nodes.append(node)
    if _stored(graph):
        _replace(graph.initializer, kept)
    _replace(graph.node, nodes)


def _stored(graph: Any) -> Any:
    return getattr(graph, "initializer", ())  # the body of a function has none


def _replace(field: Any, entries: list[Any]) -> None:
    """Set a repeated field to entries that may be its own."""
    copies = [type(entry).FromString(entry.SerializeToString()) for entry in entries]
    del field[:]
    field.extend(copies)


def _embedded(tensor: Any, folder: str) -> Any:
    import onnx

    if not is_external(tensor):
        return tensor
    return onnx.numpy_helper.from_array(read_tensor(tensor, folder), tensor.name)


def _zeros(name: str, tensor: Any) -> list[Any]:
    """Nodes that make a tensor of the same shape and type."""
    from onnx import helper

    shape = helper.make_tensor(part_of(name, "shape"), _INT64, [len(tensor.dims)], list(tensor.dims))
    zero = helper.make_tensor(part_of(name, "zero"), tensor.data_type, [1], [0])
    return [
        helper.make_node("Constant", [], [shape.name], value=shape),
        helper.make_node("ConstantOfShape", [shape.name], [name], value=zero),
    ]


_INT64 = 7


def has_external(graph: Any) -> bool:
    """True if a tensor of a graph, or of the body of a function, lies in another file."""
    if any(map(is_external, _stored(graph))):
        return True
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t") and is_external(attribute.t):
                return True
            if attribute.HasField("g") and has_external(attribute.g):
                return True
    return False
