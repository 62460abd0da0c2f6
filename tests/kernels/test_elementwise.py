"""Elementwise kernels against numpy: values, broadcasting, and what happens to NaN and infinities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core.interpreter import Interpreter
from tpumlir._core.ir import GraphBuilder

Array = npt.NDArray[Any]

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1e-20, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0,
     -3.0, 10.0, -10.0, 88.0, -88.0, 89.5, -104.0, 1e4, -1e4, 3e38, -3e38],
    np.float32,
)  # fmt: skip
ORDINARY = np.random.default_rng(1).uniform(-6, 6, 3 * 1031).astype(np.float32)
UNIT = np.random.default_rng(2).uniform(-1, 1, 517).astype(np.float32)


def run_op(
    op: str, operands: Sequence[Array], attrs: dict[str, Any] | None = None, constants: Sequence[int] = ()
) -> Array:
    """One Top operation over arrays; operands whose place is in ``constants`` are weights."""
    graph = GraphBuilder("test")
    values = [
        graph.weight(f"w{i}", array) if i in constants else graph.input(f"x{i}", array.shape)
        for i, array in enumerate(operands)
    ]
    result = graph.op(op, values, attrs or {}, names=["y"])
    inputs = {f"x{i}": array for i, array in enumerate(operands) if i not in constants}
    return Interpreter(graph.finish(result)).run(inputs)["y"]


@dataclass(frozen=True)
class Unary:
    """A Top operation, what it means in float64, and the units in the last place it may be off."""

    op: str
    meaning: Callable[[Array], Array] = field(compare=False)
    attrs: dict[str, Any] = field(default_factory=dict, compare=False)
    values: tuple[Array, ...] = field(default=(SPECIAL, ORDINARY), compare=False)
    ulps: float = 4.0
    below: float = 1e-37  # absolute error that is nothing

    def __str__(self) -> str:
        return "-".join([self.op, *(f"{k}_{v}" for k, v in self.attrs.items())])


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


erf = np.vectorize(math.erf, otypes=[float])

UNARY = [
    Unary("top.Abs", np.abs),
    Unary("top.Ceil", np.ceil),
    Unary("top.Floor", np.floor),
    Unary("top.Round", np.round),
    Unary("top.Sign", np.sign),
    Unary("top.Sqrt", np.sqrt),
    Unary("top.Rsqrt", lambda x: 1 / np.sqrt(x)),
    Unary("top.Exp", np.exp),
    Unary("top.Log", np.log),
    Unary("top.Erf", erf, below=3e-8),
    Unary("top.Tanh", np.tanh),
    Unary("top.Sin", np.sin, values=(ORDINARY,)),
    Unary("top.Cos", np.cos, values=(ORDINARY,)),
    Unary("top.Tan", np.tan, values=(ORDINARY,)),
    Unary("top.Sinh", np.sinh),
    Unary("top.Cosh", np.cosh),
    Unary("top.Arccos", np.arccos, values=(UNIT,)),
    Unary("top.Arctanh", np.arctanh, values=(UNIT,)),
    Unary("top.Sigmoid", sigmoid),
    Unary("top.Sigmoid", lambda x: -softplus(-x), {"log": True}),
    Unary("top.Sigmoid", lambda x: 2 * sigmoid(x) - 0.5, {"scale": 2.0, "bias": -0.5}, below=1e-7),
    Unary("top.SiLU", lambda x: x * sigmoid(x), below=1e-30),
    Unary("top.Swish", lambda x: x * sigmoid(0.5 * x), {"beta": 0.5}, below=1e-30),
    Unary("top.Softplus", softplus),
    Unary("top.Softsign", lambda x: x / (1 + np.abs(x))),
    Unary("top.Mish", lambda x: x * np.tanh(softplus(x)), ulps=8),
    Unary("top.HardSwish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1), ulps=8, below=1e-7),
    Unary("top.HardSigmoid", lambda x: np.clip(0.2 * x + 0.5, 0, 1), {"alpha": 0.2, "beta": 0.5}, below=1e-7),
    Unary("top.GELU", lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))), values=(ORDINARY,), below=4e-7),
    Unary("top.Elu", lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)), {"alpha": 1.5}),
    Unary("top.LeakyRelu", lambda x: np.where(x > 0, x, 0.1 * x), {"alpha": 0.1}),
    Unary("top.Relu", lambda x: np.maximum(x, 0)),
    Unary("top.Relu", lambda x: np.clip(x, 0, 2), {"relu_limit": 2.0}),
    Unary("top.Clip", lambda x: np.clip(x, -1.5, 2), {"min": -1.5, "max": 2.0}),
    Unary("top.Reciprocal", lambda x: 3 / x, {"const_val": 3.0}),
    Unary("top.Pow", np.square, {"exponent": 2.0}),
    Unary("top.Pow", lambda x: np.power(x, 2.5), {"exponent": 2.5}, values=(np.abs(ORDINARY),)),
    Unary("top.Pow2", lambda x: np.power(2.0, x), {"const_val": 2.0}),
    Unary("top.MaxConst", lambda x: np.maximum(x, 0.25), {"const_val": 0.25}),
    Unary("top.MinConst", lambda x: np.minimum(x, 0.25), {"const_val": 0.25}),
    Unary("top.SubConst", lambda x: 3 - x, {"const_val": 3.0, "is_reverse": True}, below=1e-6),
    Unary("top.DivConst", lambda x: x / 3, {"const_val": 3.0}),
    Unary("top.CompareConst", lambda x: x > 1, {"mode": "Greater", "const_val": 1.0, "inversed": False}),
    Unary("top.CompareConst", lambda x: x < 1, {"mode": "Greater", "const_val": 1.0, "inversed": True}),
    Unary("top.CompareConst", lambda x: x == 0, {"mode": "Not", "const_val": 0.0, "inversed": False}),
]


@pytest.mark.parametrize("case", UNARY, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_unary_is_close_to_float64(case: Unary) -> None:
    x = np.concatenate(case.values)
    got = run_op(case.op, [x], case.attrs).astype(np.float64)
    with np.errstate(all="ignore"):
        want = case.meaning(x.astype(np.float64)).astype(np.float64)
        rounded = want.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    np.testing.assert_array_equal(got[np.isinf(rounded)], rounded[np.isinf(rounded)])
    finite = np.isfinite(rounded)
    allowed = case.ulps * np.spacing(np.abs(rounded[finite]).astype(np.float32)) + case.below
    worst = np.argmax(np.abs(got - want)[finite] / allowed)
    assert np.abs(got - want)[finite][worst] <= allowed[worst], x[finite][worst]


@dataclass(frozen=True)
class Broadcast:
    """Shapes whose operands broadcast against each other."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    why: str

    def __str__(self) -> str:
        return self.why.replace(" ", "_")


