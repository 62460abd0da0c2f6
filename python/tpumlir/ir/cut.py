"""Parts of a module as modules of their own that run: to isolate an operation, or to split a model.

A cut of a Tpu module has the precision of that module; its inputs and outputs are float32 all the same, as
those of a whole one. A final module is addressed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tpumlir.errors import Diagnostic, InputError
from tpumlir.ir.graph import Graph, results
from tpumlir.ir.module import Module

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo


def between(module: Module, inputs: Sequence[str], outputs: Sequence[str]) -> Module:
    """The operations from the tensors ``inputs`` to the tensors ``outputs``.

    Raises: InputError: unknown names; a model input that ``outputs`` need and ``inputs`` do not cover; an
    input that no output needs; a tensor that is both.
    """
    graph = Graph(module)
    inputs, outputs = graph.check(inputs), graph.check(outputs)
    if not outputs:
        raise InputError("expected at least one output of the cut, got none")
    ends = graph.behind(outputs, inputs)
    wrong = [
        Diagnostic("expected an input or an output of the cut, got both", n) for n in inputs if n in outputs
    ]
    wrong += [
        Diagnostic("the outputs of the cut need this model input too: add it, or a tensor behind it", name)
        for name in ends
        if name not in inputs
    ]
    wrong += [
        Diagnostic("expected an input that an output of the cut needs", name)
        for name in inputs
        if name not in ends
    ]
    if wrong:
        raise InputError(*wrong)
    return Module(module.core.cut(inputs, outputs))


def backwards(module: Module, outputs: Sequence[str], count: int, *, inputs: Sequence[str] = ()) -> Module:
    """The operations at most ``count`` steps back from ``outputs``; ``inputs`` end the walk earlier.

    Every further tensor that these operations read is an input too. Raises: InputError: unknown names.
    """
    graph = Graph(module)
    inputs, outputs = graph.check(inputs), graph.check(outputs)
    taken: dict[OpInfo, None] = {}
    level = _before_casts(graph, outputs, inputs, taken)
    for _ in range(_positive(count)):
        ops = [graph.producers[name] for name in level if name not in inputs and not graph.is_input(name)]
        taken |= dict.fromkeys(ops)
        sources = [source for op in ops for source in graph.sources(op)]
        level = _before_casts(graph, sources, inputs, taken)
    return _closed(module, graph, taken, inputs, outputs)


def forwards(module: Module, inputs: Sequence[str], count: int, *, outputs: Sequence[str] = ()) -> Module:
    """The operations at most ``count`` steps on from ``inputs``.

    Its outputs are ``outputs``, or else every tensor that none of these operations reads, and the model
    outputs among them. Every further tensor that the operations read is an input too.
    Raises: InputError: unknown names; an output that is further away.
    """
    graph = Graph(module)
    inputs, outputs = graph.check(inputs), graph.check(outputs)
    taken: dict[OpInfo, None] = {}
    level = inputs
    for _ in range(_positive(count)):
        level = _behind_casts(graph, level, taken)
        ops = [op for name in level for op in graph.readers.get(name, ()) if not graph.is_precision_cast(op)]
        ops = [op for op in dict.fromkeys(ops) if op not in taken]
        taken |= dict.fromkeys(ops)
        level = [name for op in ops for name in results(op)]
    # A model output in half precision is the cast behind what computes it.
    casts = [op for name in level for op in graph.readers.get(name, ()) if graph.is_precision_cast(op)]
    taken |= dict.fromkeys(op for op in casts if not set(results(op)).isdisjoint(graph.outputs))
    _before_casts(graph, [source for op in taken for source in graph.sources(op)], inputs, taken)
    computed = [name for op in graph.ops if op in taken for name in results(op) if name not in inputs]
    far = [name for name in outputs if name not in computed]
    if far:
        message = f"expected an output at most {count} operations behind the inputs"
        raise InputError(*(Diagnostic(message, name) for name in far))
    read = {name for op in taken if not set(results(op)) <= set(inputs) for name in graph.sources(op)}
    ends = [name for name in computed if name not in read or name in graph.outputs]
    return _closed(module, graph, taken, inputs, outputs or ends)


def _before_casts(
    graph: Graph, names: Iterable[str], stops: Sequence[str], taken: dict[OpInfo, None]
) -> list[str]:
    """``names`` with what casts compute replaced by what they read; the casts are ``taken``, and no step."""
    reached: list[str] = []
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        op = graph.producers[name]
        if not graph.is_precision_cast(op) or name in stops:
            reached.append(name)
            continue
        taken[op] = None
        waiting += graph.sources(op)
    return list(dict.fromkeys(reached))


def _behind_casts(graph: Graph, names: Iterable[str], taken: dict[OpInfo, None]) -> list[str]:
    """``names`` and what casts make of them; the casts are ``taken``, and no step."""
    reached = dict.fromkeys(names)
    waiting = list(reached)
    while waiting:
        for op in graph.readers.get(waiting.pop(0), ()):
            if graph.is_precision_cast(op) and op not in taken:
                taken[op] = None
                reached |= dict.fromkeys(results(op))
                waiting += results(op)
    return list(reached)


def _closed(
    module: Module, graph: Graph, ops: Iterable[OpInfo], inputs: Sequence[str], outputs: Sequence[str]
) -> Module:
    """The cut of these operations, with every input that it takes and none that it does not."""
    ops = list(ops)
    if not ops:
        raise InputError("expected operations in the cut, got none")
    inside = {name for op in ops for name in results(op)} - set(inputs)
    stops = {name for op in ops for name in graph.sources(op)} - inside
    return between(module, graph.behind(outputs, stops), outputs)


def _positive(count: int) -> int:
    if count < 1:
        raise InputError(f"expected a number of operations of at least 1, got {count}")
    return count
