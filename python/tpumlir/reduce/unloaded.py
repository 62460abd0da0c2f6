"""Models that cannot be read: parts of the file are left out as long as it is refused for the same reason.

There are no values to cut with, and no shapes. What a node that is left out computed becomes an input of the
type that the file declares; nothing that the file does not define is mended, for that may be the fault.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from tpumlir.errors import TpumlirError
from tpumlir.onnx.external import embed
from tpumlir.onnx.load import read_proto, reads
from tpumlir.reduce.bodies import bypass
from tpumlir.reduce.case import Case, all_nodes, graphs_of
from tpumlir.reduce.proto import copied
from tpumlir.reduce.reducer import Candidate, Reducer

# What a graph, a function or a model has many of; without its outputs a file is no model.
_LISTS = (
    "node", "initializer", "sparse_initializer", "value_info", "quantization_annotation", "metadata_props",
    "functions", "opset_import", "training_info", "input", "output", "attribute", "attribute_proto",
)  # fmt: skip
_TEXTS = ("doc_string", "producer_name", "producer_version", "domain")


def whole(path: Path) -> Case:
    """The file as it is, with its external data if that can be read. Raises: OnnxImportError: no ONNX."""
    proto = read_proto(path)
    held = copied(proto)
    try:
        embed(held.graph, str(path.parent), 1 << 62)
    except TpumlirError:
        held = proto
    _tell_types(held)
    return Case(held, {})


def _tell_types(proto: Any) -> None:
    """Write down what ONNX's inference says of the tensors, for the inputs that they may become."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(proto).graph.value_info
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return
    known = {value.name for value in proto.graph.value_info}
    proto.graph.value_info.extend(value for value in inferred if value.name not in known)


def reduce_file(reducer: Reducer, where: Collection[str]) -> None:
    """Leave out what is not needed; ``where`` are names of nodes and tensors at which it shows."""
    reducer.exhaust(lambda case: _with_small_tensors(case.proto))
    reducer.first(_named(reducer.best, where))
    while True:
        before = reducer.best
        reducer.exhaust(lambda case: _with_fewer_nodes(case.proto))
        bypass(reducer)
        reducer.exhaust(lambda case: _with_fewer_parts(case.proto))
        reducer.exhaust(lambda case: _with_small_tensors(case.proto))
        reducer.exhaust(lambda case: _without_texts(case.proto))
        if reducer.best is before:
            return


def _chunks(count: int) -> Iterator[range]:
    """All, the halves, the quarters ... of so many items, down to each by itself."""
    size = count
    while size:
        for begin in range(0, count, size):
            yield range(begin, min(begin + size, count))
        size //= 2


# --- nodes -------------------------------------------------------------------------


def _named(case: Case | None, where: Collection[str]) -> Iterator[Candidate]:
    """The nodes of these names, or that compute tensors of them, by themselves."""
    nodes = case.proto.graph.node if case else []
    kept = [i for i, node in enumerate(nodes) if not {node.name, *node.output}.isdisjoint({*where} - {""})]
    if case and 0 < len(kept) < len(nodes):
        yield Candidate(_with_nodes(case.proto, kept), "keep the node that is named")


def _with_fewer_nodes(proto: Any) -> Iterator[Candidate]:
    nodes = proto.graph.node
    for chunk in _chunks(len(nodes)):
        name = tuple(node.output[0] if node.output else node.name for node in nodes[chunk.start : chunk.stop])
        others = [i for i in range(len(nodes)) if i not in chunk]
        if others and 4 * len(chunk) >= len(nodes):
            yield Candidate(_with_nodes(proto, list(chunk)), f"keep {len(chunk)} nodes", ("keep", name))
        yield Candidate(_with_nodes(proto, others), f"leave out {len(chunk)} nodes", ("leave out", name))


def _with_nodes(proto: Any, kept: Sequence[int]) -> Case:
    """The model of these nodes; what others computed is an input."""
    result = copied(proto)
    graph = result.graph
    nodes = [proto.graph.node[i] for i in kept]
    made = {name for node in nodes for name in node.output}
    lost = {name for node in proto.graph.node for name in node.output if name} - made
    declared = {value.name: value for value in (*proto.graph.value_info, *proto.graph.output)}
    del graph.node[:]
    graph.node.extend(nodes)
    given = {value.name for value in (*graph.input, *graph.initializer)}
    for name in dict.fromkeys(name for node in nodes for name in reads(node) if name in lost):
        if name not in given:
            graph.input.append(_value(name, declared))
    outputs = [output for output in proto.graph.output if output.name not in lost]
    last = [name for node in nodes for name in node.output if name][-1:]
    outputs = outputs or [_value(name, declared) for name in last] or list(proto.graph.output[:1])
    del graph.output[:]
    graph.output.extend(outputs)
    return Case(result, {})


