"""Which command is to blame for what was seen to be wrong.

A wrong load may read a right tensor, or a place that somebody has overwritten; a wrong result may come of a
wait that is missing. The run is repeated up to where the answer shows: the simulator does the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir._core import isa
from tpumlir.compare import EXACT, TensorResult, compare_tensor
from tpumlir.ir.graph import results
from tpumlir.road.divergence import classify
from tpumlir.verify.observe import Key, Moved, Replay, same_bits
from tpumlir.verify.result import Finding, Wrong

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel
    from tpumlir.bmodel.places import Home, Place
    from tpumlir.errors import DeviceFault
    from tpumlir.verify.observe import Observation
    from tpumlir.verify.reference import Reference

Array = npt.NDArray[Any]
_RACE = re.compile(r"that (tiu|gdma) command (\d+) \(")
_MOST_SEARCHED = 12  # for whose cause the run is repeated; what goes wrong later follows from the first ones
# Of several findings about one operation the one that says most is kept.
_ORDER = ("missing wait", "overwritten", "fault", "wrong constant")


class _Source(NamedTuple):
    """The operation behind a command."""

    op: str
    node: str
    result: str
    line: int


class Blame:
    """Makes findings of what an observation saw."""

    def __init__(self, seen: Observation, reference: Reference) -> None:
        self.seen, self.reference = seen, reference
        self._places = seen.places
        self._debug = seen.model.debug
        self._at = {key: position for position, key in enumerate(seen.order)}
        self._made = {key: number for number, key in enumerate(self._debug.order())}
        self._replay: Replay | None = None

    def findings(self, wrong: Sequence[Wrong]) -> list[Finding]:
        """All findings in the order of the commands, those that follow from others marked."""
        found = [*self._races(), *self._early(), *self._changed(), *self._moves(), *self._values(wrong)]
        found += self._ends()
        return list(_merged(found, self._unsure()))

    def _unsure(self) -> set[str]:
        """Results that may look wrong as a whole for an earlier cause only.

        Their operands differ from slice to slice, or have infinities or NaN, which integers do not have.
        """
        graph = self.reference.graph
        if graph is None:
            return set()
        odd = self.seen.torn | {name for name in self.seen.pieces if self._is_strange(name)}
        return {name for op in graph.ops if not odd.isdisjoint(graph.sources(op)) for name in results(op)}

    def _is_strange(self, name: str) -> bool:
        """Whether a tensor has infinities or NaN that the reference does not have."""
        value, want = self.seen.tensors[name], self.reference.values.get(name)
        if value.dtype.kind != "f" or np.isfinite(value).all():
            return False
        return want is None or bool(np.isfinite(want).all())

    # --- commands ------------------------------------------------------------------------

    def _source(self, key: Key) -> _Source:
        entry = self._debug.find(*key)
        return _Source(entry.op, entry.node, entry.tensor, entry.line) if entry else _Source("", "", "", 0)

    def _position(self, key: Key) -> int:
        if key[2] == 0:  # the start of its group
            return next((i for i, other in enumerate(self.seen.order) if other[0] == key[0]), 0)
        return self._at.get(key, len(self._at))

    def _finding(self, kind: str, key: Key, place: Place, detail: str, worst: str = "") -> Finding:
        """A finding about a command, seen in a place."""
        source = self._source(key)
        return Finding(
            kind, source.op or place.op, source.node or place.node, source.result or place.result,
            place.tensor, place.slice, place.memory, place.address, *key, self._position(key), detail, worst,
            source.line or place.line,
        )  # fmt: skip

    def _named(self, key: Key) -> str:
        source = self._source(key)
        at = f" of {source.op} @ {source.node}" if source.op else ""
        return f"{key[1]} command {key[2]}{at}"

    def _machine(self, position: int) -> Any:
        if self._replay is None:
            self._replay = Replay(self.seen.model, self.seen.inputs)
        return self._replay.to(position)

    def _last_of(self, place: Place) -> Key:
        return place.group, place.engine, place.command

    # --- waits ---------------------------------------------------------------------------

    def _races(self) -> Iterator[Finding]:
        """Two commands that nothing orders: the one that was made later should have waited."""
        for seen, kind in ((self.seen.race, "missing wait"), (self.seen.fault, "fault")):
            if seen is None:
                continue
            fault, position = seen
            order = self.seen.order
            row = order[min(position, len(order) - 1)] if order else (0, "tiu", 0)
            key: Key = (row[0], fault.engine or row[1], fault.command or row[2])
            text = " ".join(str(fault).split())
            other = _RACE.search(text)
            if kind == "missing wait" and other:
                first: Key = (key[0], other.group(1), int(other.group(2)))
                late, early = (first, key) if self._later(first, key) else (key, first)
                text = f"{self._named(late)} does not wait for {self._named(early)}: {_race_text(text)}"
                key = late
            place = self._place_of(key)
            yield self._finding(kind, key, place, text) if place else self._bare(kind, key, text, fault)

    def _later(self, a: Key, b: Key) -> bool:
        return self._made.get(a, -1) > self._made.get(b, -1)

    def _place_of(self, key: Key) -> Place | None:
        """The place that a command makes, or helps to make."""
        group, engine, command = key
        for place in self._places:
            if (place.group, place.engine) == (group, engine) and place.first <= command <= place.command:
                return place
        return None

    def _bare(self, kind: str, key: Key, detail: str, fault: DeviceFault) -> Finding:
        source = self._source(key)
        address = fault.address or 0
        return Finding(kind, source.op, source.node, source.result, source.result, 0, "", address, *key,
                       self._position(key), detail, "", source.line)  # fmt: skip

    def _early(self) -> Iterator[Finding]:
        for change in self.seen.early:
            place, reader = self._places[change.place], self._places[change.reader]
            key = (reader.group, reader.engine, reader.first)
            maker = self._named(self._last_of(place))
            detail = f"it reads {place.tensor} (slice {place.slice}) before {maker} has ended"
            yield self._finding("missing wait", key, reader, detail)

    # --- what does not stay --------------------------------------------------------------

    def _changed(self) -> Iterator[Finding]:
        for count, change in enumerate(self.seen.changed):
            place, reader = self._places[change.place], self._places[change.reader]
            if count < _MOST_SEARCHED:
                yield self._overwritten(change.place, change.position, reader, place)
            else:
                key = (reader.group, reader.engine, reader.first)
                detail = f"it reads {place.tensor} (slice {place.slice}), which is not what it was"
                yield replace(self._finding("overwritten", key, place, detail), is_consequence=True)

    def _overwritten(self, number: int, until: int, reader: Place | None, shown: Place) -> Finding:
        """Who wrote into a place between its completion and position ``until``."""
        place = self._places[number]
        key = self._writer(place, self.seen.done[number], until)
        then = (
            f", before {self._named((reader.group, reader.engine, reader.first))} reads it" if reader else ""
        )
        if key is None:
            key = self._last_of(place)
        detail = (
            f"{place.tensor} (slice {place.slice}) was right behind {self._named(self._last_of(place))}, "
            f"{self._named(key)} writes into it{then}"
        )
        return self._finding("overwritten", key, shown, detail)

    def _writer(self, place: Place, begin: int, until: int) -> Key | None:
        """The first command behind position ``begin`` that changes a place."""
        start = begin if place.command == 0 else begin + 1
        held = place.read(self._machine(start))
        for position in range(start, until):
            machine = self._machine(position + 1)
            if not same_bits(place.read(machine), held):
                return self.seen.order[position]
        return None

    # --- moves ---------------------------------------------------------------------------

    def _moves(self) -> Iterator[Finding]:
        broken: set[str] = set()
        for count, moved in enumerate(self.seen.moved):
            place = self._places[moved.place]
            if place.op == "top.Weight":
                yield self._constant(place, moved)
                broken.add(place.tensor)
                continue
            follows = place.tensor in broken or not self.seen.bad.isdisjoint(place.reads)
            if follows or count > _MOST_SEARCHED:
                yield replace(self._moved(place, moved), is_consequence=True)
                broken.add(place.tensor)
                continue
            if (
                place.tensor in self.seen.constants
                and place.kind == "loaded"
                and not self._is_home_right(place, moved)
            ):
                yield self._constant(place, moved)
                continue
            cause = self._cause(place, moved) if place.kind == "loaded" else None
            yield cause or self._moved(place, moved)
            if place.memory == "global":
                broken.add(place.tensor)

    def _moved(self, place: Place, moved: Moved) -> Finding:
        """The move itself is to blame."""
        want = np.broadcast_to(place.of(self.seen.tensors[place.tensor]), moved.got.shape)
        kind, detail, worst = _difference(place, moved.got, want)
        what = {"loaded": "loads", "stored": "stores", "computed": "turns"}[place.kind]
        return self._finding(
            kind, self._last_of(place), place, f"it {what} {place.tensor} wrong: {detail}", worst
        )

    def _constant(self, place: Place, moved: Moved) -> Finding:
        want = np.broadcast_to(place.of(self.seen.tensors[place.tensor]), moved.got.shape)
        _, detail, worst = _difference(place, moved.got, want)
        text = f"the constant {place.tensor} is not that of the module: {detail}"
        found = self._finding("wrong constant", self._last_of(place), place, text, worst)
        if place.op != "top.Weight":
            return found
        # Nothing has run yet: it belongs to whoever reads it.
        graph = self.reference.graph
        op = next(iter(graph.readers.get(place.tensor, ())), None) if graph else None
        if op is None:
            return found
        lines = [source.line for source in self._debug.sources if source.tensor == op.name]
        return replace(found, op=op.kind, node=op.node, result=op.name, line=lines[0] if lines else 0)

    def _is_home_right(self, place: Place, moved: Moved) -> bool:
        """Whether the file's constants are what the module has; those in images are told by a new compile."""
        home = self._debug.tensors.get(place.tensor)
        if home is not None and home.address is not None:
            return self._is_right(home, place, moved.position)
        made = self._made_anew
        if made is None or len(made.debug.places) != len(self._places):
            return True
        # Where stages share their weights these lie elsewhere, among others.
        return all(
            part in self.seen.model.coeff for part in _constants_of(made, made.debug.places[moved.place])
        )

    @cached_property
    def _made_anew(self) -> BModel | None:
        """What the module is compiled to; None without one."""
        return self.reference.module.compile() if self.reference.module else None

    def _is_right(self, home: Home, place: Place, position: int) -> bool:
        """Whether global memory holds the piece that a place takes from a tensor."""
        now = home.read(self._machine(position))
        return same_bits(place.of(now), place.of(self.seen.tensors[home.name]))

    def _cause(self, place: Place, moved: Moved) -> Finding | None:
        """Who spoiled what a load takes from global memory; None if that is right there."""
        return self._spoiled(place.tensor, moved.position, place)

    def _spoiled(self, tensor: str, position: int, reader: Place | None) -> Finding | None:
        """Who overwrote a tensor in global memory, or what it is a part of; None if it is right there."""
        home = self._debug.tensors.get(tensor)
        graph = self.reference.graph
        while (home is None or home.address is None) and graph and tensor in graph.producers:
            sources = graph.sources(graph.producers[tensor])
            if len(sources) != 1:
                return None
            tensor = sources[0]
            home = self._debug.tensors.get(tensor)
        if home is None or home.address is None or tensor not in self.seen.tensors:
            return None
        want, mask = self.seen.tensors[tensor], self.seen.masks[tensor]
        now = home.read(self._machine(position))
        if same_bits(now[mask], want[mask]):
            return None
        for number, place in enumerate(self._places):
            at = self.seen.done.get(number)
            if place.tensor != tensor or place.memory != "global" or at is None or at >= position:
                continue
            if same_bits(place.of(now), place.of(want)):
                continue
            if any(moved.place == number for moved in self.seen.moved):
                continue  # it was never right
            return self._overwritten(number, position, reader, place)
        return None

    # --- values --------------------------------------------------------------------------

    def _values(self, wrong: Iterable[Wrong]) -> Iterator[Finding]:
        for one in wrong:
            place = self._places[one.place]
            result = one.result
            worst = _worst(result)
            key = (place.group, place.engine, place.command)
            found = self._finding(one.kind, key, place, one.detail, worst)
            found = replace(found, position=one.position)
            if place.result in self.seen.spoiled:
                yield replace(found, is_consequence=True)
                continue
            cause = None
            if place.memory == "global" and not place.reads:
                cause = self._operand(place)
            if cause:
                yield cause
                found = replace(found, is_consequence=True)
            yield found

    def _operand(self, place: Place) -> Finding | None:
        """Who spoiled an operand of an operation that works in global memory, before it began."""
        graph = self.reference.graph
        op = graph.producers.get(place.tensor) if graph else None
        if graph is None or op is None:
            return None
        begin = self._at.get(
            (place.group, place.engine, place.first), self.seen.done.get(self._number(place), 0)
        )
        for name in graph.sources(op):
            found = self._spoiled(name, begin, place)
            if found:
                return found
        return None

    def _number(self, place: Place) -> int:
        return next(number for number, other in enumerate(self._places) if other is place)

    # --- the end -------------------------------------------------------------------------

    def _ends(self) -> Iterator[Finding]:
        """Outputs that do not stay what they were until the end."""
        if self.seen.fault:
            return
        for spec in self.seen.model.outputs:
            home = self._debug.tensors.get(spec.name)
            if home is None or home.address is None or spec.name not in self.seen.tensors:
                continue
            found = self._spoiled(spec.name, len(self.seen.order), None)
            if found:
                yield found


