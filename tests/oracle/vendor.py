"""The vendor's simulator, driven command by command; only ever in a child process, since it may exit."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt

LANES = 64
LANE_BYTES = 262144
SMEM_BYTES = 16384
TIU, GDMA = 0, 1

Bytes = npt.NDArray[np.uint8]


class _LocalMemory(ctypes.Structure):
    """Head of the struct that the library returns; only the first pointer is used."""

    _fields_ = [("raw", ctypes.c_void_p), ("rest", ctypes.c_void_p)]


class VendorMachine:
    """Memories as arrays that alias those of the library, and ``execute``.

    ``lmem`` is [64, 262144], ``ddr`` starts at address 0x1_0000_0000, ``smem`` is not filled by the library
    on this path.
    """

    def __init__(self, folder: Path, ddr_bytes: int) -> None:
        library = ctypes.CDLL(str(folder / "libcmodel_bm1684x.so"))
        library.cmodel_init.argtypes = [ctypes.c_int32, ctypes.c_int64]
        library.get_local_mem.restype = ctypes.POINTER(_LocalMemory)
        library.get_global_memaddr.restype = ctypes.c_void_p
        library.get_static_memaddr_by_node.restype = ctypes.c_void_p
        library.execute_command.argtypes = [ctypes.c_int32, ctypes.c_void_p, ctypes.c_uint]
        if library.cmodel_init(0, ddr_bytes) != 0:
            raise RuntimeError("cmodel_init failed")
        self._library = library
        self.ddr = _view(library.get_global_memaddr(0), ddr_bytes)
        local = library.get_local_mem(0).contents.raw
        self.lmem = _view(local, LANES * LANE_BYTES).reshape(LANES, LANE_BYTES)
        self.smem = _view(library.get_static_memaddr_by_node(0), SMEM_BYTES)

    def execute(self, engine: int, command: bytes) -> None:
        """Run one command; the library reads 128 bytes whatever its length."""
        buffer = ctypes.create_string_buffer(command.ljust(128, b"\0"), 128)
        self._library.execute_command(0, buffer, engine)


def _view(address: int, count: int) -> Bytes:
    pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
    return np.ctypeslib.as_array(pointer, (count,))
