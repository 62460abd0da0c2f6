"""What stops a session: at a position of the program, or by what a command does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tpumlir.debugger.trace import Ranges

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Kind = Literal["position", "access", "check", "watch"]


@dataclass
class Breakpoint:
    """A breakpoint or watchpoint; ``text`` is how the user calls it.

    ``positions`` are those where it stops before the command, ``notes`` what is said there. ``access``
    are bytes: it stops before a command that touches them. ``check`` looks at what the command before a
    position did, and tells what it found.
    """

    number: int
    text: str
    kind: Kind
    positions: npt.NDArray[np.int64] | None = None
    notes: Mapping[int, str] = field(default_factory=dict, repr=False)
    access: Ranges | None = None
    mode: str = "access"
    check: Callable[[int], str | None] | None = None
    temporary: bool = False
    enabled: bool = True
    hits: int = 0
    reset: Callable[[], None] | None = field(default=None, repr=False)

    def describe(self) -> str:
        """A row of the list."""
        state = "" if self.enabled else ", disabled"
        places = f", {len(self.positions)} places" if self.positions is not None else ""
        once = ", once" if self.temporary else ""
        return f"{self.number}: {self.text}{places}{once}{state}, {self.hits} hits"


@dataclass(frozen=True)
class Stop:
    """Where a session stopped and why: ``reason`` is one of step, breakpoint, watch, fault, end, start."""

    reason: Literal["step", "breakpoint", "watch", "fault", "end", "start", "interrupted"]
    position: int
    message: str = ""
    breakpoints: tuple[Breakpoint, ...] = ()
