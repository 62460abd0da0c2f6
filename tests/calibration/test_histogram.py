"""The histogram that widens itself, against numpy on the whole stream."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core.compare import Histogram
from tpumlir.errors import InputError

F32 = npt.NDArray[np.float32]
TINY = float(np.finfo(np.float32).tiny)
HUGE = float(np.finfo(np.float32).max)


def stream(seed: int, *, parts: int = 7) -> list[F32]:
    """Tensors of other sizes and, now and then, of a larger range."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(parts):
        value = rng.standard_normal(int(rng.integers(1, 20000))) * 10.0 ** rng.uniform(-2, 1 + k / 2)
        value[rng.random(value.size) < 0.3] = 0
        found.append(value.astype(np.float32))
    return found


def seen(values: list[F32], bins: int = 256) -> Histogram:
    histogram = Histogram(bins)
    for value in values:
        histogram.add(value)
    return histogram


def check(histogram: Histogram, values: F32) -> None:
    """Everything that is counted, against numpy in one go."""
    kept = values[np.isfinite(values)].astype(np.float64)
    assert (histogram.count, histogram.zeros) == (kept.size, int((kept == 0).sum()))
    assert (histogram.nan, histogram.infinite) == (int(np.isnan(values).sum()), int(np.isinf(values).sum()))
    assert histogram.sum == pytest.approx(kept.sum(), rel=1e-9, abs=1e-9 * np.abs(kept).sum())
    assert histogram.squares == pytest.approx((kept**2).sum(), rel=1e-9)
    if not kept.size:
        assert (histogram.low, histogram.high) == (math.inf, -math.inf)
        return
    assert (histogram.low, histogram.high) == (kept.min(), kept.max())
    largest = np.abs(kept).max()
    if largest:
        assert math.frexp(histogram.width)[0] == 0.5  # a power of two
        assert largest < histogram.bins * histogram.width
        # The least one, but for numbers that are nearly 0.
        assert largest >= histogram.bins * histogram.width / 2 or histogram.width == 2.0**-120
    edges = np.arange(histogram.bins + 1) * (histogram.width or 1.0)
    for negative in (False, True):
        side = -kept[kept < 0] if negative else kept[kept >= 0]
        index = np.searchsorted(edges, side, side="right") - 1
        want = np.bincount(index, minlength=histogram.bins)
        assert np.array_equal(histogram.counts(negative=negative), want)


@pytest.mark.parametrize("bins", [2, 10, 256, 2048, 4096, 3000])
@pytest.mark.parametrize("seed", range(4))
def test_a_stream_is_counted_as_if_it_were_one_tensor(seed: int, bins: int) -> None:
    values = stream(seed)
    check(seen(values, bins), np.concatenate(values))


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_samples_changes_no_count(seed: int) -> None:
    values = stream(seed)
    one, other = seen(values), seen(values[::-1])
    assert (one.width, one.low, one.high, one.count) == (other.width, other.low, other.high, other.count)
    for negative in (False, True):
        assert np.array_equal(one.counts(negative=negative), other.counts(negative=negative))


@pytest.mark.parametrize("cut", [0, 1, 3, 7])
def test_two_parts_merged_are_the_whole(cut: int) -> None:
    values = stream(11)
    left, right = seen(values[:cut]), seen(values[cut:])
    left.merge(right)
    check(left, np.concatenate(values))


def test_zeros_that_came_first_stay_zeros() -> None:
    zeros = np.zeros(5000, np.float32)
    histogram = seen([zeros])
    assert histogram.width == 0
    check(histogram, zeros)
    wave = np.linspace(-3, 5, 4001, dtype=np.float32)
    histogram.add(wave)
    check(histogram, np.concatenate([zeros, wave]))
    only = seen([zeros])
    only.merge(histogram)
    check(only, np.concatenate([zeros, zeros, wave]))


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_what_is_not_finite_is_counted_apart(size: int) -> None:
    rng = np.random.default_rng(size)
    value = rng.standard_normal(size).astype(np.float32)
    value[::7] = np.nan
    value[1::11] = -np.inf
    value[2::13] = np.inf
    check(seen([value], 4096), value)


@pytest.mark.parametrize(
    "values",
    [
        [HUGE, -HUGE, 1.0],
        [TINY, TINY / 8, -TINY],
        [2.0**-149, 0.0],
        [TINY, HUGE],
        [-0.0, 0.0],
        [],
        [1.0, 2.0, 4.0, 8.0, 256.0, 512.0],
        [np.nextafter(np.float32(1), np.float32(0)), 1.0],
    ],
    ids=str,
)
def test_the_ends_of_the_range(values: list[float]) -> None:
    check(seen([np.array([value], np.float32) for value in values]), np.array(values, np.float32))
    check(seen([np.array(values, np.float32)]), np.array(values, np.float32))


@pytest.mark.parametrize("bins", [0, 1, 3, -2, 2**25])
def test_bins_that_cannot_be_halved_are_refused(bins: int) -> None:
    with pytest.raises(InputError, match="even number of bins"):
        Histogram(bins)


def test_other_bins_are_not_merged() -> None:
    with pytest.raises(InputError, match="expected 256 elements, got 128"):
        Histogram(256).merge(Histogram(128))


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros(3, np.int32), np.zeros((4, 4), np.float32)[:, ::2]])
def test_other_types_are_not_converted(wrong: Any) -> None:
    with pytest.raises(TypeError):
        Histogram(256).add(wrong)
