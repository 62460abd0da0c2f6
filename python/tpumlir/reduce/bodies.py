"""Control flow and functions: what a node holds takes its place, for one turn of a loop."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir.errors import OnnxImportError
from tpumlir.onnx.functions import OPSET_KEY, inline_functions
from tpumlir.onnx.load import reads
from tpumlir.reduce.case import Case, all_nodes, graphs_of
from tpumlir.reduce.graph import Source
from tpumlir.reduce.proto import copied, forget_shapes, pruned
from tpumlir.reduce.reducer import Candidate, Reducer

Array = npt.NDArray[Any]


def open_bodies(reducer: Reducer, source: Source) -> bool:
    """Put the nodes of one body, or those of all functions, into the graph itself."""
    case = reducer.best
    return case is not None and reducer.first(_candidates(case, source)) is not None


def bypass(reducer: Reducer) -> None:
    """Leave out nodes of bodies that stay: their readers take one of their operands."""
    reducer.exhaust(_bypassed)


def _candidates(case: Case, source: Source) -> Iterator[Candidate | None]:
    yield _without_functions(case)
    for index, node in enumerate(case.proto.graph.node):
        for body in graphs_of(node):
            yield _opened(case, source, index, body)


def _without_functions(case: Case) -> Candidate | None:
    if not case.proto.functions:
        return None
    try:
        proto = inline_functions(case.proto)
    except OnnxImportError:
        return None
    nodes = all_nodes(proto.graph.node)
    if any(entry.key == OPSET_KEY for node in nodes for entry in getattr(node, "metadata_props", ())):
        return None  # nobody but the importer reads in which opset such a node is
    return Candidate(Case(proto, case.inputs), "functions inlined")


class _Given(NamedTuple):
    """What a body reads in its first turn: other names for its own, and tensors that did not exist."""

    names: dict[str, str]
    constants: dict[str, Array]
    inputs: dict[str, Array]


def _opened(case: Case, source: Source, index: int, body: Any) -> Candidate | None:
    """The case with the nodes of ``body`` in the place of node ``index``."""
    from onnx import helper, numpy_helper

    node = case.proto.graph.node[index]
    given = _given(case, source, node, body)
    if given is None:
        return None
    taken = _names(case.proto.graph)
    own = [t.name for t in body.initializer] + [o for inner in body.node for o in inner.output if o]
    names = given.names | {name: _unique(name, taken) for name in own}
    proto = copied(case.proto)
    graph = proto.graph
    nodes = [_renamed(inner, names) for inner in body.node]
    others = [other for i, other in enumerate(graph.node) if i != index]
    made = {output for inner in nodes for output in inner.output if output}
    lost = [name for name in node.output if name]
    read = {name for other in others for name in reads(other)}
    if any(name in read and name not in source.values for name in lost):
        return None
    del graph.node[:]
    graph.node.extend([*others[:index], *nodes, *others[index:]])
    for tensor in body.initializer:
        copy = graph.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = names[tensor.name]
    for name, value in given.constants.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    inputs = {**case.inputs, **given.inputs, **{n: source.values.array(n) for n in lost if n in read}}
    for name in inputs.keys() - case.inputs.keys():
        kind = helper.np_dtype_to_tensor_dtype(inputs[name].dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, inputs[name].shape))
    outputs = [output for output in graph.output if output.name not in lost]
    known = {output.name for output in outputs}
    for output in body.output:
        name = names.get(output.name, output.name)
        if name in made and name not in known and output.type.tensor_type.elem_type:
            copy = type(output)()
            copy.CopyFrom(output)
            copy.name = name
            outputs.append(copy)
            known.add(name)
    kept = [type(output).FromString(output.SerializeToString()) for output in outputs]
    del graph.output[:]
    graph.output.extend(kept)
    if not kept:
        return None
    forget_shapes(proto)  # those of bodies are declared without
    return Candidate(pruned(Case(proto, inputs)), f"{node.op_type}: its body alone")


def _given(case: Case, source: Source, node: Any, body: Any) -> _Given | None:
    given = _Given({}, {}, {})
    taken = _names(case.proto.graph)
    if node.op_type == "Loop":
        for formal, value in zip(body.input[:2], (np.array(0, np.int64), np.array(True)), strict=False):
            name = _unique(formal.name, taken)
            given.names[formal.name] = name
            given.constants[name] = value
        given.names.update(
            {formal.name: actual for formal, actual in zip(body.input[2:], node.input[2:], strict=False)}
        )
    elif node.op_type == "Scan":
        return given if _scanned(case, source, node, body, given, taken) else None
    elif body.input:
        return None
    return given


def _scanned(case: Case, source: Source, node: Any, body: Any, given: _Given, taken: set[str]) -> bool:
    """Give the first slices of what a Scan goes over; False if they are not known."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    states = len(node.input) - attributes["num_scan_inputs"].i
    axes = list(attributes["scan_input_axes"].ints) if "scan_input_axes" in attributes else []
    backward = list(attributes["scan_input_directions"].ints) if "scan_input_directions" in attributes else []
    for place, (formal, actual) in enumerate(zip(body.input, node.input, strict=False)):
        if place < states:
            given.names[formal.name] = actual
            continue
        value = case.inputs.get(actual)
        if value is None:
            if actual not in source.values:
                return False
            value = source.values.array(actual)
        number = place - states
        axis = axes[number] if number < len(axes) else 0
        turn = -1 if number < len(backward) and backward[number] else 0
        name = _unique(formal.name, taken)
        given.names[formal.name] = name
        constant = any(tensor.name == actual for tensor in case.proto.graph.initializer)
        (given.constants if constant else given.inputs)[name] = np.ascontiguousarray(
            np.take(value, turn, axis)
        )
    return True


def _names(graph: Any) -> set[str]:
    """Every name that a tensor of a graph has."""
    found = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    return found | {name for node in graph.node for name in (*node.input, *node.output)}


def _unique(name: str, taken: set[str]) -> str:
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """A copy of a node that reads and writes tensors under other names, in its bodies too."""
    copy = type(node)()
    copy.CopyFrom(node)
    _rename(copy, names)
    return copy


def _rename(node: Any, names: Mapping[str, str]) -> None:
    for field in (node.input, node.output):
        field[:] = [names.get(name, name) for name in field]
    for graph in graphs_of(node):
        local = {value.name for value in (*graph.input, *graph.initializer)}
        local |= {output for inner in graph.node for output in inner.output}
        outer = {name: new for name, new in names.items() if name not in local}
        for inner in graph.node:
            _rename(inner, outer)
        for output in graph.output:
            output.name = outer.get(output.name, output.name)


# --- bodies that stay --------------------------------------------------------------


def _bodies(nodes: Collection[Any]) -> list[Any]:
    """All bodies of nodes, in a fixed order."""
    return [body for node in all_nodes(nodes) for body in graphs_of(node)]


def _bypassed(case: Case) -> Iterator[Candidate | None]:
    for number, body in enumerate(_bodies(case.proto.graph.node)):
        for index, node in enumerate(body.node):
            if not node.output or not node.output[0]:
                continue
            for source in dict.fromkeys(filter(None, node.input)):
                proto = copied(case.proto)
                graph = _bodies(proto.graph.node)[number]
                del graph.node[index]
                names = {node.output[0]: source}
                for inner in graph.node:
                    _rename(inner, names)
                for output in graph.output:
                    output.name = names.get(output.name, output.name)
                step = f"{node.op_type} of a body left out"
                yield Candidate(pruned(Case(proto, case.inputs)), step, (node.output[0], source))
