"""What commands compute, against models in numpy that share nothing with the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cmodel import chip

F32 = np.float32
RES, A, B, C = 0x20000, 0x0, 0x8000, 0x10000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def two_sums(products: list[chip.Array], bias: chip.Array | None) -> chip.Array:
    """(N4): product k goes to accumulator k mod 2, the bias starts the second one."""
    sums = [np.zeros_like(products[0]), np.zeros_like(products[0])]
    if bias is not None:
        sums[1] = sums[1] + bias
    for k, product in enumerate(products):
        sums[k % 2] = sums[k % 2] + product
    return np.asarray(sums[0] + sums[1], F32)


def block_sum(products: chip.Array) -> chip.Array:
    """(N5): 32 exact products on the first axis, aligned to the largest, cut to 24 fraction bits."""
    largest = np.abs(products).max(axis=0)
    unit = np.ldexp(1.0, np.frexp(np.where(largest == 0, 1.0, largest))[1] - 1 - 24)
    return np.asarray((np.trunc(products / unit) * unit).sum(axis=0), F32)


BINARY = [
    ("add", 2, np.add),
    ("sub", 3, np.subtract),
    ("mul", 0, np.multiply),
    ("max", 4, np.maximum),
    ("min", 5, np.minimum),
]


@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize(("code", "function"), [b[1:] for b in BINARY], ids=[b[0] for b in BINARY])
def test_float_arithmetic_is_ieee(code: int, function: Any, dtype: str) -> None:
    shape = (2, 70, 3, 5)
    a, b = (rng(i).standard_normal(shape).astype(dtype) for i in range(2))
    m = chip.machine()
    lane = 3 * chip.LANE_BYTES
    chip.put(m, lane + A, a)
    chip.put(m, lane + B, b)
    kind = chip.CODES[dtype]
    command = chip.tiu(
        "sAR", tsk_eu_typ=code, tsk_opd_num=2, res0_prec=kind, opd0_prec=kind, opd1_prec=kind,
        res0_addr=lane + RES, opd0_addr=lane + A, opd1_addr=lane + B, **chip.shape_fields("res0", shape),
    )  # fmt: skip
    m.execute("tiu", command)
    np.testing.assert_array_equal(chip.get(m, lane + RES, shape, dtype), function(a, b))


def test_denormals_are_zero() -> None:
    m = chip.machine()
    tiny = np.full((1, 1, 1, 16), 1e-40, F32)
    chip.put(m, A, tiny)
    m.execute("tiu", chip.add(A, result=RES))
    assert not chip.get(m, RES, tiny.shape, "f4").any()
    assert tiny[0, 0, 0, 0] > 0  # and the caller's own arithmetic keeps them


ROUNDINGS = [
    (0, [0, 2, 2, 0, -2, -2]),
    (1, [1, 2, 3, -1, -2, -3]),
    (2, [0, 1, 2, 0, -1, -2]),
    (3, [0, 1, 2, -1, -2, -3]),
    (4, [1, 2, 3, 0, -1, -2]),
]


@pytest.mark.parametrize(("mode", "want"), ROUNDINGS, ids=[f"mode{m}" for m, _ in ROUNDINGS])
def test_cast_rounds_ties_as_the_mode_says(mode: int, want: list[int]) -> None:
    m = chip.machine()
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], F32).reshape(1, 1, 1, 6)
    chip.put(m, A, x)
    fields = {"tsk_eu_typ": 14, "tsk_opd_num": 1, "res0_prec": 0, "opd0_prec": 2, "opd2_sign": 1}
    command = chip.tiu(
        "sAR", **fields, opd2_n_str=mode, res0_addr=RES, opd0_addr=A, **chip.shape_fields("res0", x.shape)
    )
    m.execute("tiu", command)
    assert chip.get(m, RES, x.shape, "i1").ravel().tolist() == want


def test_cast_saturates_and_nan_is_zero() -> None:
    m = chip.machine()
    x = np.array([300, -300, np.inf, -np.inf, np.nan], F32).reshape(1, 1, 1, 5)
    chip.put(m, A, x)
    for signed, want in ((1, [127, -128, 127, -128, 0]), (0, [-1, 0, -1, 0, 0])):
        command = chip.tiu(
            "sAR", tsk_eu_typ=14, tsk_opd_num=1, res0_prec=0, opd0_prec=2, opd2_sign=signed,
            res0_addr=RES, opd0_addr=A, **chip.shape_fields("res0", x.shape),
        )  # fmt: skip
        m.execute("tiu", command)
        assert chip.get(m, RES, x.shape, "i1").ravel().tolist() == want


def convolve(
    x: chip.Array, w: chip.Array, bias: chip.Array | None, result: str, *, pad: int = 1
) -> chip.Array:
    m = chip.machine()
    dtype = x.dtype.str[1:]
    cube = {"f4": 1, "f2": 32, "i1": 64}[dtype]
    oc, ic, kh, kw = w.shape
    padded = np.zeros((oc, -(-ic // cube) * cube, kh, kw), w.dtype)
    padded[:, :ic] = w
    packed = padded.reshape(oc, -1, cube, kh, kw).transpose(0, 1, 3, 4, 2).reshape(1, oc, 1, -1)
    chip.put(m, A, x)
    chip.put(m, B, packed, aligned=False)
    fields = {"opd2_const": 1}
    if bias is not None:
        chip.put(m, C, bias.reshape(1, -1, 1, 1), aligned=False)
        fields = {"opd2_addr": C}
    out = (x.shape[0], oc, x.shape[2] + 2 * pad - kh + 1, x.shape[3] + 2 * pad - kw + 1)
    command = chip.tiu(
        "sCONV", opd0_prec=chip.CODES[dtype], res0_prec=chip.CODES[result], opd0_c=ic, opd0_h=x.shape[2],
        opd0_w=x.shape[3], opd1_h=kh, opd1_w=kw, res_op_x_str=1, res_op_y_str=1, opd3_const=1,
        opd0_up_pad=pad, opd0_dn_pad=pad, opd0_lf_pad=pad, opd0_rt_pad=pad, opd0_sign=1, opd1_sign=1,
        opd0_addr=A, opd1_addr=B, res0_addr=RES, **chip.shape_fields("res0", out), **fields,
    )  # fmt: skip
    m.execute("tiu", command)
    return chip.get(m, RES, out, result)


def windows(x: chip.Array, k: int) -> chip.Array:
    """[n, c, kh, kw, oh, ow] of a kernel of k x k, padded by 1."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    return np.asarray(view.transpose(0, 1, 4, 5, 2, 3))


