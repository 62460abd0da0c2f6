"""Random legal commands: SFU, LIN, CMP, VC, SG, TRANS_BC, RQ and DQ."""

from __future__ import annotations

from functools import partial

import numpy as np

from oracle.case import (
    FLOATS,
    INTS,
    LANE_BYTES,
    SMEM,
    Case,
    Fill,
    Lanes,
    Rng,
    aligned,
    constant_bits,
    profile_of,
    register,
    result_shape,
    round_up,
    rows_of,
    small_shape,
    tensor_bytes,
    word,
)
from oracle.values import CODES, SIZES, DType


def sfu_case(rng: Rng, op: str, dtype: DType) -> Case:
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    profile = profile_of(rng, "plain", "edges", "small", "positive", "bits")
    fields = {"tsk_eu_typ": {"taylor_4x": 12, "taylor": 13, "rsqrt": 17}[op]} | result_shape(shape)
    fields |= {"opd0_prec": CODES[dtype], "res0_prec": CODES[dtype]}
    fields |= aligned(lanes, "opd0", dtype, shape, profile) | aligned(lanes, "res0", dtype, shape, None)
    if op == "rsqrt":
        fields["opd2_n_str"] = int(rng.integers(0, 4))
    else:
        terms = int(rng.integers(2, 33))
        at = lanes.take(terms * SIZES[dtype])
        lanes.fill(at, terms * SIZES[dtype], dtype, profile_of(rng, "plain", "edges"))
        fields |= {"opd1_n": terms, "opd1_addr": lanes.address(at)}
    return Case(f"sfu.{op}", dtype, "tiu", "sSFU", fields, tuple(lanes.fills))


def lin_case(rng: Rng, op: str, dtype: DType) -> Case:
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    profile = profile_of(rng, "plain", "edges", "bits")
    fields = {"tsk_eu_typ": {"mac": 1, "square_sum": 20, "square_diff": 21}[op], "res0_prec": CODES[dtype]}
    fields |= result_shape(shape) | aligned(lanes, "opd0", dtype, shape, profile)
    for name in ("opd1", "opd2"):
        if rng.random() < 0.3:
            fields |= {f"{name}_const": 1, f"{name}_addr": constant_bits(rng, dtype)}
            continue
        nbytes = rows_of(lanes.lane, shape[1]) * SIZES[dtype]
        at = lanes.take(nbytes)
        lanes.fill(at, nbytes, dtype, profile)
        fields[f"{name}_addr"] = lanes.address(at)
    fields |= aligned(lanes, "res0", dtype, shape, None)
    return Case(f"lin.{op}", dtype, "tiu", "sLIN", fields, tuple(lanes.fills))


CMP_OPS = {"gt_and_sel": 22, "sel_gt": 23, "sel_eq": 24, "lt_and_sel": 25, "sel_lt": 26}


def cmp_case(rng: Rng, op: str, dtype: DType, selected: DType) -> Case:
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    profile = profile_of(rng, "plain", "edges", "small", "bits")
    fields = {"tsk_eu_typ": CMP_OPS[op], "opd0_prec": CODES[dtype], "opd2_prec": CODES[selected]}
    fields |= result_shape(shape) | {"opd0_sign": int(rng.integers(0, 2))}
    for i, kind in enumerate((dtype, dtype, selected, selected)):
        name = f"opd{i}"
        if rng.random() < 0.3 and i > 0:
            fields |= {f"{name}_const": 1, f"{name}_addr": constant_bits(rng, kind)}
        else:
            fields |= aligned(lanes, name, kind, shape, profile)
    if op in ("gt_and_sel", "lt_and_sel"):
        fields |= aligned(lanes, "res0", dtype, shape, None) | aligned(lanes, "res1", selected, shape, None)
    else:
        fields |= aligned(lanes, "res0", selected, shape, None)
    label = dtype if dtype == selected else f"{dtype},{selected}"
    return Case(f"cmp.{op}", label, "tiu", "sCMP", fields, tuple(lanes.fills))


VC_OPS = {"mul": 0, "add": 2, "sub": 3, "max": 4, "min": 5}


