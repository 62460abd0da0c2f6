"""Programs in several command groups: finished ones whose commands are parted, as ids of 20 bits ask for."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tpumlir._core import isa
from tpumlir.bmodel import BModel, CommandGroup, DebugInfo
from tpumlir.bmodel.debug import DebugEntry
from tpumlir.bmodel.places import PlaceTables

_ENGINES = ("tiu", "gdma")


def split(model: BModel, parts: int) -> BModel:
    """The program of one command group in ``parts`` of about as many commands, in the order of their making.

    As code generation does it where the ids end: each group counts from 1 and waits for none of another.
    """
    count = len(model.debug)
    return split_at(model, [count * part // parts for part in range(1, parts)])


def split_at(model: BModel, cuts: Sequence[int]) -> BModel:
    """The program of one command group, parted before the commands ``cuts`` (numbers in order of making)."""
    (whole,) = model.groups
    parts = _Parts(model, cuts)
    tiu, gdma = parts.streams("tiu", whole.tiu), parts.streams("gdma", whole.gdma)
    entries = [
        DebugEntry(engine, parts.id(engine, command), source.op, source.node, parts.of[engine, command],
                   source.tensor, source.line)
        for run in model.debug.commands
        for engine, source in [(run.engine, model.debug.sources[run.source])]
        for command in range(run.first, run.last + 1)
    ]  # fmt: skip
    known = DebugInfo(entries)
    numbers = {source: number for number, source in enumerate(known.sources)}
    sources = [*known.sources, *(s for s in model.debug.sources if s not in numbers)]
    numbers = {source: number for number, source in enumerate(sources)}
    tables = model.debug.tables
    rows = [parts.row(row, numbers[model.debug.sources[row[4]]]) for row in tables.rows]
    debug = DebugInfo.of(sources, known.commands, PlaceTables(tables.tensors, tables.layouts, rows))
    groups = tuple(CommandGroup(*a, *b) for a, b in zip(tiu, gdma, strict=True))
    return dataclasses.replace(model, groups=groups, debug=debug)


class _Parts:
    """Which group each command is in, and what its number is there."""

    def __init__(self, model: BModel, cuts: Sequence[int]) -> None:
        order = list(model.debug.order())
        self.count = len(cuts) + 1
        self.of = {(engine, command): bisect_right(cuts, i) for i, (_, engine, command) in enumerate(order)}
        self._sizes = Counter((group, engine) for (engine, _), group in self.of.items())

    def _before(self, group: int, engine: str) -> int:
        return sum(self._sizes[earlier, engine] for earlier in range(group))

    def id(self, engine: str, command: int) -> int:
        """The number of a command in its group."""
        return command - self._before(self.of[engine, command], engine)

    def streams(self, engine: str, data: bytes) -> list[tuple[bytes, int]]:
        """The commands of an engine by groups, each with its end, and how many they are."""
        other = _ENGINES[1 - _ENGINES.index(engine)]
        found = [bytearray() for _ in range(self.count)]
        *commands, end = isa.decode(engine, data)
        for command in commands:
            group = self.of[engine, command.id]
            waits = max(command.fields.get("cmd_id_dep", 0) - self._before(group, other), 0)
            changed = {"cmd_id": self.id(engine, command.id), "cmd_id_dep": waits}
            found[group] += isa.encode(command.instruction, command.fields | changed)
        sizes = [self._sizes[group, engine] + 1 for group in range(self.count)]
        ends = [isa.encode(end.instruction, end.fields | {"cmd_id": size}) for size in sizes]
        return [(bytes(a + b), size) for a, b, size in zip(found, ends, sizes, strict=True)]

    def row(self, row: Sequence[Any], source: int) -> list[Any]:
        """A place: it comes in the group of its last command, which counts none of what came before."""
        _, number, first, last, _, *rest = row
        engine = _ENGINES[number]
        group = self.of[engine, last] if last else 0
        begins = self.of.get((engine, first), group) == group
        offset = self._before(group, engine) if last else 0
        return [group, number, first - offset if begins else 1, last - offset, source, *rest]
