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
ANGLES = np.concatenate([_rng.uniform(-10, 10, 4000), _rng.uniform(-1e5, 1e5, 4000)]).astype(np.float32)
# Nearest floats to multiples of a quarter turn, where the sine is least.
TURNS = (np.arange(1, 60001, 7) * (math.pi / 2)).astype(np.float32)
UNITS = np.concatenate(
    [_rng.uniform(-1, 1, 4000), 1 - 10 ** _rng.uniform(-7, 0, 1000), 10 ** _rng.uniform(-10, 0, 1000)]
).astype(np.float32)
EVERYWHERE = np.concatenate(
    [_rng.uniform(-6, 6, 4000), 10 ** _rng.uniform(-30, 38, 4000), -(10 ** _rng.uniform(-30, 38, 1000))]
).astype(np.float32)
ABOVE_ONE = np.concatenate([_rng.uniform(1, 9, 4000), 1 + 10 ** _rng.uniform(-6, 38, 4000)]).astype(
    np.float32
)


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
        return f"{self.op} of {self.at.size}"


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
    Function("Sin", np.sin, ANGLES, absolute=2e-7),
    Function("Cos", np.cos, ANGLES, absolute=2e-7),
    Function("Sin", np.sin, TURNS, absolute=2e-7),
    Function("Tan", np.tan, ANGLES, relative=1e-6),
    Function("Asin", np.arcsin, UNITS, relative=1e-6),
    Function("Acos", np.arccos, UNITS, absolute=1e-6),
    Function("Atan", np.arctan, EVERYWHERE, relative=1e-6),
    Function("Sinh", np.sinh, REALS, relative=1e-6),
    Function("Cosh", np.cosh, REALS, relative=1e-6),
    Function("Asinh", np.arcsinh, EVERYWHERE, relative=1e-6),
    Function("Acosh", np.arccosh, ABOVE_ONE, relative=2e-6),
    Function("Atanh", np.arctanh, UNITS, relative=1e-6),
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
        ("Sin", [NAN, NAN, NAN, 0, math.sin(-1)]),
        ("Cos", [NAN, NAN, NAN, 1, math.cos(1)]),
        ("Tan", [NAN, NAN, NAN, 0, math.tan(-1)]),
        ("Asin", [NAN, NAN, NAN, 0, -math.pi / 2]),
        ("Acos", [NAN, NAN, NAN, math.pi / 2, math.pi]),
        ("Atan", [NAN, math.pi / 2, -math.pi / 2, 0, -math.pi / 4]),
        ("Sinh", [NAN, INF, -INF, 0, math.sinh(-1)]),
        ("Cosh", [NAN, INF, INF, 1, math.cosh(1)]),
        ("Asinh", [NAN, INF, -INF, 0, math.asinh(-1)]),
        ("Acosh", [NAN, INF, NAN, NAN, NAN]),
        ("Atanh", [NAN, NAN, NAN, 0, -INF]),
        ("Softsign", [NAN, NAN, NAN, 0, -0.5]),
    ],
)
def test_special_numbers(op: str, want: list[float]) -> None:
    np.testing.assert_allclose(run(op, SPECIAL), np.array(want, np.float32), rtol=1e-6, atol=1e-7)


def test_the_sine_of_what_is_too_far_is_not_a_number() -> None:
    # Reduction by quarter turns is exact up to 2^16 of them; a wrong number beyond would not be seen.
    far = np.array([102942.0, 102944.0, 1e9, -3e38], np.float32)
    for op in ("Sin", "Cos", "Tan"):
        assert np.isnan(run(op, far)).tolist() == [False, True, True, True]


def test_powers_are_within_their_bound() -> None:
    rng = np.random.default_rng(5)
    base = (10 ** rng.uniform(-3, 3, 4000)).astype(np.float32)
    exponent = rng.uniform(-12, 12, 4000).astype(np.float32)
    case = OpCase("Pow", array(base, constant=False), array(exponent, constant=False))
    got = case.lowered("F32").bmodel_results["out0"].astype(np.float64)
    want = base.astype(np.float64) ** exponent
    assert (np.abs(got - want) / want).max() <= 1e-5


def test_whole_powers_of_whole_numbers_are_exact() -> None:
    base, exponent = (v.reshape(-1) for v in np.meshgrid(np.arange(-12.0, 13), np.arange(0.0, 17)))
    keep = np.abs(base) ** exponent <= 2**17
    base, exponent = base[keep].astype(np.float32), exponent[keep].astype(np.float32)
    case = OpCase("Pow", array(base, constant=False), array(exponent, constant=False))
    assert np.array_equal(case.lowered("F32").bmodel_results["out0"], base**exponent)


def test_remainders_are_exact() -> None:
    rng = np.random.default_rng(6)
    x, y = (
        (rng.choice([-1, 1], 6000) * 10 ** rng.uniform(-36, 38, 6000)).astype(np.float32) for _ in range(2)
    )
    case = OpCase("Mod", array(x, constant=False), array(y, constant=False), fmod=1)
    want = np.fmod(x, y)
    want[np.abs(want) < TINY] = 0  # denormals
    assert np.array_equal(case.lowered("F32").bmodel_results["out0"], want)