def vc_case(rng: Rng, op: str, dtype: DType) -> Case:
    lanes = Lanes(rng, 0)
    width = int(rng.choice([1, 3, 8, 16]))
    pieces = int(rng.choice([1, 2, 5]))
    last = int(rng.integers(1, width + 1))
    out = (1, int(rng.choice([1, 2, 63, 65])), 1, int(rng.choice([1, 5, 16, 40])))
    rows = (pieces - 1) * width + last
    profile = profile_of(rng, "plain", "edges", "bits")
    fields = {
        "tsk_eu_typ": VC_OPS[op], "opd0_prec": CODES[dtype], "opd1_prec": CODES[dtype],
        "res0_prec": CODES[dtype], "res0_c": out[1], "res0_w": out[3], "opd0_c": pieces, "opd0_w": width,
        "opd1_w": last,
    }  # fmt: skip
    sign = int(rng.integers(0, 2))
    fields |= {"opd0_sign": sign, "opd1_sign": sign}
    fields |= aligned(lanes, "opd0", dtype, (1, pieces, 1, width), profile)
    fields |= aligned(lanes, "opd1", dtype, out, profile)
    fields |= aligned(lanes, "res0", dtype, (rows, out[1], 1, out[3]), None)
    return Case(f"vc.{op}", dtype, "tiu", "sVC", fields, tuple(lanes.fills))


SG_OPS = {
    "pe_s_gather_d1coor": 5, "pe_s_scatter_d1coor": 6, "pe_s_gather_hzd": 13, "pe_s_scatter_hzd": 14,
}  # fmt: skip


def sg_case(rng: Rng, op: str, dtype: DType, index: DType) -> Case:
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    n = int(rng.choice([1, 1, 2, 3]))
    c = int(rng.choice([1, 2, 9, 64, 65]))
    gather = "gather" in op
    count = int(rng.choice([1, 2, 9, 33, 100]))
    limit = int(rng.choice([1, 3, 64, 200, 256] if index == "i8" else [1, 100, 500]))
    fields = {
        "tsk_eu_typ": SG_OPS[op], "opd0_prec": CODES[dtype], "res0_prec": CODES[dtype],
        "opd1_prec": CODES[index], "opd1_c": c, "opd1_w": count, "opd0_h": 1,
        "opd0_w": limit if gather else count,
    }  # fmt: skip
    shape = (n, c, 1, count if gather else limit)
    fields |= result_shape(shape)
    inshape = (1, c, 1, fields["opd0_w"])
    if gather and rng.random() < 0.4:
        at = lanes.take(round_up(inshape[3] * SIZES[dtype], 64))
        lanes.fill(at, inshape[3] * SIZES[dtype], dtype, "bits")
        fields |= {"opd0_str": 4, "opd0_addr": lanes.address(at)}
    else:
        fields |= aligned(lanes, "opd0", dtype, inshape, "bits")
    nbytes = tensor_bytes(lanes.lane, (n, c, 1, count), SIZES[index], True)
    at = lanes.take(nbytes)
    lanes.fill(at, nbytes, index, "bits", limit=limit)
    fields["opd1_addr"] = lanes.address(at)
    fields |= aligned(lanes, "res0", dtype, shape, "bits")
    return Case(f"sg.{op}", f"{dtype},{index}", "tiu", "sSG", fields, tuple(lanes.fills))


