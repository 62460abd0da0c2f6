"""Operators that ONNX itself defines by simpler ones: their function bodies stand in for a converter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.onnx.load import NodeInfo, node_info

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


def has_definition(op_type: str, opset: int) -> bool:
    """True if ONNX defines the operator by others."""
    import onnx

    try:
        schema: Any = onnx.defs.get_schema(op_type, opset)
    except (onnx.defs.SchemaError, TypeError):  # unknown, or not even a text
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _with_defaults(info: NodeInfo, opset: int) -> Any:
    """The node with every attribute it leaves out: bodies refer to them, the inliner knows no defaults."""
    import onnx

    node = onnx.NodeProto()
    node.CopyFrom(info.proto)
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in onnx.defs.get_schema(info.op_type, opset).attributes.items():
        if name not in given and attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            node.attribute.append(attribute.default_value)
    return node


def _code(dtype: np.dtype[Any] | None) -> int:
    """The ONNX code of a type; that of float32 if it is not known."""
    import onnx

    return onnx.helper.np_dtype_to_tensor_dtype(dtype or np.dtype(np.float32))


def definition(
    info: NodeInfo,
    inputs: Sequence[Value | npt.NDArray[Any] | None],
    input_types: Sequence[np.dtype[Any] | None],
    output_types: Sequence[np.dtype[Any] | None],
    opset: int,
    prefix: str,
) -> list[NodeInfo]:
    """The nodes that define ``info`` for operands of these types and shapes.

    They carry the name of the node; their inner tensors start with ``prefix``, its inputs and outputs keep
    their names. Empty if ONNX has no definition for these operands.
    """
    import onnx.inliner

    import onnx

    declared = []
    for name, source, dtype in zip(info.inputs, inputs, input_types, strict=True):
        if source is not None:
            declared.append(onnx.helper.make_tensor_value_info(name, _code(dtype), list(source.shape)))
    outputs = [
        onnx.helper.make_tensor_value_info(name, _code(dtype), None)
        for name, dtype in zip(info.outputs, output_types, strict=True)
        if name
    ]
    unique = {value.name: value for value in declared}
    graph = onnx.helper.make_graph(
        [_with_defaults(info, opset)], "definition", list(unique.values()), outputs
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    inlined = onnx.inliner.inline_selected_functions(
        model, [("", info.op_type)], inline_schema_functions=True
    )
    if any(node.op_type == info.op_type and not node.domain for node in inlined.graph.node):
        return []
    kept = {*info.inputs, *info.outputs}
    for node in inlined.graph.node:
        node.name = info.name or info.label
        for names in (node.input, node.output):
            names[:] = [name if name in kept or not name else prefix + name for name in names]
    return [node_info(node) for node in inlined.graph.node]
