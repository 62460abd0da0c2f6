"""The vendor's bmodel container: written, read, checked, disassembled and run on the simulator."""

from tpumlir.bmodel.debug import DebugEntry, DebugInfo
from tpumlir.bmodel.disassembly import FORMATS, disassemble
from tpumlir.bmodel.info import describe, describe_text
from tpumlir.bmodel.model import (
    BModel,
    BModelSpec,
    CommandGroup,
    PlacedTensor,
    read,
    violations_of,
    write,
)

__all__ = [
    "FORMATS",
    "BModel",
    "BModelSpec",
    "CommandGroup",
    "DebugEntry",
    "DebugInfo",
    "PlacedTensor",
    "describe",
    "describe_text",
    "disassemble",
    "read",
    "violations_of",
    "write",
]
