"""Thresholds, against the same definitions written out step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core.compare import Histogram
from tpumlir.calibration import methods
from tpumlir.calibration.methods import Magnitudes, lost_share, noise, threshold, tuned

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def _normal(rng: np.random.Generator) -> F64:
    return rng.standard_normal(50_000)


def _outliers(rng: np.random.Generator) -> F64:
    return np.concatenate([rng.standard_normal(20_000), rng.uniform(-60, 60, 5)])


def _relu(rng: np.random.Generator) -> F64:
    return np.maximum(rng.laplace(0, 1, 40_000), 0)


def _sigmoid(rng: np.random.Generator) -> F64:
    return 1 / (1 + np.exp(-3 * rng.standard_normal(20_000)))


def _few(rng: np.random.Generator) -> F64:
    return rng.standard_normal(10)


def _levels(rng: np.random.Generator) -> F64:
    return rng.integers(-8, 9, 3000) / 8.0


STREAMS: dict[str, Callable[[np.random.Generator], F64]] = {
    "normal": _normal,
    "laplace": lambda rng: rng.laplace(0, 2.5, 50_000),
    "outliers": _outliers,
    "relu": _relu,
    "sigmoid": _sigmoid,
    "uniform": lambda rng: rng.uniform(-1, 1, 30_000),
    "shifted": lambda rng: rng.standard_normal(20_000) + 7,
    "few": _few,
    "levels": _levels,
    "tiny": lambda rng: rng.standard_normal(5000) * 1e-30,
    "one": lambda _rng: np.full(100, -2.5),
}


@pytest.fixture(params=STREAMS)
def values(request: pytest.FixtureRequest) -> F32:
    return STREAMS[request.param](np.random.default_rng(3)).astype(np.float32)


def magnitudes_of(values: F32, bins: int = 4096) -> Magnitudes:
    histogram = Histogram(bins)
    histogram.add(values)
    return Magnitudes.of(histogram)


def rounded(values: F32, end: float) -> F64:
    """What the chip's grid makes of the values."""
    wide = values.astype(np.float64)
    steps = 255 if wide.min() >= 0 else 127
    scale = end / steps
    return np.clip(np.rint(wide / scale), 0 if wide.min() >= 0 else -steps, steps) * scale


def kl_by_hand(counts: F64, width: float, largest: float) -> float:
    """The loop over thresholds that everybody writes, one level after another."""
    if len(counts) <= 128:
        return largest
    found: list[tuple[float, int]] = []
    for i in range(128, len(counts) + 1):
        p = counts[:i].copy()
        p[-1] += counts[i:].sum()
        inside = counts[:i]
        q = np.zeros(i)
        merge = i // 128
        for level in range(128):
            start, end = level * merge, i if level == 127 else (level + 1) * merge
            places = p[start:end] > 0
            if places.any():
                q[start:end][places] = inside[start:end].sum() / places.sum()
        if not inside.sum() or (q[p > 0] == 0).any():
            continue
        p, q = p / p.sum(), q / q.sum()
        divergence = float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())
        found.append((divergence, i))
    least = min(divergence for divergence, _ in found)
    chosen = max(i for divergence, i in found if divergence <= least + 1e-9)  # of equals the last
    return min(chosen * width, largest)


def test_kl_is_the_loop_over_thresholds(values: F32) -> None:
    magnitudes = magnitudes_of(values, 400)
    want = kl_by_hand(magnitudes.counts, magnitudes.width, magnitudes.largest)
    assert threshold(magnitudes, "kl") == pytest.approx(want, rel=1e-12)


def test_max_is_the_greatest_magnitude(values: F32) -> None:
    assert threshold(magnitudes_of(values), "max") == np.abs(values).max()


def test_percentile_is_within_a_bin_of_the_sorted_one(values: F32) -> None:
    magnitudes = magnitudes_of(values)
    want = np.percentile(np.abs(values), 99.99, method="inverted_cdf")
    assert threshold(magnitudes, "percentile9999") == pytest.approx(want, abs=1.01 * magnitudes.width)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9, 1.0])
def test_noise_is_the_error_of_rounding(values: F32, share: float) -> None:
    magnitudes = magnitudes_of(values)
    end = share * magnitudes.largest
    got = noise(magnitudes, end)
    want = float(((values.astype(np.float64) - rounded(values, end)) ** 2).mean())
    # Where numbers lie within a bin is not known: nearer than a bin, or than a grid step, none can be told.
    slack = (end / 127) ** 2 / 12 + 2 * magnitudes.width * (magnitudes.largest - end)
    assert got == pytest.approx(want, rel=0.02, abs=slack if values.size < 5000 else 0.02 * slack)


