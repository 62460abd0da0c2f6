"""Random legal commands, by instruction and data type, for comparison with the vendor's simulator.

A case is one encoded command and the operand bytes that it reads. Every generator draws only from the
``numpy`` generator that it is given, so a seed names a case for good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oracle.values import CODES, SIZES, DType, Profile, make
from tpumlir._core import isa

Rng = np.random.Generator
LMEM = 0x0800_0000
SMEM = 0x0900_0000
L2 = 0x1000_0000
DDR = 0x1_0000_0000
LANES = 64
LANE_BYTES = 262144
ALL_LANES = (1 << 64) - 1


@dataclass(frozen=True)
class Fill:
    """Bytes [offset, offset + count * size) of every lane, or of DDR."""

    offset: int
    count: int
    dtype: DType
    profile: Profile
    ddr: bool = False
    limit: int = 0  # integers below this bound instead of a profile


@dataclass(frozen=True)
class Case:
    """One command, what to put into the memories before it, and its row in the coverage table."""

    op: str
    dtype: str
    engine: str
    instruction: str
    fields: dict[str, int]
    fills: tuple[Fill, ...] = ()

    def encode(self) -> bytes:
        return isa.encode(self.instruction, {"cmd_id": 1, "cmd_id_en": 1, **self.fields})


Generator = Callable[[Rng], Case]
FAMILIES: dict[str, list[tuple[str, str, Generator]]] = {}


def _register(family: str, op: str, dtype: str, generator: Generator) -> None:
    assert all((op, dtype) != (o, d) for rows in FAMILIES.values() for o, d, _ in rows), f"{op} {dtype} twice"
    FAMILIES.setdefault(family, []).append((op, dtype, generator))


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def round_up(a: int, b: int) -> int:
    return ceil_div(a, b) * b


@dataclass
class Lanes:
    """Hands out byte ranges of the lanes that do not overlap."""

    rng: Rng
    lane: int
    at: int = 0
    fills: list[Fill] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = 64 * int(self.rng.integers(0, 64))

    def take(self, nbytes: int, align: int = 64) -> int:
        offset = round_up(self.at, align)
        self.at = offset + nbytes
        assert self.at <= LANE_BYTES, "case too large"
        return offset

    def fill(self, offset: int, nbytes: int, dtype: DType, profile: Profile, limit: int = 0) -> None:
        self.fills.append(Fill(offset, ceil_div(nbytes, SIZES[dtype]), dtype, profile, limit=limit))

    def address(self, offset: int) -> int:
        return self.lane * LANE_BYTES + offset


def rows_of(lane: int, c: int) -> int:
    return ceil_div(lane + c, LANES)


def tensor_bytes(lane: int, shape: tuple[int, int, int, int], size: int, aligned: bool) -> int:
    n, c, h, w = shape
    row = h * w * size
    return n * rows_of(lane, c) * (round_up(row, 64) if aligned else row)


def small_shape(rng: Rng, budget: int = 6000) -> tuple[int, int, int, int]:
    """Sizes that cross one element, 64 and 65 channels, odd rows; at most ``budget`` elements."""
    while True:
        n = int(rng.choice([1, 1, 2, 3]))
        c = int(rng.choice([1, 2, 3, 7, 16, 63, 64, 65, 100, 129]))
        h = int(rng.choice([1, 1, 2, 3, 5, 8]))
        w = int(rng.choice([1, 2, 3, 5, 7, 16, 17, 33, 64, 100]))
        if n * c * h * w <= budget:
            return n, c, h, w


def profile_of(rng: Rng, *profiles: Profile) -> Profile:
    return profiles[int(rng.integers(0, len(profiles)))]


def constant_bits(rng: Rng, dtype: DType) -> int:
    """Raw bits of a constant operand."""
    data = make(rng, dtype, 1, profile_of(rng, "plain", "small", "edges"))
    return int.from_bytes(data.tobytes(), "little")


# --- AR ----------------------------------------------------------------------

AR_OPS = {
    "mul": 0, "not": 1, "add": 2, "sub": 3, "max": 4, "min": 5, "logicShift": 6, "and": 7, "or": 8,
    "xor": 9, "selectGreat": 10, "selectEqual": 11, "div": 12, "selectLess": 13, "cast": 14, "adds": 15,
    "subs": 16, "mac": 18, "copy": 19, "muls": 20, "ashift": 21, "cshift": 22, "mulDHR": 23, "abs": 26,
    "fsubabs": 27, "getFirstOne": 29, "getFirstZero": 30,
}  # fmt: skip


def _ar_operand(
    rng: Rng,
    lanes: Lanes,
    name: str,
    dtype: DType,
    shape: tuple[int, int, int, int],
    profile: Profile | None,
) -> dict[str, int]:
    """Fields of one AR operand; a result when ``profile`` is None, else a source that may be broadcast."""
    n, c, h, w = shape
    size = SIZES[dtype]
    layout = int(rng.choice([0, 0, 1, 3]))
    fields = {f"{name}_prec": CODES[dtype], f"{name}_str": layout}
    if layout != 3:
        nbytes = tensor_bytes(lanes.lane, shape, size, layout == 0)
        offset = lanes.take(nbytes)
    else:
        ws = int(rng.choice([1, 1, 2, 3]))
        hs = w * ws + int(rng.integers(0, 3))
        cs = h * hs + int(rng.integers(0, 5))
        ns = cs * rows_of(lanes.lane, c) + int(rng.integers(0, 4))
        if profile is not None:
            ns, cs, hs, ws = (0 if rng.random() < 0.3 else s for s in (ns, cs, hs, ws))
        nbytes = ((n - 1) * ns + (rows_of(lanes.lane, c) - 1) * cs + (h - 1) * hs + (w - 1) * ws + 1) * size
        offset = lanes.take(nbytes)
        fields |= {f"{name}_{d}_str": s for d, s in zip("nchw", (ns, cs, hs, ws), strict=True)}
    if profile is not None:
        lanes.fill(offset, nbytes, dtype, profile)
    return fields | {f"{name}_addr": lanes.address(offset)}


def ar_case(
    rng: Rng,
    op: str,
    types: tuple[DType, DType, DType],
    sources: int,
    *,
    signs: tuple[int, int, int] | None = None,
    profiles: tuple[Profile, ...] = ("plain", "edges", "small", "bits"),
    extra: Callable[[Rng, Lanes], dict[str, int]] | None = None,
    suffix: str = "",
    label: str | None = None,
) -> Case:
    """types are (result, operand 0, operand 1); ``extra`` adds the third operand or the rounding."""
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    res, *opds = types
    fields = {"tsk_eu_typ": AR_OPS[op], "tsk_opd_num": sources}
    fields |= {f"res0_{d}": s for d, s in zip("nchw", shape, strict=True)}
    profile = profile_of(rng, *profiles)
    constant = int(rng.integers(0, 4)) if sources > 1 else -1
    for i in range(min(sources, 2)):
        if constant == i:
            fields |= {f"opd{i}_prec": CODES[opds[i]], f"opd{i}_const": 1}
            fields[f"opd{i}_addr"] = constant_bits(rng, opds[i])
        else:
            fields |= _ar_operand(rng, lanes, f"opd{i}", opds[i], shape, profile)
    fields |= _ar_operand(rng, lanes, "res0", res, shape, None)
    s = signs if signs is not None else tuple(int(x) for x in rng.integers(0, 2, 3))
    fields |= {f"opd{i}_sign": s[i] for i in range(3)}
    if extra is not None:
        fields |= extra(rng, lanes)
    name, kinds = f"arith.{op}{suffix}", label or _types(types, sources)
    return Case(name, kinds, "tiu", "sAR", fields, tuple(lanes.fills))


def _types(types: tuple[DType, DType, DType], sources: int) -> str:
    sources_text = types[1] if sources == 1 or types[1] == types[2] else f"{types[1]},{types[2]}"
    return types[0] if sources_text == types[0] else f"{sources_text}->{types[0]}"


FLOATS: tuple[DType, ...] = ("f32", "f16", "bf16")
INTS: tuple[DType, ...] = ("i8", "i16", "i32")


def _selected(dtype: DType) -> Callable[[Rng, Lanes], dict[str, int]]:
    def extra(rng: Rng, _: Lanes) -> dict[str, int]:
        return {"opd2_const": 1, "opd2_prec": CODES[dtype], "opd2_addr": constant_bits(rng, dtype)}

    return extra


def _shift_amounts(rng: Rng, _: Lanes) -> dict[str, int]:
    # Amounts beyond the width are not among the legal ones: one constant amount.
    return {"opd1_const": 1, "opd1_addr": int(rng.integers(-7, 8)) & 0xFF, "opd2_n_str": int(rng.integers(0, 7))}


def _constant_shift(rng: Rng, _: Lanes) -> dict[str, int]:
    shift = int(rng.integers(-20, 8)) & 0xFF
    return {"opd2_const": 1, "opd2_addr": shift, "opd2_n_str": int(rng.integers(0, 7))}


def _ar_families() -> None:
    def add(family: str, op: str, types: tuple[DType, DType, DType], sources: int, **kw: Any) -> None:
        def generate(rng: Rng) -> Case:
            return ar_case(rng, op, types, sources, **kw)

        name = f"arith.{op}{kw.get('suffix', '')}"
        _register(family, name, kw.get("label") or _types(types, sources), generate)

    for op in ("mul", "add", "sub", "max", "min"):
        for d in FLOATS:
            add("ar_float", op, (d, d, d), 2)
    add("ar_float", "div", ("f32", "f32", "f32"), 2, extra=lambda rng, _: {"opd2_n_str": int(rng.integers(0, 4))})
    for d in FLOATS:
        add("ar_float", "copy", (d, d, d), 1)
        add("ar_float", "abs", (d, d, d), 1)
    for a in FLOATS:
        for r in FLOATS:
            if a != r and "f32" in (a, r):
                add("ar_cast", "cast", (r, a, a), 1, profiles=("plain", "edges", "ties", "bits"),
                    extra=lambda rng, _: {"opd2_n_str": int(rng.integers(0, 5))})  # fmt: skip
        add("ar_cast", "cast", (a, a, a), 1, profiles=("plain", "edges", "ties", "bits"),
            extra=lambda rng, _: {"opd2_n_str": int(rng.integers(0, 5))})  # fmt: skip
        for r in INTS:
            add("ar_cast", "cast", (r, a, a), 1, profiles=("plain", "edges", "ties", "bits"),
                extra=lambda rng, _: {"opd2_n_str": int(rng.integers(0, 5))})  # fmt: skip
            add("ar_cast", "cast", (a, r, r), 1, profiles=("plain", "edges", "bits"),
                extra=lambda rng, _: {"opd2_n_str": int(rng.integers(0, 5))})  # fmt: skip
    for a in INTS:
        for r in INTS:
            if a != r:
                add("ar_cast", "cast", (r, a, a), 1, profiles=("plain", "edges", "bits"))
    for op in ("mul", "add", "sub"):
        for d in INTS:
            add("ar_int", op, (d, d, d), 2, profiles=("plain", "edges", "bits"))
    for op in ("and", "or", "xor"):
        for d in INTS:
            add("ar_int", op, (d, d, d), 2, profiles=("bits",))
    for op in ("not", "abs"):
        for d in INTS:
            add("ar_int", op, (d, d, d), 1, profiles=("edges", "bits"), signs=(1, 1, 1))
    for op in ("ashift", "logicShift"):
        for d in INTS:
            add("ar_int", op, (d, d, "i8"), 2, profiles=("edges", "bits"), extra=_shift_amounts)
    for op in ("selectGreat", "selectEqual", "selectLess"):
        for d in (*FLOATS, *INTS):
            add("ar_select", op, (d, d, d), 3, profiles=("edges", "small", "bits"), extra=_selected(d),
                signs=(1, 1, 1))  # fmt: skip
    saturating: list[tuple[DType, DType, DType]] = [
        ("i8", "i8", "i8"), ("i16", "i8", "i8"), ("i16", "i8", "i16"), ("i32", "i16", "i16"),
        ("i32", "i32", "i32"), ("i16", "i16", "i16"), ("i8", "i16", "i16"), ("i32", "i8", "i8"),
    ]  # fmt: skip
    for op in ("adds", "subs", "muls"):
        for t in saturating:
            add("ar_saturate", op, t, 2, profiles=("plain", "edges", "bits"))
            add("ar_saturate", op, t, 3, profiles=("plain", "edges", "bits"), extra=_constant_shift,
                suffix=" (shift)")  # fmt: skip
    for op in ("max", "min"):
        for d in INTS:
            for s in (0, 1):
                add("ar_int", op, (d, d, d), 2, profiles=("plain", "edges", "bits"), signs=(s, s, s),
                    label=d if s else d.replace("i", "u"))  # fmt: skip


_ar_families()


# --- convolution, pooling ----------------------------------------------------

CUBES = {"f32": 1, "f16": 32, "bf16": 32, "i8": 64}


@dataclass
class Geometry:
    """Window fields that CONV and PorD share, and the sizes they lead to."""

    ih: int
    iw: int
    oh: int
    ow: int
    kh: int
    kw: int
    fields: dict[str, int]


def window(rng: Rng, *, rotate: bool = True) -> Geometry:
    while True:
        kh, kw = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        ih, iw = int(rng.integers(1, 12)), int(rng.integers(1, 14))
        simple = rng.random() < 0.4
        sy, sx = (1, 1) if simple else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        dy, dx = (0, 0) if simple else (int(rng.choice([0, 0, 1, 2])), int(rng.choice([0, 0, 1, 2])))
        iy, ix = (0, 0) if simple else (int(rng.choice([0, 0, 1, 2])), int(rng.choice([0, 0, 1, 3])))
        up, dn, lf, rt = (int(x) for x in rng.integers(0, 4, 4))
        eh, ew = (ih - 1) * (iy + 1) + 1, (iw - 1) * (ix + 1) + 1
        mode = int(rng.choice([0, 0, 0, 1, 2, 3]))
        if mode and max(up, dn) >= ih or mode and max(lf, rt) >= iw:
            continue
        if mode and (iy or ix):
            continue
        oh = (eh + up + dn - (kh - 1) * (dy + 1) - 1) // sy + 1
        ow = (ew + lf + rt - (kw - 1) * (dx + 1) - 1) // sx + 1
        if oh < 1 or ow < 1:
            continue
        fields = {
            "opd0_h": ih, "opd0_w": iw, "res0_h": oh, "res0_w": ow, "opd1_h": kh, "opd1_w": kw,
            "res_op_y_str": sy, "res_op_x_str": sx, "opd1_y_ins0": dy, "opd1_x_ins0": dx,
            "opd0_y_ins0": iy, "opd0_x_ins0": ix, "opd0_up_pad": up, "opd0_dn_pad": dn,
            "opd0_lf_pad": lf, "opd0_rt_pad": rt, "pad_mode": mode,
            "kernel_rotate": int(rotate and rng.random() < 0.3),
        }  # fmt: skip
        return Geometry(ih, iw, oh, ow, kh, kw, fields)


def conv_case(rng: Rng, dtype: DType, res: DType, *, edges: bool = True) -> Case:
    g = window(rng)
    n = int(rng.choice([1, 1, 2]))
    ic = int(rng.choice([1, 2, 3, 31, 33, 40, 65])) if dtype != "f32" else int(rng.choice([1, 2, 3, 5, 17, 65]))
    oc = int(rng.choice([1, 2, 5, 16, 63, 65]))
    if dtype in ("f16", "bf16"):
        while n * oc * ic * g.kh * g.kw * g.oh * g.ow > 60000:
            oc = max(1, oc // 2)
            if oc == 1:
                n, ic = 1, max(1, ic // 2)
    elif n * oc * ic * g.kh * g.kw * g.oh * g.ow > 2_000_000:
        n, oc = 1, max(1, oc // 4)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    size = SIZES[dtype]
    profile: Profile = profile_of(rng, "plain", "small", "positive", "edges" if edges else "plain")
    in_lane = lanes.lane
    strided = rng.random() < 0.3
    if strided:
        ws = int(rng.choice([1, 2]))
        hs = g.iw * ws + int(rng.integers(0, 3))
        cs = g.ih * hs + int(rng.integers(0, 3))
        ns = cs * rows_of(in_lane, ic) + int(rng.integers(0, 3))
        nbytes = ((n - 1) * ns + (rows_of(in_lane, ic) - 1) * cs + (g.ih - 1) * hs + (g.iw - 1) * ws + 1) * size
    else:
        ns = cs = hs = ws = 0
        nbytes = tensor_bytes(in_lane, (n, ic, g.ih, g.iw), size, True)
    at = lanes.take(nbytes)
    lanes.fill(at, nbytes, dtype, profile)
    fields = g.fields | {
        "tsk_eu_typ": 0, "opd0_prec": CODES[dtype], "res0_prec": CODES[res], "res0_n": n, "res0_c": oc,
        "opd0_c": ic, "opd0_addr": lanes.address(at), "opd0_str": 3 if strided else 0,
        "opd0_n_str": ns, "opd0_c_str": cs, "opd0_h_str": hs, "opd0_w_str": ws,
        "opd3_const": 1, "opd3_addr": constant_bits(rng, dtype) if rng.random() < 0.3 else 0,
    }  # fmt: skip
    # The result starts in a lane of its own; weights and bias follow it.
    lanes.lane = int(rng.integers(0, 64))
    depth = round_up(ic, CUBES[dtype]) * g.kh * g.kw
    wbytes = rows_of(lanes.lane, oc) * depth * size
    at = lanes.take(wbytes)
    lanes.fill(at, wbytes, dtype, "small" if profile == "edges" and rng.random() < 0.5 else profile)
    fields["opd1_addr"] = lanes.address(at)
    if rng.random() < 0.5:
        kind: DType = "i8" if dtype == "i8" else "f32"
        bbytes = rows_of(lanes.lane, oc) * SIZES[kind]
        at = lanes.take(bbytes)
        lanes.fill(at, bbytes, kind, profile)
        fields["opd2_addr"] = lanes.address(at)
    else:
        fields["opd2_const"] = 1
        fields["opd2_addr"] = int(rng.integers(0, 256)) if dtype == "i8" and rng.random() < 0.7 else 0
    rbytes = tensor_bytes(lanes.lane, (n, oc, g.oh, g.ow), SIZES[res], True)
    at = lanes.take(rbytes)
    fields["res0_addr"] = lanes.address(at)
    if rng.random() < 0.3 and SIZES[res] == 4:
        fields["res_add"] = 1
        lanes.fill(at, rbytes, res, profile)
    fields |= {f"opd{i}_sign": int(rng.integers(0, 2)) for i in range(3)}
    label = dtype if dtype == res else f"{dtype}->{res}"
    return Case("conv.normal", label, "tiu", "sCONV", fields, tuple(lanes.fills))


PORD_OPS = {"depthwise": 0, "avgpooling": 1, "maxpooling": 4}


def pord_case(rng: Rng, op: str, dtype: DType, res: DType) -> Case:
    g = window(rng, rotate=op == "depthwise")
    n = int(rng.choice([1, 1, 2]))
    c = int(rng.choice([1, 2, 5, 63, 65, 100]))
    if n * c * g.oh * g.ow * g.kh * g.kw > 100_000:
        n, c = 1, min(c, 5)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    size = SIZES[dtype]
    profile: Profile = profile_of(rng, "plain", "small", "edges", "positive")
    nbytes = tensor_bytes(lanes.lane, (n, c, g.ih, g.iw), size, True)
    at = lanes.take(nbytes)
    lanes.fill(at, nbytes, dtype, profile)
    fields = g.fields | {
        "tsk_eu_typ": PORD_OPS[op], "opd0_prec": CODES[dtype], "res0_prec": CODES[res], "res0_n": n,
        "res0_c": c, "opd0_addr": lanes.address(at), "opd3_const": 1,
        "opd3_addr": constant_bits(rng, dtype) if rng.random() < 0.5 else 0,
    }  # fmt: skip
    fields |= {f"opd{i}_sign": int(rng.integers(0, 2)) for i in range(3)}
    if op == "depthwise":
        wbytes = rows_of(lanes.lane, c) * g.kh * g.kw * size
        at = lanes.take(wbytes)
        lanes.fill(at, wbytes, dtype, profile)
        fields["opd1_addr"] = lanes.address(at)
        if rng.random() < 0.6:
            kind: DType = "i32" if dtype == "i8" else dtype
            bbytes = rows_of(lanes.lane, c) * SIZES[kind]
            at = lanes.take(bbytes)
            lanes.fill(at, bbytes, kind, profile)
            fields["opd2_addr"] = lanes.address(at)
        else:
            fields["opd2_const"] = 1
    if op == "avgpooling":
        fields |= {"opd1_const": 1, "opd1_addr": constant_bits(rng, dtype)}
        if dtype == "i8":
            fields |= {"opd2_addr": int(rng.integers(0, 16)), "opd2_n_str": 5}
    rbytes = tensor_bytes(lanes.lane, (n, c, g.oh, g.ow), SIZES[res], True)
    fields["res0_addr"] = lanes.address(lanes.take(rbytes))
    label = dtype if dtype == res else f"{dtype}->{res}"
    return Case(f"pord.{op}", label, "tiu", "sPorD", fields, tuple(lanes.fills))


def _conv_families() -> None:
    pairs: list[tuple[str, DType, DType]] = [
        ("conv_f32", "f32", "f32"), ("conv_i8", "i8", "i32"), ("conv_half", "f16", "f16"),
        ("conv_half", "f16", "f32"), ("conv_half", "bf16", "bf16"), ("conv_half", "bf16", "f32"),
    ]  # fmt: skip
    for family, d, r in pairs:
        _register(family, "conv.normal", d if d == r else f"{d}->{r}", lambda rng, d=d, r=r: conv_case(rng, d, r))
    rows: list[tuple[str, DType, DType]] = [
        ("depthwise", "f32", "f32"), ("depthwise", "f16", "f16"), ("depthwise", "bf16", "bf16"),
        ("depthwise", "i8", "i32"), ("avgpooling", "f32", "f32"), ("avgpooling", "f16", "f16"),
        ("avgpooling", "bf16", "bf16"), ("avgpooling", "i8", "i32"), ("avgpooling", "i8", "i8"),
        ("maxpooling", "f32", "f32"), ("maxpooling", "f16", "f16"), ("maxpooling", "bf16", "bf16"),
        ("maxpooling", "i8", "i8"),
    ]  # fmt: skip
    for op, d, r in rows:
        label = d if d == r else f"{d}->{r}"
        _register("pord", f"pord.{op}", label, lambda rng, op=op, d=d, r=r: pord_case(rng, op, d, r))


_conv_families()


# --- matrix products ---------------------------------------------------------


def mm_case(rng: Rng, dtype: DType, res: DType) -> Case:
    lanes = Lanes(rng, 0)
    rows, k, cols = (int(rng.choice([1, 2, 3, 16, 17, 33, 50])) for _ in range(3))
    width = int(rng.choice([1, 3, 16, 17, 64]))
    out_width = int(rng.choice([1, 5, 16, 40, 64]))
    pieces, out_pieces = ceil_div(k, width), ceil_div(cols, out_width)
    profile: Profile = profile_of(rng, "plain", "small", "edges", "positive")
    size = SIZES[dtype]
    fields = {
        "tsk_eu_typ": 1, "opd0_prec": CODES[dtype], "res0_prec": CODES[res], "opd0_n": rows,
        "opd0_c": pieces, "opd0_w": width, "opd1_w": k - (pieces - 1) * width, "res0_c": out_pieces,
        "res0_w": out_width,
    }  # fmt: skip
    parts = {
        "opd0": ((rows, pieces, 1, width), dtype),
        "opd1": ((k, out_pieces, 1, out_width), dtype),
    }
    for name, (shape, kind) in parts.items():
        nbytes = tensor_bytes(0, shape, size, True)
        at = lanes.take(nbytes)
        lanes.fill(at, nbytes, kind, profile)
        fields[f"{name}_addr"] = at
    if rng.random() < 0.5 and dtype == "f32":
        nbytes = tensor_bytes(0, (1, out_pieces, 1, out_width), 4, True)
        at = lanes.take(nbytes)
        lanes.fill(at, nbytes, "f32", profile)
        fields["opd2_addr"] = at
    else:
        fields["opd2_const"] = 1
    nbytes = tensor_bytes(0, (rows, out_pieces, 1, out_width), SIZES[res], True)
    at = lanes.take(nbytes)
    fields["res0_addr"] = at
    if rng.random() < 0.3 and dtype == "f32":
        fields["res_add"] = 1
        lanes.fill(at, nbytes, res, profile)
    if dtype == "i8":
        fields |= {f"opd{i}_sign": int(rng.integers(0, 2)) for i in range(3)}
    label = dtype if dtype == res else f"{dtype}->{res}"
    return Case("mm.normal", label, "tiu", "sMM", fields, tuple(lanes.fills))


def mm2_case(rng: Rng, op: str, dtype: DType, res: DType) -> Case:
    lanes = Lanes(rng, 0)
    m, k, n = (int(rng.choice([1, 2, 5, 16, 31, 33, 65])) for _ in range(3))
    if dtype != "i8":
        while m * k * n > 60000:
            m, n = max(1, m // 2), max(1, n // 2)
    left = (1, k, 1, m) if op == "tt" else (1, m, 1, k)
    right = (1, k, 1, n) if op == "nn" else (1, n, 1, k)
    profile: Profile = profile_of(rng, "plain", "small", "edges", "positive")
    size = SIZES[dtype]
    fields = {
        "tsk_eu_typ": {"nn": 4, "nt": 5, "tt": 6}[op], "opd0_prec": CODES[dtype],
        "res0_prec": CODES[res], "res0_c": m, "res0_w": n, "opd1_c": right[1], "opd1_w": right[3],
    }  # fmt: skip
    if op == "tt":
        fields |= {"res0_c": n, "res0_w": m}
    for name, shape in (("opd0", left), ("opd1", right)):
        nbytes = tensor_bytes(0, shape, size, True)
        at = lanes.take(nbytes)
        lanes.fill(at, nbytes, dtype, profile)
        fields[f"{name}_addr"] = at
    if dtype == "i8":
        fields |= {f"opd{i}_sign": int(rng.integers(0, 2)) for i in range(2)}
        fields["opd2_const"] = 1
        fields["opd2_addr"] = int(rng.integers(0, 256)) if rng.random() < 0.5 else 0
    nbytes = tensor_bytes(0, (1, fields["res0_c"], 1, fields["res0_w"]), SIZES[res], True)
    at = lanes.take(nbytes)
    fields["res0_addr"] = at
    if rng.random() < 0.3 and SIZES[res] == 4:
        fields["res_add"] = 1
        lanes.fill(at, nbytes, res, profile)
    label = dtype if dtype == res else f"{dtype}->{res}"
    return Case(f"mm2.{op}", label, "tiu", "sMM2", fields, tuple(lanes.fills))


def _mm_families() -> None:
    for d, r in (("f32", "f32"), ("i8", "i32")):
        label = d if d == r else f"{d}->{r}"
        _register("mm", "mm.normal", label, lambda rng, d=d, r=r: mm_case(rng, d, r))
    for op in ("nn", "nt", "tt"):
        for d, r in (("f16", "f16"), ("f16", "f32"), ("bf16", "bf16"), ("bf16", "f32"), ("i8", "i32")):
            label = d if d == r else f"{d}->{r}"
            _register("mm2", f"mm2.{op}", label, lambda rng, op=op, d=d, r=r: mm2_case(rng, op, d, r))


_mm_families()


# --- SFU, LIN, CMP, VC, SG, TRANS_BC, RQ and DQ ------------------------------


def _res(shape: tuple[int, int, int, int]) -> dict[str, int]:
    return {f"res0_{d}": s for d, s in zip("nchw", shape, strict=True)}


def _aligned(
    lanes: Lanes, name: str, dtype: DType, shape: tuple[int, int, int, int], profile: Profile | None
) -> dict[str, int]:
    nbytes = tensor_bytes(lanes.lane, shape, SIZES[dtype], True)
    at = lanes.take(nbytes)
    if profile is not None:
        lanes.fill(at, nbytes, dtype, profile)
    return {f"{name}_addr": lanes.address(at)}


def sfu_case(rng: Rng, op: str, dtype: DType) -> Case:
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    profile = profile_of(rng, "plain", "edges", "small", "positive", "bits")
    fields = {"tsk_eu_typ": {"taylor_4x": 12, "taylor": 13, "rsqrt": 17}[op]} | _res(shape)
    fields |= {"opd0_prec": CODES[dtype], "res0_prec": CODES[dtype]}
    fields |= _aligned(lanes, "opd0", dtype, shape, profile) | _aligned(lanes, "res0", dtype, shape, None)
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
    fields |= _res(shape) | _aligned(lanes, "opd0", dtype, shape, profile)
    for name in ("opd1", "opd2"):
        if rng.random() < 0.3:
            fields |= {f"{name}_const": 1, f"{name}_addr": constant_bits(rng, dtype)}
            continue
        nbytes = rows_of(lanes.lane, shape[1]) * SIZES[dtype]
        at = lanes.take(nbytes)
        lanes.fill(at, nbytes, dtype, profile)
        fields[f"{name}_addr"] = lanes.address(at)
    fields |= _aligned(lanes, "res0", dtype, shape, None)
    return Case(f"lin.{op}", dtype, "tiu", "sLIN", fields, tuple(lanes.fills))


CMP_OPS = {"gt_and_sel": 22, "sel_gt": 23, "sel_eq": 24, "lt_and_sel": 25, "sel_lt": 26}


def cmp_case(rng: Rng, op: str, dtype: DType, selected: DType) -> Case:
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    profile = profile_of(rng, "plain", "edges", "small", "bits")
    fields = {"tsk_eu_typ": CMP_OPS[op], "opd0_prec": CODES[dtype], "opd2_prec": CODES[selected]}
    fields |= _res(shape) | {"opd0_sign": int(rng.integers(0, 2))}
    for i, kind in enumerate((dtype, dtype, selected, selected)):
        name = f"opd{i}"
        if rng.random() < 0.3 and i > 0:
            fields |= {f"{name}_const": 1, f"{name}_addr": constant_bits(rng, kind)}
        else:
            fields |= _aligned(lanes, name, kind, shape, profile)
    if op in ("gt_and_sel", "lt_and_sel"):
        fields |= _aligned(lanes, "res0", dtype, shape, None) | _aligned(lanes, "res1", selected, shape, None)
    else:
        fields |= _aligned(lanes, "res0", selected, shape, None)
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
    fields |= _aligned(lanes, "opd0", dtype, (1, pieces, 1, width), profile)
    fields |= _aligned(lanes, "opd1", dtype, out, profile)
    fields |= _aligned(lanes, "res0", dtype, (rows, out[1], 1, out[3]), None)
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
    fields |= _res(shape)
    inshape = (1, c, 1, fields["opd0_w"])
    if gather and rng.random() < 0.4:
        at = lanes.take(round_up(inshape[3] * SIZES[dtype], 64))
        lanes.fill(at, inshape[3] * SIZES[dtype], dtype, "bits")
        fields |= {"opd0_str": 4, "opd0_addr": lanes.address(at)}
    else:
        fields |= _aligned(lanes, "opd0", dtype, inshape, "bits")
    nbytes = tensor_bytes(lanes.lane, (n, c, 1, count), SIZES[index], True)
    at = lanes.take(nbytes)
    lanes.fill(at, nbytes, index, "bits", limit=limit)
    fields["opd1_addr"] = lanes.address(at)
    fields |= _aligned(lanes, "res0", dtype, shape, "bits")
    return Case(f"sg.{op}", f"{dtype},{index}", "tiu", "sSG", fields, tuple(lanes.fills))


TSBC_OPS = {"cw_ts": 0, "wc_ts": 1, "l_copy": 2, "l_bc": 3, "s_bc": 4, "s_distribute": 5}


def tsbc_case(rng: Rng, op: str, dtype: DType) -> Case:
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    size = SIZES[dtype]
    n, c, h, w = small_shape(rng, 3000)
    fields = {"tsk_eu_typ": TSBC_OPS[op], "res0_prec": CODES[dtype]}
    if op in ("cw_ts", "wc_ts"):
        n = 1
        if op == "cw_ts":
            h = 1
        lanes.lane = 0
        fields |= _aligned(lanes, "opd0", dtype, (n, c, h, w), "bits")
        fields |= _res((n, w, h, c)) | {"opd0_c": c, "opd0_w": w}
        fields |= _aligned(lanes, "res0", dtype, (n, w, h, c), None)
    elif op in ("l_copy", "l_bc"):
        source = (n, c if op == "l_copy" else 1, h, w)
        fields |= _aligned(lanes, "opd0", dtype, source, "bits")
        lanes.lane = int(rng.integers(0, 64))
        fields |= _res((n, c, h, w)) | {"opd0_c": source[1], "opd0_w": w}
        fields |= _aligned(lanes, "res0", dtype, (n, c, h, w), None)
    else:
        c = min(c, 64 - lanes.lane)
        shape = (1, c, 1, w if op == "s_bc" else 1)
        fields |= _res(shape) | {"opd0_c": c, "opd0_w": shape[3]}
        fields["opd0_addr"] = SMEM + size * int(rng.integers(0, 700))
        fields |= _aligned(lanes, "res0", dtype, shape, None)
    return Case(f"tsbc.{op}", dtype, "tiu", "sTRANS_BC", fields, tuple(lanes.fills))


RQDQ_OPS = {"rq0": 0, "rq1": 1, "dq0": 3}


def rqdq_case(rng: Rng, op: str, dtype: DType, res: DType) -> Case:
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    profile = profile_of(rng, "plain", "edges", "bits")
    fields = {"tsk_eu_typ": RQDQ_OPS[op], "opd0_prec": CODES[dtype], "res0_prec": CODES[res]} | _res(shape)
    # An unsigned 32-bit input is not among the legal ones.
    fields |= {"opd0_sign": int(dtype == "i32" or rng.random() < 0.5), "opd2_sign": int(rng.integers(0, 2))}
    fields["opd2_n_str"] = int(rng.integers(0, 7)) if op == "rq1" else int(rng.integers(0, 5)) << 3
    if op == "dq0":
        fields["opd2_n_str"] = 0
    fields |= _aligned(lanes, "opd0", dtype, shape, profile)
    f32 = lambda x: int(np.float32(x).view(np.uint32))  # noqa: E731
    scale = f32(np.exp2(rng.uniform(-12, 3)))
    if op != "rq1" or rng.random() < 0.5:
        fields["opd1_const"] = 1
        if op == "rq1":
            shift = int(rng.integers(-40, 3)) & 0xFF
            zero = int(rng.integers(-200, 200)) & 0xFFFF
            fields |= {"opd1_addr": int(rng.integers(0, 2**31)), "opd2_addr": shift | zero << 16}
        elif op == "rq0":
            fields |= {"opd1_addr": scale, "opd2_addr": f32(rng.uniform(-30, 30))}
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
    fields |= _aligned(lanes, "res0", res, shape, None)
    return Case(f"quant.{op}", f"{dtype}->{res}", "tiu", "sRQ_DQ", fields, tuple(lanes.fills))


def _rest_families() -> None:
    for d in FLOATS:
        for op in ("taylor", "taylor_4x"):
            _register("sfu", f"sfu.{op}", d, lambda rng, op=op, d=d: sfu_case(rng, op, d))
        for op in ("mac", "square_sum", "square_diff"):
            _register("lin", f"lin.{op}", d, lambda rng, op=op, d=d: lin_case(rng, op, d))
    _register("sfu", "sfu.rsqrt", "f32", lambda rng: sfu_case(rng, "rsqrt", "f32"))
    for op in CMP_OPS:
        for d in (*FLOATS, *INTS):
            _register("cmp", f"cmp.{op}", d, lambda rng, op=op, d=d: cmp_case(rng, op, d, d))
    for op in VC_OPS:
        for d in (*FLOATS, *INTS):
            _register("vc", f"vc.{op}", d, lambda rng, op=op, d=d: vc_case(rng, op, d))
    kinds: tuple[DType, ...] = ("i8", "f16", "f32")
    for op in SG_OPS:
        for d in kinds:
            for i in ("i8", "i16"):
                _register("sg", f"sg.{op}", f"{d},{i}", lambda rng, op=op, d=d, i=i: sg_case(rng, op, d, i))
    for op in TSBC_OPS:
        for d in kinds:
            _register("tsbc", f"tsbc.{op}", d, lambda rng, op=op, d=d: tsbc_case(rng, op, d))
    rows: list[tuple[str, DType, DType]] = [
        ("rq0", "i32", "i8"), ("rq0", "i32", "i16"), ("rq0", "i16", "i8"), ("rq1", "i32", "i8"),
        ("rq1", "i32", "i16"), ("rq1", "i16", "i8"), ("dq0", "i8", "f32"), ("dq0", "i16", "f32"),
    ]  # fmt: skip
    for op, d, r in rows:
        _register("rqdq", f"quant.{op}", f"{d}->{r}", lambda rng, op=op, d=d, r=r: rqdq_case(rng, op, d, r))


_rest_families()


# --- GDMA --------------------------------------------------------------------

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
    fields |= _dma_side(rng, lanes, ddr, "dst", dtype, (n, w, h, c), local=dst_local, source=False, plain=True)
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
    kinds: tuple[DType, ...] = ("i8", "f16", "f32")
    for d in kinds:
        for kind in ("copy", "reshape", "fill", "transpose", "broadcast"):
            op = dma_tensor_case(np.random.default_rng(0), kind, d).op
            _register("dma", op, d, lambda rng, kind=kind, d=d: dma_tensor_case(rng, kind, d))
        for transpose in (False, True):
            for load in (True, False):
                op = dma_matrix_case(np.random.default_rng(0), d, transpose, load).op
                _register(
                    "dma", op, d, lambda rng, d=d, t=transpose, load=load: dma_matrix_case(rng, d, t, load)
                )
        for b in (False, True):
            op = "dma.general" + (".broadcast" if b else "")
            _register("dma", op, d, lambda rng, d=d, b=b: dma_general_case(rng, d, b))
        _register("dma", "dma.cw_transpose", d, lambda rng, d=d: dma_cw_case(rng, d))
        for scatter in (False, True):
            op = "dma.scatter" if scatter else "dma.gather"
            _register("dma", op, d, lambda rng, d=d, s=scatter: dma_gather_case(rng, d, s))


_dma_families()
