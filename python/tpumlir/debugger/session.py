"""A bmodel on the simulated chip under a debugger: stops, steps, the way back, and a look at memory.

The simulator is deterministic and the order of commands is known ahead, so most breakpoints are positions in
that order; the others are found by what a command has done. The way back is the simulator's own
(`tpumlir._core.device.Execution`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir import bmodel
from tpumlir._core import isa
from tpumlir._core.device import Execution
from tpumlir.compare import ElementBound, TensorResult, Tolerance
from tpumlir.debugger.breakpoints import Breakpoint, Stop
from tpumlir.debugger.memory import DTYPES, View, read_ranges, to_numbers
from tpumlir.debugger.program import CommandKey, Positions, Program, Unit
from tpumlir.debugger.tensors import Found, Judge, Piece, Tensors, real
from tpumlir.debugger.text import TpuText, groups_of
from tpumlir.debugger.trace import Ranges, Touched, Trace
from tpumlir.errors import DeviceFault, InputError, unknown_name
from tpumlir.verify import Finding, Reference, verify

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel, PlacedTensor
    from tpumlir.bmodel.places import Place, Scale
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
HISTORY = 1 << 28
"""Bytes that may be kept for going back, unless a session is given another number."""
_AT_ONCE = 256
"""Commands that run without a look at anything else."""
Access = Literal["read", "write", "access"]


class Where(NamedTuple):
    """What the command at a position belongs to; empty, -1 or 0 is what is not known."""

    position: int
    total: int
    command: CommandKey | None
    name: str
    op: str
    node: str
    tensor: str
    layer_group: int
    slice: int
    line: int
    text: str


@dataclass(frozen=True)
class Options:
    """How a session runs a bmodel and judges it.

    ``tpu_text`` is the final module that the bmodel was made of; without it the one beside the file is taken.
    ``module`` is the same, or what reads it when it is needed: to compare, and to cut operations out.
    ``tolerance`` and ``bound`` are how far the chip may be off a reference, ``history`` the bytes that may be
    kept for going back. ``net`` and ``stage`` choose in a bmodel with several.
    """

    tpu_text: str | Path | None = None
    module: Module | Callable[[], Module] | None = None
    tolerance: Tolerance | None = None
    bound: ElementBound | None = None
    allow_nan: bool = False
    history: int = HISTORY
    threads: int = 0
    net: str | None = None
    stage: int | None = None


class Session:
    """A bmodel in execution. It begins before the first command."""

    def __init__(
        self,
        model: BModel | str | Path,
        inputs: Mapping[str, Array],
        reference: Mapping[str, Array] | None = None,
        options: Options | None = None,
    ) -> None:
        """Load a bmodel and its inputs, as the bmodel stores them, into a chip.

        ``reference`` has tensors to compare with, by name, as `model_runner --dump_all_tensors` writes them;
        without it they are what the interpreter makes of the module, if there is one.

        Raises: BModelError, InputError: what does not fit. OSError.
        """
        self._options = options = options or Options()
        whole = model if isinstance(model, bmodel.BModel) else bmodel.read(model)
        self.model = whole.only(options.net, options.stage)
        self._inputs = dict(inputs)
        self._given = None if reference is None else dict(reference)
        self._findings: Sequence[Finding] | None = None
        self.text = self._read_text(options.tpu_text)
        self.machine = self.model.load(inputs, allow_nan=options.allow_nan)
        self._execution = Execution(
            self.machine,
            [(group.tiu, group.gdma) for group in self.model.groups],
            detect_races=True,
            threads=options.threads,
            labels=self._label,
            history=max(1, options.history),
        )
        groups = groups_of(self.model.debug.sources, self.text)
        self.program = Program(self.model, self._execution.order, groups)
        self.trace = Trace()
        self._tensors = Tensors(self.program, self.machine, self.trace)
        self._judge = Judge.of(self.model, options.tolerance, options.bound)
        self.breakpoints: dict[int, Breakpoint] = {}
        self._numbers = 0

    def _read_text(self, given: str | Path | None) -> TpuText | None:
        path = Path(given) if given else TpuText.beside(self.model.path, self._options.stage)
        if path is None:
            return None
        try:
            return TpuText.read(path, self.model.debug.sources)
        except (InputError, OSError):
            if given:
                raise
            return None  # of another build: what lies there by chance is nothing to complain about

    @cached_property
    def module(self) -> Module | None:
        """The Tpu module that the bmodel was made of, if it is known. Raises: TpumlirError: not readable."""
        given = self._options.module
        return given() if callable(given) else given

    @property
    def has_reference(self) -> bool:
        """Whether there is something to compare with."""
        return self._given is not None or self._options.module is not None

    @cached_property
    def source(self) -> Reference:
        """What the chip is compared with. Raises: InputError: there is nothing."""
        if not self.has_reference:
            raise InputError(
                "expected a reference to compare with, got none (--reference tensors.npz, or --mlir of the "
                "Tpu module)"
            )
        inputs = {spec.name: spec.numbers(self._inputs[spec.name]) for spec in self.model.inputs}
        if self.module is None:
            return Reference(inputs, self._given or {}, None, "the reference")
        return Reference.of(self.module, inputs, self._given)

    @property
    def reference(self) -> Mapping[str, Array]:
        """The tensors to compare with. Raises: InputError: there are none."""
        return self.source.values

    def _label(self, group: int, engine: str, command: int) -> str | None:
        entry = self.model.debug.find(group, engine, command)
        if entry is None:
            return None
        return f"{entry.op} @ {entry.node}" if entry.node else entry.op

    # --- position --------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Commands that have run."""
        return self._execution.position

    @property
    def total(self) -> int:
        """Commands that can run."""
        return self.program.total

    def where(self, position: int | None = None) -> Where:
        """What comes next, or what the command at a position belongs to."""
        at = self.position if position is None else position
        if not 0 <= at <= self.total:
            raise InputError(f"expected a position of 0 to {self.total}, got {at}")
        if at == self.total:
            return Where(at, self.total, None, "", "", "", "", -1, -1, 0, "")
        source = self.program.source_of(at)
        command = self.program.command(at)
        if source is None:
            return Where(at, self.total, self.program.key(at), command.op, "", "", "", -1, -1, 0, "")
        return Where(
            at, self.total, self.program.key(at), command.op, source.op, source.node, source.tensor,
            self.program.groups.get(source.tensor, -1), int(self.program.slice[at]), source.line,
            self.text.line(source.line) if self.text else source.text,
        )  # fmt: skip

    # --- breakpoints -----------------------------------------------------------------

    def break_at(self, position: int, *, temporary: bool = False) -> Breakpoint:
        """Stop at a position of the order of execution."""
        if not 0 <= position <= self.total:
            raise InputError(f"expected a position of 0 to {self.total}, got {position}")
        return self._add_positions(f"at {position}", np.array([position]), temporary)

    def break_command(
        self, engine: str, number: int, group: int = 0, *, temporary: bool = False
    ) -> Breakpoint:
        """Stop before a command by its cmd_id. Raises: InputError: there is none."""
        at = self.program.position(engine, number, group)
        text = f"command {engine}:{number}" + (f" of group {group}" if len(self.model.groups) > 1 else "")
        return self._add_positions(text, np.array([at]), temporary)

    def break_op(self, name: str, *, temporary: bool = False) -> Breakpoint:
        """Stop where operations begin, by their kind or their tensor, at each of their slices."""
        return self._add_positions(f"op {name}", self.program.where_op(name), temporary)

    def break_node(self, name: str, *, temporary: bool = False) -> Breakpoint:
        """Stop where begins what was made of an ONNX node, at each slice."""
        return self._add_positions(f"node {name}", self.program.where_node(name), temporary)

    def break_group(self, number: int, *, temporary: bool = False) -> Breakpoint:
        """Stop where a layer group begins."""
        return self._add_positions(f"group {number}", self.program.where_group(number), temporary)

    def break_slice(self, number: int, group: int | None = None, *, temporary: bool = False) -> Breakpoint:
        """Stop where a slice begins, of one layer group or of all operations."""
        text = f"slice {number}" + (f" of group {group}" if group is not None else "")
        return self._add_positions(text, self.program.where_slice(number, group), temporary)

    def break_tensor(self, name: str, *, temporary: bool = False) -> Breakpoint:
        """Stop when a piece of a tensor has been made: behind the command that ends it."""
        return self._add_positions(f"tensor {name}", self.program.where_tensor(name), temporary)

    def break_address(
        self, begin: int, nbytes: int = 1, mode: Access = "access", *, temporary: bool = False
    ) -> Breakpoint:
        """Stop before any command that reads or writes some of these bytes of the GDMA map."""
        if nbytes < 1:
            raise InputError(f"expected at least 1 byte, got {nbytes}")
        self._check_memory(begin, nbytes)
        ranges = Ranges.of(np.array([[begin, begin + nbytes]], np.int64))
        text = f"{mode} of [{begin:#x}, {begin + nbytes:#x})"
        return self._add(text, "access", access=ranges, mode=mode, temporary=temporary)

    def break_nonfinite(self, *, temporary: bool = False) -> Breakpoint:
        """Stop behind a command that made a NaN or an infinity: in a tensor, or anywhere if none is known."""
        return self._add("first NaN or infinity", "check", check=self._nonfinite, temporary=temporary)

    def break_difference(self, *, temporary: bool = False) -> Breakpoint:
        """Stop before the commands that `tpumlir.verify` finds to be the first to do something wrong.

        Raises: InputError: no reference, or one of another program. BModelError: no debug info.
        """
        causes = [finding for finding in self.findings() if not finding.is_consequence]
        notes: dict[int, str] = {}
        for finding in causes:
            by = finding.op + (f" @ {finding.node}" if finding.node else "")
            text = f"{finding.tensor}, slice {finding.slice}, by {by}: {finding.kind}, {finding.detail}"
            notes.setdefault(self._position_of(finding), text)
        positions = np.array(sorted(notes), np.int64)
        return self._add(
            "first difference", "position", positions=positions, notes=notes, temporary=temporary
        )

    def _position_of(self, finding: Finding) -> int:
        """The command of a finding; of a constant that its reader loads itself, where that begins."""
        at = min(finding.position, self.total)
        source = self.program.source_of(at)
        if source and (source.op, source.node) == (finding.op, finding.node):
            return at
        for begin in self.program.begins("op").tolist():
            source = self.program.source_of(begin)
            if source and (source.op, source.node) == (finding.op, finding.node):
                return int(begin)
        return at

    def findings(self) -> Sequence[Finding]:
        """What `tpumlir.verify` finds to be wrong, in the order of the commands; found once.

        Raises: as ``break_difference``.
        """
        if self._findings is None:
            source = self.source
            if not source.module and self.program.places:
                known = self.reference.keys() & self.program.named
                if not known:
                    names = ", ".join(list(self.reference)[:3])
                    raise InputError(f"expected tensors of this program in the reference, got {names} ...")
            self._findings = verify(
                self.model, source, tolerance=self._options.tolerance, element_bound=self._options.bound
            ).findings
        return self._findings

    def watch(self, begin: int, nbytes: int, *, temporary: bool = False) -> Breakpoint:
        """Stop behind a command that changed some of these bytes of the GDMA map."""
        if nbytes < 1:
            raise InputError(f"expected at least 1 byte, got {nbytes}")
        self._check_memory(begin, nbytes)
        ranges = Ranges.of(np.array([[begin, begin + nbytes]], np.int64))
        return self._watch(f"watch [{begin:#x}, {begin + nbytes:#x})", ranges, temporary)

    def watch_tensor(self, name: str, *, temporary: bool = False) -> Breakpoint:
        """Stop behind a command that changed the bytes of a tensor (``tensor_ranges``)."""
        ranges = self.tensor_ranges(name)
        return self._watch(f"watch {name}", ranges, temporary)

    def delete(self, number: int | None = None) -> None:
        """Take a breakpoint back, or all. Raises: InputError: there is none of this number."""
        if number is None:
            self.breakpoints.clear()
            return
        del self.breakpoints[self._numbered(number)]

    def enable(self, number: int, *, on: bool = True) -> None:
        """Let a breakpoint stop again, or no more. Raises: InputError: as ``delete``."""
        self.breakpoints[self._numbered(number)].enabled = on

    def _numbered(self, number: int) -> int:
        if number not in self.breakpoints:
            have = ", ".join(map(str, self.breakpoints)) or "none"
            raise InputError(f"expected the number of a breakpoint ({have}), got {number}")
        return number

    def _add_positions(self, text: str, positions: Positions, temporary: bool) -> Breakpoint:
        return self._add(text, "position", positions=positions, temporary=temporary)

    def _add(self, text: str, kind: Any, **rest: Any) -> Breakpoint:
        self._numbers += 1
        found = Breakpoint(self._numbers, text, kind, **rest)
        self.breakpoints[found.number] = found
        return found

    def _watch(self, text: str, ranges: Ranges, temporary: bool) -> Breakpoint:
        held: list[list[tuple[int, bytes]]] = []

        def reset() -> None:
            held[:] = [read_ranges(self.machine, ranges)]

        def check(position: int) -> str | None:
            touched = self.trace[position - 1]
            if not touched.writes.overlaps(ranges):
                return None
            before = held[0]
            reset()
            return _changes(before, held[0])

        reset()
        return self._add(text, "watch", check=check, reset=reset, temporary=temporary)

    def _check_memory(self, begin: int, nbytes: int) -> None:
        self.machine.read(begin, nbytes)

    # --- running -----------------------------------------------------------------------

    def run(self) -> Stop:
        """Run from the beginning to the first breakpoint, the end or a fault."""
        self._seek(0)
        return self._stop_at(0) or self._forward(None, fresh=True)

    def cont(self) -> Stop:
        """Run on to the next breakpoint, the end or a fault."""
        return self._forward(None)

    def step(self, unit: Unit = "command", count: int = 1) -> Stop:
        """Run to where the next unit begins, or the next ``count`` units; breakpoints stop it earlier."""
        begins = self.program.begins(unit)
        later = begins[begins > self.position]
        if count < 1:
            raise InputError(f"expected a number of steps of at least 1, got {count}")
        return self._forward(int(later[count - 1]) if count <= len(later) else self.total)

    def next(self, count: int = 1) -> Stop:
        """Run to where the next operation (or slice of one) begins."""
        return self.step("op", count)

    def finish(self) -> Stop:
        """Run to the end of the present operation and slice: what it computes is there then."""
        if self.position == self.total:
            return self._forward(None)
        return self._forward(self.program.last_of(self.position))

    def until(self, position: int) -> Stop:
        """Run to a position."""
        if not self.position <= position <= self.total:
            raise InputError(f"expected a position of {self.position} to {self.total}, got {position}")
        return self._forward(position)

    def back(self, unit: Unit = "command", count: int = 1) -> Stop:
        """Go back to where a unit began, ``count`` of them; breakpoints do not stop it."""
        if count < 1:
            raise InputError(f"expected a number of steps of at least 1, got {count}")
        begins = self.program.begins(unit)
        earlier = begins[begins < self.position]
        return self.goto(int(earlier[-count]) if count <= len(earlier) else 0)

    def goto(self, position: int) -> Stop:
        """Go to a position, forward or back, whatever breakpoints and races there are."""
        if not 0 <= position <= self.total:
            raise InputError(f"expected a position of 0 to {self.total}, got {position}")
        try:
            self._seek(position)
        except DeviceFault as fault:
            return Stop("fault", self.position, str(fault))
        return Stop("start" if position == 0 else "step", self.position)

    def reverse_continue(self) -> Stop:
        """Go back to the last stop of a breakpoint before this position, or to the beginning."""
        here = self.position
        hits = {number: b.hits for number, b in self.breakpoints.items()}
        self._seek(0)
        last: Stop | None = None
        stop = self._stop_at(0) or self._forward(here, fresh=True)
        while stop.breakpoints and stop.position < here:
            last = stop
            stop = self._forward(here)
        for number, count in hits.items():
            if number in self.breakpoints:
                self.breakpoints[number].hits = count
        if last is None:
            return self.goto(0)
        self._seek(last.position)
        return last

    def _seek(self, position: int) -> None:
        while self._notes and self.position < position:
            at = self.position
            self._execution.seek(at + 1)
            self.trace.note(at, self._execution.touched())
        self._execution.seek(position)
        for point in self.breakpoints.values():
            if point.reset:
                point.reset()

    @property
    def _notes(self) -> bool:
        """Whether it must be known of each command what it touches."""
        return bool(self.program.places) or any(b.kind != "position" for b in self._enabled())

    def _enabled(self) -> Iterator[Breakpoint]:
        return (b for b in self.breakpoints.values() if b.enabled)

    def _run_one(self) -> Touched:
        at = self.position
        try:
            self._execution.step()
        finally:
            # What races has run.
            if self.position > at:
                self.trace.note(at, self._execution.touched())
        return self.trace[at]

    def _forward(self, target: int | None, *, fresh: bool = False) -> Stop:
        """Run to a position, to the end without one, or to a breakpoint on the way.

        The command at this position is one where the session has stopped already, unless it is ``fresh``.
        """
        try:
            return self._run_to(self.total if target is None else target, first=not fresh)
        except DeviceFault as fault:
            return Stop("fault", self.position, str(fault))
        except KeyboardInterrupt:
            return Stop("interrupted", self.position)

    def _run_to(self, target: int, *, first: bool) -> Stop:
        while self.position < target:
            at = self.position
            if not first:
                stop = self._before(at)
                if stop:
                    return stop
            if not self._notes:
                # In parts, so that Ctrl-C is seen.
                self._execution.step(min(self._quiet_until(target) - at, _AT_ONCE))
                stop = self._stop_at(self.position)
            else:
                known = at in self.trace
                touched = self._run_one()
                if not first and not known and self._accessing(touched):
                    self._execution.seek(at)
                    return self._stopped("breakpoint", self._accessing(touched))
                stop = self._stop_at(self.position)
            if stop:
                return stop
            first = False
        if target < self.total:
            return Stop("step", target)
        # Commands that can never run are a fault, not the end.
        self._execution.step(1)
        return Stop("end", self.position)

    def _quiet_until(self, target: int) -> int:
        """The next position that somebody wants to stop at."""
        nearest = target
        for point in self._enabled():
            if point.positions is not None:
                later = point.positions[point.positions > self.position]
                nearest = min(nearest, int(later[0])) if len(later) else nearest
        return nearest

    def _before(self, at: int) -> Stop | None:
        """A stop because of what the next command will touch, if that is known already."""
        if at not in self.trace:
            return None
        hit = self._accessing(self.trace[at])
        return self._stopped("breakpoint", hit) if hit else None

    def _accessing(self, touched: Touched) -> list[Breakpoint]:
        found = []
        for point in self._enabled():
            if point.access is not None and (
                (point.mode != "write" and touched.reads.overlaps(point.access))
                or (point.mode != "read" and touched.writes.overlaps(point.access))
            ):
                found.append(point)
        return found

    def _stop_at(self, position: int) -> Stop | None:
        """A stop because of this position, or of what the command before it did."""
        hit: list[Breakpoint] = []
        messages: list[str] = []
        reason: Literal["breakpoint", "watch"] = "breakpoint"
        for point in self._enabled():
            if point.positions is not None and position in point.positions:
                hit.append(point)
                messages += [point.notes[position]] if position in point.notes else []
            elif point.check and (position or point.kind == "check"):
                message = point.check(position)
                if message:
                    hit.append(point)
                    messages.append(message)
                    reason = "watch" if point.kind == "watch" else reason
        return self._stopped(reason, hit, "; ".join(messages)) if hit else None

    def _stopped(
        self, reason: Literal["breakpoint", "watch"], hit: Sequence[Breakpoint], message: str = ""
    ) -> Stop:
        for point in hit:
            point.hits += 1
            if point.temporary:
                self.breakpoints.pop(point.number, None)
        return Stop(reason, self.position, message, tuple(hit))

    # --- what checks find ----------------------------------------------------------------

    def _nonfinite(self, position: int) -> str | None:
        if self.program.places:
            for place in self.program.ready.get(position, ()):
                bad = _nonfinite(place.read(self.machine))
                if bad:
                    return f"{place.tensor}, slice {place.slice}: {bad}"
            return None
        if position == 0:
            return None
        fields = self.program.command(position - 1).fields
        code = fields.get("res0_prec", fields.get("src_data_format"))
        dtype = next((name for name, value in isa.dtype_codes().items() if value == code), "")
        if dtype not in {"f32", "f16", "bf16"}:
            return None
        for address, data in read_ranges(self.machine, self.trace[position - 1].writes):
            whole = len(data) // DTYPES[dtype].itemsize * DTYPES[dtype].itemsize
            bad = _nonfinite(to_numbers(np.frombuffer(data[:whole], DTYPES[dtype]), dtype))
            if bad:
                return f"bytes at {address:#x}: {bad}"
        return None

    # --- looking ---------------------------------------------------------------------------

    def tensor(self, name: str, memory: str = "") -> Found:
        """A tensor as far as it is on the chip now: of all memories, or of ``local`` or ``global`` memory.

        Raises: InputError: there is no tensor of this name.
        """
        if name in self.program.named:
            return self._tensors.read(name, self.position, memory)
        spec = self._placed(name)
        values = real(self._view(spec).read(self.machine), *_scale(spec))
        return Found(name, values, np.ones(values.shape, np.bool_), ())

    def numbers(self, name: str) -> Array | None:
        """A tensor as the numbers that it stands for; None if it is not whole on the chip now.

        Raises: InputError: there is no tensor of this name.
        """
        found = self.tensor(name)
        if not found.is_whole:
            return None
        if not found.pieces:
            return found.values
        place = found.pieces[0].place
        return real(found.values, place.scale, place.zero_point)

    def pieces(self, name: str) -> list[Piece]:
        """Where a tensor is or has been. Raises: InputError: there is no tensor of this name."""
        return self._tensors.pieces(name, self.position)

    def tensor_ranges(self, name: str) -> Ranges:
        """The bytes where a tensor is at some time, in global memory if it has a place there.

        Raises: InputError: as ``tensor``.
        """
        if name not in self.program.named:
            return self._view(self._placed(name)).ranges()
        pieces = self.program.pieces(name)
        # In the lanes others come to the same place, again and again.
        chosen = [place for place in pieces if place.memory == "global"] or pieces
        return Ranges.union([self._tensors.ranges(place) for place in chosen])

    def memory(
        self,
        address: int,
        shape: Sequence[int],
        dtype: str = "f32",
        layout: str = "",
        strides: Sequence[int] | None = None,
    ) -> Array:
        """A tensor at an address of the GDMA map, as `View.of` takes it. Raises: InputError."""
        return View.of(address, shape, dtype, layout, strides).read(self.machine)

    def touched(self, position: int | None = None) -> Touched:
        """What the next command reads and writes, or one that has run. Raises: InputError: not known."""
        at = self.position if position is None else position
        if at not in self.trace:
            here = self.position
            if at != here:
                self._execution.seek(at)
            try:
                self.trace.note(at, self._execution.footprint())
            finally:
                if at != here:
                    self._execution.seek(here)
        return self.trace[at]

    def writer(self, address: int, nbytes: int = 1) -> int | None:
        """The position of the last command that wrote some of these bytes; None if there was none."""
        ranges = Ranges.of(np.array([[address, address + nbytes]], np.int64))
        for at in range(self.position - 1, -1, -1):
            if self.touched(at).writes.overlaps(ranges):
                return at
        return None

    # --- comparing ---------------------------------------------------------------------------

    def compare(self, name: str) -> TensorResult:
        """What is on the chip of a tensor against the reference.

        Raises: InputError: no such tensor, none of it on the chip now, or not in the reference.
        """
        if name not in self.reference:
            raise InputError(unknown_name("tensor of the reference", name, self.reference))
        found = self.tensor(name)
        if not found.known.any():
            raise InputError(f"expected {name} on the chip, got none of it at this position")
        want = self.reference[name]
        if want.shape != found.values.shape:
            raise InputError(
                f"{name}: expected a reference of shape {list(found.values.shape)}, got {list(want.shape)}"
            )
        place = self.program.pieces(name)[0] if name in self.program.named else self._placed(name)
        got = found.values
        if found.pieces:
            got = real(got, found.pieces[0].place.scale, place.zero_point)
        if found.is_whole:
            return self._judge(name, got, want, quantised=_scale(place)[0] is not None)
        known = found.known
        return self._judge(name, got[known], want[known], quantised=_scale(place)[0] is not None)

    def comparable(self) -> list[str]:
        """The tensors of the reference of which something is on the chip now, in the order of the program."""
        here = self.position
        names = [name for name in self.program.tensor_names() if name in self.reference]
        return [
            name
            for name in names
            if (
                any(piece.overwritten is None for piece in self._tensors.pieces(name, here))
                if name in self.program.named
                else here == self.total or any(name == spec.name for spec in self.model.inputs)
            )
        ]

    # --- helpers ----------------------------------------------------------------------------------

    def _placed(self, name: str) -> PlacedTensor:
        specs = {spec.name: spec for spec in (*self.model.inputs, *self.model.outputs)}
        if name not in specs:
            raise InputError(unknown_name("tensor of the program", name, self.program.tensor_names()))
        return specs[name]

    @staticmethod
    def _view(spec: PlacedTensor) -> View:
        return View.of(spec.address, spec.shape or (1,), spec.dtype)