BROADCASTS = [
    Broadcast((2, 3, 5, 7), (2, 3, 5, 7), "equal"),
    Broadcast((2, 3, 5, 7), (1,), "one element"),
    Broadcast((), (3, 4), "a scalar on the left"),
    Broadcast((1, 3, 40, 41), (3, 1, 1), "a vector along the channels"),
    Broadcast((5, 1), (1, 7), "both sides repeat"),
    Broadcast((2, 1, 4, 1, 6), (3, 1, 5, 1), "rank 5 with holes"),
    Broadcast((2, 2, 2, 2, 2, 2), (2, 1, 2, 1, 2, 1), "rank 6"),
    Broadcast((1, 3), (4000, 3), "rows shorter than a vector"),
    Broadcast((70, 600), (70, 1), "a number per row longer than a piece"),
    Broadcast((3, 1, 700), (1, 9, 700), "row repeated"),
    Broadcast((1, 1), (1, 1), "only ones"),
]

BINARY: list[tuple[str, Callable[[Array, Array], Array]]] = [
    ("top.Add", np.add),
    ("top.Sub", np.subtract),
    ("top.Mul", np.multiply),
    ("top.Div", np.divide),
    ("top.Max", np.maximum),
    ("top.Min", np.minimum),
]


@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize(("op", "meaning"), BINARY, ids=[op for op, _ in BINARY])
@pytest.mark.parametrize("constants", [(), (0,), (1,)], ids=["", "left_constant", "right_constant"])
def test_binary_broadcasts(
    op: str, meaning: Callable[[Array, Array], Array], shapes: Broadcast, constants: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(3)
    a = rng.uniform(0.5, 2, shapes.left).astype(np.float32)
    b = rng.uniform(0.5, 2, shapes.right).astype(np.float32)
    np.testing.assert_array_equal(run_op(op, [a, b], constants=constants), meaning(a, b))


@pytest.mark.parametrize(("op", "meaning"), BINARY, ids=[op for op, _ in BINARY])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_binary_keeps_nan_and_infinities(op: str, meaning: Callable[[Array, Array], Array]) -> None:
    a, b = (m.astype(np.float32) for m in np.meshgrid(SPECIAL, SPECIAL))
    np.testing.assert_array_equal(run_op(op, [a, b]), meaning(a, b))


def test_where_chooses_by_condition() -> None:
    cond = np.array([[1.0], [0.0], [-2.0]], np.float32)
    yes, no = np.arange(4, dtype=np.float32), np.full((3, 4), -1, np.float32)
    np.testing.assert_array_equal(run_op("top.Where", [cond, yes, no]), np.where(cond != 0, yes, no))


def test_mod_has_the_sign_of_the_divisor() -> None:
    a = np.array([5.5, -5.5, 5.5, -5.5, 6.0, -6.0], np.float32)
    b = np.array([3.0, 3.0, -3.0, -3.0, 3.0, 3.0], np.float32)
    np.testing.assert_array_equal(run_op("top.Mod", [a, b]), np.mod(a, b))


def test_cast_to_integers_drops_the_fraction_and_saturates() -> None:
    x = np.array([1.9, -1.9, 2.5, -0.5, 3e9, -3e9, np.nan, np.inf, 16777217.0], np.float32)
    got = run_op("top.Cast", [x], {"to": "INT32"})
    big = np.iinfo(np.int32)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, [1, -1, 2, 0, big.max, big.min, 0, big.max, 16777216])
