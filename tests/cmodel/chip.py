"""Short hands to put tensors into the simulator's lanes, run a command, and read the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir._core import isa
from tpumlir._core.device import Machine

Array = npt.NDArray[Any]
LMEM = 0x0800_0000
DDR = 0x1_0000_0000
LANES, LANE_BYTES = 64, 262144
CODES = {"i1": 0, "u1": 0, "f2": 1, "f4": 2, "i2": 3, "u2": 3, "i4": 4}
ALL_LANES = {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}


def machine(ddr_bytes: int = 1 << 20) -> Machine:
    """Return a chip with a little DDR."""
    return Machine(ddr_bytes)


def _planes(
    shape: Sequence[int], itemsize: int, lane: int, *, aligned: bool
) -> list[tuple[int, int, int, int]]:
    """Lane and byte offset of every (n, c) of a tensor (docs/hardware.md H5)."""
    n, c, h, w = shape
    step = h * w * itemsize
    if aligned:
        step = -(-step // 64) * 64
    rows = -(-(lane + c) // LANES)
    return [
        (i, j, (lane + j) % LANES, (i * rows + (lane + j) // LANES) * step)
        for i in range(n)
        for j in range(c)
    ]


def put(chip: Machine, address: int, data: Array, *, aligned: bool = True) -> None:
    """Store [n, c, h, w] at a TIU address."""
    lane, offset = divmod(address, LANE_BYTES)
    for n, c, where, at in _planes(data.shape, data.itemsize, lane, aligned=aligned):
        raw = np.ascontiguousarray(data[n, c]).view(np.uint8).ravel()
        chip.lmem(where)[offset + at : offset + at + raw.size] = raw


def get(chip: Machine, address: int, shape: Sequence[int], dtype: str, *, aligned: bool = True) -> Array:
    """Load [n, c, h, w] from a TIU address."""
    lane, offset = divmod(address, LANE_BYTES)
    out = np.empty(tuple(shape), dtype)
    size = out[0, 0].nbytes
    for n, c, where, at in _planes(shape, out.itemsize, lane, aligned=aligned):
        raw = chip.lmem(where)[offset + at : offset + at + size].tobytes()
        out[n, c] = np.frombuffer(raw, dtype).reshape(out[n, c].shape)
    return out


def shape_fields(prefix: str, shape: Sequence[int]) -> dict[str, int]:
    """Return the size fields of an operand."""
    return {f"{prefix}_{d}": int(s) for d, s in zip("nchw", shape, strict=True)}


def tiu(instruction: str, *, cmd_id: int = 1, dep: int = 0, **fields: int) -> bytes:
    """Encode a TIU command."""
    return isa.encode(instruction, {"cmd_id": cmd_id, "cmd_id_dep": dep, **fields})


def gdma_copy(
    source: int, target: int, count: int, *, cmd_id: int = 1, dep: int = 0, lanes: int = 1, enable: int = 1
) -> bytes:
    """Encode a copy of ``lanes`` channels of ``count`` f32 each, channel stride ``count``."""
    fields = {"src_data_format": 2, "stride_enable": 1, "nchw_copy": 1, "cmd_id": cmd_id, "cmd_id_dep": dep}
    for name, address in (("src", source), ("dst", target)):
        fields |= {f"{name}_start_addr_l32": address & 0xFFFFFFFF, f"{name}_start_addr_h8": address >> 32}
        fields |= {f"{name}_{d}stride": s for d, s in zip("nchw", (0, count, count, 1), strict=True)}
    fields |= {"src_nsize": 1, "src_csize": lanes, "src_hsize": 1, "src_wsize": count, "cmd_id_en": enable}
    return isa.encode("DMA_tensor", fields | ALL_LANES)


def add(address: int, *, cmd_id: int = 1, dep: int = 0, count: int = 16, result: int | None = None) -> bytes:
    """Encode an f32 addition of a row in lane 0 to itself."""
    return tiu(
        "sAR",
        cmd_id=cmd_id,
        dep=dep,
        tsk_eu_typ=2,
        tsk_opd_num=2,
        **{f"{name}_prec": 2 for name in ("res0", "opd0", "opd1")},
        **shape_fields("res0", (1, 1, 1, count)),
        res0_addr=address if result is None else result,
        opd0_addr=address,
        opd1_addr=address,
    )


def tiu_end(cmd_id: int) -> bytes:
    """Encode the end of a TIU stream."""
    return isa.encode("SYS", {"tsk_eu_typ": 31, "cmd_id": cmd_id})


def gdma_end(cmd_id: int) -> bytes:
    """Encode the end of a GDMA stream."""
    return isa.encode("sDMA_sys", {"cmd_id": cmd_id})


def group(tiu_commands: Sequence[bytes], gdma_commands: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the two streams with their end commands added."""
    return (
        b"".join(tiu_commands) + tiu_end(len(tiu_commands) + 1),
        b"".join(gdma_commands) + gdma_end(len(gdma_commands) + 1),
    )
