"""A bmodel runs on the simulated chip, and every piece of a tensor is read as soon as it is there.

What is computed is kept, to be judged. What is only moved has to stay what it was, bit for bit: a load, a
store, and what lies in memory until somebody reads it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir._core import device
from tpumlir.errors import DeviceFault
from tpumlir.ir.graph import results
from tpumlir.verify.reference import chip_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tpumlir.bmodel import BModel
    from tpumlir.bmodel.places import Place
    from tpumlir.verify.reference import Reference

Array = npt.NDArray[Any]
Key = tuple[int, str, int]
_ENGINES = ("tiu", "gdma")


class Replay:
    """A run of the bmodel that can be taken to any position; it begins anew where it has to."""

    def __init__(self, model: BModel, inputs: Mapping[str, Array]) -> None:
        self._model, self._inputs = model, inputs
        self._streams = [(group.tiu, group.gdma) for group in model.groups]
        self._start()

    def _start(self) -> None:
        self.machine = self._model.load(self._inputs, allow_nan=True)
        self._execution = device.Execution(self.machine, self._streams)

    def to(self, position: int) -> device.Machine:
        """The chip before the command at a position."""
        if position < self._execution.position:
            self._start()
        self._execution.step(position - self._execution.position)
        return self.machine


class Moved(NamedTuple):
    """A piece that was moved and is not what it was: a place, when, and what it is."""

    place: int
    position: int
    got: Array


class Changed(NamedTuple):
    """A piece that is read and is no longer what it was when it came; or that is not there yet."""

    place: int
    reader: int
    position: int


class Observation:
    """All that was read. ``tensors`` is what was computed, ``masks`` which elements of it."""

    def __init__(self, model: BModel, reference: Reference) -> None:
        self.model, self.reference = model, reference
        self.places: Sequence[Place] = model.debug.places
        homes = model.debug.tensors
        # Places that say nothing: of two tensors of one name only that which the name finds can be compared.
        self._other = {
            number for number, place in enumerate(self.places) if place.shape != homes[place.tensor].shape
        }
        self.inputs = chip_inputs(model, reference.inputs)
        self.tensors: dict[str, Array] = {}
        self.masks: dict[str, Array] = {}
        self.pieces: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """Of what was computed: places and positions."""
        self.constants: set[str] = set()
        self.moved: list[Moved] = []
        self.changed: list[Changed] = []
        self.early: list[Changed] = []
        self.spoiled: set[str] = set()
        """Results of operations that read something wrong."""
        self.race: tuple[DeviceFault, int] | None = None
        self.fault: tuple[DeviceFault, int] | None = None
        self.done: dict[int, int] = {}
        """Places that were read, and when."""
        self.ran = 0
        self.order: list[Key] = []
        self._held: dict[int, Array] = {}
        self.bad: set[int] = set()
        """Places that do not have what they should."""
        self.torn: set[str] = set()
        """Tensors that slices have computed differently where they overlap."""
        self._readers = np.zeros(len(self.places), np.int64)
        for place in self.places:
            for read in place.reads:
                self._readers[read] += 1
        self._waiting: dict[int, list[int]] = {}
        graph = reference.graph
        if graph:  # where stages share their weights, what nothing reads is not kept
            needed = graph.readers.keys() | set(graph.outputs)
            self._other |= {
                number
                for number, place in enumerate(self.places)
                if place.op == "top.Weight" and place.tensor not in needed
            }
        self._makers = {name: op.name for op in graph.ops for name in results(op)} if graph else {}
        for home in model.debug.tensors.values():
            value = reference.constant(home)
            if value is not None:
                self.constants.add(home.name)
                self.tensors[home.name] = value
                self.masks[home.name] = np.ones(home.shape, bool)

    # --- the run -------------------------------------------------------------------------

    def run(self, tick: Callable[[int, int], None] | None = None) -> None:
        """Run the bmodel and read all pieces; ``tick`` is told how far it is."""
        streams = [(group.tiu, group.gdma) for group in self.model.groups]
        machine = self.model.load(self.inputs, allow_nan=True)

        def label(group: int, engine: str, command: int) -> str | None:
            entry = self.model.debug.find(group, engine, command)
            return entry and (f"{entry.op} @ {entry.node}" if entry.node else entry.op)

        execution = device.Execution(machine, streams, detect_races=True, labels=label)
        self.order = [
            (group, _ENGINES[engine], command) for group, engine, command, _ in execution.order.tolist()
        ]
        before, after = self._events()
        # A race does not end the run: what came of it is looked at too, without the detector.
        for position in sorted({*before, *after}):
            while execution.position < position:
                execution, machine = self._step(execution, machine, position - execution.position)
                if self.fault:
                    return
            for place in before.get(position, ()):
                self._reads(machine, place, position)
            if position < len(self.order) and position in after:
                execution, machine = self._step(execution, machine, position + 1 - execution.position)
                if self.fault:
                    return
            for place in after.get(position, ()):
                self._is_there(machine, place, position)
            if tick:
                tick(position, len(self.order))
        while execution.position < execution.total and not self.fault:
            execution, machine = self._step(execution, machine, execution.total - execution.position)
        if not self.fault:  # streams that wait for each other end their order early
            execution, machine = self._step(execution, machine, 1)
        self.machine = machine

    def _step(
        self, execution: device.Execution, machine: device.Machine, count: int
    ) -> tuple[device.Execution, device.Machine]:
        end = execution.position + count
        try:
            execution.step(count)
        except DeviceFault as fault:
            if "race: " not in str(fault) or self.race:
                self.fault = fault, execution.position
                self.ran = execution.position
                self.machine = machine
                return execution, machine
            self.race = fault, execution.position
            machine = self.model.load(self.inputs, allow_nan=True)
            execution = device.Execution(machine, [(group.tiu, group.gdma) for group in self.model.groups])
            return self._step(execution, machine, end)
        self.ran = execution.position
        return execution, machine

    def _events(self) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """Places by the position before which their commands begin, and behind which they are there."""
        at = {key: position for position, key in enumerate(self.order)}
        starts: dict[int, int] = {}
        for position, (group, _, _) in enumerate(self.order):
            starts.setdefault(group, position)
        before: dict[int, list[int]] = defaultdict(list)
        after: dict[int, list[int]] = defaultdict(list)
        for number, place in enumerate(self.places):
            if place.command == 0:
                if place.group in starts:
                    before[starts[place.group]].append(-1 - number)
            else:
                last = at.get((place.group, place.engine, place.command))
                if last is not None:
                    after[last].append(number)
            first = at.get((place.group, place.engine, place.first))
            # What ends before its group begins has read all that it reads, too.
            if place.reads and first is not None and place.first <= place.command:
                before[first].append(number)
        return before, after

    # --- pieces --------------------------------------------------------------------------

    def _reads(self, machine: device.Machine, number: int, position: int) -> None:
        """The commands of a place begin: what they read must still be what it was."""
        if number < 0:  # it was there from the start
            self._is_there(machine, -1 - number, position)
            return
        self._waiting[number] = list(self._not_checked(machine, number, position, self.places[number].reads))

    def _not_checked(
        self, machine: device.Machine, number: int, position: int, reads: Iterable[int]
    ) -> Iterator[int]:
        """Check what is there of ``reads``; gives the others."""
        for read in reads:
            if read not in self.done:
                yield read
            elif not same_bits(self.places[read].read(machine), self._held[read]):
                self.changed.append(Changed(read, number, position))
                self.bad.add(read)

    def _is_there(self, machine: device.Machine, number: int, position: int) -> None:
        """The commands of a place have ended."""
        place = self.places[number]
        waiting = self._waiting.pop(number, list(place.reads))
        # A kernel may begin before all of its constants are there; behind it they were.
        for read in self._not_checked(machine, number, position, waiting):
            self.early.append(Changed(read, number, position))
            self.bad.add(read)
        if not self.bad.isdisjoint(place.reads):
            self.spoiled.add(place.result)
        for read in place.reads:
            self._readers[read] -= 1
            if not self._readers[read]:
                self._held.pop(read, None)
        got = place.read(machine)
        if self._readers[number]:
            self._held[number] = got
        self.done[number] = position
        if number in self._other:
            return
        if self._is_moved(place):
            if not same_bits(got, np.broadcast_to(place.of(self.tensors[place.tensor]), got.shape)):
                self.moved.append(Moved(number, position, got))
                self.bad.add(number)
                if place.kind == "loaded":
                    self.spoiled.add(place.result)
            return
        self._keep(place, got)
        self.pieces[place.tensor].append((number, position))

    def _is_moved(self, place: Place) -> bool:
        """Whether its values were there before, in another place."""
        if place.tensor not in self.masks:
            return False
        computed = place.kind == "computed" and self._makers.get(place.tensor, place.result) == place.result
        return not computed and bool(place.of(self.masks[place.tensor]).all())

    def _keep(self, place: Place, got: Array) -> None:
        if place.tensor not in self.tensors:
            self.tensors[place.tensor] = np.zeros(place.shape, got.dtype)
            self.masks[place.tensor] = np.zeros(place.shape, bool)
        known = place.of(self.masks[place.tensor])
        if known.any() and not same_bits(got[known], place.of(self.tensors[place.tensor])[known]):
            self.torn.add(place.tensor)
        place.put(self.tensors[place.tensor], got)
        place.put(self.masks[place.tensor], np.ones(1, bool))


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays of one type are equal bit for bit, NaN too."""
    if a.dtype != b.dtype:
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    bits = np.dtype(f"u{a.dtype.itemsize}")
    return bool((np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)).all())
