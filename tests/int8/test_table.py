"""The operator table in INT8: integers as the chip's, and off Top by fractions of a step."""

from __future__ import annotations

import numpy as np
import pytest

import ops_table
from harness import OpCase
from quantized import Int8Case

CASES = ops_table.collect()

# Operators with a form in integers: if all their rows became floats again, nothing would be compared.
IN_INTEGERS = {
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Sigmoid",
}


def _is_taken(case: OpCase) -> bool:
    """Whether a row reaches the chip, and has no NaN, which no integer stands for."""
    if "bmodel" not in case.stages:
        return False
    return not any(value.dtype.kind == "f" and np.isnan(value).any() for value in case.data.values())


@pytest.mark.parametrize("op", sorted(CASES))
def test_integers_are_the_chips_and_near_top(op: str) -> None:
    quantized = 0
    for case in CASES[op]:
        try:
            if not _is_taken(case):
                continue
            int8 = Int8Case(case)
            quantized += int8.is_quantized
            if int8.is_quantized:
                int8.compare_with_the_chip()
                if int8.is_derived:
                    int8.judge()
        except AssertionError as error:
            raise AssertionError(f"{case!r}: {error}") from error
        finally:
            case.forget()
    assert quantized or op not in IN_INTEGERS