@pytest.mark.parametrize("has_bias", [False, True])
def test_convolution_f32_has_two_accumulators(has_bias: bool) -> None:
    x = rng().standard_normal((2, 5, 6, 7)).astype(F32)
    w = rng(1).standard_normal((66, 5, 3, 3)).astype(F32)
    bias = rng(2).standard_normal(66).astype(F32) if has_bias else None
    taken = windows(x, 3)
    products = [
        taken[:, None, c, i, j] * w[None, :, c, i, j, None, None]
        for c in range(5)
        for i in range(3)
        for j in range(3)
    ]
    want = two_sums(products, None if bias is None else bias[None, :, None, None])
    np.testing.assert_array_equal(convolve(x, w, bias, "f4"), want)


@pytest.mark.parametrize("result", ["f4", "f2"])
def test_convolution_f16_cuts_blocks_of_32_channels(result: str) -> None:
    x = rng().standard_normal((1, 40, 5, 6)).astype("f2")
    w = rng(1).standard_normal((7, 40, 3, 3)).astype("f2")
    taken = windows(x, 3).astype("f8")
    total: chip.Array = np.zeros((1, 7, 5, 6), F32)
    for first in (0, 32):
        for i in range(3):
            for j in range(3):
                xs = taken[0, first : first + 32, None, i, j]
                ws = w.astype("f8")[:, first : first + 32, i, j].T[:, :, None, None]
                total = total + block_sum(xs * ws)[None]
    np.testing.assert_array_equal(convolve(x, w, None, result), total.astype(result))


def test_convolution_i8_is_exact() -> None:
    x = rng().integers(-128, 128, (1, 70, 6, 5)).astype("i1")
    w = rng(1).integers(-128, 128, (65, 70, 3, 3)).astype("i1")
    want = np.einsum("ncijhw,ocij->nohw", windows(x, 3).astype("i4"), w.astype("i4"))
    np.testing.assert_array_equal(convolve(x, w, None, "i4"), want)


