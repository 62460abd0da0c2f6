"""Rules L1 to L13 of docs/legality.md: for each a command that keeps it and one that breaks it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tpumlir import _core, bmodel

isa = _core.isa
I8, F16, F32, I16, I32, BF16, I4 = 0, 1, 2, 3, 4, 5, 6
LANE = isa.LANE_BYTES
LMEM = isa.LOCAL_MEMORY[0]
DDR = isa.GLOBAL_MEMORY[0]
SMEM = isa.STATIC_MEMORY[0]
COEFF = (DDR, DDR + 0x1000)
CTX = (DDR + 0x1000, DDR + 0x100000)


def nchw(prefix: str, *sizes: int) -> dict[str, int]:
    return {f"{prefix}_{letter}": size for letter, size in zip("nchw", sizes, strict=True)}


def dma(prefix: str, address: int) -> dict[str, int]:
    return {f"{prefix}_start_addr_l32": address & 0xFFFFFFFF, f"{prefix}_start_addr_h8": address >> 32}


def copy_sizes(*sizes: int) -> dict[str, int]:
    _, c, h, w = sizes
    strides = {"nstride": c * h * w, "cstride": h * w, "hstride": w, "wstride": 1}
    return {
        **{f"src_{letter}size": size for letter, size in zip("nchw", sizes, strict=True)},
        **{f"{side}_{name}": value for side in ("src", "dst") for name, value in strides.items()},
    }


WINDOW = {"res_op_x_str": 1, "res_op_y_str": 1, "opd1_h": 3, "opd1_w": 3, "opd0_h": 8, "opd0_w": 8}

LEGAL: dict[str, tuple[str, dict[str, int]]] = {
    "conv": (
        "sCONV",
        {
            **WINDOW,
            **nchw("res0", 1, 70, 6, 6),
            "opd0_c": 3,
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd2_const": 1,
            "opd3_const": 1,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "conv i8": (
        "sCONV",
        {
            **WINDOW,
            **nchw("res0", 1, 64, 6, 6),
            "opd0_c": 3,
            "opd0_prec": I8,
            "res0_prec": I32,
            "opd2_const": 1,
            "opd3_const": 1,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "pool": (
        "sPorD",
        {
            **WINDOW,
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 4,
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd3_const": 1,
            "opd0_addr": 0x4000,
        },
    ),
    "depthwise": (
        "sPorD",
        {
            **WINDOW,
            **nchw("res0", 1, 70, 6, 6),
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd3_const": 1,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
            "opd2_addr": 0xC000,
        },
    ),
    "add": (
        "sAR",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 2,
            "tsk_opd_num": 2,
            "opd0_prec": F32,
            "opd1_prec": F32,
            "res0_prec": F32,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "max i8": (
        "sAR",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 4,
            "tsk_opd_num": 2,
            "opd0_sign": 1,
            "opd1_sign": 1,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "div": (
        "sAR",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 12,
            "tsk_opd_num": 2,
            "opd0_prec": F32,
            "opd1_prec": F32,
            "res0_prec": F32,
            "opd2_n_str": 2,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "adds": (
        "sAR",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 15,
            "tsk_opd_num": 3,
            "opd0_prec": I32,
            "opd1_prec": I32,
            "res0_prec": I8,
            "opd2_const": 1,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "cast": (
        "sAR",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 14,
            "tsk_opd_num": 1,
            "opd0_prec": F16,
            "res0_prec": F32,
            "opd0_addr": 0x4000,
        },
    ),
    "mm": (
        "sMM",
        {
            "tsk_eu_typ": 1,
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd2_const": 1,
            "opd0_n": 5,
            "opd0_c": 2,
            "opd0_w": 16,
            "opd1_w": 3,
            "res0_c": 2,
            "res0_w": 16,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "mm2": (
        "sMM2",
        {
            "tsk_eu_typ": 4,
            "opd0_prec": F16,
            "res0_prec": F32,
            "opd2_const": 1,
            "res0_c": 5,
            "res0_w": 7,
            "opd1_c": 19,
            "opd1_w": 7,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "lin": (
        "sLIN",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 1,
            "res0_prec": F32,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
            "opd2_addr": 0x8004,
        },
    ),
    "cmp": (
        "sCMP",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 23,
            "opd0_prec": F32,
            "opd2_prec": I8,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
            "opd2_const": 1,
            "opd3_addr": 0xC000,
        },
    ),
    "average": (
        "sPorD",
        {
            **WINDOW,
            **nchw("res0", 2, 70, 6, 6),
            "tsk_eu_typ": 1,
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd1_const": 1,
            "opd3_const": 1,
            "opd0_addr": 0x4000,
        },
    ),
    "mm2 nt": (
        "sMM2",
        {
            "tsk_eu_typ": 5,
            "opd0_prec": F16,
            "res0_prec": F32,
            "opd2_const": 1,
            "res0_c": 5,
            "res0_w": 7,
            "opd1_c": 7,
            "opd1_w": 19,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "mm2 tt": (
        "sMM2",
        {
            "tsk_eu_typ": 6,
            "opd0_prec": F16,
            "res0_prec": F32,
            "opd2_const": 1,
            "res0_c": 5,
            "res0_w": 7,
            "opd1_c": 5,
            "opd1_w": 19,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "vc": (
        "sVC",
        {
            "tsk_eu_typ": 2,
            "opd0_prec": F32,
            "opd1_prec": F32,
            "res0_prec": F32,
            "opd0_c": 2,
            "opd0_w": 4,
            "opd1_w": 3,
            "res0_c": 2,
            "res0_w": 16,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "taylor": (
        "sSFU",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 13,
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd1_n": 10,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "rq1": (
        "sRQ_DQ",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 1,
            "opd0_prec": I32,
            "res0_prec": I8,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "rq0": (
        "sRQ_DQ",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 0,
            "opd0_prec": I32,
            "res0_prec": I8,
            "opd2_n_str": 4 << 3,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "dq0": (
        "sRQ_DQ",
        {
            **nchw("res0", 1, 70, 6, 6),
            "tsk_eu_typ": 3,
            "opd0_prec": I8,
            "res0_prec": F32,
            "opd0_addr": 0x4000,
            "opd1_const": 1,
        },
    ),
    "wc_ts": (
        "sTRANS_BC",
        {
            **nchw("res0", 1, 20, 1, 9),
            "tsk_eu_typ": 1,
            "res0_prec": F32,
            "opd0_c": 9,
            "opd0_w": 20,
            "opd0_addr": 0x4000,
        },
    ),
    "s_bc": (
        "sTRANS_BC",
        {
            **nchw("res0", 1, 64, 1, 10),
            "tsk_eu_typ": 4,
            "res0_prec": F32,
            "opd0_c": 64,
            "opd0_w": 10,
            "opd0_addr": SMEM + 0x400,
        },
    ),
    "gather": (
        "sSG",
        {
            **nchw("res0", 1, 70, 1, 9),
            "tsk_eu_typ": 5,
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd0_h": 1,
            "opd0_w": 50,
            "opd1_c": 70,
            "opd1_w": 9,
            "opd0_addr": 0x4000,
            "opd1_addr": 0x8000,
        },
    ),
    "gather four": (
        "sSG",
        {
            **nchw("res0", 1, 70, 1, 9),
            "tsk_eu_typ": 7,
            "opd0_prec": F32,
            "res0_prec": F32,
            "opd0_h": 1,
            "opd0_w": 50,
            "opd1_c": 70,
            "opd1_w": 9,
            "res0_addr": 0x10000,
            "opd0_addr": 0x20000,
            "opd1_addr": 0x8000,
        },
    ),
    "dma": (
        "DMA_tensor",
        {
            **copy_sizes(2, 70, 6, 6),
            **dma("src", CTX[0]),
            **dma("dst", LMEM),
            "src_data_format": F32,
            "stride_enable": 1,
            "nchw_copy": 1,
        },
    ),
    "dma store": (
        "DMA_tensor",
        {
            **copy_sizes(1, 64, 6, 6),
            **dma("src", LMEM),
            **dma("dst", CTX[0]),
            "src_data_format": F32,
            "stride_enable": 1,
            "nchw_copy": 1,
        },
    ),
    "dma fill": (
        "DMA_tensor",
        {
            **copy_sizes(1, 64, 6, 6),
            **dma("src", CTX[0]),
            **dma("dst", CTX[0]),
            "src_data_format": F32,
            "stride_enable": 1,
            "nchw_copy": 1,
            "fill_constant_en": 1,
        },
    ),
    "dma broadcast": (
        "DMA_tensor",
        {
            **copy_sizes(1, 1, 6, 6),
            **dma("src", CTX[0]),
            **dma("dst", LMEM),
            "src_data_format": F32,
            "cmd_special_function": 3,
            "stride_enable": 1,
            "dst_nsize": 1,
            "dst_csize": 64,
            "dst_hsize": 6,
            "dst_wsize": 6,
        },
    ),
    "dma transpose": (
        "DMA_tensor",
        {
            **copy_sizes(5, 7, 6, 6),
            **dma("src", CTX[0]),
            **dma("dst", CTX[0] + 0x8000),
            "src_data_format": F32,
            "cmd_special_function": 1,
            "stride_enable": 1,
            "nchw_copy": 1,
        },
    ),
    "dma cw transpose": (
        "DMA_cw_transpose",
        {
            **copy_sizes(2, 6, 5, 6),
            **dma("src", CTX[0]),
            **dma("dst", CTX[0] + 0x8000),
            "src_data_format": F32,
            "stride_enable": 1,
        },
    ),
    "dma matrix": (
        "DMA_matrix",
        {
            **dma("src", CTX[0]),
            **dma("dst", LMEM),
            "src_data_format": F32,
            "stride_enable": 1,
            "src_hsize": 5,
            "src_wsize": 19,
            "src_hstride": 19,
            "dst_nsize": 5,
            "dst_csize": 2,
            "dst_wsize": 16,
            "dst_nstride": 16,
            "dst_cstride": 16,
        },
    ),
    "dma general": (
        "DMA_general",
        {
            **dma("src", CTX[0]),
            **dma("dst", LMEM),
            "src_data_format": F32,
            "src_cstride_or_length": 100,
        },
    ),
    "dma gather": (
        "DMA_gather",
        {
            **dma("src", CTX[0]),
            **dma("dst", CTX[0] + 0x8000),
            **dma("index", CTX[0] + 0x10000),
            "src_data_format": F32,
            "stride_enable": 1,
            "src_csize": 1,
            "src_hsize": 20,
            "src_wsize": 8,
            "src_hstride": 8,
            "dst_csize": 1,
            "dst_hsize": 5,
            "dst_wsize": 8,
            "dst_hstride": 8,
            "index_csize": 1,
            "index_hsize": 5,
            "index_hstride": 1,
        },
    ),
}


@dataclass(frozen=True)
class Broken:
    """A legal command with some fields changed, and what the violation says."""

    rule: str
    base: str
    change: dict[str, int]
    field: str
    expected: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.rule}-{self.base.replace(' ', '_')}-{self.why or self.field}"


BROKEN = [
    Broken("L1", "conv", {"res0_addr": 4}, "res0_addr", "a multiple of 64"),
    Broken("L1", "conv", {"opd0_addr": 0x4020}, "opd0_addr", "a multiple of 64"),
    Broken("L1", "add", {"opd1_addr": 0x8010}, "opd1_addr", "a multiple of 64"),
    Broken("L1", "add", {"opd1_addr": 0x8002, "opd1_str": 3}, "opd1_addr", "a multiple of 4", "strided"),
    Broken("L1", "mm", {"opd1_addr": 0x8010}, "opd1_addr", "a multiple of 64"),
    Broken("L1", "rq1", {"opd1_addr": 0x8010}, "opd1_addr", "a multiple of 64"),
    Broken("L1", "dma", dma("src", CTX[0] + 2), "src_start_addr_l32", "a multiple of the element size (4)"),
    Broken("L2", "conv", {"opd1_addr": 0x8000 + LANE}, "opd1_addr", "the start lane of the result (0)"),
    Broken("L2", "add", {"opd0_addr": 0x4000 + 3 * LANE}, "opd0_addr", "the start lane of the result (0)"),
    Broken("L2", "depthwise", {"opd2_addr": 0xC000 + LANE}, "opd2_addr", "the start lane of the result (0)"),
    Broken("L2", "mm2", {"opd0_addr": 0x4000 + LANE}, "opd0_addr", "an address in lane 0 (below 0x40000)"),
    Broken("L2", "lin", {"opd1_addr": 0x8000 + LANE}, "opd1_addr", "the start lane of the result (0)"),
    Broken("L3", "add", {"res0_addr": 64 * LANE}, "res0_addr", "an address below 0x1000000"),
    Broken("L3", "add", {"opd0_addr": LANE - 64}, "opd0_addr", "a tensor that ends inside its lanes"),
    Broken(
        "L3",
        "add",
        {"res0_addr": 63 * LANE + LANE - 192, "opd0_addr": 63 * LANE, "opd1_addr": 63 * LANE},
        "res0_addr",
        "a tensor that ends inside its lanes",
        "later_rows_start_lane",
    ),
    Broken("L3", "conv", {"opd1_addr": LANE - 64}, "opd1_addr", "a tensor that ends inside its lanes"),
    Broken("L3", "s_bc", {"opd0_addr": 0x4000}, "opd0_addr", "40 bytes of static memory"),
    Broken("L3", "s_bc", {"opd0_addr": SMEM + 0x4000 - 36}, "opd0_addr", "40 bytes of static memory", "end"),
    Broken(
        "L3", "dma", dma("src", 0x1000), "src_start_addr_l32", "an address of local, static, L2 or global"
    ),
    Broken("L3", "dma", dma("src", isa.GLOBAL_MEMORY[1] - 64), "src_start_addr_l32", "an access that ends"),
    Broken("L3", "dma", dma("dst", LMEM + LANE - 64), "dst_start_addr_l32", "a tensor that ends inside"),
    Broken("L3", "dma", dma("dst", SMEM), "dst_start_addr_l32", "a destination that can be written"),
    Broken("L3", "dma", {"src_nstride": 0xFFFFFFFF}, "src_start_addr_l32", "an access that ends inside"),
    Broken("L3", "dma general", dma("dst", isa.LOCAL_MEMORY[1] - 64), "dst_start_addr_l32", "an access that"),
    Broken("L3", "dma matrix", dma("dst", CTX[0]), "src_start_addr_l32", "a copy between local memory and"),
    Broken("L4", "add", {"res0_c": 0}, "res0_c", "1..65535"),
    Broken("L4", "conv", {"opd0_c": 0}, "opd0_c", "1..65535"),
    Broken("L4", "dma", {"src_wsize": 0}, "src_wsize", "1..65535"),
    Broken("L4", "mm", {"opd1_w": 17}, "opd1_w", "1..16", "last_piece_wider_than_a_piece"),
    Broken("L4", "wc_ts", {"opd0_c": 10}, "opd0_c", "res0_w"),
    Broken("L4", "dma matrix", {"dst_nsize": 6}, "dst_nsize", "the rows of the other matrix"),
    Broken("L4", "dma matrix", {"dst_csize": 3}, "dst_csize", "as many pieces of 16 as cover 19 columns"),
    Broken("L5", "conv", {"res_op_x_str": 0}, "res_op_x_str", "1..15"),
    Broken("L5", "pool", {"res_op_y_str": 0}, "res_op_y_str", "1..15"),
    Broken("L5", "conv", {"opd0_x_ins0": 15}, "opd0_x_ins0", "0..14"),
    Broken("L5", "conv", {"opd1_y_ins0": 15}, "opd1_y_ins0", "0..14"),
    Broken("L6", "conv", {"res0_h": 7}, "res0_h", "a last window inside the padded input (8); it ends at 9"),
    Broken("L6", "pool", {"res_op_x_str": 2}, "res0_w", "a last window inside the padded input (8)"),
    Broken("L7", "conv", {"res0_prec": F16}, "res0_prec", "one of f32 (2)"),
    Broken("L7", "conv", {"opd0_prec": I4}, "opd0_prec", "one of f32 (2), f16 (1), bf16 (5), i8 (0)"),
    Broken("L7", "conv i8", {"res0_prec": I8}, "res0_prec", "one of i32 (4), i16 (3)"),
    Broken("L7", "pool", {"res0_prec": F16}, "res0_prec", "one of f32 (2)"),
    Broken("L7", "mm", {"opd0_prec": F16}, "opd0_prec", "one of f32 (2), i8 (0)"),
    Broken("L7", "mm2", {"opd0_prec": F32}, "opd0_prec", "one of f16 (1), bf16 (5), i8 (0)", "no_f32"),
    Broken("L7", "add", {"opd1_prec": F16}, "opd1_prec", "one of f32 (2)"),
    Broken("L7", "add", {"opd0_prec": 7}, "opd0_prec", "one of i8 (0)", "code_without_meaning"),
    Broken("L7", "max i8", {"opd1_prec": I16}, "opd1_prec", "one of i8 (0)"),
    Broken("L7", "max i8", {"opd1_sign": 0}, "opd1_sign", "the sign of operand 0"),
    Broken("L7", "div", {"res0_prec": F16}, "res0_prec", "one of f32 (2)"),
    Broken("L7", "adds", {"opd0_prec": F32}, "opd0_prec", "one of i8 (0), i16 (3), i32 (4)"),
    Broken("L7", "cast", {"opd2_n_str": 5}, "opd2_n_str", "0..4"),
    Broken("L7", "cast", {"res0_addr": 0x4000}, "res0_addr", "another address than operand 0", "in_place"),
    Broken("L7", "add", {"tsk_opd_num": 3}, "tsk_opd_num", "2..2"),
    Broken("L7", "add", {"opd2_n_str": 7}, "opd2_n_str", "0..6"),
    Broken("L7", "lin", {"res0_prec": I32}, "res0_prec", "one of f32 (2), f16 (1), bf16 (5)"),
    Broken("L7", "vc", {"opd1_prec": F16}, "opd1_prec", "one of f32 (2)"),
    Broken("L7", "taylor", {"res0_prec": F16}, "res0_prec", "one of f32 (2)"),
    Broken("L7", "rq1", {"res0_prec": F32}, "res0_prec", "one of i8 (0), i16 (3), i32 (4)"),
    Broken("L7", "rq1", {"opd2_n_str": 7}, "opd2_n_str", "0..6", "rounding"),
    Broken("L7", "dq0", {"res0_prec": I8}, "res0_prec", "one of f32 (2), f16 (1), bf16 (5)"),
    Broken("L7", "cmp", {"opd2_prec": 7}, "opd2_prec", "one of i8 (0)"),
    Broken("L7", "gather", {"opd1_prec": F32}, "opd1_prec", "one of i8 (0), i16 (3)"),
    Broken("L7", "dma", {"src_data_format": I4}, "src_data_format", "one of i8 (0)"),
    Broken("L8", "add", {"cmd_id_en": 0}, "cmd_id_en", "bit 0 set"),
    Broken("L8", "dma", {"cmd_id_en": 2}, "cmd_id_en", "bit 0 set"),
    Broken("L11", "gather", {"opd0_addr": 0x2000}, "opd0_addr", "another bank than the result (bank 0)"),
    Broken("L15", "gather four", {"res0_n": 2, "opd1_c": 70}, "res0_n", "1..1"),
    Broken("L15", "gather four", {"res0_addr": 0xFFC0}, "res0_addr", "128 bytes in front of the end"),
    Broken("L15", "gather four", {"res0_addr": 0x1FF80}, "res0_addr", "128 bytes in front of the end"),
    Broken("L15", "gather four", {"opd1_addr": 0x10000}, "opd1_addr", "128 bytes in front of the end"),
    Broken("L15", "gather four", {"opd0_addr": 0x28000}, "opd0_addr", "512 bytes in front of the end"),
    Broken("L15", "gather four", {"opd0_w": 8192}, "opd0_addr", "65536 bytes in front of the end", "greater"),
    Broken(
        "L12", "dma store", dma("dst", COEFF[0]), "dst_start_addr_l32", "a destination outside the weights"
    ),
    Broken(
        "L12", "dma store", dma("dst", CTX[1] - 64), "dst_start_addr_l32", "a destination inside the activ"
    ),
    Broken("L12", "dma", dma("src", COEFF[1] - 64), "src_start_addr_l32", "a source inside", "spans_both"),
    Broken("L12", "dma gather", dma("index", CTX[1]), "index_start_addr_l32", "a source inside the weights"),
    Broken("L13", "dma", {"decompress_enable": 1}, "decompress_enable", "0"),
    Broken("L4", "dma broadcast", {"dst_hsize": 5}, "dst_hsize", "src_hsize, or nchw_copy"),
    Broken("L4", "dma transpose", {"nchw_copy": 0}, "dst_wsize", "src_wsize, or nchw_copy"),
    Broken("L4", "dma cw transpose", {"fill_constant_en": 1}, "fill_constant_en", "0, this copy does"),
    Broken("L4", "dma matrix", {"fill_constant_en": 1}, "fill_constant_en", "0, this copy does"),
    Broken("L4", "dma gather", {"src_csize": 2, "index_csize": 3}, "src_csize", "1 or the channels of the"),
    Broken("L7", "rq0", {"opd2_n_str": 5 << 3}, "opd2_n_str", "0..32", "rounding"),
    Broken("L14", "average", {"res0_addr": 0x4040}, "res0_addr", "no overlap with operand 0", "shifted"),
]

# What the machine does not read, or takes although our code generation never makes it: settled on the
# vendor's simulator (tests/oracle/test_unused.py). Own commands keep the narrower form.
FOREIGN = [
    Broken("L1", "conv", {"opd1_addr": 0x8014}, "opd1_addr", "a multiple of 64", "filter_at_4_bytes"),
    Broken("L1", "conv i8", {"opd1_addr": 0x8003}, "opd1_addr", "a multiple of 64", "filter_of_bytes"),
    Broken("L4", "mm2", {"opd1_w": 0}, "opd1_w", "1..65535", "columns_of_the_result"),
    Broken("L4", "mm2", {"opd1_w": 40}, "res0_w", "opd1_w, the columns of the right matrix"),
    Broken("L4", "mm2 nt", {"opd1_c": 1}, "res0_w", "opd1_c, the rows of the right matrix"),
    Broken("L4", "mm2 tt", {"opd1_c": 0xFFFF}, "res0_c", "opd1_c, the rows of the right matrix"),
    Broken("L4", "dma broadcast", {"src_csize": 0}, "src_csize", "1..65535", "none"),
    Broken("L4", "dma broadcast", {"src_csize": 9}, "src_csize", "1 channel to broadcast"),
    Broken("L4", "dma broadcast", {"src_wstride": 0}, "src_wstride", "1"),
    Broken("L4", "dma broadcast", {"dst_wstride": 0}, "dst_wstride", "1"),
    Broken("L4", "dma transpose", {"src_wstride": 0xFFFFFFFF}, "src_wstride", "1", "far"),
    Broken("L4", "dma transpose", {"dst_wstride": 0}, "dst_wstride", "1"),
    Broken("L4", "dma cw transpose", {"src_wstride": 7}, "src_wstride", "1"),
    Broken("L4", "dma cw transpose", {"dst_wstride": 0}, "dst_wstride", "1"),
    Broken("L4", "dma gather", {"index_hsize": 0}, "index_hsize", "dst_hsize"),
    Broken("L4", "dma gather", {"dst_csize": 0}, "dst_csize", "the channels of source and index"),
    Broken("L7", "rq0", {"opd2_n_str": 39}, "opd2_n_str", "the rounding in bits 3..5", "low_bits"),
    Broken("L7", "rq1", {"opd2_n_str": 0x38}, "opd2_n_str", "0..6", "high_bits"),
    Broken("L7", "dq0", {"opd2_n_str": 0x3F}, "opd2_n_str", "0..6", "no_rounding"),
    Broken("L14", "average", {"res0_addr": 0x4000}, "res0_addr", "no overlap with operand 0", "in_place"),
    Broken("L14", "pool", {"res0_addr": 0x4000}, "res0_addr", "no overlap with operand 0", "in_place"),
    Broken("L14", "depthwise", {"res0_addr": 0x4000}, "res0_addr", "no overlap with operand 0", "in_place"),
]

# Foreign or not: still against a rule.
NEVER = [
    Broken("L1", "conv", {"opd1_addr": 0x8002}, "opd1_addr", "a multiple of 4", "filter"),
    Broken("L4", "mm2", {"opd1_c": 0}, "opd1_c", "1..65535", "depth"),
    Broken("L4", "dma broadcast", {"src_hsize": 0}, "src_hsize", "1..65535"),
    Broken("L7", "rq1", {"opd2_n_str": 0x3F}, "opd2_n_str", "0..6", "low_bits_count"),
    Broken("L14", "average", {"res0_addr": 0x4040}, "res0_addr", "no overlap with operand 0", "shifted"),
    Broken(
        "L14", "average", {"res0_addr": 0x4000, "res0_w": 17, "opd0_lf_pad": 15}, "res0_addr",
        "no overlap with operand 0", "longer_rows",
    ),
]  # fmt: skip

# Fields that nothing reads: whatever they hold is legal for everybody.
LEFTOVERS: list[tuple[str, dict[str, int]]] = [
    ("dma fill", dma("src", 0)),
    ("dma fill", dma("src", 0xFFDEADBEEF)),
    ("dma fill", {"src_nstride": 0, "src_cstride": 0xFFFFFFFF, "src_wstride": 0}),
    (
        "dma fill",
        {"nchw_copy": 0, "src_csize": 0, "dst_nsize": 1, "dst_csize": 64, "dst_hsize": 6, "dst_wsize": 6},
    ),
    ("dma", {"dst_nsize": 9, "dst_wsize": 0xFFFF}),
    ("dma transpose", {"dst_nsize": 9, "dst_hsize": 0}),
    ("cast", {"opd1_addr": 0xFFFFFFFF, "opd1_prec": 7, "opd2_addr": 0xFFFFFFFF}),
    ("average", {"opd2_addr": 0xFFFFFFFF, "res1_addr": 0xFFFFFFFF}),
    ("pool", {"opd1_addr": 0xFFFFFFFF, "opd2_addr": 0xFFFFFFFF}),
    ("conv", {"opd0_c_str": 0xFFFF, "opd0_w_str": 0xFFFF}),
    ("add", {"opd0_n_str": 0xFFFF, "opd1_w_str": 0xFFFFF, "res0_h_str": 0xFFFFF, "opd2_addr": 0xFFFFFFFF}),
    ("lin", {"tsk_eu_typ": 20, "opd2_addr": 0xFFFFFFFF}),
    ("cmp", {"res1_addr": 0xFFFFFFFF}),
]


def violations(base: str, change: dict[str, int], *, foreign: bool = False) -> list[_core.isa.Violation]:
    name, fields = LEGAL[base]
    engine = "gdma" if name.startswith("DMA") else "tiu"
    data = isa.encode(name, {"cmd_id": 1, **fields, **change})
    (command,) = isa.decode(engine, data)
    return isa.validate_command(command, coeff=COEFF, ctx=CTX, foreign=foreign)


@pytest.mark.parametrize("base", LEGAL)
def test_a_legal_command_passes(base: str) -> None:
    assert [str(v) for v in violations(base, {})] == []
    assert [str(v) for v in violations(base, {}, foreign=True)] == []


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_a_broken_rule_is_named(case: Broken) -> None:
    found = violations(case.base, case.change)
    assert any(v.field == case.field and v.expected.startswith(case.expected) for v in found), [
        str(v) for v in found
    ]


@pytest.mark.parametrize("case", FOREIGN, ids=str)
def test_what_the_chip_takes_is_refused_of_our_own_only(case: Broken) -> None:
    test_a_broken_rule_is_named(case)
    assert [str(v) for v in violations(case.base, case.change, foreign=True)] == []


@pytest.mark.parametrize("case", [*BROKEN, *NEVER], ids=str)
def test_a_rule_of_the_machine_holds_for_foreign_commands(case: Broken) -> None:
    found = violations(case.base, case.change, foreign=True)
    assert any(v.field == case.field and v.expected.startswith(case.expected) for v in found), [
        str(v) for v in found
    ]


@pytest.mark.parametrize(("base", "change"), LEFTOVERS, ids=[f"{b}-{'-'.join(c)}" for b, c in LEFTOVERS])
def test_leftovers_in_fields_that_are_not_read_are_legal(base: str, change: dict[str, int]) -> None:
    assert [str(v) for v in violations(base, change)] == []
    assert [str(v) for v in violations(base, change, foreign=True)] == []


@pytest.mark.parametrize("name", ["sDMA_general", "sDMA_matrix", "sDMA_nonzero", "sDMA_masked_select"])
def test_l13_short_gdma_forms_are_refused(name: str) -> None:
    (command,) = isa.decode("gdma", isa.encode(name, {"src_data_format": F32}))
    assert any(v.field == "cmd_short" for v in isa.validate_command(command))


@pytest.mark.parametrize(("engine", "name"), [("tiu", "LAR"), ("tiu", "sSEG"), ("gdma", "sDMA_sys")])
def test_l13_what_the_runtime_cannot_load_is_refused(engine: str, name: str) -> None:
    fields = {"cmd_special_function": 1} if name == "sDMA_sys" else {}
    (command,) = isa.decode(engine, isa.encode(name, fields))
    assert isa.validate_command(command)


def add(**fields: int) -> bytes:
    return isa.encode("sAR", {**LEGAL["add"][1], **fields})


def load(**fields: int) -> bytes:
    return isa.encode("DMA_tensor", {**LEGAL["dma"][1], **fields})


def tiu_end(cmd_id: int) -> bytes:
    return isa.encode("SYS", {"tsk_eu_typ": 31, "cmd_id": cmd_id, "cmd_id_en": 0})


def gdma_end(cmd_id: int) -> bytes:
    return isa.encode("sDMA_sys", {"cmd_id": cmd_id})


def messages(tiu: bytes, gdma: bytes) -> list[str]:
    return [str(v) for v in isa.validate(tiu, gdma, coeff=COEFF, ctx=CTX)]


def test_a_legal_group_passes_with_gaps_in_its_ids() -> None:
    tiu = add(cmd_id=2, cmd_id_dep=1) + tiu_end(5)
    gdma = load(cmd_id=1) + load(cmd_id=7, cmd_id_dep=2) + gdma_end(9)
    assert messages(tiu, gdma) == []


def test_l8_ids_grow() -> None:
    (message,) = messages(add(cmd_id=3) + add(cmd_id=3) + tiu_end(4), gdma_end(1))
    assert message.startswith("tiu command 1 (id 3, sAR arith.add): cmd_id: expected an id above")
    assert "(3), got 3" in message


def test_l8_the_end_command_needs_an_id() -> None:
    (message,) = messages(tiu_end(0), gdma_end(1))
    assert message.startswith("tiu command 0 (id 0, SYS sys.end): cmd_id: expected an id above")


def test_l9_a_stream_has_its_end_command() -> None:
    assert any("expected sys.end as the last command" in m for m in messages(add(cmd_id=1), gdma_end(1)))
    assert any("expected dma.sys as the last command" in m for m in messages(tiu_end(1), load(cmd_id=1)))
    assert messages(b"", gdma_end(1)) == ["tiu stream: expected sys.end as the last command, got none"]


def test_l10_a_dependency_that_never_comes_is_found() -> None:
    (message,) = messages(add(cmd_id=1, cmd_id_dep=9) + tiu_end(2), load(cmd_id=1) + gdma_end(2))
    assert message == (
        "tiu command 0 (id 1, sAR arith.add): cmd_id_dep: expected an id that the other engine reaches "
        "(it stops after 2), got 9"
    )


def test_l10_a_dependency_without_its_bit_is_no_wait() -> None:
    (message,) = messages(add(cmd_id=1, cmd_id_dep=9, cmd_id_en=0) + tiu_end(2), gdma_end(1))
    assert "cmd_id_en: expected bit 0 set, got 0" in message


def test_l10_engines_that_wait_for_each_other_are_found() -> None:
    found = messages(
        add(cmd_id=1, cmd_id_dep=1) + tiu_end(2),
        load(cmd_id=1, cmd_id_dep=1) + gdma_end(2),
    )
    assert [m.split(":", 1)[0] for m in found] == [
        "tiu command 0 (id 1, sAR arith.add)",
        "gdma command 0 (id 1, DMA_tensor dma.tensor)",
    ]


def test_vendor_programs_are_legal(samples: list[Path]) -> None:
    for path in samples:
        model = bmodel.read(path, legality=False)
        assert [str(v) for v in bmodel.violations_of(model)] == [], path
