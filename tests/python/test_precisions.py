"""The registry of precisions: what C++ states is what Python judges by, and what the docs say."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import harness
from tpumlir._core.precision import FLOAT_TYPES, PrecisionInfo, precisions
from tpumlir.compare import F32_TOLERANCE
from tpumlir.precision.formats import FLOATS, HALVES, MODES, PRECISIONS, least_precise, listed

DOCS = Path(__file__).resolve().parents[2] / "docs" / "precision.md"


def test_modes_are_those_of_the_compiler() -> None:
    assert MODES == ("F32", "F16", "BF16", "INT8")
    assert FLOATS == ("F32", "F16", "BF16") == get_args(harness.Precision)
    assert HALVES == ("F16", "BF16")
    assert {"f32", "f16", "bf16"} == FLOAT_TYPES
    assert [row.name for row in PRECISIONS.values() if row.needs_calibration] == ["INT8"]


def test_f32_is_judged_as_arrays_are() -> None:
    row = PRECISIONS["F32"]
    assert row.lowering.tolerance == row.device.tolerance == F32_TOLERANCE
    assert not row.rounds


def test_numbers_of_the_formats() -> None:
    f32, f16 = np.finfo(np.float32), np.finfo(np.float16)
    assert PRECISIONS["F32"].largest == f32.max
    assert PRECISIONS["F32"].unit == f32.eps / 2
    assert PRECISIONS["F16"].largest == f16.max
    assert PRECISIONS["F16"].unit == f16.eps / 2
    largest_bf16 = np.array([0x7F7F0000], np.uint32).view(np.float32)[0]
    assert PRECISIONS["BF16"].largest == largest_bf16
    assert PRECISIONS["BF16"].unit == 2.0**-8


@pytest.mark.parametrize("row", precisions(), ids=lambda row: row.name)
def test_types_of_a_row(row: PrecisionInfo) -> None:
    precision = PRECISIONS[row.name]
    storage, onnx_type = {
        "F32": ("f32", "float32"),
        "F16": ("f16", "float16"),
        "BF16": ("bf16", "bfloat16"),
        "INT8": ("i8", "int8"),
    }[row.name]
    assert (precision.storage, precision.onnx_type) == (storage, onnx_type)
    assert precision.rounds == (row.name != "F32")
    assert precision.is_half == (row.name in HALVES)


@pytest.mark.parametrize(
    ("types", "mode"),
    [
        ([], "F32"),
        (["i32", "none"], "F32"),
        (["f32", "f16"], "F16"),
        (["f16", "bf16"], "BF16"),
        (["bf16", "f32"], "BF16"),
        (["f32", "i8", "f16"], "INT8"),
        (["ui8", "f32"], "INT8"),
    ],
)
def test_least_precise(types: list[str], mode: str) -> None:
    assert least_precise(types) == mode


def test_listed() -> None:
    assert listed() == "F32, F16, BF16 or INT8"
    assert listed(FLOATS) == "F32, F16 or BF16"
    assert listed(HALVES) == "F16 or BF16"
    assert listed(["F32"]) == "F32"


def _rows_of_docs(start: str) -> list[list[str]]:
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.strip("|").split("|")[1:]] for line in lines]


def _units(number: float, unit: float) -> int:
    return round(number / unit)


def test_docs_state_the_tolerances() -> None:
    for start, stage in (("Tpu against Top", "lowering"), ("bmodel against Tpu", "device")):
        want = [str(getattr(row, stage).tolerance).replace(",", ", ") for row in PRECISIONS.values()]
        assert _rows_of_docs(start)[0] == want


def test_docs_state_the_bounds() -> None:
    rows = {"lowering": _rows_of_docs("against ONNX")[-1], "device": _rows_of_docs("bmodel against Tpu")[-1]}
    for stage, cells in rows.items():
        for cell, row in zip(cells, PRECISIONS.values(), strict=True):
            bounds = getattr(row, stage)
            assert cell == ", ".join(
                str(_units(bound.relative, row.unit)) for bound in (bounds.operation, bounds.model)
            )