def test_noise_is_exact_for_numbers_that_fill_their_bins() -> None:
    # 64 numbers in each bin, evenly: what the integral assumes.
    values = ((np.arange(1024 * 64) + 0.5) / 64).astype(np.float32)
    magnitudes = magnitudes_of(np.concatenate([values, -values]), 1024)
    both = np.concatenate([values, -values])
    for end in (100.0, 333.3, 900.0, 1024.0):
        want = float(((both.astype(np.float64) - rounded(both, end)) ** 2).mean())
        assert noise(magnitudes, end) == pytest.approx(want, rel=2e-3)


def test_mse_is_as_good_as_every_threshold(values: F32) -> None:
    magnitudes = magnitudes_of(values)
    found = noise(magnitudes, threshold(magnitudes, "mse"))
    low = min(magnitudes.width * 64, magnitudes.largest)
    every = [noise(magnitudes, float(end)) for end in np.linspace(low, magnitudes.largest, 200)]
    assert found <= min(every) * 1.01


@pytest.mark.parametrize(("name", "shape"), [("aciq_gauss", "normal"), ("aciq_laplace", "laplace")])
def test_aciq_clips_where_its_distribution_should_be_clipped(name: str, shape: str) -> None:
    """On numbers that are what it assumes, nothing beats it by much."""
    rng = np.random.default_rng(5)
    drawn = rng.standard_normal(2_000_000) if shape == "normal" else rng.laplace(0, 1, 2_000_000)
    magnitudes = magnitudes_of(drawn.astype(np.float32))
    end, best = threshold(magnitudes, name), threshold(magnitudes, "mse")
    assert end == pytest.approx(best, rel=0.1)
    assert noise(magnitudes, end) <= 1.05 * noise(magnitudes, best)


@pytest.mark.parametrize(("shape", "published"), [("gauss", 3.92403714), ("laplace", 9.89675982)])
def test_aciq_factors_are_the_published_ones_for_256_levels(shape: str, published: float) -> None:
    assert methods._best_clip(shape, 128) == pytest.approx(published, rel=2e-4)


@pytest.mark.parametrize("method", methods.METHODS)
def test_a_threshold_is_above_0_and_nowhere_beyond_the_numbers(values: F32, method: str) -> None:
    end = threshold(magnitudes_of(values), method)
    assert 0 < end <= np.abs(values).max()


@pytest.mark.parametrize("method", methods.METHODS)
def test_zeros_alone_have_a_threshold_too(method: str) -> None:
    assert threshold(magnitudes_of(np.zeros(10, np.float32)), method) == methods.NOTHING


@pytest.mark.parametrize("method", sorted(set(methods.METHODS) - {"percentile9999"}))
def test_zeros_beside_numbers_move_no_threshold(values: F32, method: str) -> None:
    more = np.concatenate([values, np.zeros(3 * values.size, np.float32)])
    end = threshold(magnitudes_of(values), method)
    assert threshold(magnitudes_of(more), method) == pytest.approx(end, rel=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_lost_numbers_are_those_below_half_a_step(values: F32, share: float) -> None:
    magnitudes = magnitudes_of(values)
    end = share * magnitudes.largest
    kept = values[values != 0].astype(np.float64)
    half = end / magnitudes.steps / 2
    # The bins tell to their width.
    low, high = ((np.abs(kept) < half + shift).mean() for shift in (-magnitudes.width, magnitudes.width))
    assert low - 1e-9 <= lost_share(magnitudes, end) <= high + 1e-9


def test_numbers_of_one_sign_have_a_grid_twice_as_fine() -> None:
    rng = np.random.default_rng(1)
    positive = np.abs(rng.standard_normal(100_000)).astype(np.float32)
    one, both = magnitudes_of(positive), magnitudes_of(np.concatenate([positive, -positive]))
    assert (one.steps, both.steps) == (255, 127)
    assert noise(one, one.largest) == pytest.approx(noise(both, both.largest) / 4, rel=0.05)


def test_negative_numbers_alone_have_no_u8_grid() -> None:
    assert magnitudes_of(np.full(5, -1.0, np.float32)).steps == 127


def test_tuning_takes_the_method_of_the_least_error(values: F32) -> None:
    magnitudes = magnitudes_of(values)
    errors = {name: noise(magnitudes, threshold(magnitudes, name)) for name in methods.METHODS}
    name, end = tuned(magnitudes)
    assert noise(magnitudes, end) == min(errors.values())
    assert end == threshold(magnitudes, name)


def test_methods_of_a_command_line_are_all_there_are() -> None:
    from tpumlir.cli.run_calibration import METHODS

    assert sorted(METHODS) == sorted(methods.METHODS)
    assert METHODS[0] == methods.DEFAULT
