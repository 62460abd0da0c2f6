"""Random legal commands: convolution and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from oracle.case import Case, Lanes, Rng, constant_bits, profile_of, register, round_up, rows_of, tensor_bytes
from oracle.values import CODES, SIZES, DType, Profile

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
        if (mode and max(up, dn) >= ih) or (mode and max(lf, rt) >= iw):
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
    ic = (
        int(rng.choice([1, 2, 3, 31, 33, 40, 65]))
        if dtype != "f32"
        else int(rng.choice([1, 2, 3, 5, 17, 65]))
    )
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
        nbytes = (
            (n - 1) * ns + (rows_of(in_lane, ic) - 1) * cs + (g.ih - 1) * hs + (g.iw - 1) * ws + 1
        ) * size
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
        register(family, "conv.normal", d if d == r else f"{d}->{r}", partial(conv_case, dtype=d, res=r))
    rows: list[tuple[str, DType, DType]] = [
        ("depthwise", "f32", "f32"), ("depthwise", "f16", "f16"), ("depthwise", "bf16", "bf16"),
        ("depthwise", "i8", "i32"), ("avgpooling", "f32", "f32"), ("avgpooling", "f16", "f16"),
        ("avgpooling", "bf16", "bf16"), ("avgpooling", "i8", "i32"), ("avgpooling", "i8", "i8"),
        ("maxpooling", "f32", "f32"), ("maxpooling", "f16", "f16"), ("maxpooling", "bf16", "bf16"),
        ("maxpooling", "i8", "i8"),
    ]  # fmt: skip
    for op, d, r in rows:
        label = d if d == r else f"{d}->{r}"
        register("pord", f"pord.{op}", label, partial(pord_case, op=op, dtype=d, res=r))


_conv_families()
