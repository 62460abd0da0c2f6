"""Who computes and who reads each tensor of a module: for cutting, for finding errors, for judging ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from tpumlir._core.precision import FLOAT_TYPES
from tpumlir.errors import InputError, unknown_name

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo
    from tpumlir.ir.module import Module


class Graph:
    """The operations of a module by the names of their tensors; constants are left out."""

    def __init__(self, module: Module) -> None:
        self.ops: list[OpInfo] = []
        self.weights: set[str] = set()
        self.producers: dict[str, OpInfo] = {}
        self.readers: dict[str, list[OpInfo]] = {}
        self.outputs = [spec.name for spec in module.outputs]
        for op in module.ops():
            if op.kind == "top.Weight":
                self.weights.add(op.name)
                continue
            self.ops.append(op)
            for result in op.results:
                self.producers[result.name] = op
            for name in operands(op):
                self.readers.setdefault(name, []).append(op)

    def is_input(self, name: str) -> bool:
        """Whether ``name`` is a model input."""
        return self.producers[name].kind == "top.Input"

    def is_precision_cast(self, op: OpInfo) -> bool:
        """Whether ``op`` casts between floats: it is not in the model, so no step and no name for a part."""
        if op.kind != "tpu.Cast":
            return False
        types = {r.dtype for name in self.sources(op) for r in self.producers[name].results if r.name == name}
        return types | {op.results[0].dtype} <= FLOAT_TYPES

    def sources(self, op: OpInfo) -> list[str]:
        """The tensors that ``op`` reads, constants left out, each once."""
        if op.kind == "top.Input":
            return []
        return [name for name in dict.fromkeys(operands(op)) if name in self.producers]

    def check(self, names: Iterable[str]) -> list[str]:
        """``names``, each once. Raises: InputError: names that no operation computes, with similar ones."""
        names = list(dict.fromkeys(names))
        unknown = [name for name in names if name not in self.producers]
        if unknown:
            known = [*self.producers, *self.weights]
            raise InputError(*(unknown_name("tensor of the module", name, known) for name in unknown))
        return names

    def needed(self, outputs: Iterable[str]) -> set[str]:
        """``outputs`` and all tensors that they depend on, constants left out."""
        found: set[str] = set()
        waiting = list(outputs)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.sources(self.producers[name])
        return found

    def computed_from(self, name: str) -> set[str]:
        """All tensors that depend on tensor ``name``, itself left out."""
        found = {name}
        for op in self.ops:  # in the order of the module
            if not found.isdisjoint(self.sources(op)):
                found.update(results(op))
        return found - {name}

    def behind(self, outputs: Iterable[str], stops: Collection[str]) -> list[str]:
        """Where a walk back from ``outputs`` ends: tensors of ``stops`` and model inputs, in order."""
        seen: set[str] = set()
        ends: set[str] = set()
        waiting = list(outputs)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in stops or self.is_input(name):
                ends.add(name)
            else:
                waiting += self.sources(self.producers[name])
        return [name for name in self.producers if name in ends]


def operands(op: OpInfo) -> list[str]:
    """The names of what ``op`` reads, absent operands left out."""
    return [name for name in op.operands if name]


def results(op: OpInfo) -> list[str]:
    """The names of what ``op`` computes, absent results left out."""
    return [result.name for result in op.results if result.name and result.dtype != "none"]
