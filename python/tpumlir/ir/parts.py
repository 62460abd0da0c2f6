"""Which operations of a module to run on given tensors, and what they read then: a plan, nothing is run here.

A part is computed from the nearest tensors that are given, so what is not given (a helper of a lowered
operation, a tensor that a reference does not have) is computed on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tpumlir.errors import InputError, unknown_name
from tpumlir.ir.graph import Graph, results

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo


class Part(NamedTuple):
    """The operations from the tensors ``inputs`` to the tensors ``outputs``."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def at(graph: Graph, name: str, given: Collection[str]) -> Part:
    """The operation that computes tensor ``name``, or the operations of the ONNX node ``name``.

    Raises: InputError: no such tensor and no such node; a model input or a constant.
    """
    ops = _ops_of(graph, name)
    made = [result for op in ops for result in results(op)]
    return Part(tuple(ends(graph, ops, set(given).difference(made))), tuple(made))


def onward(graph: Graph, name: str, given: Collection[str]) -> Part:
    """The operations of ``at``, and all that is computed from them."""
    made = dict.fromkeys(result for op in _ops_of(graph, name) for result in results(op))
    behind: set[str] = set(made)
    for op in graph.ops:  # in the order of the module
        if not behind.isdisjoint(graph.sources(op)):
            behind.update(results(op))
    ops = [op for op in graph.ops if not behind.isdisjoint(results(op))]
    outputs = tuple(result for op in ops for result in results(op))
    return Part(tuple(ends(graph, ops, set(given).difference(behind))), outputs)


def singles(graph: Graph, given: Collection[str]) -> list[Part]:
    """Each operation with operands that computes at least one of the tensors ``given``, by itself."""
    return [
        Part(tuple(ends(graph, [op], given)), tuple(outputs))
        for op in graph.ops
        if op.kind != "top.Input" and graph.sources(op)
        if (outputs := [name for name in results(op) if name in given])
    ]


def together(graph: Graph, parts: Iterable[Part]) -> Iterator[tuple[Part, Sequence[Part]]]:
    """Few parts that do what ``parts`` do, each with those it is made of: none reads what another makes."""
    groups: list[_Group] = []
    for part in parts:
        group = next((one for one in groups if one.takes(part)), None)
        if group is None:
            group = _Group(set(), {}, [])
            groups.append(group)
        group.read.update(part.inputs)
        group.made.update(dict.fromkeys(part.outputs))
        group.members.append(part)
    for group in groups:
        yield Part(tuple(n for n in graph.producers if n in group.read), tuple(group.made)), group.members


class _Group(NamedTuple):
    """Parts that run together: what they read and make."""

    read: set[str]
    made: dict[str, None]
    members: list[Part]

    def takes(self, part: Part) -> bool:
        """Whether ``part`` reads nothing of it and makes nothing that it reads."""
        return self.made.keys().isdisjoint(part.inputs) and self.read.isdisjoint(part.outputs)


def ends(graph: Graph, ops: Iterable[OpInfo], given: Collection[str]) -> list[str]:
    """The nearest tensors of ``given`` (and model inputs) that ``ops`` are computed from, in order."""
    return graph.behind((source for op in ops for source in graph.sources(op)), given)


def _ops_of(graph: Graph, name: str) -> list[OpInfo]:
    op = graph.producers.get(name)
    ops = [op] if op else [one for one in graph.ops if one.node == name]
    ops = [one for one in ops if one.kind != "top.Input"]
    if ops:
        return ops
    if op:
        raise InputError(f"{name}: expected a tensor that an operation computes, got a model input")
    if name in graph.weights:
        raise InputError(f"{name}: expected a tensor that an operation computes, got a constant")
    known = [*graph.producers, *(one.node for one in graph.ops)]
    raise InputError(unknown_name("tensor or node of the module", name, dict.fromkeys(known)))
