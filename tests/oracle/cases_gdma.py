"""Random legal commands: GDMA."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from oracle.case import (
    ALL_LANES,
    DDR,
    LMEM,
    Case,
    Fill,
    Lanes,
    Rng,
    ceil_div,
    register,
    round_up,
    rows_of,
    small_shape,
)
from oracle.values import CODES, SIZES, DType


def _address(prefix: str, addr: int) -> dict[str, int]:
    return {f"{prefix}_start_addr_l32": addr & 0xFFFFFFFF, f"{prefix}_start_addr_h8": addr >> 32}


def _mask(rng: Rng) -> dict[str, int]:
    mask = ALL_LANES if rng.random() < 0.7 else int(rng.integers(0, 1 << 63)) | 1 << 63
    return {"localmem_mask_l32": mask & 0xFFFFFFFF, "localmem_mask_h32": mask >> 32}


@dataclass
class Ddr:
    """Hands out byte ranges of DDR."""

    rng: Rng
    at: int = 0
    fills: list[Fill] = field(default_factory=list)

    def take(self, nbytes: int, profile: bool) -> int:
        self.at = round_up(self.at, 4) + 4 * int(self.rng.integers(0, 40))
        offset = self.at
        self.at += nbytes
        if profile:
            self.fills.append(Fill(offset, nbytes, "i8", "bits", ddr=True))
        return DDR + offset


def _dma_side(
    rng: Rng, lanes: Lanes, ddr: Ddr, name: str, dtype: DType, shape: tuple[int, int, int, int], *,
    local: bool, source: bool, plain: bool = False, dense: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Address, strides and sizes of one side of a strided copy."""
    n, c, h, w = shape
    size = SIZES[dtype]
    ws = 1 if plain or dense or rng.random() < 0.7 else int(rng.integers(2, 4))
    hs = w * ws + (0 if plain or rng.random() < 0.5 else int(rng.integers(0, 5)))
    cs = h * hs + (0 if plain or rng.random() < 0.5 else int(rng.integers(0, 9)))
    rows = rows_of(lanes.lane, c) if local else c
    ns = cs * rows + (0 if plain else int(rng.integers(0, 3)))
    nbytes = ((n - 1) * ns + (rows - 1) * cs + (h - 1) * hs + (w - 1) * ws + 1) * size
    if local:
        at = lanes.take(nbytes)
        if source:
            lanes.fill(at, nbytes, "i8", "bits")
        addr = LMEM + lanes.address(at)
    else:
        addr = ddr.take(nbytes, source)
    fields = _address(name, addr)
    fields |= {f"{name}_{d}stride": s for d, s in zip("nchw", (ns, cs, hs, ws), strict=True)}
    return fields | {f"{name}_{d}size": s for d, s in zip("nchw", shape, strict=True)}


def dma_tensor_case(rng: Rng, kind: str, dtype: DType) -> Case:
    lanes, ddr = Lanes(rng, int(rng.integers(0, 64))), Ddr(rng)
    shape = small_shape(rng, 3000)
    n, c, h, w = shape
    fields = {"stride_enable": 1, "src_data_format": CODES[dtype]} | _mask(rng)
    op = {"copy": 0, "reshape": 0, "fill": 0, "transpose": 1, "broadcast": 3}[kind]
    fields["cmd_special_function"] = op
    src_local, dst_local = bool(rng.integers(0, 2)), bool(rng.integers(0, 2))
    if kind == "broadcast":
        src_local, dst_local = False, True
    if src_local:
        fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    out = shape
    if kind == "copy":
        fields["nchw_copy"] = 1
    elif kind == "reshape":
        out = (1, c, 1, n * h * w) if rng.random() < 0.5 else (n, 1, c, h * w)
        fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    elif kind == "transpose":
        out = (c, n, h, w)
        fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    elif kind == "broadcast":
        out = (n, min(c, 64 - lanes.lane), h, w)
        shape = (n, 1, h, w)
    dense = kind in ("transpose", "broadcast")
    if kind == "broadcast":
        fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    if kind == "fill":
        fields |= {"fill_constant_en": 1, "constant_value": int(rng.integers(0, 2**32)), "nchw_copy": 1}
        fields |= {f"src_{d}size": s for d, s in zip("nchw", shape, strict=True)}
    else:
        fields |= _dma_side(rng, lanes, ddr, "src", dtype, shape, local=src_local, source=True, dense=dense)
        lanes.lane = int(rng.integers(0, 64)) if kind != "broadcast" else lanes.lane
    fields |= _dma_side(rng, lanes, ddr, "dst", dtype, out, local=dst_local, source=False, dense=dense)
    name = {"reshape": "dma.tensor (reshape)", "copy": "dma.tensor", "fill": "dma.tensor (fill)"}
    op_name = name.get(kind, f"dma.tensor.{kind}")
    return Case(op_name, dtype, "gdma", "DMA_tensor", fields, (*lanes.fills, *ddr.fills))


