"""What the time of a bmodel goes into: estimated cycles, by operation, ONNX node and kind of command.

The cycles are those of the vendor's estimator (docs/profiling.md): they rank programs, they are no
measurement of silicon.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tpumlir._core import isa
from tpumlir.bmodel.model import BModel

CLOCK = 1_000_000_000
"""Cycles per second."""
BOUNDS = ("compute", "load", "store", "wait")
_COMPUTE, _LOAD, _STORE, _COPY = range(4)
_STALLED = 0.2
"""With more than this part of the time spent by its busier engine on waiting, waiting is what binds."""

Counts = npt.NDArray[np.float64]
_T = TypeVar("_T")


class Sums(NamedTuple):
    """Some commands added up. ``load`` and ``store`` are parts of ``gdma``; a copy is half of each.

    ``cycles`` is their part of the program's time: all of the time in which one engine works alone, half of
    the time in which both do. The parts of all commands add up to the time of the program.
    """

    commands: int
    cycles: float
    tiu: int
    gdma: int
    load: int
    store: int
    read: int
    """Bytes out of DDR."""
    written: int
    products: int
    """Multiply-adds of convolutions and products of matrices."""
    peak_cycles: float
    """What these would take if all multipliers worked all the time."""

    @property
    def wait(self) -> int:
        """The part of the time in which not even the busier engine worked."""
        return max(0, round(self.cycles) - max(self.tiu, self.gdma))

    @property
    def bound(self) -> str:
        """What the time goes into: one of BOUNDS, or nothing where nothing costs time."""
        if not (self.cycles or self.tiu or self.gdma):
            return ""
        if self.wait > _STALLED * self.cycles:
            return "wait"
        if self.tiu >= self.gdma:
            return "compute"
        return "load" if self.load >= self.store else "store"

    @property
    def utilisation(self) -> float:
        """How much of the multipliers' capacity is used, 0 to 1."""
        return self.peak_cycles / max(self.cycles, self.tiu, 1)

    def to_json(self) -> dict[str, object]:
        """Everything, under the names that --json has."""
        return {
            "commands": self.commands,
            "cycles": round(self.cycles, 1),
            "tiu_busy": self.tiu,
            "gdma_busy": self.gdma,
            "load": self.load,
            "store": self.store,
            "wait": self.wait,
            "bound": self.bound,
            "ddr_read": self.read,
            "ddr_written": self.written,
            "multiply_adds": self.products,
            "utilisation": round(self.utilisation, 6),
        }


class Row(NamedTuple):
    """The sums of one operation, ONNX node or kind of command; ``op`` is empty for a node."""

    op: str
    node: str
    sums: Sums

    @property
    def label(self) -> str:
        """How a table calls it."""
        return " ".join(part for part in (self.op, self.node) if part) or "(unknown)"

    def to_json(self) -> dict[str, object]:
        """Names and sums."""
        return {"op": self.op, "node": self.node, **self.sums.to_json()}


