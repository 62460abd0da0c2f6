"""The BM1684X simulator: memories, and the two engines executing commands (docs/hardware.md)."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

class Machine:
    """A chip: 64 lanes of 256 KiB, static memory, L2 memory and DDR.

    Local memory starts as the pattern 0xDEADBEEF, DDR and L2 memory as zeros.
    """

    def __init__(self, ddr_bytes: int) -> None:
        """Make a chip with DDR from 0x1_0000_0000 on; pages are allocated when touched.

        Raises: InputError: more bytes than the address range has.
        """

    def write(self, addr: int, data: bytes | bytearray | memoryview | npt.NDArray[np.generic]) -> None:
        """Copy the bytes of a contiguous buffer to an address of the GDMA map.

        Raises: InputError: the range is not within one memory.
        """

    def read(self, addr: int, nbytes: int) -> bytes:
        """Copy bytes from an address of the GDMA map.

        Raises: InputError: the range is not within one memory.
        """

    def lmem(self, lane: int) -> npt.NDArray[np.uint8]:
        """View, not copy, of the 262144 bytes of a lane, 0..63.

        Raises: InputError: no such lane.
        """

    def execute(self, engine: Literal["tiu", "gdma"], command: bytes) -> None:
        """Run one encoded command at once, whatever it depends on.

        Raises: DeviceFault: the chip cannot do it. DecodeError: no instruction.
        """

    def run(
        self,
        groups: Sequence[tuple[bytes, bytes]],
        *,
        detect_races: bool = False,
        threads: int = 0,
        labels: Callable[[int, str, int], str | None] | None = None,
    ) -> tuple[int, int]:
        """Run command groups, each a TIU and a GDMA stream; return the numbers of commands run.

        ``detect_races`` refuses two commands that touch the same bytes, one of them writing, when no
        dependency orders them. ``threads`` share the lanes (0: one for each processor); the result
        does not depend on them. ``labels(group, engine, cmd_id)`` names a command in messages, as
        ``"op @ node"``, or returns None.

        Raises: DeviceFault: a command that the chip cannot do, a dependency that never comes, a
        stream without its end command, a race. DecodeError: bytes that are no instruction.
        """

class Execution:
    """Command groups in execution, command by command.

    The engines take turns in a fixed order that their dependencies allow, so the whole order is known before
    the first command runs. What others write into the machine in the meantime is not taken back by going
    back.
    """

    def __init__(
        self,
        machine: Machine,
        groups: Sequence[tuple[bytes, bytes]],
        *,
        detect_races: bool = False,
        threads: int = 0,
        labels: Callable[[int, str, int], str | None] | None = None,
        history: int = 0,
    ) -> None:
        """Take the arguments of `Machine.run`, and the bytes that may be kept for going back.

        ``history`` is a rough limit: what changed since the first command is kept in any case. With 0 an
        execution only goes forward.
        """

    @property
    def position(self) -> int:
        """Commands executed so far: the row of ``order`` that comes next."""

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """A row for each command in the order of execution: group, engine (0 TIU, 1 GDMA), cmd_id, index.

        The index counts the commands of its stream. The order ends where no command can run any more: at the
        end of the last group, or where `step` will raise.
        """

    @property
    def total(self) -> int:
        """Rows of ``order``."""

    @property
    def next(self) -> tuple[int, Literal["tiu", "gdma"], int, int] | None:
        """Group, engine, cmd_id and index of the command at the position; None at the end of the order."""

    def step(self, count: int = 1) -> int:
        """Run ``count`` commands, or all that are left; return how many those were.

        Raises: DeviceFault, DecodeError: as `Machine.run`; the position is then that of the command at fault,
        but behind one that races: it has run.
        """

    def seek(self, position: int) -> None:
        """Go to a position, forward or (with a history) back.

        Raises: InputError: a position that is not in the order, or before this one without a history.
        DeviceFault, DecodeError: as `step`, but not for races.
        """

    def footprint(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return what the command at the position reads and writes: rows of first byte and the byte behind.

        Addresses are those of the GDMA map; the ranges are sorted and disjoint. It is found by running the
        command and taking it back.

        Raises: InputError: no command is left. DeviceFault: as `step`.
        """

    def touched(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the same of the last command that was run; without a history and races it is not noted."""
