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