def _constants_of(model: BModel, place: Place) -> Iterator[bytes]:
    """The bytes of the constants that the commands of a place read."""
    begin, end = model.coeff_range
    for command in isa.decode("gdma", model.groups[place.group].gdma):
        if place.engine == "gdma" and place.first <= command.id <= place.command:
            for _, _, address, size in isa.global_accesses(command):
                if begin <= address < end and size is not None:
                    yield model.coeff[address - begin : address - begin + size]


def _difference(place: Place, got: Array, want: Array) -> tuple[str, str, str]:
    """Kind, facts and worst element of a piece that differs from what it was."""
    a, b = np.ascontiguousarray(got), np.ascontiguousarray(want)
    result = compare_tensor(place.tensor, a, b, tolerance=EXACT)
    kind, detail = classify(a, b, result, EXACT)
    wrong = int((a != b).sum())
    worst = ""
    if result.worst_index is not None and result.got is not None and result.want is not None:
        index = int(place.indices()[result.worst_index])
        at = [int(i) for i in np.unravel_index(index, place.shape)] if place.shape else []
        worst = f"{at}: got {result.got:.9g}, want {result.want:.9g}"
    if kind == "wrong values":
        detail = f"{wrong} of {a.size} elements are not what they were"
    return kind, detail, worst


