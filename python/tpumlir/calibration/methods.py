"""Where the scale of a tensor should end: the methods of ``--cali_method``, each from the tensor's histogram.

All of them look at magnitudes, for a scale has one threshold. What a number costs is judged for the grid that
the chip has: 127 steps from 0 to the threshold, or 255 if the tensor has no number below 0 (the chip takes a
sign per operand, so such a tensor is u8). Exact zeros cost nothing in either and count for no method but
``percentile9999``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tpumlir._core.compare import Histogram

F64 = npt.NDArray[np.float64]
DEFAULT = "mse"
NOTHING = 1e-5
"""The threshold of a tensor that is 0 throughout: any scale holds it, but 0 is none (TPU-MLIR's number)."""

_LEVELS = 128  # of kl, as TensorRT and TPU-MLIR have it
_EQUAL = 1e-9  # divergences that differ by less
_PERCENTILE = 0.9999
_COARSE, _FINE = 64, 24  # thresholds that mse tries
_MERGE = 4  # bins that are one in its coarse search


@dataclass(frozen=True)
class Magnitudes:
    """How often each magnitude of a tensor was there: ``counts[i]`` of [i, i + 1) * ``width``, no zeros."""

    counts: F64
    width: float
    low: float
    high: float
    zeros: float
    squares: float  # the sum of the squares
    grid: int = 0  # how many steps, if not those that the numbers themselves would get

    @staticmethod
    def of(histogram: Histogram) -> Magnitudes:
        """From what was counted."""
        both = (histogram.counts(negative=False) + histogram.counts(negative=True)).astype(np.float64)
        both[0] -= histogram.zeros
        largest = max(abs(histogram.low), abs(histogram.high)) if histogram.count else 0.0
        used = int(largest / histogram.width) + 1 if histogram.width else 1
        return Magnitudes(
            both[:used], histogram.width, histogram.low, histogram.high, histogram.zeros, histogram.squares
        )

    @property
    def largest(self) -> float:
        """The greatest magnitude."""
        return max(abs(self.low), abs(self.high))

    @property
    def steps(self) -> int:
        """Between 0 and the threshold, on the chip."""
        return self.grid or (255 if self.low >= 0 else 127)

    @cached_property
    def total(self) -> float:
        """How many numbers are not 0."""
        return float(self.counts.sum())

    @cached_property
    def filled(self) -> tuple[F64, F64]:
        """The indices of bins that are not empty, and what is in them."""
        (index,) = np.nonzero(self.counts)
        return index.astype(np.float64), self.counts[index]


def threshold(magnitudes: Magnitudes, method: str) -> float:
    """Where the scale ends by ``method``, above 0 and at most the greatest magnitude."""
    if magnitudes.largest == 0 or not magnitudes.total:
        return NOTHING
    found = METHODS[method](magnitudes)
    # Below the second bin nothing is known; and a scale ends nowhere beyond what there is.
    return float(min(max(found, magnitudes.width), magnitudes.largest))


def noise(magnitudes: Magnitudes, end: float) -> float:
    """The mean squared error of rounding the tensor to the chip's grid that ends at ``end``.

    Zeros count, as elements without an error. Within a bin numbers are taken to be spread evenly; the
    integral over it is exact.
    """
    everything = magnitudes.total + magnitudes.zeros
    if not everything:
        return 0.0
    return float(_noise(magnitudes, np.array([end]))[0]) / everything


def relative_noise(magnitudes: Magnitudes, end: float) -> float:
    """The error of ``noise`` relative to the tensor: the root of noise over mean square."""
    if not magnitudes.squares:
        return 0.0
    everything = magnitudes.total + magnitudes.zeros
    return math.sqrt(noise(magnitudes, end) * everything / magnitudes.squares)


def lost_share(magnitudes: Magnitudes, end: float) -> float:
    """Which part of the numbers that are not 0 the grid that ends at ``end`` makes 0."""
    if not magnitudes.total:
        return 0.0
    reached = np.concatenate(([0.0], np.cumsum(magnitudes.counts)))
    place = end / magnitudes.steps / 2 / magnitudes.width  # of half a step, in bins
    return float(np.interp(place, np.arange(len(reached)), reached)) / magnitudes.total


def _noise(magnitudes: Magnitudes, ends: F64) -> F64:
    """The sum of squared errors for each threshold of ``ends``."""
    index, counts = magnitudes.filled
    places = np.unique(np.concatenate([index, index + 1]))  # bins that touch share an edge
    edges = places * magnitudes.width
    # The last bin ends where the numbers do.
    edges[-1] = max(min(edges[-1], magnitudes.largest), edges[-2] + magnitudes.largest * 1e-12)
    low, high = np.searchsorted(places, index), np.searchsorted(places, index + 1)
    density = counts / (edges[high] - edges[low])
    ends = ends[:, None]
    step = ends / magnitudes.steps
    beyond = np.maximum(edges - ends, 0)
    integral = step**3 * _sawtooth(np.minimum(edges, ends) / step) + beyond * beyond * beyond / 3
    result: F64 = (integral[:, high] - integral[:, low]) @ density
    return result


def _sawtooth(u: F64) -> F64:
    """The integral from 0 to ``u`` of the squared error of rounding to whole numbers."""
    whole = np.rint(u)
    rest = u - whole
    result: F64 = whole / 12 + rest * rest * rest / 3
    return result


# --- methods -----------------------------------------------------------------------


def _max(magnitudes: Magnitudes) -> float:
    return magnitudes.largest


def _percentile(magnitudes: Magnitudes) -> float:
    """The magnitude that 99.99 % of all numbers, zeros included, do not exceed."""
    wanted = _PERCENTILE * (magnitudes.total + magnitudes.zeros) - magnitudes.zeros
    reached = np.cumsum(magnitudes.counts)
    place = int(np.searchsorted(reached, max(wanted, 0.0)))
    if place >= len(reached):
        return magnitudes.largest
    before = reached[place] - magnitudes.counts[place]
    share = (wanted - before) / magnitudes.counts[place] if magnitudes.counts[place] else 1.0
    return float((place + min(max(share, 0.0), 1.0)) * magnitudes.width)


def _mse(magnitudes: Magnitudes) -> float:
    """The threshold of the least ``noise``: a coarse search, then a fine one around the best."""
    largest = magnitudes.largest
    # A grid finer than the bins cannot be judged by them.
    least = min(magnitudes.width * magnitudes.steps / 2, largest)
    ends = np.geomspace(least, largest, _COARSE)
    best = int(np.argmin(_noise(_merged(magnitudes), ends)))
    fine = np.linspace(ends[max(best - 1, 0)], ends[min(best + 1, _COARSE - 1)], _FINE)
    found = fine[int(np.argmin(_noise(magnitudes, fine)))]
    # What no clipping gains is not clipped.
    errors = _noise(magnitudes, np.array([found, largest]))
    return float(largest if errors[1] <= errors[0] else found)


def _merged(magnitudes: Magnitudes) -> Magnitudes:
    """The same in bins of four times the width, if there are many."""
    if len(magnitudes.counts) <= _LEVELS * _MERGE:
        return magnitudes
    counts = np.pad(magnitudes.counts, (0, -len(magnitudes.counts) % _MERGE)).reshape(-1, _MERGE).sum(axis=1)
    return replace(magnitudes, counts=counts, width=magnitudes.width * _MERGE)


def _kl(magnitudes: Magnitudes) -> float:
    """The threshold whose 128 levels lose the least of the distribution (Kullback-Leibler).

    For each count ``i`` of bins below the threshold, ``P`` is those bins with what lies beyond added to the
    last one, and ``Q`` the bins made of 128 levels, each of which spreads its content over its bins that are
    not empty. With ``m = i // 128`` bins a level, all levels but the last, which takes the rest, are the same
    for every ``i`` of one ``m``: running sums give the divergence of all of them at once.
    """
    counts = magnitudes.counts
    bins = len(counts)
    if bins <= _LEVELS:
        return magnitudes.largest
    below = np.concatenate(([0.0], np.cumsum(counts)))  # below[i]: in the first i bins
    filled = np.concatenate(([0.0], np.cumsum(counts > 0)))
    entropy = np.concatenate(([0.0], np.cumsum(_xlogx(counts))))
    total = below[-1]
    divergences = [np.zeros(0)]
    for m in range(1, bins // _LEVELS + 1):
        cut = np.arange(m * _LEVELS, min((m + 1) * _LEVELS, bins + 1))  # the thresholds of this m, in bins
        edges = np.arange(_LEVELS) * m  # of the levels; the last starts at edges[-1] and ends at the cut
        content, places = np.diff(below[edges]), np.diff(filled[edges])
        shared = float((content * _log(content, places)).sum())
        last = below[cut] - below[edges[-1]]
        beyond = total - below[cut]
        end = counts[cut - 1]
        # What is added to the last bin makes it one that is not empty.
        room = filled[cut] - filled[edges[-1]] + ((end == 0) & (beyond > 0))
        level = _log(last, room)
        own = entropy[cut] - _xlogx(end) + _xlogx(end + beyond)
        with np.errstate(divide="ignore", invalid="ignore"):
            cross = shared + last * level + beyond * level
            divergence = (own - cross) / total - np.log(total) + np.log(below[cut])
        # An empty level that must stand for what lies beyond is infinitely wrong.
        divergence[(beyond > 0) & (last == 0)] = np.inf
        divergence[below[cut] == 0] = np.inf
        divergences.append(divergence)
    every = np.concatenate(divergences)
    # Where nothing lies between two thresholds they are equal, but for rounding: the one that clips less.
    (equals,) = np.nonzero(every <= every.min() + _EQUAL)
    return float(_LEVELS + equals[-1]) * magnitudes.width


def _xlogx(values: F64) -> F64:
    result: F64 = values * np.log(np.where(values > 0, values, 1.0))
    return result


def _log(content: F64, places: F64) -> F64:
    """The logarithm of ``content`` spread over ``places``; 0 where there is nothing."""
    some = (content > 0) & (places > 0)
    result: F64 = np.log(np.where(some, content, 1.0) / np.where(some, places, 1.0))
    return result


def _aciq_gauss(magnitudes: Magnitudes) -> float:
    """ACIQ for numbers that are normal around 0: a multiple of their deviation."""
    deviation = math.sqrt(magnitudes.squares / magnitudes.total)
    return deviation * _best_clip("gauss", magnitudes.steps)


def _aciq_laplace(magnitudes: Magnitudes) -> float:
    """ACIQ for numbers that are Laplacian around 0: a multiple of their mean magnitude."""
    index, counts = magnitudes.filled
    mean = float(((index + 0.5) * counts).sum()) * magnitudes.width / magnitudes.total
    return mean * _best_clip("laplace", magnitudes.steps)


@cache
def _best_clip(shape: str, steps: int) -> float:
    """The threshold of the least error in units of the deviation or the mean magnitude.

    Beyond the threshold a the error of clipping falls, within it the one of rounding, a^2 / 12 / steps^2,
    grows: at the best a the two change alike (Banner et al., "Post training 4-bit quantization", with the
    distribution folded to magnitudes and the chip's number of steps). Found by bisection.
    """

    def slope(a: float) -> float:
        rounding = a / (6 * steps * steps)
        if shape == "laplace":  # derivative of 2 exp(-a), the mean of (x - a)^2 beyond a
            return rounding - 2 * math.exp(-a)
        tail = math.erfc(a / math.sqrt(2))
        density = math.sqrt(2 / math.pi) * math.exp(-a * a / 2)
        return rounding - 2 * (density - a * tail)

    low, high = 0.5, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return high


METHODS: Mapping[str, Callable[[Magnitudes], float]] = MappingProxyType(
    {
        "kl": _kl,
        "mse": _mse,
        "max": _max,
        "percentile9999": _percentile,
        "aciq_gauss": _aciq_gauss,
        "aciq_laplace": _aciq_laplace,
    }
)


def tuned(magnitudes: Magnitudes) -> tuple[str, float]:
    """The method whose threshold gives the least ``noise``, and the threshold; of equals the first."""
    ends = {name: threshold(magnitudes, name) for name in METHODS}
    best = min(ends, key=lambda name: noise(magnitudes, ends[name]))
    return best, ends[best]
