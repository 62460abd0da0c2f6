"""Random legal commands: matrix products."""

from __future__ import annotations

from functools import partial

from oracle.case import Case, Lanes, Rng, ceil_div, profile_of, register, tensor_bytes
from oracle.values import CODES, SIZES, DType, Profile


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
    pairs: list[tuple[DType, DType]] = [("f32", "f32"), ("i8", "i32")]
    for d, r in pairs:
        label = d if d == r else f"{d}->{r}"
        register("mm", "mm.normal", label, partial(mm_case, dtype=d, res=r))
    halves: list[tuple[DType, DType]] = [
        ("f16", "f16"), ("f16", "f32"), ("bf16", "bf16"), ("bf16", "f32"), ("i8", "i32"),
    ]  # fmt: skip
    for op in ("nn", "nt", "tt"):
        for d, r in halves:
            label = d if d == r else f"{d}->{r}"
            register("mm2", f"mm2.{op}", label, partial(mm2_case, op=op, dtype=d, res=r))


_mm_families()