def _scale(tensor: PlacedTensor | Place) -> tuple[Scale | None, int]:
    """Scale and zero point; a bmodel has scale 1 where nothing is quantised."""
    scale = tensor.scale
    return (None if scale == 1.0 and not tensor.zero_point else scale, tensor.zero_point)


def _nonfinite(values: Array) -> str:
    """How many numbers are none, and where the first is."""
    if values.dtype.kind != "f":
        return ""
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(values)
    if not bad.any():
        return ""
    nan = int(np.isnan(values).sum())
    index = [int(i) for i in np.unravel_index(int(np.argmax(bad)), values.shape)]
    return f"{nan} NaN and {int(bad.sum()) - nan} infinities of {values.size}, the first at {index}"


def _changes(before: Sequence[tuple[int, bytes]], now: Sequence[tuple[int, bytes]]) -> str | None:
    """How many bytes changed, and the first of them."""
    first, count = None, 0
    for (address, old), (_, new) in zip(before, now, strict=True):
        other = np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8)
        if other.any():
            count += int(other.sum())
            at = int(np.argmax(other))
            first = first or (address + at, old[at : at + 4].hex(), new[at : at + 4].hex())
    if first is None:
        return None
    return f"{count} bytes changed, the first at {first[0]:#x}: {first[1]} -> {first[2]}"