@dataclass(frozen=True)
class Profile:
    """The timed commands of a bmodel, and where each comes from.

    ``sources`` are operations with their nodes; ``source`` is the index of each command's, or -1.
    """

    name: str
    commands: isa.Profile
    sources: tuple[tuple[str, str], ...]
    source: npt.NDArray[np.int64] = field(repr=False)

    @property
    def cycles(self) -> int:
        """Of the whole program."""
        return self.commands.cycles

    @property
    def seconds(self) -> float:
        """The same at the clock of the chip."""
        return self.cycles / CLOCK

    @cached_property
    def total(self) -> Sums:
        """All commands."""
        every = np.zeros(len(self.source), np.int64)
        return self._added(every, 1)[0]

    @property
    def unknown(self) -> int:
        """Commands of which no cost is known; they count as nothing."""
        return int(np.count_nonzero(self.commands.known == 0))

    @cached_property
    def ops(self) -> list[Row]:
        """Each operation of the Tpu module, the most expensive first; empty without debug info."""
        if not self.sources:
            return []
        names = [*self.sources, ("", "")]
        keys = np.where(self.source < 0, len(self.sources), self.source)
        return _sorted(Row(op, node, sums) for (op, node), sums in self._rows(names, keys))

    @cached_property
    def nodes(self) -> list[Row]:
        """Each ONNX node, with all that was made of it, the most expensive first."""
        if not self.sources:
            return []
        index: dict[str, int] = {}
        of_source = [index.setdefault(node_of(node), len(index)) for _, node in self.sources]
        rest = index.setdefault("", len(index))
        keys = np.array([*of_source, rest], np.int64)[self.source]
        return _sorted(Row("", node, sums) for node, sums in self._rows(list(index), keys))

    @cached_property
    def kinds(self) -> list[Row]:
        """Each kind of command, the most expensive first."""
        keys = self.commands.op.astype(np.int64)
        return _sorted(Row(name, "", sums) for name, sums in self._rows(self.commands.ops, keys))

    def _rows(self, names: Sequence[_T], keys: npt.NDArray[np.int64]) -> Iterable[tuple[_T, Sums]]:
        sums = self._added(keys, len(names))
        return ((name, part) for name, part in zip(names, sums, strict=True) if part.commands)

    def _added(self, keys: npt.NDArray[np.int64], count: int) -> list[Sums]:
        """Sums of the commands with each key below ``count``."""
        c = self.commands
        duration = c.duration.astype(np.float64)
        halves = np.where(c.work == _COPY, duration / 2, 0.0)
        ends = np.isin(c.work, (_COMPUTE, _LOAD, _STORE, _COPY))

        def add(values: npt.NDArray[np.generic]) -> Counts:
            return np.asarray(np.bincount(keys, values.astype(np.float64), count), np.float64)

        whole = np.stack([
            add(ends), add(duration * (c.engine == 0)), add(duration * (c.engine == 1)),
            add(duration * (c.work == _LOAD) + halves), add(duration * (c.work == _STORE) + halves),
            add(c.read), add(c.written), add(c.products),
        ])  # fmt: skip
        fractions = (add(c.share).tolist(), add(c.peak_cycles).tolist())
        parts = zip(whole.T.astype(np.int64).tolist(), *fractions, strict=True)
        return [
            Sums(commands, cycles, tiu, gdma, load, store, read, written, products, peak)
            for (commands, tiu, gdma, load, store, read, written, products), cycles, peak in parts
        ]

    def summary(self) -> str:
        """The whole in one line."""
        total = self.total
        busy = f"TIU busy {share(total.tiu, self.cycles)}, GDMA busy {share(total.gdma, self.cycles)}"
        missing = f"; {self.unknown} commands of unknown cost" if self.unknown else ""
        return (
            f"estimated {self.cycles:,} cycles ({self.seconds * 1e3:.3g} ms), "
            f"bound by {total.bound or 'nothing'}: {busy}, multipliers {total.utilisation:.0%}{missing}"
        )

    def total_json(self) -> dict[str, object]:
        """The whole, without its parts."""
        return {
            **self.total.to_json(),
            "cycles": self.cycles,
            "milliseconds": round(self.seconds * 1e3, 6),
            "both_busy": self.commands.both_busy,
            "unknown_commands": self.unknown,
        }

    def to_json(self) -> dict[str, object]:
        """What ``tpumlir profile --json`` prints."""
        return {
            "model": self.name,
            **self.total_json(),
            "ops": [row.to_json() for row in self.ops],
            "nodes": [row.to_json() for row in self.nodes],
            "kinds": [row.to_json() for row in self.kinds],
        }


def share(part: float, whole: float) -> str:
    """A part in percent."""
    return f"{part / whole:.0%}" if whole else "0%"


def node_of(name: str) -> str:
    """The ONNX node behind the name of a derived tensor: ``y`` of ``y::sum``."""
    return name.partition("::")[0]


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-row.sums.cycles, row.op, row.node))


def profile(model: BModel, *, names: bool = True) -> Profile:
    """Time the commands of a bmodel, whoever made it; without ``names`` only in all and by kind of command.

    Raises: DecodeError: bytes that are no instruction; BModelError: a command that waits for ever.
    """
    commands = isa.profile([(group.tiu, group.gdma) for group in model.groups])
    sources: dict[tuple[str, str], int] = {}
    source = np.full(len(commands.id), -1, np.int64)
    if names and len(model.debug):
        places = zip(commands.group.tolist(), commands.engine.tolist(), commands.id.tolist(), strict=True)
        for row, (group, engine, command) in enumerate(places):
            entry = model.debug.find(group, ("tiu", "gdma")[engine], command)
            if entry:
                source[row] = sources.setdefault((entry.op, entry.node), len(sources))
    return Profile(model.name, commands, tuple(sources), source)
