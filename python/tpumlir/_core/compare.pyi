"""What a verdict on tensors is made of."""

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

class Similarity:
    """Sums and extremes of a tensor ``a`` and its reference ``b``; what is not finite in both is left out."""

    @property
    def aa(self) -> float:
        """The sum of the squares of ``a``."""

    @property
    def bb(self) -> float:
        """The sum of the squares of ``b``."""

    @property
    def ab(self) -> float:
        """The sum of the products."""

    @property
    def dd(self) -> float:
        """The sum of the squared differences."""

    @property
    def max_abs(self) -> float:
        """The greatest difference."""

    @property
    def max_rel(self) -> float:
        """The greatest difference relative to ``b``, where that is not 0."""

    @property
    def worst(self) -> int:
        """The place of the greatest difference."""

    @property
    def finite(self) -> int:
        """How many elements are finite on both sides."""

    @property
    def strange(self) -> int:
        """How many elements are NaN or infinite on one side and not so on the other."""

    @property
    def first_strange(self) -> int:
        """The place of the first of these, or -1."""

class Excess:
    """The elements whose error is more than they are allowed."""

    @property
    def largest(self) -> float:
        """The greatest error, in units of what is allowed there."""

    @property
    def worst(self) -> int:
        """Its place."""

    @property
    def count(self) -> int:
        """How many elements are off by more than allowed."""

class Spread:
    """What a tensor holds and what F16 would make of it; infinities and NaN are only counted."""

    @property
    def low(self) -> float:
        """The least value, or infinity."""

    @property
    def high(self) -> float:
        """The greatest value, or -infinity."""

    @property
    def smallest(self) -> float:
        """The least absolute value that is not 0, or infinity."""

    @property
    def nonzero(self) -> int:
        """How many are not 0."""

    @property
    def subnormal(self) -> int:
        """How many of these are below the normal range of F16."""

    @property
    def lost(self) -> int:
        """How many of these become 0 in F16."""

    @property
    def nonfinite(self) -> int:
        """How many are infinite or NaN."""

    @property
    def signal(self) -> float:
        """The sum of the squares of what is within the range of F16."""

    @property
    def noise(self) -> float:
        """The sum of the squared errors of rounding that to F16."""

class Histogram:
    """What a tensor held over any number of samples, in bins whose width is a power of two.

    The width doubles, and pairs of bins become one, until the bins reach the greatest magnitude: the result
    is the same whatever the order of the samples, and more than half of the bins are below that magnitude.
    """

    def __init__(self, bins: int) -> None:
        """Make ``bins`` for each sign. Raises: InputError: not even, less than 2, more than 2^24."""

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Count the elements of a tensor; the GIL is released."""

    def merge(self, other: Histogram) -> None:
        """Add what another one has seen. Raises: InputError: it has other bins."""

    def counts(self, negative: bool) -> npt.NDArray[np.int64]:
        """How many magnitudes are in [i, i + 1) * width, of numbers below 0 or of the others."""

    @property
    def width(self) -> float:
        """The width of a bin, 0 as long as there was nothing but zeros."""

    @property
    def bins(self) -> int:
        """How many there are for each sign."""

    @property
    def low(self) -> float:
        """The least finite number, or infinity."""

    @property
    def high(self) -> float:
        """The greatest finite number, or -infinity."""

    @property
    def sum(self) -> float:
        """The sum of the finite numbers."""

    @property
    def squares(self) -> float:
        """The sum of their squares."""

    @property
    def count(self) -> int:
        """How many numbers are finite."""

    @property
    def zeros(self) -> int:
        """How many of these are 0."""

    @property
    def nan(self) -> int:
        """How many are NaN."""

    @property
    def infinite(self) -> int:
        """How many are infinite."""

@overload
def similarity(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], scale: float = 1.0) -> Similarity:
    """Walk over a tensor and its reference of as many elements, both times ``scale``.

    Raises: InputError: other numbers of elements.
    """

@overload
def similarity(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], scale: float = 1.0) -> Similarity: ...
@overload
def excess(
    a: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    relative: float,
    floor: float,
) -> Excess:
    """Find what is off by more than ``relative`` of the reference plus ``floor``.

    Raises: InputError: other numbers of elements.
    """

@overload
def excess(
    a: npt.NDArray[np.float64],
    b: npt.NDArray[np.float64],
    relative: float,
    floor: float,
) -> Excess: ...
@overload
def unexplained(
    a: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    result: npt.NDArray[np.float32],
    operands: Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None, float, float]],
    product: bool,
    relative: float,
    smallest: float,
    gain: float,
) -> Excess:
    """Find what is off by more than the operation that computes ``result`` element by element explains.

    ``operands``: each as it should be, as it is or None, and the error it is allowed then: relative to its
    size, and a floor. They have one element or as many as ``result``; ``product``: they are multiplied.
    ``relative`` and ``smallest`` are the operation's own rounding; it enlarges errors by ``gain``.
    Raises: InputError: other numbers of elements.
    """

@overload
def unexplained(
    a: npt.NDArray[np.float64],
    b: npt.NDArray[np.float64],
    result: npt.NDArray[np.float64],
    operands: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None, float, float]],
    product: bool,
    relative: float,
    smallest: float,
    gain: float,
) -> Excess: ...
def spread(values: npt.NDArray[np.float32]) -> Spread:
    """Walk over a tensor once."""
