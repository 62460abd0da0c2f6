"""The vendor's bmodel container: written, read, checked, disassembled and run on the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tpumlir.bmodel.debug import DebugEntry, DebugInfo
from tpumlir.bmodel.file import join, read, write
from tpumlir.bmodel.model import (
    BModel,
    BModelFile,
    BModelSpec,
    CommandGroup,
    Network,
    PlacedTensor,
    violations_of,
)

if TYPE_CHECKING:
    from tpumlir.bmodel.disassembly import FORMATS, disassemble
    from tpumlir.bmodel.info import describe, describe_text

__all__ = [
    "FORMATS",
    "BModel",
    "BModelFile",
    "BModelSpec",
    "CommandGroup",
    "DebugEntry",
    "DebugInfo",
    "Network",
    "PlacedTensor",
    "describe",
    "describe_text",
    "disassemble",
    "join",
    "read",
    "violations_of",
    "write",
]


def __getattr__(name: str) -> Any:
    """What a compile does not need is loaded when it is first used."""
    if name in {"FORMATS", "disassemble"}:
        from tpumlir.bmodel import disassembly

        return getattr(disassembly, name)
    if name in {"describe", "describe_text"}:
        from tpumlir.bmodel import info

        return getattr(info, name)
    raise AttributeError(f"module 'tpumlir.bmodel' has no attribute {name!r}")