def dma_matrix_case(rng: Rng, dtype: DType, transpose: bool, load: bool) -> Case:
    lanes, ddr = Lanes(rng, int(rng.integers(0, 64))), Ddr(rng)
    size = SIZES[dtype]
    rows, cols = int(rng.integers(1, 60)), int(rng.integers(1, 90))
    local_rows, local_cols = (cols, rows) if transpose else (rows, cols)
    width = int(rng.choice([1, 5, 16, 64]))
    pieces = ceil_div(local_cols, width)
    hs = cols + int(rng.integers(0, 5))
    cs = round_up(width * size, 64) // size
    ns = cs * rows_of(lanes.lane, pieces)
    nbytes = local_rows * ns * size
    at = lanes.take(nbytes)
    plain, local = ("src", "dst") if load else ("dst", "src")
    if not load:
        lanes.fill(at, nbytes, "i8", "bits")
    addr = ddr.take(((rows - 1) * hs + cols) * size, load)
    fields = {"stride_enable": 1, "src_data_format": CODES[dtype], "cmd_special_function": int(transpose)}
    fields |= _mask(rng) | _address(plain, addr) | _address(local, LMEM + lanes.address(at))
    if not load:
        fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    fields |= {f"{plain}_hstride": hs, f"{plain}_hsize": rows, f"{plain}_wsize": cols}
    fields |= {f"{local}_nstride": ns, f"{local}_cstride": cs, f"{local}_nsize": local_rows}
    fields |= {f"{local}_csize": pieces, f"{local}_wsize": width}
    op = "dma.matrix" + (".transpose" if transpose else "") + (" (load)" if load else " (store)")
    return Case(op, dtype, "gdma", "DMA_matrix", fields, (*lanes.fills, *ddr.fills))


def dma_general_case(rng: Rng, dtype: DType, broadcast: bool) -> Case:
    lanes, ddr = Lanes(rng, int(rng.integers(0, 64))), Ddr(rng)
    size = SIZES[dtype]
    count = int(rng.integers(1, 400))
    fields = {"src_data_format": CODES[dtype], "src_cstride_or_length": count} | _mask(rng)
    fields["cmd_special_function"] = int(broadcast)
    if rng.random() < 0.2:
        fields |= {"fill_constant_en": 1, "constant_value": int(rng.integers(0, 2**32))}
    if broadcast or rng.random() < 0.5:
        fields |= _address("src", ddr.take(count * size, True))
        fields |= _address("dst", LMEM + lanes.address(lanes.take(count * size)))
    else:
        at = lanes.take(count * size)
        lanes.fill(at, count * size, "i8", "bits")
        fields |= _address("src", LMEM + lanes.address(at)) | _address("dst", ddr.take(count * size, False))
    if broadcast:
        fields["dst_csize"] = int(rng.integers(1, 65 - lanes.lane))
    else:
        fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    op = "dma.general" + (".broadcast" if broadcast else "")
    return Case(op, dtype, "gdma", "DMA_general", fields, (*lanes.fills, *ddr.fills))


def dma_cw_case(rng: Rng, dtype: DType) -> Case:
    lanes, ddr = Lanes(rng, int(rng.integers(0, 64))), Ddr(rng)
    n, c, h, w = small_shape(rng, 2000)
    fields = {"stride_enable": 1, "src_data_format": CODES[dtype]}
    fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    src_local, dst_local = bool(rng.integers(0, 2)), bool(rng.integers(0, 2))
    fields |= _dma_side(rng, lanes, ddr, "src", dtype, (n, c, h, w), local=src_local, source=True, plain=True)
    lanes.lane = int(rng.integers(0, 64))
    fields |= _dma_side(
        rng, lanes, ddr, "dst", dtype, (n, w, h, c), local=dst_local, source=False, plain=True
    )
    return Case("dma.cw_transpose", dtype, "gdma", "DMA_cw_transpose", fields, (*lanes.fills, *ddr.fills))


def dma_gather_case(rng: Rng, dtype: DType, scatter: bool) -> Case:
    ddr = Ddr(rng)
    size = SIZES[dtype]
    c = int(rng.choice([1, 1, 2, 3]))
    table, count, w = int(rng.integers(1, 60)), int(rng.integers(1, 60)), int(rng.integers(1, 40))
    src_h, dst_h = (count, table) if scatter else (table, count)
    fields = {"stride_enable": 1, "src_data_format": CODES[dtype], "src_wsize": w, "dst_wsize": w}
    fields |= {"localmem_mask_l32": 0xFFFFFFFF, "localmem_mask_h32": 0xFFFFFFFF}
    for name, h, source in (("src", src_h, True), ("dst", dst_h, False)):
        hs = w + int(rng.integers(0, 3))
        cs = hs * h + int(rng.integers(0, 3))
        fields |= _address(name, ddr.take(((c - 1) * cs + (h - 1) * hs + w) * size, source))
        fields |= {f"{name}_csize": c, f"{name}_hsize": h, f"{name}_cstride": cs, f"{name}_hstride": hs}
    addr = ddr.take(count * c * 4, False)
    ddr.fills.append(Fill(addr - DDR, count * c, "i32", "bits", ddr=True, limit=table))
    fields |= _address("index", addr)
    fields |= {"index_csize": c, "index_hsize": count, "index_cstride": count, "index_hstride": 1}
    name = "scatter" if scatter else "gather"
    return Case(f"dma.{name}", dtype, "gdma", f"DMA_{name}", fields, tuple(ddr.fills))


def _dma_families() -> None:
    kinds: tuple[DType, ...] = ("i8", "f16", "f32", "bf16", "i32")
    for d in kinds:
        for kind in ("copy", "reshape", "fill", "transpose", "broadcast"):
            op = dma_tensor_case(np.random.default_rng(0), kind, d).op
            register("dma", op, d, partial(dma_tensor_case, kind=kind, dtype=d))
        for transpose in (False, True):
            for load in (True, False):
                op = dma_matrix_case(np.random.default_rng(0), d, transpose, load).op
                register("dma", op, d, partial(dma_matrix_case, dtype=d, transpose=transpose, load=load))
        for b in (False, True):
            op = "dma.general" + (".broadcast" if b else "")
            register("dma", op, d, partial(dma_general_case, dtype=d, broadcast=b))
        register("dma", "dma.cw_transpose", d, partial(dma_cw_case, dtype=d))
        for scatter in (False, True):
            op = "dma.scatter" if scatter else "dma.gather"
            register("dma", op, d, partial(dma_gather_case, dtype=d, scatter=scatter))


_dma_families()