def sg4_case(rng: Rng, dtype: DType, index: DType) -> Case:
    """Four at a time: copies of the table 32 KiB apart, everything in its part of a lane (L15)."""
    c = int(rng.choice([1, 2, 9, 63, 64]))
    first = int(rng.integers(0, 64))
    count = int(rng.choice([1, 2, 3, 9, 33, 100, 259]))
    limit = int(rng.choice([1, 3, 64, 200, 256] if index == "i8" else [1, 100, 500]))
    shared = rng.random() < 0.6
    parts = {"opd1": 0, "res0": 0x10000, "opd0": 0x20000}
    at = {name: begin + 64 * int(rng.integers(0, 100)) for name, begin in parts.items()}
    sizes = {"opd0": SIZES[dtype] * limit, "opd1": SIZES[index] * count, "res0": SIZES[dtype] * count}
    rows = {name: 1 if shared and name == "opd0" else rows_of(first, c) for name in parts}
    taken = {name: rows[name] * round_up(size, 64) for name, size in sizes.items()}
    fills = [
        Fill(at["opd0"], taken["opd0"] // SIZES[dtype], dtype, "bits", copies=4, pitch=0x8000),
        Fill(at["opd1"], taken["opd1"] // SIZES[index], index, "bits", limit=limit),
        Fill(at["res0"], taken["res0"] // SIZES[dtype], dtype, "bits"),
    ]
    fields = {
        "tsk_eu_typ": 7, "opd0_prec": CODES[dtype], "res0_prec": CODES[dtype], "opd1_prec": CODES[index],
        "opd1_c": c, "opd1_w": count, "opd0_h": 1, "opd0_w": limit, "opd0_str": 4 if shared else 0,
        **result_shape((1, c, 1, count)), **{f"{name}_addr": first * LANE_BYTES + at[name] for name in parts},
    }  # fmt: skip
    return Case("sg.pe_m_gather_d1coor", f"{dtype},{index}", "tiu", "sSG", fields, tuple(fills))


TSBC_OPS = {"cw_ts": 0, "wc_ts": 1, "l_copy": 2, "l_bc": 3, "s_bc": 4, "s_distribute": 5}


def tsbc_case(rng: Rng, op: str, dtype: DType) -> Case:
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    size = SIZES[dtype]
    n, c, h, w = small_shape(rng, 3000)
    fields = {"tsk_eu_typ": TSBC_OPS[op], "res0_prec": CODES[dtype]}
    if op in ("cw_ts", "wc_ts"):
        if op == "cw_ts":
            n = h = 1
        lanes.lane = 0
        fields |= aligned(lanes, "opd0", dtype, (n, c, h, w), "bits")
        fields |= result_shape((n, w, h, c)) | {"opd0_c": c, "opd0_w": w}
        fields |= aligned(lanes, "res0", dtype, (n, w, h, c), None)
    elif op in ("l_copy", "l_bc"):
        source = (n, c if op == "l_copy" else 1, h, w)
        fields |= aligned(lanes, "opd0", dtype, source, "bits")
        lanes.lane = int(rng.integers(0, 64))
        fields |= result_shape((n, c, h, w)) | {"opd0_c": source[1], "opd0_w": w}
        fields |= aligned(lanes, "res0", dtype, (n, c, h, w), None)
    else:
        c = min(c, 64 - lanes.lane)
        shape = (1, c, 1, w if op == "s_bc" else 1)
        fields |= result_shape(shape) | {"opd0_c": c, "opd0_w": shape[3]}
        fields["opd0_addr"] = SMEM + size * int(rng.integers(0, 700))
        fields |= aligned(lanes, "res0", dtype, shape, None)
    return Case(f"tsbc.{op}", dtype, "tiu", "sTRANS_BC", fields, tuple(lanes.fills))


RQDQ_OPS = {"rq0": 0, "rq1": 1, "dq0": 3}


def rqdq_case(rng: Rng, op: str, dtype: DType, res: DType) -> Case:
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    profile = profile_of(rng, "plain", "edges", "bits")
    fields = {"tsk_eu_typ": RQDQ_OPS[op], "opd0_prec": CODES[dtype], "res0_prec": CODES[res]} | result_shape(
        shape
    )
    # An unsigned 32-bit input is not among the legal ones.
    fields |= {"opd0_sign": int(dtype == "i32" or rng.random() < 0.5), "opd2_sign": int(rng.integers(0, 2))}
    fields["opd2_n_str"] = int(rng.integers(0, 7)) if op == "rq1" else int(rng.integers(0, 5)) << 3
    if op == "dq0":
        fields["opd2_n_str"] = 0
    fields |= aligned(lanes, "opd0", dtype, shape, profile)
    scale = word(np.exp2(rng.uniform(-12, 3)))
    if op != "rq1" or rng.random() < 0.5:
        fields["opd1_const"] = 1
        if op == "rq1":
            shift = int(rng.integers(-40, 3)) & 0xFF
            zero = int(rng.integers(-200, 200)) & 0xFFFF
            fields |= {"opd1_addr": int(rng.integers(0, 2**31)), "opd2_addr": shift | zero << 16}
        elif op == "rq0":
            fields |= {"opd1_addr": scale, "opd2_addr": word(rng.uniform(-30, 30))}
        else:
            fields |= {"opd1_addr": int(rng.integers(-128, 128)) & 0xFFFFFFFF, "opd2_addr": scale}
    else:
        # Words of each channel: multiplier, shift, zero point.
        row = rows_of(lanes.lane, shape[1])
        at = lanes.take(row * 64)
        for r in range(row):
            lanes.fill(at + r * 64, 4, "i32", "bits")
            lanes.fills.append(Fill(at + r * 64 + 4, 1, "i8", "small", limit=0))
            lanes.fills.append(Fill(at + r * 64 + 5, 3, "i8", "small", limit=1))
            lanes.fill(at + r * 64 + 8, 4, "i32", "small")
        fields["opd1_addr"] = lanes.address(at)
    fields |= aligned(lanes, "res0", res, shape, None)
    return Case(f"quant.{op}", f"{dtype}->{res}", "tiu", "sRQ_DQ", fields, tuple(lanes.fills))


def _rest_families() -> None:
    for d in FLOATS:
        for op in ("taylor", "taylor_4x"):
            register("sfu", f"sfu.{op}", d, partial(sfu_case, op=op, dtype=d))
        for op in ("mac", "square_sum", "square_diff"):
            register("lin", f"lin.{op}", d, partial(lin_case, op=op, dtype=d))
    register("sfu", "sfu.rsqrt", "f32", partial(sfu_case, op="rsqrt", dtype="f32"))
    for op in CMP_OPS:
        for d in (*FLOATS, *INTS):
            register("cmp", f"cmp.{op}", d, partial(cmp_case, op=op, dtype=d, selected=d))
        mixed: list[tuple[DType, DType]] = [
            ("f32", "i32"), ("i32", "f32"), ("i16", "f16"), ("i16", "bf16"),
        ]  # fmt: skip
        for compared, selected in mixed:
            register("cmp", f"cmp.{op}", f"{compared},{selected}",
                     partial(cmp_case, op=op, dtype=compared, selected=selected))  # fmt: skip
    for op in VC_OPS:
        for d in (*FLOATS, *INTS):
            register("vc", f"vc.{op}", d, partial(vc_case, op=op, dtype=d))
    kinds: tuple[DType, ...] = ("i8", "f16", "f32")
    index_types: tuple[DType, ...] = ("i8", "i16")
    for op in SG_OPS:
        for d in kinds:
            for i in index_types:
                register("sg", f"sg.{op}", f"{d},{i}", partial(sg_case, op=op, dtype=d, index=i))
    for d in kinds:
        for i in index_types:
            register("sg", "sg.pe_m_gather_d1coor", f"{d},{i}", partial(sg4_case, dtype=d, index=i))
    for op in TSBC_OPS:
        moved: tuple[DType, ...] = (*kinds, "bf16", "i32")
        for d in moved:
            register("tsbc", f"tsbc.{op}", d, partial(tsbc_case, op=op, dtype=d))
    rows: list[tuple[str, DType, DType]] = [
        ("rq0", "i32", "i8"), ("rq0", "i32", "i16"), ("rq0", "i16", "i8"), ("rq1", "i32", "i8"),
        ("rq1", "i32", "i16"), ("rq1", "i16", "i8"), ("dq0", "i8", "f32"), ("dq0", "i16", "f32"),
    ]  # fmt: skip
    for op, d, r in rows:
        register("rqdq", f"quant.{op}", f"{d}->{r}", partial(rqdq_case, op=op, dtype=d, res=r))


_rest_families()
