"""Reproducers of a place in a program.

An operation as a module with its inputs as on the chip, or commands with the memory that they read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir._core import isa
from tpumlir._core.device import Machine
from tpumlir.debugger.memory import read_ranges
from tpumlir.debugger.program import CommandKey
from tpumlir.errors import Diagnostic, InputError, TpumlirError
from tpumlir.ir.cut import between
from tpumlir.ir.graph import Graph, results
from tpumlir.ir.module import Module
from tpumlir.road.reproducer import CutFiles, Reproducer

if TYPE_CHECKING:
    from tpumlir.debugger.session import Session

Array = npt.NDArray[Any]
_FORMAT = "tpumlir commands"


@dataclass(frozen=True)
class SavedCommands:
    """Commands that run by themselves: the memory that they find, and what they left of it.

    ``before`` and ``after`` are runs of bytes by their address in the GDMA map.
    """

    commands: tuple[tuple[CommandKey, bytes], ...]
    before: Mapping[int, bytes]
    after: Mapping[int, bytes]

    @staticmethod
    def of(session: Session, begin: int, end: int) -> SavedCommands:
        """The commands of positions [begin, end). The session comes back to where it is.

        Raises: DeviceFault: one that the chip cannot do.
        """
        here = session.position
        program = session.program
        try:
            session.goto(begin)
            touched = [session.touched(at) for at in range(begin, end)]
            before: dict[int, bytes] = {}
            for one in touched:
                before |= dict(read_ranges(session.machine, one.reads))
                # What is written in part only is kept whole too: a run may begin in the middle of it.
                before |= dict(read_ranges(session.machine, one.writes))
            session.goto(end)
            after: dict[int, bytes] = {}
            for one in touched:
                after |= dict(read_ranges(session.machine, one.writes))
        finally:
            session.goto(here)
        commands = tuple((program.key(at), program.encoded(at)) for at in range(begin, end))
        return SavedCommands(commands, before, after)

    def run(self) -> dict[int, bytes]:
        """Run them on a fresh chip; what they leave where they left something, by address.

        Raises: DeviceFault: one that the chip cannot do.
        """
        base = isa.GLOBAL_MEMORY[0]
        ends = [address + len(data) for both in (self.before, self.after) for address, data in both.items()]
        machine = Machine(max(0, max(ends, default=base) - base))
        for address, data in self.before.items():
            machine.write(address, data)
        for key, data in self.commands:
            machine.execute("tiu" if key.engine == "tiu" else "gdma", data)
        return {address: machine.read(address, len(data)) for address, data in self.after.items()}

    def save(self, path: str | Path) -> None:
        """Write them as an npz file. Raises: OSError."""
        head = {"format": _FORMAT, "commands": [list(key) for key, _ in self.commands]}
        arrays: dict[str, Array] = {"commands": np.frombuffer(json.dumps(head).encode(), np.uint8)}
        for index, (_, data) in enumerate(self.commands):
            arrays[f"command/{index}"] = np.frombuffer(data, np.uint8)
        for name, runs in (("before", self.before), ("after", self.after)):
            arrays |= {
                f"{name}/{address:#x}": np.frombuffer(data, np.uint8) for address, data in runs.items()
            }
        npz.save(path, arrays)

    @staticmethod
    def load(path: str | Path) -> SavedCommands:
        """Read what ``save`` wrote. Raises: TpumlirError: another file."""
        arrays = npz.load(path)
        try:
            head = json.loads(arrays["commands"].tobytes())
            if head["format"] != _FORMAT:
                raise ValueError("another format")
            commands = tuple(
                (CommandKey(int(group), str(engine), int(number)), arrays[f"command/{i}"].tobytes())
                for i, (group, engine, number) in enumerate(head["commands"])
            )
            runs = {
                name: {
                    int(key.partition("/")[2], 16): value.tobytes()
                    for key, value in arrays.items()
                    if key.startswith(f"{name}/")
                }
                for name in ("before", "after")
            }
        except (KeyError, TypeError, ValueError):
            raise TpumlirError(
                Diagnostic(f"{path}: expected commands as `tpumlir debug` saves them, got another npz file")
            ) from None
        return SavedCommands(commands, runs["before"], runs["after"])


def save_op(session: Session, module: Module, path: str | Path) -> list[str]:
    """Write the present operation as a module with its inputs as they are on the chip; returns where from.

    What is not on the chip comes from the reference. Raises: InputError: what is in neither, or an operation
    that the module does not have. OSError.
    """
    where = session.where()
    if not where.tensor:
        raise InputError("expected to know the operation of this command, got no debug info: save commands")
    graph = Graph(module)
    op = graph.producers.get(where.tensor)
    if op is None:
        raise InputError(
            Diagnostic("expected an operation of the module, got one that it does not have", where.tensor)
        )
    inputs, outputs = graph.sources(op), results(op)
    cut = between(module, inputs, outputs)
    here = session.position
    said: list[str] = []
    values = {name: _value(session, name, said) for name in inputs}
    session.goto(session.program.last_of(here))
    try:
        values |= {name: _value(session, name, said) for name in outputs}
    finally:
        session.goto(here)
    CutFiles(Path(path)).save(Reproducer.of(cut, values))
    return said


def _value(session: Session, name: str, said: list[str]) -> Array:
    try:
        found = session.numbers(name)
    except InputError:
        found = None
    if found is not None:
        said.append(f"{name}: from the chip")
        return found
    if session.has_reference and name in session.reference:
        said.append(f"{name}: from the reference")
        return session.reference[name]
    raise InputError(
        Diagnostic("expected it whole on the chip, or in the reference, got neither at this position", name)
    )


def differences(saved: SavedCommands, got: Mapping[int, bytes]) -> Sequence[tuple[int, int]]:
    """Address and number of the bytes that are not as they were saved, for each run with any."""
    found = []
    for address, data in saved.after.items():
        other = np.frombuffer(data, np.uint8) != np.frombuffer(got[address], np.uint8)
        if other.any():
            found.append((address + int(np.argmax(other)), int(other.sum())))
    return found
