"""What commands read and write of global memory: operand by operand, from the first byte to the last."""

from __future__ import annotations

import pytest

from tpumlir import _core

isa = _core.isa
DDR = isa.GLOBAL_MEMORY[0]
LMEM = isa.LOCAL_MEMORY[0]
I8, F16, F32 = 0, 1, 2
FAR = DDR + 0x1_2345_6700


def at(**places: int) -> dict[str, int]:
    """The fields of addresses by operand."""
    return {
        f"{side}_start_addr_{part}": value
        for side, address in places.items()
        for part, value in (("l32", address & 0xFFFFFFFF), ("h8", address >> 32))
    }


def sizes(n: int, c: int, h: int, w: int) -> dict[str, int]:
    return {"src_nsize": n, "src_csize": c, "src_hsize": h, "src_wsize": w}


ROWS = {
    "src_csize": 1, "src_wsize": 8, "src_hsize": 40, "dst_csize": 1, "dst_hsize": 5, "dst_wsize": 8,
    "index_csize": 1, "index_hsize": 5, "src_hstride": 8, "dst_hstride": 8, "index_hstride": 1,
}  # fmt: skip
GENERAL = {"src_cstride_or_length": 100}

CASES = {
    "load": (
        "DMA_tensor", {"nchw_copy": 1, "src_data_format": F32, **sizes(1, 3, 4, 5), **at(src=FAR, dst=LMEM)},
        [("src", "read", FAR, 240)],
    ),
    "store": (
        "DMA_tensor", {"nchw_copy": 1, "src_data_format": F16, **sizes(1, 3, 4, 5), **at(src=LMEM, dst=DDR)},
        [("dst", "write", DDR, 120)],
    ),
    "strides": (
        "DMA_tensor",
        {"nchw_copy": 1, "src_data_format": F16, "stride_enable": 1, **sizes(1, 3, 2, 5), "src_cstride": 100,
         "src_hstride": 10, "src_wstride": 2, "dst_cstride": 10, "dst_hstride": 5, "dst_wstride": 1,
         **at(src=FAR, dst=DDR)},
        [("src", "read", FAR, 2 * (200 + 10 + 8 + 1)), ("dst", "write", DDR, 60)],
    ),
    "fill": (  # of the source nothing is read
        "DMA_tensor",
        {"nchw_copy": 1, "src_data_format": F32, "fill_constant_en": 1, **sizes(1, 1, 1, 8),
         **at(src=DDR, dst=FAR)},
        [("dst", "write", FAR, 32)],
    ),
    "general": (
        "DMA_general", {"src_data_format": I8, **GENERAL, **at(src=FAR, dst=DDR)},
        [("src", "read", FAR, 100), ("dst", "write", DDR, 100)],
    ),
    "gather": (
        "DMA_gather", {"src_data_format": F32, **ROWS, **at(src=FAR, index=DDR, dst=LMEM)},
        [("src", "read", FAR, 1280), ("index", "read", DDR, 20)],
    ),
    "select": (  # how much of the mask is read is not known
        "DMA_masked_select",
        {"src_data_format": F32, "mask_data_format": F32, **sizes(1, 1, 2, 8),
         **at(src=LMEM, mask=FAR, dst=DDR)},
        [("mask", "read", FAR, None), ("dst", "write", DDR, 64)],
    ),
    "inside": ("DMA_general", {"src_data_format": I8, **GENERAL, **at(src=LMEM, dst=LMEM + 0x1000)}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_operand_in_global_memory_is_told(name: str) -> None:
    instruction, fields, wanted = CASES[name]
    (command,) = isa.decode("gdma", isa.encode(instruction, {"cmd_id": 1, **fields}))
    assert isa.global_accesses(command) == wanted


def test_tiu_reads_no_global_memory() -> None:
    (command,) = isa.decode("tiu", isa.encode("SYS", {"tsk_eu_typ": 31, "cmd_id": 2, "cmd_id_en": 0}))
    assert isa.global_accesses(command) == []
