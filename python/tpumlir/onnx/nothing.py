"""Nodes on tensors without elements whose results have none either: constants, whatever else they read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.data.types import DType
from tpumlir.errors import Diagnostic, UnsupportedError
from tpumlir.onnx.load import NodeInfo

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

Array = npt.NDArray[Any]


def empty_results(
    info: NodeInfo, inputs: Sequence[Value | Array | None], dtypes: Sequence[DType | None], opset: int
) -> list[Array] | None:
    """The results, if ONNX's shape inference says that none of them has an element."""
    if info.domain or not any(isinstance(s, np.ndarray) and s.size == 0 for s in inputs):
        return None
    import onnx
    from onnx import helper, numpy_helper

    values, constants = [], []
    for name, source, dtype in zip(info.inputs, inputs, dtypes, strict=True):
        if isinstance(source, np.ndarray):
            constants.append(numpy_helper.from_array(source, name))
        elif source is not None:
            code = helper.np_dtype_to_tensor_dtype(dtype or np.dtype(np.float32))
            values.append(helper.make_tensor_value_info(name, code, list(source.shape)))
    outputs = [onnx.ValueInfoProto(name=name) for name in info.outputs if name]
    graph = helper.make_graph([info.proto], "node", values, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph.output
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return None
    found = {value.name: value.type.tensor_type for value in inferred}
    results = []
    for name in info.outputs:
        if not name:
            results.append(np.empty(0))
            continue
        dims = [d.dim_value if d.HasField("dim_value") else None for d in found[name].shape.dim]
        if 0 not in dims or None in dims or not found[name].elem_type:
            return None
        shape = [int(extent or 0) for extent in dims]
        results.append(np.empty(shape, helper.tensor_dtype_to_np_dtype(found[name].elem_type)))
    return results


def expect_elements(outputs: Sequence[str], empty: Collection[str]) -> None:
    """Raises: UnsupportedError: no output has an element, so there is no program to make."""
    if empty and len(empty) == len(outputs):
        raise UnsupportedError(
            Diagnostic("expected an output with elements, got an empty tensor", outputs[0])
        )
