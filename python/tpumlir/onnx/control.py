"""If, Loop and Scan: the branch that runs, or the body once for each trip, takes the place of the node.

A chip program has no branches: which branch runs and how often must be known when it is made. Where it is
not, both branches of an If run, and each result is selected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tpumlir.ir.names import part_of
from tpumlir.onnx.external import read_tensor
from tpumlir.onnx.indexing import normalize_axis
from tpumlir.onnx.load import NodeInfo, node_info
from tpumlir.onnx.registry import InvalidNodeError, NotSupportedError, TensorList

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

Array = npt.NDArray[Any]

MOST_NODES = 20_000
"""What a loop may unroll to: a module of more operations is no use to anyone."""

_STATIC = "export the model with static control flow, or cut it off with --output_names"


class Scope(Protocol):
    """What control flow needs of the importer: tensors by name, and the conversion of one more node."""

    opset: int

    @property
    def folder(self) -> str:
        """Where external data lies."""

    def value(self, info: NodeInfo, name: str) -> Value | Array | TensorList | None:
        """The tensor or sequence called ``name``."""

    def kind(self, name: str) -> str:
        """Element type and shape of a tensor in words."""

    def note(self, info: NodeInfo, text: str, deciders: Sequence[str]) -> None:
        """Tell the user what a node costs; the tensors ``deciders`` could be fixed to change that."""

    def branch(self, name: str, taken: bool) -> AbstractContextManager[None]:
        """What is converted meanwhile counts only if the condition ``name`` is ``taken``."""

    def bind(self, name: str, source: str | Array | TensorList) -> None:
        """Call a constant, a sequence, or the tensor called ``source``, ``name``."""

    def convert(self, info: NodeInfo) -> None:
        """Convert a node whose operands have values."""

    def unique(self, stem: str) -> str:
        """A tensor name that nothing else has."""

    def compose(
        self,
        label: str,
        result: str,
        op_type: str,
        operands: Sequence[str | Array],
        attributes: dict[str, Any],
    ) -> str:
        """Convert one more node, in the form of opset 18; returns the name of its result."""


def is_control_flow(info: NodeInfo) -> bool:
    """True for the operators of this module."""
    return not info.domain and info.op_type in _CONTROL


def unroll(scope: Scope, info: NodeInfo) -> list[str]:
    """Convert what the node comes to; returns the names of its results. Raises: NotSupportedError."""
    return _CONTROL[info.op_type](scope, info)


# --- operators --------------------------------------------------------------------------


def _if(scope: Scope, info: NodeInfo) -> list[str]:
    """The branch that runs. Source: ONNX If, opset 25."""
    condition = scope.value(info, info.inputs[0])
    if condition is None:
        raise InvalidNodeError("expected a condition, got none")
    if not isinstance(condition, np.ndarray):
        return _both_branches(scope, info)
    chosen = "then_branch" if condition.reshape(-1)[0] else "else_branch"
    return inline(scope, info, _graph(info, chosen), [], chosen.removesuffix("branch"))


def _both_branches(scope: Scope, info: NodeInfo) -> list[str]:
    """The results of both branches, and of each pair the one that the condition selects."""
    name = info.inputs[0]
    graphs = [_graph(info, branch) for branch in ("then_branch", "else_branch")]
    try:
        results = []
        for graph, stem, taken in zip(graphs, ("then_", "else_"), (True, False), strict=True):
            with scope.branch(name, taken):
                results.append(inline(scope, info, graph, [], stem))
        pairs = list(zip(*results, strict=True))
    except NotSupportedError as error:
        raise NotSupportedError(
            f"its condition ({name}) is computed at run time, so both branches are needed: {error.reason}",
            _STATIC, constants=[name],
        ) from None  # fmt: skip
    for output, pair in zip(info.outputs, pairs, strict=True):
        kinds = [scope.kind(result) for result in pair]
        if kinds[0] != kinds[1]:
            raise NotSupportedError(
                f"its condition ({name}) is computed at run time, and its branches do not agree: "
                f"{output} is {kinds[0]} or {kinds[1]}",
                _STATIC, constants=[name],
            )  # fmt: skip
    counts = " and ".join(str(len(graph.node)) for graph in graphs)
    scope.note(
        info,
        f"its condition ({name}) is computed at run time, so both branches always run ({counts} nodes), "
        "and their results are selected",
        [name],
    )
    return [_selected(scope, info, *pair) for pair in pairs]


def _selected(scope: Scope, info: NodeInfo, first: str, second: str) -> str:
    """One of two tensors of one shape and type: exactly, whatever the other one holds."""
    if first == second:
        return first
    stem, condition = part_of(next(o for o in info.outputs if o), ""), info.inputs[0]
    lists = [scope.value(info, name) for name in (first, second)]
    if isinstance(lists[0], TensorList) and isinstance(lists[1], TensorList):
        pairs = zip(lists[0].names, lists[1].names, strict=True)
        result = scope.unique(f"{stem}selected")
        scope.bind(result, TensorList(tuple(_selected(scope, info, *pair) for pair in pairs)))
        return result
    shape = _shape(scope, info, first)
    if 0 in shape:
        return first
    if len(_shape(scope, info, condition)) > len(shape):
        target = np.ones(len(shape), np.int64)
        condition = scope.compose(
            info.label, scope.unique(f"{stem}condition"), "Reshape", [condition, target], {}
        )
    operands = [condition, first, second]
    return scope.compose(info.label, scope.unique(f"{stem}selected"), "Where", operands, {})


def _loop(scope: Scope, info: NodeInfo) -> list[str]:
    """The body, trip by trip. Source: ONNX Loop, opset 25."""
    limit, condition = (
        _constant(scope, info, i, what) for i, what in ((0, "its trip count"), (1, "its condition"))
    )
    trips = None if limit is None else max(0, int(limit.reshape(-1)[0]))
    goes_on = condition is None or bool(condition.reshape(-1)[0])
    body = _graph(info, "body")
    carried = list(info.inputs[2:])
    gathered = _Gathered(scope, info, [0] * (len(body.output) - 1 - len(carried)))
    trip = 0
    while goes_on and (trips is None or trip < trips):
        _check_size(body, trip + 1)
        number, runs = np.array(trip, np.int64), np.array(True)
        results = inline(scope, info, body, [number, runs, *carried], f"{trip}_")
        after = scope.value(info, results[0])
        if not isinstance(after, np.ndarray):
            raise NotSupportedError("its condition is computed at run time", _STATIC)
        goes_on = bool(after.reshape(-1)[0])
        carried = results[1 : len(carried) + 1]
        gathered.add(results[len(carried) + 1 :])
        trip += 1
    return [*carried, *gathered.joined()]


def _scan(scope: Scope, info: NodeInfo) -> list[str]:
    """The body for each slice. Source: ONNX Scan, opset 25."""
    if scope.opset < 9:
        raise NotSupportedError("Scan before opset 9", "convert the model to a newer opset")
    body, count = _graph(info, "body"), int(info.attributes["num_scan_inputs"])
    states = list(info.inputs[:-count])
    scanned = list(info.inputs[-count:])
    outputs = len(body.output) - len(states)
    shapes = [_shape(scope, info, name) for name in scanned]
    axes = [
        normalize_axis(axis, len(shape))
        for axis, shape in zip(_ints(info, "scan_input_axes", count), shapes, strict=True)
    ]
    lengths = {shape[axis] for axis, shape in zip(axes, shapes, strict=True)}
    if len(lengths) != 1:
        raise InvalidNodeError(f"expected scan inputs of one length, got {sorted(lengths)}")
    (length,) = lengths
    _check_size(body, length)
    backwards = _ints(info, "scan_input_directions", count)
    gathered = _Gathered(
        scope, info, _ints(info, "scan_output_axes", outputs), _ints(info, "scan_output_directions", outputs)
    )
    for trip in range(length):
        slices = [
            scope.compose(
                info.label,
                scope.unique(part_of(info.outputs[0], "slice")),
                "Gather",
                [name, np.array(length - 1 - trip if back else trip)],
                {"axis": axis},
            )
            for name, axis, back in zip(scanned, axes, backwards, strict=True)
        ]
        results = inline(scope, info, body, [*states, *slices], f"{trip}_")
        states = results[: len(states)]
        gathered.add(results[len(states) :])
    return [*states, *gathered.joined()]


_CONTROL: dict[str, Callable[[Scope, NodeInfo], list[str]]] = {"If": _if, "Loop": _loop, "Scan": _scan}


class _Gathered:
    """The scan outputs of all trips."""

    def __init__(
        self, scope: Scope, info: NodeInfo, axes: Sequence[int], backwards: Sequence[int] | None = None
    ) -> None:
        self._scope, self._info, self._axes = scope, info, axes
        self._backwards = backwards or [0] * len(axes)
        self._parts: list[list[str]] = [[] for _ in axes]

    def add(self, names: Sequence[str]) -> None:
        """The outputs of one more trip."""
        for parts, name in zip(self._parts, names, strict=True):
            parts.append(name)

    def joined(self) -> list[str]:
        """Each output with its trips along a new axis. Raises: NotSupportedError: no trip at all."""
        results = []
        for parts, axis, back in zip(self._parts, self._axes, self._backwards, strict=True):
            if not parts:
                raise NotSupportedError(
                    "its body never runs, and its result is empty", "leave that output out"
                )
            shape = list(_shape(self._scope, self._info, parts[0]))
            place = normalize_axis(axis, len(shape) + 1)
            target = np.array([*shape[:place], 1, *shape[place:]], np.int64)
            rows = [
                self._compose("Reshape", [name, target], {}) for name in (reversed(parts) if back else parts)
            ]
            results.append(self._compose("Concat", rows, {"axis": place}))
        return results

    def _compose(self, op_type: str, operands: Sequence[str | Array], attributes: dict[str, Any]) -> str:
        result = self._scope.unique(part_of(self._info.outputs[0], op_type.lower()))
        return self._scope.compose(self._info.label, result, op_type, operands, attributes)


# --- pieces -------------------------------------------------------------------------------


def _graph(info: NodeInfo, name: str) -> Any:
    if name not in info.attributes:
        raise InvalidNodeError(f"expected a graph {name}, got none")
    return info.attributes[name]


def _ints(info: NodeInfo, name: str, count: int) -> list[int]:
    values = [int(v) for v in info.attributes.get(name, [0] * count)]
    if len(values) != count:
        raise InvalidNodeError(f"expected {count} values of {name}, got {values}")
    return values


def _constant(scope: Scope, info: NodeInfo, index: int, what: str) -> Array | None:
    """The value of an operand that decides what runs; None if it is absent."""
    name = info.inputs[index] if index < len(info.inputs) else ""
    source = scope.value(info, name)
    if source is None or isinstance(source, np.ndarray):
        return source
    if isinstance(source, TensorList):
        raise InvalidNodeError("expected a tensor, got a sequence")
    raise NotSupportedError(f"{what} is computed at run time", _STATIC, constants=[name])


def _shape(scope: Scope, info: NodeInfo, name: str) -> tuple[int, ...]:
    source = scope.value(info, name)
    if source is None or isinstance(source, TensorList):
        raise InvalidNodeError("expected a tensor, got none")
    return tuple(source.shape)


def _check_size(body: Any, trips: int) -> None:
    count = trips * max(1, len(body.node))
    if count > MOST_NODES:
        raise NotSupportedError(
            f"it unrolls to more than {MOST_NODES} nodes", "cut it off with --output_names"
        )


def inline(scope: Scope, info: NodeInfo, graph: Any, operands: Sequence[str | Array], stem: str) -> list[str]:
    """Convert the nodes of ``graph`` for ``operands``; returns the names of its outputs.

    Tensors of the graph get names of their own, those that it captures are known by theirs.
    """
    prefix = part_of(next(o for o in info.outputs if o), stem)
    names: dict[str, str] = {}
    local = [*(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)]
    for name in (*local, *(output for node in graph.node for output in node.output if output)):
        names[name] = scope.unique(prefix + name)
    for value, operand in zip(graph.input, operands, strict=True):
        scope.bind(names[value.name], operand)
    for tensor in graph.initializer:
        scope.bind(names[tensor.name], read_tensor(tensor, scope.folder))
    for node in graph.node:
        inner = _renamed(node, names, scope.folder)
        try:
            scope.convert(inner)
        except NotSupportedError as error:
            raise NotSupportedError(
                f"its body uses {inner.op_type} ({node.name or node.output[0]}): {error.reason}",
                error.remedy,
                constants=error.constants,
            ) from None
    return [names.get(output.name, output.name) for output in graph.output]


def _renamed(node: Any, names: Mapping[str, str], folder: str) -> NodeInfo:
    """A copy of ``node`` with other tensor names, in its own subgraphs too."""
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = ""
    _rename(copy, names)
    return node_info(copy, folder)


def _rename(node: Any, names: Mapping[str, str]) -> None:
    for fields in (node.input, node.output):
        fields[:] = [names.get(name, name) for name in fields]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            graph = attribute.g
            local = {value.name for value in (*graph.input, *graph.initializer)}
            local |= {output for inner in graph.node for output in inner.output}
            outer = {name: new for name, new in names.items() if name not in local}
            for value in graph.output:
                value.name = outer.get(value.name, value.name)
            for inner in graph.node:
                _rename(inner, outer)
