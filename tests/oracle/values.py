"""Operand bytes that cross the edges of a data type."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

DType = Literal["i8", "f16", "f32", "i16", "i32", "bf16"]
CODES: dict[DType, int] = {"i8": 0, "f16": 1, "f32": 2, "i16": 3, "i32": 4, "bf16": 5}
SIZES: dict[DType, int] = {"i8": 1, "f16": 2, "f32": 4, "i16": 2, "i32": 4, "bf16": 2}
Profile = Literal["plain", "edges", "ties", "bits", "small", "positive"]

_F32_EDGES = np.array(
    [
        0, 0x80000000, 1, 0x80000001, 0x7FFFFF, 0x807FFFFF, 0x00800000, 0x80800000, 0x3F800000, 0xBF800000,
        0x40400000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7FC12345,
        0x7F800001, 0x33800000, 0x3EAAAAAB, 0x4B000000, 0x4F000000, 0xCF000000, 0x477FF000, 0x33000001,
    ],
    dtype=np.uint32,
)  # fmt: skip
_F16_EDGES = np.array(
    [
        0, 0x8000, 1, 0x8001, 0x3FF, 0x83FF, 0x400, 0x8400, 0x3C00, 0xBC00, 0x4200, 0x7BFF, 0xFBFF, 0x7C00,
        0xFC00, 0x7E00, 0xFE00, 0x7C01, 0x1400, 0x3555,
    ],
    dtype=np.uint16,
)  # fmt: skip
_INT_EDGES = [0, 1, -1, 2, -2, 127, -128, 128, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31)]


def make(rng: np.random.Generator, dtype: DType, count: int, profile: Profile) -> npt.NDArray[np.uint8]:
    """Return ``count`` elements as bytes.

    plain: normal values; ties: halves and quarters, which rounding modes tell apart; edges: half of them
    zeros, denormals, limits, infinities, NaN; bits: any bit pattern; small: small integers; positive:
    magnitudes over many binades.
    """
    if dtype in ("i8", "i16", "i32"):
        return _integers(rng, dtype, count, profile)
    if profile == "bits":
        return rng.integers(0, 256, count * SIZES[dtype], dtype=np.uint8)
    if profile == "ties":
        values = rng.integers(-1200, 1200, count) / 4
    elif profile == "small":
        values = rng.integers(-8, 9, count).astype(np.float64)
    elif profile == "positive":
        values = np.ldexp(rng.random(count) + 0.5, rng.integers(-12, 12, count))
    else:
        values = rng.standard_normal(count) * np.ldexp(1.0, rng.integers(-3, 4, count))
    words = _narrow(values.astype(np.float32), dtype)
    if profile == "edges":
        table = _edges(dtype)
        chosen = rng.random(count) < 0.5
        words[chosen] = rng.choice(table, int(chosen.sum()))
    return words.view(np.uint8)


def _integers(rng: np.random.Generator, dtype: DType, count: int, profile: Profile) -> npt.NDArray[np.uint8]:
    kind = {"i8": np.uint8, "i16": np.uint16, "i32": np.uint32}[dtype]
    bits = 8 * SIZES[dtype]
    values = rng.integers(0, 1 << bits, count, dtype=np.int64)
    if profile == "small":
        values = rng.integers(-8, 9, count)
    elif profile in ("plain", "ties", "positive"):
        values = rng.integers(-(1 << min(bits - 1, 12)), 1 << min(bits - 1, 12), count)
    elif profile == "edges":
        chosen = rng.random(count) < 0.5
        values[chosen] = rng.choice(_INT_EDGES, int(chosen.sum()))
    return (values & ((1 << bits) - 1)).astype(kind).view(np.uint8)


def _edges(dtype: DType) -> npt.NDArray[Any]:
    if dtype == "f16":
        return _F16_EDGES
    return _F32_EDGES if dtype == "f32" else (_F32_EDGES >> 16).astype(np.uint16)


def _narrow(values: npt.NDArray[np.float32], dtype: DType) -> npt.NDArray[Any]:
    if dtype == "f16":
        return values.astype(np.float16).view(np.uint16)
    words = values.view(np.uint32)
    if dtype == "bf16":
        return np.asarray(((words + 0x7FFF + ((words >> 16) & 1)) >> 16).astype(np.uint16))
    return np.asarray(words.copy())
