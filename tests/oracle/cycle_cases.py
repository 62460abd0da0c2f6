"""Random commands for the cycle model: any sizes and strides that the fields hold, legal or not.

An estimate is a pure function of the fields, so these go far beyond what fits into local memory; the legal
commands of the differential run are asked too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oracle.case import DDR, L2, LANE_BYTES, LANES, LMEM

Rng = np.random.Generator
Fields = dict[str, int]
Command = tuple[str, Fields]
TYPES = (0, 1, 2, 3, 4, 5)
FLOATS = (1, 2, 5)


def _pick(rng: Rng, *values: int) -> int:
    return int(values[int(rng.integers(0, len(values)))])


def _size(rng: Rng, most: int = 600) -> int:
    """Ones, sizes beside powers of two, and anything."""
    return _pick(rng, 1, 2, 3, 7, 16, 31, 32, 33, 63, 64, 65, 128, 129, int(rng.integers(1, most)))


def _dims(rng: Rng, name: str, axes: str = "nchw") -> Fields:
    return {f"{name}_{axis}": _pick(rng, 1, 1, 2, 3) if axis == "n" else _size(rng) for axis in axes}


def _addr(rng: Rng, aligned: int = 64) -> int:
    lane = _pick(rng, 0, 0, int(rng.integers(0, LANES)))
    return lane * LANE_BYTES + _pick(rng, 0, int(rng.integers(0, LANE_BYTES // aligned))) * aligned


def _addresses(rng: Rng) -> Fields:
    """Of result and operands; at times in one bank or at one place."""
    result = _addr(rng)
    sources = [_pick(rng, _addr(rng), _addr(rng), result, result ^ 64) for _ in range(2)]
    return {"res0_addr": result, "opd0_addr": sources[0], "opd1_addr": sources[1]}


def _conv(rng: Rng) -> Command:
    window = {"opd1_h": int(rng.integers(1, 12)), "opd1_w": int(rng.integers(1, 12))}
    fields = _dims(rng, "res0") | window | {"opd0_c": _size(rng, 3000)}
    return "sCONV", fields | {"opd0_prec": _pick(rng, 0, 1, 2, 5), "res0_addr": _addr(rng)}


def _pord(rng: Rng) -> Command:
    window = {f"opd1_{axis}": _pick(rng, 1, 2, 3, int(rng.integers(1, 20))) for axis in "hw"}
    strides = {f"res_op_{axis}_str": _pick(rng, 1, 1, 2, int(rng.integers(1, 16))) for axis in "xy"}
    fields = _dims(rng, "res0") | window | strides | {"res0_addr": _addr(rng)}
    return "sPorD", fields | {
        "tsk_eu_typ": _pick(rng, 0, 1, 2, 4, 5, 6, 7),
        "opd0_prec": _pick(rng, 0, *FLOATS),
    }


def _mm(rng: Rng) -> Command:
    width = _size(rng)
    fields = {"opd0_n": _size(rng), "opd0_c": _pick(rng, 1, 2, 5), "opd0_w": width}
    fields |= {"opd1_w": int(rng.integers(1, width + 1)), "res0_c": _size(rng), "res0_w": _size(rng)}
    flags = {name: _pick(rng, 0, 1) for name in ("opd2_const", "res_add", "left_tran")}
    return "sMM", fields | flags | {"tsk_eu_typ": 1, "opd0_prec": _pick(rng, 0, 2)}


def _mm2(rng: Rng) -> Command:
    fields = {"res0_c": _size(rng), "res0_w": _size(rng), "opd1_c": _size(rng), "opd1_w": _size(rng)}
    return "sMM2", fields | {"tsk_eu_typ": _pick(rng, 4, 5, 6), "opd0_prec": _pick(rng, 0, 1, 5)}


AR_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 26, 27, 28)


def _ar(rng: Rng) -> Command:
    op = _pick(rng, *AR_CODES, 12, 12)
    fields = _dims(rng, "res0") | _addresses(rng) | {"tsk_eu_typ": op}
    kind = _pick(rng, *TYPES)
    for name in ("res0", "opd0", "opd1"):
        w = fields["res0_w"]
        layout = _pick(rng, 0, 0, 1, 3, 3)
        fields |= {f"{name}_prec": _pick(rng, kind, kind, *TYPES), f"{name}_str": layout}
        fields[f"{name}_w_str"] = _pick(rng, 0, 1, 1, 1, 2, 3, int(rng.integers(0, 70)))
        fields[f"{name}_h_str"] = _pick(rng, 0, 1, w, w, 2 * w, 16, 64, int(rng.integers(0, 1000)))
    if op == 12:
        fields["opd2_n_str"] = int(rng.integers(0, 4))
    return "sAR", fields


def _rqdq(rng: Rng) -> Command:
    return "sRQ_DQ", _dims(rng, "res0") | _addresses(rng) | {"tsk_eu_typ": _pick(rng, 0, 1, 3, 4, 5)}


def _sfu(rng: Rng) -> Command:
    fields = _dims(rng, "res0") | {"res0_addr": _addr(rng), "opd0_prec": _pick(rng, *FLOATS)}
    return "sSFU", fields | {"tsk_eu_typ": _pick(rng, 12, 13, 15, 17), "opd1_n": int(rng.integers(1, 40))}


def _lin(rng: Rng) -> Command:
    fields = _dims(rng, "res0") | {"res0_addr": _addr(rng), "res0_prec": _pick(rng, *FLOATS)}
    return "sLIN", fields | {"tsk_eu_typ": _pick(rng, 1, 20, 21)}


def _cmp(rng: Rng) -> Command:
    fields = _dims(rng, "res0") | {"res0_addr": _addr(rng), "opd0_prec": _pick(rng, *TYPES)}
    return "sCMP", fields | {"tsk_eu_typ": _pick(rng, 22, 23, 24, 25, 26)}


def _vc(rng: Rng) -> Command:
    width = _size(rng)
    fields = {"opd0_c": _pick(rng, 1, 2, 9), "opd0_w": width, "opd1_w": int(rng.integers(1, width + 1))}
    fields |= {"res0_c": _size(rng), "res0_w": _size(rng), "res0_addr": _addr(rng)}
    fields |= {f"{name}_prec": _pick(rng, *TYPES) for name in ("res0", "opd0", "opd1")}
    return "sVC", fields | {"tsk_eu_typ": _pick(rng, 0, 2, 3, 4, 5, 7, 10, 12, 20)}


def _sg(rng: Rng) -> Command:
    op = _pick(rng, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)
    fields = _dims(rng, "res0") | {"opd1_w": _size(rng, 5000), "res0_addr": _addr(rng)}
    return "sSG", fields | {"tsk_eu_typ": op, "opd0_prec": _pick(rng, *TYPES)}


def _sgl(rng: Rng) -> Command:
    fields = _dims(rng, "res0") | {"opd0_h": _size(rng), "res0_addr": _addr(rng)}
    return "sSGL", fields | {"tsk_eu_typ": _pick(rng, 17, 18), "res0_prec": _pick(rng, *TYPES)}


def _trans_bc(rng: Rng) -> Command:
    fields = _dims(rng, "res0") | _addresses(rng)
    del fields["opd1_addr"]
    return "sTRANS_BC", fields | {"tsk_eu_typ": _pick(rng, 0, 1, 2, 3, 4, 5), "res0_prec": _pick(rng, *TYPES)}


def _place(rng: Rng, side: str, local: bool) -> Fields:
    base = LMEM if local else _pick(rng, DDR, DDR, DDR, L2)
    address = base + 64 * int(rng.integers(0, 1 << 14))
    return {f"{side}_start_addr_l32": address & 0xFFFFFFFF, f"{side}_start_addr_h8": address >> 32}


def _ends(rng: Rng, *directions: int) -> Fields:
    """Places of source and destination: 0 load, 1 store, 2 global, 3 local."""
    direction = _pick(rng, *(directions or (0, 1, 2, 3)))
    return _place(rng, "src", direction in {1, 3}) | _place(rng, "dst", direction in {0, 3})


def _shape(rng: Rng) -> tuple[int, int, int, int]:
    n = _pick(rng, 1, 1, 1, 2, 3, 10)
    return n, _size(rng, 1000), _pick(rng, 1, 1, 2, 3, 7, 16, 50), _size(rng, 2000)


def _strides(rng: Rng, side: str, shape: tuple[int, int, int, int]) -> Fields:
    """Dense ones, rows with gaps, columns apart, channels in any distance, repetition by 0."""
    _, c, h, w = shape
    col = _pick(rng, 1, 1, 1, 1, 1, 1, 2, 3)
    row = _pick(rng, w, w, w, w * col, w * col + int(rng.integers(0, 40)), int(rng.integers(1, 2000)))
    channel = _pick(rng, row * h, row * h, row * h, -(-h * w // 16) * 16, int(rng.integers(0, 5000)))
    batch = _pick(rng, channel * c, channel * c, -(-c // 64) * channel, int(rng.integers(0, 100000)))
    if rng.random() < 0.4:
        col, row, channel, batch = 1, w, h * w, c * h * w
    if rng.random() < 0.05:
        row = 0
    names = ("w", "h", "c", "n")
    return {
        f"{side}_{axis}stride": value for axis, value in zip(names, (col, row, channel, batch), strict=True)
    }


def _sized(side: str, shape: tuple[int, int, int, int]) -> Fields:
    return {f"{side}_{axis}size": size for axis, size in zip("nchw", shape, strict=True)}


def _tensor(rng: Rng, op: int, *directions: int) -> Command:
    shape = _shape(rng)
    n, c, h, w = shape
    target = (c, n, h, w) if op == 1 else shape
    fields = _sized("src", shape) | _sized("dst", target) | _ends(rng, *directions)
    fields |= _strides(rng, "src", (n, 1, h, w) if op == 3 else shape) | _strides(rng, "dst", target)
    fields |= {"stride_enable": 1, "nchw_copy": int(op == 0), "cmd_special_function": op}
    return "DMA_tensor", fields | {"src_data_format": _pick(rng, *TYPES)}


def _dense(rng: Rng) -> Command:
    name, fields = _tensor(rng, 0)
    shape = [fields[f"src_{axis}size"] for axis in "nchw"]
    for side in ("src", "dst"):
        strides = (shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1)
        fields |= {f"{side}_{axis}stride": value for axis, value in zip("nchw", strides, strict=True)}
    return name, fields | {"stride_enable": 0}


def _fill(rng: Rng) -> Command:
    name, fields = _tensor(rng, _pick(rng, 0, 1, 3))
    return name, fields | {"fill_constant_en": 1, "nchw_copy": _pick(rng, 0, 1)}


def _matrix(rng: Rng) -> Command:
    load = _pick(rng, 0, 1)
    rows, columns, piece = _size(rng, 3000), _size(rng, 3000), _size(rng)
    inner, outer = ("dst", "src") if load else ("src", "dst")
    fields = _ends(rng, 0 if load else 1) | {f"{outer}_hsize": rows, f"{outer}_wsize": columns}
    fields |= {f"{inner}_wsize": piece, f"{inner}_nsize": rows, f"{inner}_csize": -(-columns // piece)}
    fields |= {f"{outer}_hstride": columns, f"{inner}_nstride": columns, f"{inner}_cstride": piece}
    kind = {
        "stride_enable": 1,
        "cmd_special_function": _pick(rng, 0, 1),
        "src_data_format": _pick(rng, *TYPES),
    }
    return "DMA_matrix", fields | kind


def _general(rng: Rng) -> Command:
    length = _pick(rng, 1, 16, 64, 1000, int(rng.integers(1, 1 << 22)))
    fields = _ends(rng) | {"src_cstride_or_length": length, "src_data_format": _pick(rng, *TYPES)}
    return "DMA_general", fields | {
        "fill_constant_en": _pick(rng, 0, 0, 1),
        "cmd_special_function": _pick(rng, 0, 1),
    }


def _cw_transpose(rng: Rng) -> Command:
    name, fields = "DMA_cw_transpose", _tensor(rng, 0)[1]
    return name, fields | {"nchw_copy": 0}


def _rows(rng: Rng, name: str) -> Command:
    channels, count, width = _size(rng), _size(rng, 5000), _size(rng, 2000)
    table = _size(rng, 5000)
    src, dst = (table, count) if name == "DMA_gather" else (count, table)
    sizes = {"src_hsize": src, "dst_hsize": dst, "src_wsize": width, "dst_wsize": width, "index_hsize": count}
    sizes |= {"src_csize": channels, "dst_csize": channels, "index_csize": channels}
    sizes[("src_csize", "index_csize")[_pick(rng, 0, 1)]] = _pick(rng, 1, channels)
    index = {"index_start_addr_h8": 1, "index_cstride": count, "index_hstride": 1}
    return name, sizes | _ends(rng) | index | {"stride_enable": 1, "src_data_format": _pick(rng, *TYPES)}


def _select(rng: Rng) -> Command:
    fields = _sized("src", _shape(rng)) | _ends(rng) | {"mask_start_addr_h8": 1}
    return "DMA_masked_select", fields | {"src_data_format": _pick(rng, *TYPES)}


def _nonzero(rng: Rng) -> Command:
    fields = _sized("src", _shape(rng)) | _ends(rng) | {"index_data_format": _pick(rng, *TYPES)}
    return "DMA_nonzero", fields | {"src_data_format": _pick(rng, *TYPES)}


KINDS: dict[str, Callable[[Rng], Command]] = {
    "conv": _conv,
    "pord": _pord,
    "mm": _mm,
    "mm2": _mm2,
    "ar": _ar,
    "rqdq": _rqdq,
    "sfu": _sfu,
    "lin": _lin,
    "cmp": _cmp,
    "vc": _vc,
    "sg": _sg,
    "sgl": _sgl,
    "trans_bc": _trans_bc,
    "dma.tensor load": lambda rng: _tensor(rng, 0, 0),
    "dma.tensor store": lambda rng: _tensor(rng, 0, 1),
    "dma.tensor global": lambda rng: _tensor(rng, 0, 2),
    "dma.tensor local": lambda rng: _tensor(rng, 0, 3),
    "dma.tensor dense": _dense,
    "dma.tensor.transpose": lambda rng: _tensor(rng, 1),
    "dma.tensor.broadcast": lambda rng: _tensor(rng, 3, 0, 3),
    "dma.tensor fill": _fill,
    "dma.matrix": _matrix,
    "dma.general": _general,
    "dma.cw_transpose": _cw_transpose,
    "dma.gather": lambda rng: _rows(rng, "DMA_gather"),
    "dma.scatter": lambda rng: _rows(rng, "DMA_scatter"),
    "dma.masked_select": _select,
    "dma.nonzero": _nonzero,
}
"""Every kind of command that has an estimate, and what makes random ones."""
