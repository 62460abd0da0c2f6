"""``tpumlir debug``: a bmodel on the simulated chip, command by command, forward and back."""

from __future__ import annotations

from tpumlir.debugger.breakpoints import Breakpoint, Stop
from tpumlir.debugger.session import Options, Session, Where

__all__ = ["Breakpoint", "Options", "Session", "Stop", "Where"]
