"""Random legal commands: AR."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from oracle.case import (
    FLOATS,
    INTS,
    Case,
    Lanes,
    Rng,
    aligned,
    constant_bits,
    profile_of,
    register,
    result_shape,
    rows_of,
    small_shape,
    tensor_bytes,
)
from oracle.values import CODES, SIZES, DType, Profile

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


def _selected(dtype: DType) -> Callable[[Rng, Lanes], dict[str, int]]:
    def extra(rng: Rng, _: Lanes) -> dict[str, int]:
        return {"opd2_const": 1, "opd2_prec": CODES[dtype], "opd2_addr": constant_bits(rng, dtype)}

    return extra


def _shift_amounts(rng: Rng, _: Lanes) -> dict[str, int]:
    # Amounts beyond the width are not among the legal ones: one constant amount.
    return {
        "opd1_const": 1,
        "opd1_addr": int(rng.integers(-7, 8)) & 0xFF,
        "opd2_n_str": int(rng.integers(0, 7)),
    }


def _word_shift_amounts(rng: Rng, _: Lanes) -> dict[str, int]:
    amount = int(rng.integers(-31, 32)) & 0xFFFFFFFF
    return {"opd1_const": 1, "opd1_addr": amount, "opd2_n_str": int(rng.integers(0, 7))}


def shift_case(rng: Rng, op: str, dtype: DType, amounts: DType) -> Case:
    """A shift of each element by an amount of its own, -8 to 8 bits."""
    shape = small_shape(rng)
    lanes = Lanes(rng, int(rng.integers(0, 64)))
    fields = {"tsk_eu_typ": AR_OPS[op], "tsk_opd_num": 2, "opd0_sign": 1, "opd1_sign": 1}
    fields |= result_shape(shape) | {"opd2_n_str": int(rng.integers(0, 7))}
    profile = profile_of(rng, "edges", "bits")
    fields |= aligned(lanes, "opd0", dtype, shape, profile) | {"opd0_prec": CODES[dtype]}
    fields |= aligned(lanes, "opd1", amounts, shape, "small") | {"opd1_prec": CODES[amounts]}
    fields |= aligned(lanes, "res0", dtype, shape, None) | {"res0_prec": CODES[dtype]}
    return Case(f"arith.{op} (amounts)", f"{dtype},{amounts}", "tiu", "sAR", fields, tuple(lanes.fills))


def _constant_shift(rng: Rng, _: Lanes) -> dict[str, int]:
    shift = int(rng.integers(-20, 8)) & 0xFF
    return {"opd2_const": 1, "opd2_addr": shift, "opd2_n_str": int(rng.integers(0, 7))}


def _ar_families() -> None:
    def add(family: str, op: str, types: tuple[DType, DType, DType], sources: int, **kw: Any) -> None:
        def generate(rng: Rng) -> Case:
            return ar_case(rng, op, types, sources, **kw)

        name = f"arith.{op}{kw.get('suffix', '')}"
        register(family, name, kw.get("label") or _types(types, sources), generate)

    for op in ("mul", "add", "sub", "max", "min"):
        for d in FLOATS:
            add("ar_float", op, (d, d, d), 2)
    add(
        "ar_float",
        "div",
        ("f32", "f32", "f32"),
        2,
        extra=lambda rng, _: {"opd2_n_str": int(rng.integers(0, 4))},
    )
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
    for op in ("not", "abs", "copy"):
        for d in INTS:
            add("ar_int", op, (d, d, d), 1, profiles=("edges", "bits"), signs=(1, 1, 1))
    for op in ("ashift", "logicShift"):
        for d in INTS:
            add("ar_int", op, (d, d, "i8"), 2, profiles=("edges", "bits"), extra=_shift_amounts)
        add("ar_int", op, ("i32", "i32", "i32"), 2, profiles=("edges", "bits"), extra=_word_shift_amounts)
        for amounts in ("i8", "i32"):
            register("ar_int", f"arith.{op} (amounts)", f"i32,{amounts}",
                     partial(shift_case, op=op, dtype="i32", amounts=amounts))  # fmt: skip
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
    # Wider results than operands, of either sign.
    widening: list[tuple[DType, DType]] = [("i16", "i8"), ("i32", "i8"), ("i32", "i16")]
    for op in ("mul", "add", "sub"):
        for r, d in widening:
            add("ar_int", op, (r, d, d), 2, profiles=("plain", "edges", "bits"))


_ar_families()
