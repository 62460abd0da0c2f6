"""The commands of a bmodel in the order in which the simulator runs them, and what each belongs to."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from tpumlir._core import isa
from tpumlir.bmodel.profile import node_of
from tpumlir.errors import Diagnostic, InputError, unknown_name

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel
    from tpumlir.bmodel.places import Place, Source

Positions = npt.NDArray[np.int64]
Unit = Literal["command", "slice", "op", "node"]
UNITS: tuple[Unit, ...] = get_args(Unit)
ENGINES = ("tiu", "gdma")


class CommandKey(NamedTuple):
    """A command: its group, engine and cmd_id."""

    group: int
    engine: str
    id: int

    def __str__(self) -> str:
        return f"{self.engine}:{self.id}"


class Program:
    """Commands by their position in the order; position ``total`` is behind the last one.

    ``groups`` are the layer groups of operations by the tensor they compute, as far as they are known.
    """

    def __init__(self, model: BModel, order: npt.NDArray[np.int64], groups: dict[str, int]) -> None:
        self.model = model
        self.order = order
        self.total = len(order)
        self.sources: Sequence[Source] = model.debug.sources
        self.places: Sequence[Place] = model.debug.places
        self.groups = groups
        self._position = {
            CommandKey(group, ENGINES[engine], number): row
            for row, (group, engine, number, _) in enumerate(order.tolist())
        }
        self._decoded: dict[tuple[int, str], list[isa.Command]] = {}
        self.source = np.full(self.total, -1, np.int64)
        for run in model.debug.commands:
            for number in range(run.first, run.last + 1):
                row = self._position.get(CommandKey(run.group, run.engine, number))
                if row is not None:
                    self.source[row] = run.source
        self.slice = np.full(self.total, -1, np.int64)
        self.ready: dict[int, list[Place]] = {}
        """The places that can be read first at a position."""
        for place in self.places:
            self._add(place)

    def _add(self, place: Place) -> None:
        for number in range(place.first, place.command + 1):
            row = self._position.get(CommandKey(place.group, place.engine, number))
            if row is not None:
                self.slice[row] = place.slice
        at = self.ready_at(place)
        if at is not None:
            self.ready.setdefault(at, []).append(place)

    def ready_at(self, place: Place) -> int | None:
        """The first position where a place can be read."""
        if place.command == 0:
            return self.start_of(place.group)
        row = self._position.get(CommandKey(place.group, place.engine, place.command))
        return None if row is None else row + 1

    def start_of(self, group: int) -> int:
        """The position of the first command of a command group."""
        return int(np.searchsorted(self.order[:, 0], group))

    # --- commands ------------------------------------------------------------------

    def key(self, position: int) -> CommandKey:
        """The command at a position."""
        group, engine, number, _ = self.order[position].tolist()
        return CommandKey(group, ENGINES[engine], number)

    def command(self, position: int) -> isa.Command:
        """The same, decoded."""
        group, engine, _, index = map(int, self.order[position])
        name = ENGINES[engine]
        if (group, name) not in self._decoded:
            self._decoded[group, name] = isa.decode(name, self._stream(group, name))
        return self._decoded[group, name][index]

    def encoded(self, position: int) -> bytes:
        """The bytes of the command at a position."""
        command = self.command(position)
        key = self.key(position)
        return self._stream(key.group, key.engine)[command.offset : command.offset + command.size]

    def _stream(self, group: int, engine: str) -> bytes:
        both = self.model.groups[group]
        return both.tiu if engine == "tiu" else both.gdma

    def position(self, engine: str, number: int, group: int = 0) -> int:
        """The position of a command. Raises: InputError: there is none of this id."""
        found = self._position.get(CommandKey(group, engine, number))
        if found is None:
            ids = [key.id for key in self._position if key[:2] == (group, engine)]
            have = f"ids up to {max(ids)}" if ids else "no such engine or group"
            raise InputError(f"expected a command of the program, got {engine}:{number} ({have})")
        return found

    def source_of(self, position: int) -> Source | None:
        """The operation that the command at a position is of, if that is known."""
        index = int(self.source[position]) if position < self.total else -1
        return None if index < 0 else self.sources[index]

    @cached_property
    def profile(self) -> Any:
        """The estimate of every command's time, by `CommandKey`: start and duration."""
        timed = isa.profile([(group.tiu, group.gdma) for group in self.model.groups])
        rows = zip(
            timed.group.tolist(), timed.engine.tolist(), timed.id.tolist(), timed.start.tolist(),
            timed.duration.tolist(), strict=True,
        )  # fmt: skip
        return {
            CommandKey(int(g), ENGINES[int(e)], int(i)): (int(start), int(length))
            for g, e, i, start, length in rows
        }

    # --- steps ----------------------------------------------------------------------

    def begins(self, unit: Unit) -> Positions:
        """Where a unit begins, in order: the first command of each slice of each operation, and the like.

        Without debug info each command is a unit of its own.
        """
        return self._begins[unit if self.sources else "command"]

    @cached_property
    def _begins(self) -> dict[str, Positions]:
        nodes: dict[str, int] = {}
        node = np.array([nodes.setdefault(node_of(s.node), len(nodes)) for s in self.sources] + [-1])
        group = np.array([self.groups.get(s.tensor, -2 - i) for i, s in enumerate(self.sources)] + [-1])
        of = {"op": self.source, "node": node[self.source], "slice": group[self.source]}
        found = {"command": np.arange(self.total)}
        for unit, keys in of.items():
            rows = np.stack([self.order[:, 0], keys, self.slice], axis=1)
            _, first = np.unique(rows, axis=0, return_index=True)
            found[unit] = np.sort(first)
        return found

    def last_of(self, position: int) -> int:
        """The position behind the last command of this operation and slice."""
        if not self.sources:
            return position + 1
        same = self.source == self.source[position]
        same &= (self.slice == self.slice[position]) & (self.order[:, 0] == self.order[position, 0])
        return int(np.flatnonzero(same)[-1]) + 1

    # --- names ------------------------------------------------------------------------

    def where_op(self, name: str) -> Positions:
        """Where operations begin that are of a kind or compute a tensor; ``*`` stands for anything.

        Raises: InputError: there is none.
        """
        kinds = {s.op for s in self.sources}
        known = sorted(
            kinds | {kind.removeprefix("tpu.") for kind in kinds} | {s.tensor for s in self.sources}
        )
        return self._where("operation", name, known, lambda s: (s.op, s.op.removeprefix("tpu."), s.tensor))

    def where_node(self, name: str) -> Positions:
        """Where what was made of an ONNX node begins. Raises: InputError: there is none."""
        known = list(dict.fromkeys(node_of(s.node) for s in self.sources))
        return self._where("node", name, known, lambda s: (s.node, node_of(s.node)))

    def _where(
        self, what: str, name: str, known: Iterable[str], names: Callable[[Source], Sequence[str]]
    ) -> Positions:
        self._need_names(what)
        pattern = any(c in name for c in "*?")
        chosen = [
            index
            for index, source in enumerate(self.sources)
            if any(fnmatch.fnmatchcase(n, name) if pattern else n == name for n in names(source))
        ]
        if not chosen:
            raise InputError(unknown_name(f"{what} of the program", name, known))
        begins = self.begins("op")
        return begins[np.isin(self.source[begins], chosen)]

    def where_group(self, number: int) -> Positions:
        """Where a layer group begins. Raises: InputError: there is none of this number."""
        self._need_names("layer group")
        if not self.groups:
            raise InputError(
                f"expected layer group {number}, got a program without groups"
                if any(source.text for source in self.sources)
                else "expected to know the layer groups, got no module: put NAME_final.mlir beside the bmodel"
            )
        found = self._of_groups([number])
        if not len(found):
            known = sorted(set(self.groups.values()))
            raise InputError(f"expected a layer group of {known[0]} to {known[-1]}, got {number}")
        return found[:1]

    def where_slice(self, number: int, group: int | None = None) -> Positions:
        """Where a slice begins: of a layer group, or of all. Raises: InputError: there is none."""
        self._need_names("slice")
        begins = self.begins("slice")
        if group is not None:
            self.where_group(group)
            begins = np.intersect1d(begins, self._of_groups([group]))
        found: Positions = begins[self.slice[begins] == number]
        if not len(found):
            most = int(self.slice[begins].max(initial=-1))
            raise InputError(f"expected a slice of 0 to {most}, got {number}")
        return found

    def _of_groups(self, numbers: Sequence[int]) -> Positions:
        chosen = [i for i, s in enumerate(self.sources) if self.groups.get(s.tensor) in numbers]
        return np.flatnonzero(np.isin(self.source, chosen))

    def where_tensor(self, name: str) -> Positions:
        """Where pieces of a tensor have just been computed, stored or (if nothing else) loaded.

        Raises: InputError: there is no place of this name.
        """
        self._need_names("tensor")
        pieces = self.pieces(name)
        made = [place for place in pieces if place.kind != "loaded"] or pieces
        found = {self.ready_at(place) for place in made} - {None}
        return np.array(sorted(at for at in found if at is not None), np.int64)

    def pieces(self, name: str) -> list[Place]:
        """The places of a tensor. Raises: InputError: there is none."""
        found = self._pieces.get(name)
        if found is None:
            raise InputError(unknown_name("tensor of the program", name, self.tensor_names()))
        return found

    @property
    def named(self) -> Collection[str]:
        """The tensors that have places."""
        return self._pieces.keys()

    @cached_property
    def _pieces(self) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for place in self.places:
            found.setdefault(place.tensor, []).append(place)
        return found

    def tensor_names(self) -> list[str]:
        """Everything that has a place in memory, in the order in which it comes there."""
        own = [spec.name for spec in (*self.model.inputs, *self.model.outputs)]
        return list(dict.fromkeys([*self._pieces, *self.model.debug.tensors, *own]))

    def _need_names(self, what: str) -> None:
        if not self.sources:
            path = self.model.path
            raise InputError(
                Diagnostic(
                    f"expected to know the {what} of commands, got no debug info ({path.name}.json) of this "
                    "bmodel: break at a command or at an address"
                )
            )