def test_maximum_pooling_sees_the_padding_value() -> None:
    m = chip.machine()
    x = -1 - rng().random((1, 3, 4, 4)).astype(F32)
    chip.put(m, A, x)
    for pad_bits, padded in ((np.float32(-5), -5.0), (np.float32(0), 0.0)):
        command = chip.tiu(
            "sPorD", tsk_eu_typ=4, opd0_prec=2, res0_prec=2, opd0_h=4, opd0_w=4, opd1_h=3, opd1_w=3,
            res_op_x_str=1, res_op_y_str=1, opd3_const=1, opd3_addr=int(pad_bits.view(np.uint32)),
            opd0_up_pad=1, opd0_dn_pad=1, opd0_lf_pad=1, opd0_rt_pad=1, opd0_addr=A, res0_addr=RES,
            **chip.shape_fields("res0", (1, 3, 4, 4)),
        )  # fmt: skip
        m.execute("tiu", command)
        wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=padded)
        want = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(2, 3)).max(axis=(4, 5))
        np.testing.assert_array_equal(chip.get(m, RES, (1, 3, 4, 4), "f4"), want)


def test_matrix_product_f32_has_two_accumulators() -> None:
    m = chip.machine()
    x, y = rng().standard_normal((5, 21)).astype(F32), rng(1).standard_normal((21, 30)).astype(F32)
    left = np.zeros((5, 32), F32)
    left[:, :21] = x
    right = np.zeros((21, 32), F32)
    right[:, :30] = y
    chip.put(m, A, left.reshape(5, 2, 1, 16))
    chip.put(m, B, right.reshape(21, 4, 1, 8))
    command = chip.tiu(
        "sMM", tsk_eu_typ=1, opd0_prec=2, res0_prec=2, opd2_const=1, opd0_n=5, opd0_c=2, opd0_w=16, opd1_w=5,
        res0_c=4, res0_w=8, opd0_addr=A, opd1_addr=B, res0_addr=RES,
    )  # fmt: skip
    m.execute("tiu", command)
    want = two_sums([x[:, k : k + 1] * y[k : k + 1] for k in range(21)], None)
    np.testing.assert_array_equal(chip.get(m, RES, (5, 4, 1, 8), "f4").reshape(5, 32)[:, :30], want)


def test_requantisation_shifts_and_rounds_half_up() -> None:
    m = chip.machine()
    x = np.array([5, -5, 7, 100000, -100000], "i4").reshape(1, 1, 1, 5)
    chip.put(m, A, x)
    command = chip.tiu(
        "sRQ_DQ", tsk_eu_typ=1, opd0_prec=4, res0_prec=0, opd1_const=1, opd1_addr=1, opd2_n_str=5,
        opd2_addr=0xFF | 3 << 16, opd0_sign=1, opd2_sign=1, opd0_addr=A, res0_addr=RES,
        **chip.shape_fields("res0", x.shape),
    )  # fmt: skip
    m.execute("tiu", command)
    assert chip.get(m, RES, x.shape, "i1").ravel().tolist() == [6, 1, 7, 127, -128]


def test_table_lookup_takes_unsigned_indices() -> None:
    m = chip.machine()
    table = rng().integers(-128, 128, 256).astype("i1")
    x = rng(1).integers(-128, 128, (2, 3, 1, 100)).astype("i1")
    chip.put(m, A, np.broadcast_to(table, (1, 64, 1, 256)))
    chip.put(m, B, x)
    command = chip.tiu(
        "sSG", tsk_eu_typ=5, opd0_str=4, opd0_h=1, opd0_w=256, opd1_c=3, opd1_w=100, opd0_addr=A, opd1_addr=B,
        res0_addr=RES, **chip.shape_fields("res0", x.shape),
    )  # fmt: skip
    m.execute("tiu", command)
    np.testing.assert_array_equal(chip.get(m, RES, x.shape, "i1"), table[x.view("u1")])


def test_gdma_copy_wraps_channels_round_the_lanes() -> None:
    m = chip.machine()
    data = rng().standard_normal((70, 16)).astype(F32)
    m.write(chip.DDR, data)
    start = 60 * chip.LANE_BYTES
    m.execute("gdma", chip.gdma_copy(chip.DDR, chip.LMEM + start, 16, lanes=70))
    np.testing.assert_array_equal(chip.get(m, start, (1, 70, 1, 16), "f4").reshape(70, 16), data)


def test_static_memory_holds_reciprocal_factorials() -> None:
    m = chip.machine()
    got = np.frombuffer(m.read(0x0900_0400, 4 * 12), F32)
    want = (1 / np.cumprod(np.maximum(np.arange(12), 1), dtype=np.float64)).astype(F32)
    np.testing.assert_array_equal(got, want)
