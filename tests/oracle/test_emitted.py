"""What code generation emits is what the simulator was compared in: every kind of command has its row."""

from __future__ import annotations

from functools import cache
from typing import Literal

import pytest

import ops_table
from harness import PRECISIONS, OpCase, Precision
from oracle import coverage, emitted
from quantized import Int8Case
from tpumlir._core import isa


@cache
def rows() -> list[OpCase]:
    """The rows of the operator table."""
    return [case for cases in ops_table.collect().values() for case in cases]


def kinds(case: OpCase, precision: Precision | Literal["INT8"]) -> set[emitted.Kind]:
    """Kinds of the commands of a row's bmodel, without the end of the streams."""
    tpu = Int8Case(case).tpu if precision == "INT8" else case.lowered(precision).tpu
    groups = tpu.compile().groups
    streams = [("tiu", group.tiu) for group in groups] + [("gdma", group.gdma) for group in groups]
    case.forget()
    return {
        emitted.kind_of(command)
        for engine, stream in streams
        for command in isa.decode(engine, stream)
        if not command.is_end
    }


@pytest.mark.parametrize("precision", [*PRECISIONS, "INT8"])
def test_every_kind_of_command_is_a_covered_row(precision: Precision | Literal["INT8"]) -> None:
    covered = emitted.covered(coverage.CASES)
    missing = {
        kind: repr(case)
        for case in rows()
        if "bmodel" in case.reaches("F32" if precision == "INT8" else precision)
        for kind in kinds(case, precision) - covered
    }
    assert missing == {}


def test_a_kind_without_a_row_is_noticed() -> None:
    assert ("arith.mul", "bf16") in emitted.covered(coverage.CASES)
    assert ("arith.cast", "f16->bf16") not in emitted.covered(coverage.CASES)
    assert emitted.covered(coverage.CASES + 1) == set()
