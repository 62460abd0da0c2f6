"""Changes of small models: tensors by name, copies in which some of them are others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.onnx.load import reads
from tpumlir.reduce.case import Case

Array = npt.NDArray[Any]


def initializers(proto: Any) -> dict[str, Array]:
    """The stored constants of a model."""
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def copied(proto: Any) -> Any:
    """A copy that may be changed."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def with_values(case: Case, changed: Mapping[str, Array]) -> Case:
    """The case with other values of inputs and constants, of other shapes perhaps."""
    from onnx import helper, numpy_helper

    proto = copied(case.proto)
    inputs = {name: changed.get(name, value) for name, value in case.inputs.items()}
    for value in proto.graph.input:
        if value.name in changed:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, changed[value.name].shape))
    for tensor in proto.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
    return Case(proto, inputs)


def forget_shapes(proto: Any) -> None:
    """Leave open what the outputs' extents are; ONNX's inference says it where it can."""
    import onnx

    for output in proto.graph.output:
        for dim in output.type.tensor_type.shape.dim:
            dim.Clear()
    try:
        inferred = onnx.shape_inference.infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, ValueError):
        return
    known = {value.name: value for value in inferred.graph.output}
    for output in proto.graph.output:
        output.CopyFrom(known[output.name])


def pruned(case: Case) -> Case:
    """The case without inputs and constants that nothing reads."""
    graph = case.proto.graph
    read = {name for node in graph.node for name in reads(node)} | {output.name for output in graph.output}
    if read.issuperset([*(v.name for v in graph.input), *(t.name for t in graph.initializer)]):
        return case
    proto = copied(case.proto)
    for field in (proto.graph.input, proto.graph.initializer):
        _keep(field, read)
    return Case(proto, {name: value for name, value in case.inputs.items() if name in read})


def _keep(field: Any, names: Collection[str]) -> None:
    for i in range(len(field) - 1, -1, -1):
        if field[i].name not in names:
            del field[i]


def is_plain(value: Array) -> bool:
    """Whether all elements are the same."""
    return value.size == 0 or bool((value == value.reshape(-1)[0]).all())


def full_like(value: Array, number: float) -> Array:
    """``value`` with every element the same."""
    return np.full(value.shape, number).astype(value.dtype)
