"""NaN in what looks for an extremum: the interpreter and the chip say the same, to the bit of every number.

The rule is numpy's: NaN wins over every number, in maxima as in minima; in ArgMax, ArgMin and TopK it counts
as beyond infinity (TopK sorts it as the greatest). The commands of the chip lose NaN behind a number, so each
place of NaN is a case of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harness import PRECISIONS, OpCase, Precision, array, c

Array = npt.NDArray[Any]
NAN, INF = math.nan, math.inf
EVERY = slice(None)
LENGTHS = [1, 2, 3, 64, 65, 200]


def rows(length: int) -> Array:
    """Rows of quarters that differ in where NaN and infinities are: [row, length]."""
    rng = np.random.default_rng(length)
    half = length // 2
    marks: list[list[tuple[Any, float]]] = [
        [],
        [(0, NAN)],
        [(half, NAN)],
        [(-1, NAN)],
        [(0, NAN), (-1, NAN)],
        [(EVERY, NAN)],
        [(slice(None, half), NAN)],
        [(slice(half, None), NAN)],
        [(slice(None, None, 2), NAN)],
        [(slice(1, None, 2), NAN)],
        [(EVERY, -INF)],
        [(EVERY, INF)],
        [(EVERY, -INF), (half, NAN)],
        [(EVERY, INF), (-1, NAN)],
        [(0, INF), (-1, -INF)],
        [(0, INF), (half, NAN), (-1, -INF)],
        [(0, -INF), (half, NAN), (-1, INF)],
        [(EVERY, -INF), (half, -1.0)],
    ]
    table = (rng.integers(-200, 200, (len(marks), length)) / 4).astype(np.float32)
    for row, values in zip(table, marks, strict=True):
        for place, value in values:
            row[place] = value
    # NaN of both signs.
    table[1::2][np.isnan(table[1::2])] = -NAN
    return table


def agree(case: OpCase, precision: Precision, want: list[Array] | None = None) -> None:
    """The chip gives what the interpreter gives, and that is `want`."""
    lowered = case.lowered(precision)
    for i, name in enumerate(case.output_names):
        got, interpreted = lowered.bmodel_results[name], lowered.tpu_results[name]
        np.testing.assert_array_equal(got, interpreted, err_msg=repr(case))
        if want is not None:
            np.testing.assert_array_equal(got, want[i].astype(got.dtype), err_msg=repr(case))


def placed(length: int) -> list[tuple[Array, int]]:
    """The rows along the last, the first and a middle axis."""
    table = rows(length)
    return [
        (table, 1),
        (np.ascontiguousarray(table.T), 0),
        (np.ascontiguousarray(table.reshape(2, -1, length).transpose(0, 2, 1)), 1),
    ]


NUMPY: dict[str, Callable[..., Any]] = {
    "ReduceMax": np.max,
    "ReduceMin": np.min,
    "ArgMax": np.argmax,
    "ArgMin": np.argmin,
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
def test_reduction_is_nan_where_an_element_is(op: str, length: int, precision: Precision) -> None:
    for data, axis in placed(length):
        case = OpCase(op, array(data, constant=False), axes=[axis], keepdims=0)
        agree(case, precision, [NUMPY[op](data, axis)])


@pytest.mark.parametrize("place", [0, 1, 24999, 25000, 49998, 49999])
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ArgMax", "ArgMin"])
def test_nan_in_one_of_several_tiles(op: str, place: int) -> None:
    data = np.random.default_rng(place).integers(-999, 999, (3, 50000)).astype(np.float32)
    data[1, place] = NAN
    attributes = {"axis": 1} if op.startswith("Arg") else {"axes": [1]}
    case = OpCase(op, array(data, constant=False), keepdims=0, **attributes)
    agree(case, "F32", [NUMPY[op](data, 1)])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_place_of_nan(op: str, length: int, last: int, precision: Precision) -> None:
    for data, axis in placed(length):
        case = OpCase(op, array(data, constant=False), axis=axis, keepdims=0, select_last_index=last)
        want = NUMPY[op](np.flip(data, axis) if last else data, axis)
        agree(case, precision, [length - 1 - want if last else want])


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("places", [(0, 49999), (20000, 20001), (49000,), (49998, 49999)], ids=str)
def test_place_of_nan_in_several_tiles(op: str, last: int, places: tuple[int, ...]) -> None:
    data = np.random.default_rng(7).integers(-999, 999, (3, 50000)).astype(np.float32)
    data[1, list(places)] = NAN
    case = OpCase(op, array(data, constant=False), axis=1, keepdims=0, select_last_index=last)
    want = NUMPY[op](data[:, ::-1] if last else data, 1)
    agree(case, "F32", [49999 - want if last else want])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("length", LENGTHS)
def test_nan_is_sorted_as_the_greatest(length: int, largest: int, precision: Precision) -> None:
    data = rows(length)
    for k in sorted({1, min(length, 5), length}):
        case = OpCase("TopK", array(data, constant=False), c(k), outputs=2, largest=largest)
        # numpy sorts NaN last; the lower of equal places comes first.
        key = np.where(np.isnan(data), INF, data)
        number = np.arange(length)
        isnan = np.isnan(data)
        order = np.stack(
            [
                np.lexsort((number, ~n, -v) if largest else (number, n, v))[:k]
                for v, n in zip(key, isnan, strict=True)
            ]
        )
        agree(case, precision, [np.take_along_axis(data, order, 1), order])


def test_topk_of_pieces_keeps_nan() -> None:
    data = np.random.default_rng(3).permutation(10000).astype(np.float32).reshape(1, -1)
    data[0, [5, 9000]] = NAN
    data[0, 7] = INF
    for largest in (0, 1):
        case = OpCase("TopK", array(data, constant=False), c(4), outputs=2, largest=largest)
        agree(case, "F32")
        places = case.lowered("F32").bmodel_results["out1"]
        assert places[0, :3].tolist() == [5, 9000, 7] if largest else not {5, 9000, 7} & set(places[0])


WINDOWS: list[dict[str, Any]] = [
    {"kernel_shape": [1, 3]},
    {"kernel_shape": [1, 3], "strides": [1, 2], "pads": [0, 1, 0, 1]},
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 3], "dilations": [1, 2]},
    {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2]},
]


def windows_of(data: Array) -> Array:
    """Rows in a plane, and the plane on its side."""
    return np.stack([data, data[::-1]])[None]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("length", [18, 64, 65])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_pool_is_nan_where_the_window_has_one(
    window: dict[str, Any], length: int, precision: Precision
) -> None:
    agree(OpCase("MaxPool", array(windows_of(rows(length)), constant=False), **window), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_pools_of_other_ranks(precision: Precision) -> None:
    line = rows(65)[None]
    agree(OpCase("MaxPool", array(line, constant=False), kernel_shape=[4], strides=[3]), precision)
    agree(OpCase("MaxPool", array(line, constant=False), kernel_shape=[65]), precision)
    agree(OpCase("GlobalMaxPool", array(line, constant=False)), precision)
    cube = rows(64).reshape(1, 18, 4, 4, 4)
    agree(OpCase("MaxPool", array(cube, constant=False), kernel_shape=[2, 2, 2], pads=[1] * 6), precision)
    agree(OpCase("GlobalMaxPool", array(cube, constant=False)), precision)


def test_least_number_is_not_minus_infinity() -> None:
    least = np.finfo(np.float32).min
    data = np.array([-INF, -INF, -INF, least, -INF, -INF, -INF, NAN, -INF], np.float32).reshape(1, 1, 1, -1)
    case = OpCase("MaxPool", array(data, constant=False), kernel_shape=[1, 3])
    want = np.array([-INF, least, least, least, -INF, NAN, NAN], np.float32).reshape(1, 1, 1, -1)
    agree(case, "F32", [want])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_scatter_of_extrema_keeps_nan(mode: str, unique: bool, precision: Precision) -> None:
    data = np.array([[NAN, 1, NAN, -INF, 4, 5, INF, 7]], np.float32)
    updates = np.array([[2, NAN, -NAN, NAN, 3, 6, NAN, -INF]], np.float32)
    index = np.arange(8)[None] if unique else np.array([[0, 1, 1, 3, 4, 4, 6, 6]])
    for constant in (False, True):
        case = OpCase(
            "ScatterElements", array(data, constant=False), array(index, constant=constant),
            array(updates, constant=False), axis=1, reduction=mode, opset=18,
        )  # fmt: skip
        want = data.copy()
        for place, update in zip(index[0], updates[0], strict=True):
            fold = np.maximum if mode == "max" else np.minimum
            want[0, place] = fold(want[0, place], update)
        agree(case, precision, [want])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "ReduceLogSumExp", "ReduceMean", "ReduceSum"])
def test_what_has_a_reduction_inside(op: str, precision: Precision) -> None:
    data = rows(65)
    data = data[~np.isinf(data).any(1)]
    operands = [array(data, constant=False)]
    attributes: dict[str, Any] = {"axis": 1}
    if op == "ReduceSum":
        operands, attributes = [*operands, c(1)], {}
    elif op.startswith("Reduce"):
        attributes = {"axes": [1]}
    lowered = OpCase(op, *operands, **attributes).lowered(precision)
    got, want = lowered.bmodel_results["out0"], lowered.tpu_results["out0"]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert (np.isnan(want).any(1) == np.isnan(data).any(1)).all()
