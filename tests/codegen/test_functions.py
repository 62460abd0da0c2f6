"""How far the chip's elementary functions are from the exact ones, and what they make of special numbers.

The bounds are those of docs/code-generation.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from harness import OpCase, array

Array = npt.NDArray[np.float64]
NAN, INF = math.nan, math.inf
TINY = float(np.finfo(np.float32).tiny)

_rng = np.random.default_rng(11)
REALS = np.concatenate(
    [_rng.uniform(-87, 88.7, 4000), _rng.uniform(-1, 1, 4000), 10 ** _rng.uniform(-6, 0, 1000)]
).astype(np.float32)
POSITIVE = np.concatenate([10 ** _rng.uniform(-37, 37, 4000), _rng.uniform(0.5, 2, 4000)]).astype(np.float32)


@dataclass(frozen=True)
class Function:
    """An operator, what it should give, and a bound, where the result is not tiny."""

    op: str
    exact: Callable[[Array], Array]
    at: npt.NDArray[np.float32]
    ulp: float | None = None
    relative: float | None = None
    absolute: float | None = None

    def __repr__(self) -> str:
        return self.op


FUNCTIONS = [
    Function("Exp", np.exp, REALS, ulp=2),
    Function("Sigmoid", lambda v: 1 / (1 + np.exp(-v)), REALS, ulp=6),
    Function("Reciprocal", lambda v: 1 / v, POSITIVE, ulp=5),
    Function("Tanh", np.tanh, REALS, relative=1e-6),
    Function("Log", np.log, POSITIVE, ulp=6),
    Function("Sqrt", np.sqrt, POSITIVE, ulp=3),
    Function("Erf", np.vectorize(math.erf), REALS, absolute=5e-7),
    Function("Gelu", lambda v: v / 2 * (1 + np.vectorize(math.erf)(v / 2**0.5)), REALS[4000:], absolute=5e-7),
    Function("Softplus", lambda v: np.logaddexp(0, v), REALS[4000:], absolute=5e-7),
    Function("Elu", lambda v: np.where(v > 0, v, np.expm1(v)), REALS, ulp=2),
]


def run(op: str, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The operator on the simulated chip."""
    case = OpCase(op, array(values, constant=False), opset=20)
    return case.tpu.compile().run(case.inputs, allow_nan=True)["out0"]


@pytest.mark.parametrize("function", FUNCTIONS, ids=repr)
def test_function_is_within_its_bound(function: Function) -> None:
    got = run(function.op, function.at).astype(np.float64)
    want = function.exact(function.at.astype(np.float64))
    counts = np.abs(want) > TINY
    error = np.abs(got - want)[counts]
    if function.ulp is not None:
        assert (error / np.spacing(np.abs(want[counts]).astype(np.float32))).max() <= function.ulp
    if function.relative is not None:
        assert (error / np.abs(want[counts])).max() <= function.relative
    if function.absolute is not None:
        assert error.max() <= function.absolute


SPECIAL = np.array([NAN, INF, -INF, 0.0, -1.0], np.float32)


@pytest.mark.parametrize(
    ("op", "want"),
    [
        ("Exp", [NAN, INF, 0, 1, math.exp(-1)]),
        ("Sigmoid", [NAN, 1, 0, 0.5, 1 / (1 + math.e)]),
        ("Tanh", [NAN, 1, -1, 0, math.tanh(-1)]),
        ("Log", [NAN, INF, NAN, -INF, NAN]),
        ("Sqrt", [NAN, INF, NAN, 0, NAN]),
        ("Reciprocal", [NAN, 0, 0, INF, -1]),
        ("Erf", [NAN, 1, -1, 0, math.erf(-1)]),
        ("Softplus", [NAN, INF, 0, math.log(2), math.log1p(math.exp(-1))]),
        ("Relu", [NAN, INF, 0, 0, 0]),
        ("LeakyRelu", [NAN, INF, -INF, 0, -0.01]),
        ("Sign", [NAN, 1, -1, 0, -1]),
        ("Abs", [NAN, INF, INF, 0, 1]),
        ("HardSigmoid", [NAN, 1, 0, 0.5, 0.3]),
        ("Elu", [NAN, INF, -1, 0, math.expm1(-1)]),
    ],
)
def test_special_numbers(op: str, want: list[float]) -> None:
    np.testing.assert_allclose(run(op, SPECIAL), np.array(want, np.float32), rtol=1e-6, atol=1e-7)
