"""Any operand may be computed by the network: each constant of each operator row, made a run-time input."""

from __future__ import annotations

import pytest

import ops_table
from runtime_operands import Variant, variants

VARIANTS = [variant for cases in ops_table.collect().values() for variant in variants(cases)]


@pytest.mark.parametrize("variant", VARIANTS, ids=map(repr, VARIANTS))
def test_a_computed_operand_agrees_or_decides_a_shape(variant: Variant) -> None:
    variant.refusal()


def test_operands_of_every_kind_are_among_them() -> None:
    tested = {(variant.case.op, variant.operand) for variant in VARIANTS}
    assert tested >= {
        ("Conv", "W"), ("Conv", "B"), ("Conv", "all"), ("ConvTranspose", "W"), ("ConvTranspose", "B"),
        ("Gemm", "B"), ("Gemm", "C"), ("MatMul", "B"), ("BatchNormalization", "scale"),
        ("BatchNormalization", "input_var"),
        ("LayerNormalization", "Scale"), ("InstanceNormalization", "B"), ("GroupNormalization", "bias"),
        ("PRelu", "slope"), ("Gather", "indices"), ("Clip", "min"), ("Clip", "max"),
        ("Pad", "constant_value"), ("Pow", "Y"),
    }  # fmt: skip
