"""The vendor's bmodel container: written, read, checked, disassembled and run on the simulator."""

from tpumlir.bmodel.debug import DebugEntry, DebugInfo
from tpumlir.bmodel.model import BModel, BModelSpec, CommandGroup, TensorSpec, check_inputs, read, write

__all__ = [
    "BModel",
    "BModelSpec",
    "CommandGroup",
    "DebugEntry",
    "DebugInfo",
    "TensorSpec",
    "check_inputs",
    "read",
    "write",
]
