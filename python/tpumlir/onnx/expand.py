"""Operators that ONNX itself defines by simpler ones: their function bodies stand in for a converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.onnx.load import NodeInfo, node_info

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


def has_definition(op_type: str, opset: int) -> bool:
    """True if ONNX defines the operator by others."""
    schema = _schema(op_type, opset)
    return schema is not None and bool(schema.has_function or schema.has_context_dependent_function)


def _schema(op_type: str, opset: int) -> Any:
    import onnx

    try:
        return onnx.defs.get_schema(op_type, opset)
    except (onnx.defs.SchemaError, TypeError):  # unknown, or not even a text
        return None


def definition(
    info: NodeInfo,
    inputs: Sequence[Value | npt.NDArray[Any] | None],
    types: Sequence[np.dtype[Any] | None],
    opset: int,
    prefix: str,
) -> tuple[list[NodeInfo], int]:
    """The nodes that define ``info`` for operands of these types and shapes, and the opset they are of.

    They carry the name of the node; their inner tensors start with ``prefix``, its inputs and outputs keep
    their names. Empty if ONNX has no definition for these operands.
    """
    schema = _schema(info.op_type, opset)
    declared = [_type(source, dtype) for source, dtype in zip(inputs, types, strict=True)]
    body, version = _body(info, schema, declared, opset)
    if body is None:
        return [], opset
    attributes = {attribute.name: attribute for attribute in info.proto.attribute}
    for default in body.attribute_proto:
        attributes.setdefault(default.name, default)
    for name, attribute in schema.attributes.items():
        if attribute.default_value.name:
            attributes.setdefault(name, attribute.default_value)
    # Formal names that the node does not give are absent operands, or results that nobody wants.
    names = dict.fromkeys(body.input, "")
    names.update(zip(body.input, info.inputs, strict=False))
    names.update((formal, name) for formal, name in zip(body.output, info.outputs, strict=False) if name)

    def rename(name: str) -> str:
        return names[name] if name in names else name and prefix + name

    for node in body.node:
        _instantiate(node, rename, attributes)
        node.name = info.label
    return [node_info(node) for node in body.node], version


def _body(info: NodeInfo, schema: Any, types: Sequence[Any], opset: int) -> tuple[Any, int]:
    """The newest body that is not newer than ``opset``, and its opset; None if there is none."""
    import onnx

    def newest(versions: Sequence[int]) -> int | None:
        return max((version for version in versions if version <= opset), default=None)

    version = newest(schema.function_opset_versions)
    if version is not None:
        return onnx.FunctionProto.FromString(schema.get_function_with_opset_version(version)), version
    version = newest(schema.context_dependent_function_opset_versions)
    if version is None:
        return None, opset
    text = schema.get_context_dependent_function_with_opset_version(
        version, info.proto.SerializeToString(), [entry.SerializeToString() for entry in types]
    )
    return (onnx.FunctionProto.FromString(text), version) if text else (None, opset)


def _type(source: Value | npt.NDArray[Any] | None, dtype: np.dtype[Any] | None) -> Any:
    """The type of an operand; float32 if its element type is not known."""
    import onnx

    if source is None:
        return onnx.TypeProto()
    code = onnx.helper.np_dtype_to_tensor_dtype(dtype or np.dtype(np.float32))
    return onnx.helper.make_tensor_type_proto(code, list(source.shape))


def _instantiate(node: Any, rename: Callable[[str], str], attributes: Mapping[str, Any]) -> None:
    """Put actual names and attribute values into a node of a body, and into its subgraphs."""
    for names in (node.input, node.output):
        names[:] = [rename(name) for name in names]
    kept = []
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name not in attributes:
                continue  # neither given nor with a default: absent here too
            name = attribute.name
            attribute.CopyFrom(attributes[attribute.ref_attr_name])
            attribute.name = name
        if attribute.HasField("g"):
            for value in (*attribute.g.input, *attribute.g.output, *attribute.g.initializer):
                value.name = rename(value.name)
            for inner in attribute.g.node:
                _instantiate(inner, rename, attributes)
        kept.append(attribute)
    if len(kept) != len(node.attribute):
        copies = [type(attribute).FromString(attribute.SerializeToString()) for attribute in kept]
        del node.attribute[:]
        node.attribute.extend(copies)
