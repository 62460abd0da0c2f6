"""Half precision and rounding, against numpy and exact fractions, through the casts of the simulator."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir import _core

isa = _core.isa
CODES = isa.dtype_codes()
ROUNDINGS = isa.rounding_modes()
FLOAT_MODES = ["half to even", "half away from zero", "toward zero", "floor", "ceil"]
LANES = 64
SOURCE, RESULT = 0, 0x20000

Array = npt.NDArray[Any]


def cast(values: Array, source: str, result: str, result_type: npt.DTypeLike, mode: str) -> Array:
    """One ``arith.cast`` over all lanes; ``values`` has a multiple of 64 elements."""
    machine = _core.device.Machine(1 << 20)
    lanes = values.reshape(LANES, -1)
    for lane in range(LANES):
        machine.lmem(lane)[SOURCE : SOURCE + lanes[lane].nbytes] = lanes[lane].view(np.uint8)
    fields = {
        "cmd_id": 1,
        "tsk_eu_typ": 14,
        "tsk_opd_num": 1,
        "opd0_prec": CODES[source],
        "res0_prec": CODES[result],
        "opd0_sign": 1,
        "opd2_sign": 1,
        "opd2_n_str": ROUNDINGS[mode],
        "res0_n": 1,
        "res0_c": LANES,
        "res0_h": 1,
        "res0_w": lanes.shape[1],
        "opd0_addr": SOURCE,
        "res0_addr": RESULT,
    }
    machine.execute("tiu", isa.encode("sAR", fields))
    size = lanes.shape[1] * np.dtype(result_type).itemsize
    rows = [machine.lmem(lane)[RESULT : RESULT + size].view(result_type) for lane in range(LANES)]
    return np.concatenate(rows)


def rounded(value: Fraction, mode: str) -> int:
    """The integer that a rounding mode makes of an exact value."""
    low = value.numerator // value.denominator
    rest = value - low
    up = {
        "half to even": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1),
        "half away from zero": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and value > 0),
        "toward zero": value < 0 and rest > 0,
        "floor": False,
        "ceil": rest > 0,
    }[mode]
    return low + up


def narrowed(value: float, mode: str, fraction_bits: int, least_exponent: int) -> float:
    """``value`` rounded to a float of that many fraction bits; exact, within its range."""
    if value == 0:
        return value
    exponent = max(int(np.frexp(value)[1]) - 1, least_exponent)
    step = Fraction(2) ** (exponent - fraction_bits)
    return float(rounded(Fraction(value) / step, mode) * step)


def test_every_f16_becomes_its_f32() -> None:
    halves = np.arange(65536, dtype=np.uint16)
    values = halves.view(np.float16)
    finite = np.isfinite(values)
    got = cast(halves, "f16", "f32", np.uint32, "half to even")
    want = values.astype(np.float32).view(np.uint32)
    np.testing.assert_array_equal(got[finite], want[finite])
    infinite = np.isinf(values)
    np.testing.assert_array_equal(got[infinite], want[infinite])
    assert np.isnan(got[np.isnan(values)].view(np.float32)).all()


def f32_samples() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(5)
    # Every exponent that matters for f16, with ties, near ties and neighbours of both.
    exponents = np.arange(-27, 15)
    base = np.ldexp(np.float32(1), exponents)[:, None] * (1 + np.arange(8)[None, :] * np.float32(2.0**-11))
    edges = np.concatenate([np.nextafter(base, np.float32(0)), base, np.nextafter(base, np.float32(1e9))])
    values = np.concatenate([edges.ravel(), rng.standard_normal(300), rng.standard_normal(300) * 2e-6])
    both = np.concatenate([values, -values]).astype(np.float32)
    both = both[np.abs(both) < 60000]
    return np.resize(both, -(-both.size // LANES) * LANES)


@pytest.mark.parametrize("mode", FLOAT_MODES)
def test_f32_to_f16_rounds_once(mode: str) -> None:
    values = f32_samples()
    got = cast(values, "f32", "f16", np.float16, mode)
    want = np.array([narrowed(float(v), mode, 10, -14) for v in values], np.float16)
    np.testing.assert_array_equal(got, want)
    if mode == "half to even":
        np.testing.assert_array_equal(got.view(np.uint16), values.astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("mode", FLOAT_MODES)
def test_f32_to_bf16_rounds_once(mode: str) -> None:
    values = f32_samples()
    got = cast(values, "f32", "bf16", np.uint16, mode)
    want = np.array([narrowed(float(v), mode, 7, -126) for v in values], np.float32)
    np.testing.assert_array_equal((got.astype(np.uint32) << 16).view(np.float32), want)


@pytest.mark.parametrize("mode", FLOAT_MODES)
@pytest.mark.parametrize(("result", "kind"), [("i8", np.int8), ("i16", np.int16), ("i32", np.int32)])
def test_f32_to_integer_rounds_and_saturates(result: str, kind: Any, mode: str) -> None:
    bounds = np.iinfo(kind)
    near = np.array(
        [0, 0.5, 1.5, 2.5, 0.49999997, 0.50000006, 1e-30, 126.5, 127.5, 128.5, 32767.5, 3e9, 1e30]
    )
    values = np.resize(np.concatenate([near, -near]).astype(np.float32), LANES)
    got = cast(values, "f32", result, kind, mode)
    want = [min(max(rounded(Fraction(float(v)), mode), bounds.min), bounds.max) for v in values]
    np.testing.assert_array_equal(got, np.array(want, kind))