def _worst(result: TensorResult) -> str:
    if result.worst_index is None or result.got is None or result.want is None:
        return ""
    return f"{list(result.worst_index)}: got {result.got:.9g}, want {result.want:.9g}"


def _race_text(text: str) -> str:
    """What a message says of the bytes."""
    found = re.search(r"race: (.*?) (?:\(|that)", text)
    return found.group(1) if found else text


def _merged(found: Iterable[Finding], unsure: set[str]) -> Iterator[Finding]:
    """One cause for each operation, the rest follows from it; in the order of the commands.

    ``unsure`` are results that may be wrong for an earlier cause only.
    """

    def rank(one: Finding) -> tuple[bool, int]:
        return one.is_consequence, _ORDER.index(one.kind) if one.kind in _ORDER else len(_ORDER)

    by_source: dict[tuple[str, str, str], list[Finding]] = {}
    for one in found:
        by_source.setdefault((one.op, one.node, one.result), []).append(one)
    result: list[Finding] = []
    for group in by_source.values():
        best = min(group, key=lambda one: (*rank(one), one.position))
        result.append(best)
        result += [replace(one, is_consequence=True) for one in group if one is not best]
    result.sort(key=lambda one: (one.position, one.is_consequence))
    # An output drifts if something is wrong on the way, too.
    explained = any(not one.is_consequence and one.kind != "drift" for one in result)
    cause = False
    for one in result:
        follows = explained if one.kind == "drift" else cause and one.tensor in unsure
        yield replace(one, is_consequence=True) if follows else one
        cause |= not one.is_consequence