def _value(name: str, declared: dict[str, Any]) -> Any:
    """A tensor as the file declares it, or a number."""
    from onnx import TensorProto, helper

    return declared.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, [])


# --- other parts -------------------------------------------------------------------


def _owners(proto: Any) -> list[Any]:
    """What has lists of parts, in a fixed order: the model, its graphs and functions, their nodes."""
    nodes = all_nodes([*proto.graph.node, *(node for function in proto.functions for node in function.node)])
    bodies = [body for node in nodes for body in graphs_of(node)]
    return [proto, proto.graph, *proto.functions, *bodies, *nodes]


def _with_fewer_parts(proto: Any) -> Iterator[Candidate]:
    for number, owner in enumerate(_owners(proto)):
        known = {field.name for field in owner.DESCRIPTOR.fields}
        is_node, is_graph = "op_type" in known, owner is proto.graph
        for field in _LISTS:
            # The nodes of the graph have their own step; what a node reads and computes is what it is.
            if field not in known or (is_graph and field == "node") or (is_node and field != "attribute"):
                continue
            count = len(getattr(owner, field))
            for chunk in _chunks(count):
                if is_graph and field == "output" and len(chunk) == count:
                    continue
                result = copied(proto)
                del getattr(_owners(result)[number], field)[chunk.start : chunk.stop]
                step = f"leave out {len(chunk)} of {field}"
                yield Candidate(Case(result, {}), step, (number, field, chunk.start, len(chunk), count))


def _tensors(proto: Any) -> list[Any]:
    """The tensors that the file stores."""
    graphs = [owner for owner in _owners(proto) if hasattr(owner, "initializer")]
    nodes = [owner for owner in _owners(proto) if hasattr(owner, "op_type")]
    attributes = [attribute for node in nodes for attribute in node.attribute]
    return [
        *(tensor for graph in graphs for tensor in graph.initializer),
        *(tensor for a in attributes for tensor in (*a.tensors, *([a.t] if a.HasField("t") else []))),
    ]


def _with_small_tensors(proto: Any) -> Iterator[Candidate]:
    """With one zero in the place of many elements, or with as many bytes too few or too many as before."""
    large = [i for i, tensor in enumerate(_tensors(proto)) if math.prod(tensor.dims) > 1]
    for chunk in _chunks(len(large)):
        for shrink in (_zero, _shortened):
            result = copied(proto)
            tensors = [_tensors(result)[large[i]] for i in chunk]
            if all([shrink(tensor) for tensor in tensors]):  # noqa: C419 - each of them is changed
                name = (shrink.__name__, tuple(tensor.name for tensor in tensors), chunk.start)
                yield Candidate(Case(result, {}), f"{len(tensors)} tensors of one element", name)


def _zero(tensor: Any) -> bool:
    """Leave one zero of a tensor; False if its type is none."""
    from onnx import TensorProto, helper

    value: Any = b"" if tensor.data_type == TensorProto.STRING else 0
    try:
        small = helper.make_tensor(tensor.name, tensor.data_type, [1] * len(tensor.dims), [value])
    except (KeyError, TypeError, ValueError):
        return False
    tensor.CopyFrom(small)
    return True


def _shortened(tensor: Any) -> bool:
    """Leave one element of a tensor, and the bytes that it has more or less of than they should be."""
    from onnx import helper

    try:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        return False
    less = (math.prod(tensor.dims) - 1) * width
    if tensor.HasField("raw_data"):
        tensor.raw_data = tensor.raw_data[less:]
    elif tensor.data_location != tensor.EXTERNAL:
        return False
    tensor.dims[:] = [1] * len(tensor.dims)
    return True


def _without_texts(proto: Any) -> Iterator[Candidate]:
    """Without what only people read."""
    result = copied(proto)
    for owner in (result, result.graph, *all_nodes(result.graph.node)):
        for name in _TEXTS if owner is result else _TEXTS[:1]:
            owner.ClearField(name)
    if result != proto:
        yield Candidate(Case(result, {}), "no words for people", "texts")
