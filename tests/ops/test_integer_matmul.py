"""Products of matrices of integers: exact up to 32 bits, where they wrap around, in every precision."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tpumlir
from harness import OpCase, Operand, Stage, array, check, rows

LOW, HIGH = -(2**31), 2**31


def ints(
    *shape: int, low: int = LOW, high: int = HIGH, dtype: Any = np.int32, constant: bool = False
) -> Operand:
    """Integers in [low, high), the same for the same shape."""
    rng = np.random.default_rng(sum(shape) + len(shape))
    return array(rng.integers(low, high, shape).astype(dtype), constant=constant)


def small(*shape: int, dtype: Any = np.int32, constant: bool = False) -> Operand:
    """Integers whose sums of products have 32 bits."""
    return ints(*shape, low=-1000, high=1000, dtype=dtype, constant=constant)


def bits(*shape: int, constant: bool = False) -> Operand:
    """Integers without a sign."""
    return ints(*shape, low=0, high=HIGH, dtype=np.uint32, constant=constant)


SHAPES = {
    "matrices": ((2, 3), (3, 2)),
    "vectors": ((5,), (5,)),
    "a vector and a matrix": ((5,), (5, 4)),
    "a matrix and a vector": ((4, 5), (5,)),
    "batches": ((2, 3, 4), (2, 4, 5)),
    "batches that broadcast": ((2, 1, 3, 4), (3, 4, 2)),
    "a sum in two parts": ((2, 300), (300, 3)),
    "past the lanes": ((70, 9), (9, 66)),
    "one element": ((1, 1), (1, 1)),
}


def cases() -> Iterator[OpCase]:
    for why, (a, b) in SHAPES.items():
        yield OpCase("MatMul", ints(*a), ints(*b), why=why)
        yield OpCase("MatMul", ints(*a), ints(*b, constant=True), why=why)
        yield OpCase("MatMul", ints(*a, constant=True), ints(*b), why=why)
    wide = np.int64
    yield OpCase("MatMul", small(3, 40, dtype=wide), small(40, 4, dtype=wide), why="int64")
    yield OpCase("MatMul", small(3, 40, dtype=wide), small(40, 4, dtype=wide, constant=True), why="int64")
    yield OpCase("MatMul", bits(3, 4), bits(4, 4), why="uint32")
    yield OpCase("MatMul", bits(3, 4), bits(4, 4, constant=True), why="uint32")
    yield OpCase("MatMul", ints(3, 4), ints(4, 2, low=0, high=1, constant=True), why="by zeros")
    yield OpCase("MatMul", ints(3, 4), ints(4, 2, low=0, high=200, constant=True), why="by bytes")
    edges = array(np.array([[LOW, HIGH - 1, -1, 1], [0, -256, 255, 65536]], np.int32), constant=False)
    yield OpCase("MatMul", edges, array(edges.data.T.copy(), constant=False), why="edges")
    for trans_a, trans_b in itertools.product((0, 1), (0, 1)):
        a, b = (4, 3) if trans_a else (3, 4), (5, 4) if trans_b else (4, 5)
        why = f"{trans_a} {trans_b}"
        for right, rest in (
            (small(*b), []),
            (small(*b, constant=True), [small(5)]),
            (small(*b), [small(3, 1, constant=True)]),
        ):
            yield OpCase("Gemm", small(*a), right, *rest, opset=13, why=why, transA=trans_a, transB=trans_b)
    for alpha, beta in ((3.0, 1.0), (1.0, -2.0), (-2.0, 0.0)):
        operands = (small(3, 4), small(4, 5), small(3, 5))
        yield OpCase("Gemm", *operands, opset=13, alpha=alpha, beta=beta, why=f"{alpha} {beta}")


@rows(list(cases()))
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)
    if stage == "top":
        want = case.reference["out0"].astype(np.int64).astype(np.uint32)
        np.testing.assert_array_equal(case.top_results["out0"].astype(np.uint32), want)


def test_broken_factors_are_refused_by_name() -> None:
    case = OpCase("Gemm", ints(2, 2), ints(2, 2), opset=13, alpha=0.5)
    with pytest.raises(tpumlir.UnsupportedError, match=r"node: Gemm .*alpha = 0.5 of integers"):
        _ = case.top


def test_a_constant_beyond_32_bits_is_refused_by_name() -> None:
    weights = array(np.array([[2**31]], np.int64))
    case = OpCase("MatMul", ints(1, 1, dtype=np.int64), weights)
    with pytest.raises(tpumlir.UnsupportedError, match=r"node: MatMul .*in1 holds integers of more than 32"):
        _ = case.top


def test_functions_of_integers_in_einsum() -> None:
    case = OpCase("Einsum", ints(2, 3, 4), ints(2, 4, 5), equation="bij,bjk->bik")
    want = np.matmul(case.inputs["in0"], case.inputs["in1"])
    np.testing.assert_array_equal(case.top_results["out0"], want)
    np.testing.assert_array_equal(case.bmodel_results["out0"], want)
