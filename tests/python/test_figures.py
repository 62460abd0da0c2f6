"""The figures that a verdict is made of, against numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core.compare import excess, similarity, spread, unexplained
from tpumlir.errors import InputError

Floats = npt.NDArray[np.float64]


def pair(size: int, dtype: type[np.floating[Any]]) -> tuple[Any, Any]:
    rng = np.random.default_rng(size)
    b = rng.standard_normal(size).astype(dtype)
    b[:: max(size // 7, 1)] = 0
    return (b * (1 + 1e-3 * rng.standard_normal(size))).astype(dtype), b


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 1023, 1024, 1025, 5000])
def test_similarity(size: int, dtype: type[np.floating[Any]]) -> None:
    a, b = pair(size, dtype)
    seen = similarity(a, b, 2.0)
    x, y = 2 * a.astype(np.float64), 2 * b.astype(np.float64)
    error = np.abs(x - y)
    assert (seen.aa, seen.bb, seen.ab) == pytest.approx((x @ x, y @ y, x @ y), rel=1e-12)
    assert seen.dd == pytest.approx(error @ error, rel=1e-12)
    assert (seen.max_abs, seen.worst) == (error.max(), error.argmax())
    assert seen.max_rel == (error[y != 0] / np.abs(y[y != 0])).max(initial=0)
    assert (seen.finite, seen.strange, seen.first_strange) == (size, 0, -1)


def test_what_is_not_finite_is_left_out_or_counted() -> None:
    a, b = pair(3000, np.float32)
    a[[5, 1500]] = b[[5, 1500]] = np.inf
    a[2000] = b[2000] = np.nan
    kept = np.isfinite(b)
    seen = similarity(a, b)
    assert seen.finite == 2997
    assert seen.strange == 0
    assert seen.ab == pytest.approx(a[kept].astype(np.float64) @ b[kept].astype(np.float64), rel=1e-12)
    a[2500], a[5], a[2100] = np.nan, -np.inf, np.inf
    seen = similarity(a, b)
    assert (seen.finite, seen.strange, seen.first_strange) == (2995, 3, 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 1024, 5000])
def test_excess(size: int, dtype: type[np.floating[Any]]) -> None:
    a, b = pair(size, dtype)
    y = b.astype(np.float64)
    error, room = np.abs(a.astype(np.float64) - y), 1e-3 * np.abs(y) + 1e-4
    found = excess(a, b, 1e-3, 1e-4)
    assert found.count == (error > room).sum()
    assert (found.largest, found.worst) == ((error / room).max(), (error / room).argmax())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["rising", "falling", "any"])
@pytest.mark.parametrize("allowed", [(1e-3, 0.0), (0.0, 1e-3), (1e-9, 1e-9), (1e-2, 10.0), (0.0, 0.0)])
def test_every_block_counts(allowed: tuple[float, float], order: str, dtype: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(0)
    off = 10.0 ** rng.uniform(-9, 0, 6000)
    off = {"rising": np.sort(off), "falling": np.sort(off)[::-1], "any": off}[order]
    b = np.maximum(rng.standard_normal(6000), 0).astype(dtype)
    a = (b * (1 + off) + (rng.random(6000) < 0.1) * off).astype(dtype)
    y = b.astype(np.float64)
    error, room = np.abs(a - y), allowed[0] * np.abs(y) + allowed[1]
    with np.errstate(all="ignore"):
        ratio = np.where(error > 0, error / room, 0.0)
        relative = np.where(y != 0, error / np.abs(y), 0.0)
    found = excess(a, b, *allowed)
    assert found.count == (ratio > 1).sum()
    assert found.largest == ratio.max()
    assert found.worst == ratio.argmax()
    assert similarity(a, b).max_rel == relative.max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("product", [False, True])
@pytest.mark.parametrize("counts", [[3000], [3000, 1], [1, 3000, 3000], [1], []], ids=str)
def test_unexplained(counts: list[int], product: bool, dtype: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(0)
    a, b = pair(3000, dtype)
    given, errors, sizes = [], [], []
    for index, count in enumerate(counts):
        got, want = pair(count, dtype)
        x = want.astype(np.float64)
        if index % 2:  # its error is not seen
            given.append((want, None, 1e-3, 1e-4))
            errors.append(1e-3 * np.abs(x) + 1e-4)
        else:
            if count > 1:
                got[7], want[9] = np.inf, np.nan
                x = want.astype(np.float64)
            given.append((want, got, 1e9, 1e9))
            errors.append(np.abs(got.astype(np.float64) - x))
        sizes.append(np.abs(x))
    result = rng.standard_normal(3000).astype(dtype)
    room = 1e-3 * np.abs(result.astype(np.float64)) + 1e-5
    with np.errstate(invalid="ignore"):
        for i, error in enumerate(errors):
            if product:
                others = [s + e for j, (s, e) in enumerate(zip(sizes, errors, strict=True)) if j != i]
                room = room + 2.0 * error * math.prod(others)
            else:
                room = room + 2.0 * error + 1e-3 * sizes[i]
    room = np.where(np.isfinite(room), room, np.inf)
    ratio = np.abs(a.astype(np.float64) - b) / room
    found = unexplained(a, b, result, given, product, 1e-3, 1e-5, 2.0)
    assert found.count == (ratio > 1).sum()
    assert found.largest == ratio.max()
    assert found.worst == ratio.argmax()


def test_nothing_allowed() -> None:
    same = excess(np.zeros(9, np.float32), np.zeros(9, np.float32), 0.1, 0.0)
    assert (same.count, same.largest) == (0, 0.0)
    off = excess(np.ones(9, np.float32), np.zeros(9, np.float32), 0.1, 0.0)
    assert (off.count, off.largest, off.worst) == (9, np.inf, 0)
    strange = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    assert excess(strange, strange, 0.1, 0.0).count == 0


def test_spread() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(5000) * 2.0 ** rng.integers(-40, 20, 5000)).astype(np.float32)
    x[[0, 1, 2, 3]] = [0, np.nan, np.inf, 2.0**-25]
    seen = spread(x)
    finite = x[np.isfinite(x)]
    size = np.abs(finite[finite != 0])
    held = finite[np.abs(finite) <= 65504]
    error = held.astype(np.float64) - held.astype(np.float16)
    assert (seen.low, seen.high, seen.smallest) == (finite.min(), finite.max(), size.min())
    assert (seen.nonzero, seen.nonfinite) == (size.size, 2)
    assert (seen.subnormal, seen.lost) == ((size < 2.0**-14).sum(), (size <= 2.0**-25).sum())
    assert seen.signal == pytest.approx((held.astype(np.float64) ** 2).sum(), rel=1e-12)
    assert seen.noise == pytest.approx(error @ error, rel=1e-12)


def test_every_half_is_no_noise_and_every_tie_is_half_a_place() -> None:
    every = np.arange(1 << 15, dtype=np.uint16).view(np.float16)
    halves = every[np.isfinite(every)].astype(np.float32)
    assert spread(halves).noise == 0
    ties = ((halves[:-1] + halves[1:]) / 2).astype(np.float32)
    steps = np.diff(halves.astype(np.float64)) / 2
    assert spread(ties).noise == pytest.approx(steps @ steps, rel=1e-12)


def test_other_sizes() -> None:
    with pytest.raises(InputError, match="expected 2 elements, got 3"):
        similarity(np.zeros(3, np.float32), np.zeros(2, np.float32))
    with pytest.raises(InputError, match="expected 2 elements, got 3"):
        excess(np.zeros(3, np.float32), np.zeros(2, np.float32), 0.0, 0.0)
    a = np.ones(4, np.float32)
    for sides in ([(a[:3], None, 0.0, 0.0)], [(a, a[:3], 0.0, 0.0)], [(a[:1], a, 0.0, 0.0)]):
        with pytest.raises(InputError, match="elements"):
            unexplained(a, a, a, sides, False, 0.0, 0.0, 2.0)
    with pytest.raises(InputError, match="elements"):
        unexplained(a, a, a[:3], [], False, 0.0, 0.0, 2.0)
