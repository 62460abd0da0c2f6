"""What docs/adding-an-op.md promises of every operation: nothing of it can be forgotten.

Plans (the interpreter) and emission (code generation) are expanded from the lists of operations, so a missing
one does not link. What a linker cannot see is asserted here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ops_table
from tpumlir._core import ir

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "generated"
OPS = ir.registered_operations()
TOP = [op for op in OPS if op.startswith("top.")]
TPU = [op for op in OPS if op.startswith("tpu.")]

# Top operations that no pattern of the conversion starts at, and why.
NOT_LOWERED = {
    "top.Input": "stays: a model input",
    "top.None": "stays: an operand that is not there",
    "top.Weight": "stays: a constant",
    "top.ConstantFill": "its value is known: canonicalisation makes it a constant",
    "top.GRU": "reading rewrites the vendor's text",
    "top.LSTM": "reading rewrites the vendor's text",
    "top.Shape": "its value is known: shape-infer makes it a constant",
}


# Operators that have no row in tests/ops yet: the backend suite of ONNX alone runs them.
WITHOUT_ROWS = {"BitCast", "CumProd", "EyeLike", "MelWeightMatrix", "NonZero", "TensorScatter", "Unique"}


def documented(page: str) -> dict[str, str]:
    """Sections of a generated page by operation."""
    text = (DOCS / page).read_text(encoding="utf-8")
    parts = re.split(r"^### `([\w.]+)`.*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def reached() -> set[str]:
    """Operations of both dialects that rows of tests/ops make, rows until all are found."""
    missing = set(OPS) - in_text() - {"top.None"}
    found: set[str] = set()
    for cases in ops_table.collect().values():
        for case in cases[:: max(1, len(cases) // 12)]:
            if not missing - found or "top" not in case.stages:
                continue
            found |= {op.kind for op in case.top.ops()}
            if any(step == "bmodel" for step in case.reaches("F16")):
                found |= {op.kind for op in case.lowered("F16").tpu.ops()}
            case.forget()
    return found


def in_text() -> set[str]:
    """Operations that tests have as text."""
    files = [*(ROOT / "tests").rglob("*.mlir"), *(ROOT / "tests").rglob("test_*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file != Path(__file__))
    return set(re.findall(r"\b(?:top|tpu)\.[A-Z]\w*", text))


@pytest.mark.parametrize(("page", "ops"), [("top.md", TOP), ("tpu.md", TPU)], ids=["top", "tpu"])
def test_each_has_a_section_with_a_summary(page: str, ops: list[str]) -> None:
    sections = documented(page)
    assert set(ops) == set(sections)
    assert [op for op in ops if not re.match(r"\s*_\S.*_\n", sections[op])] == []


def test_each_top_operation_is_lowered_or_says_why_not() -> None:
    lowered = set(ir.lowered_operations())
    assert lowered <= set(TOP), "patterns start at Top operations"
    assert set(TOP) - lowered == set(NOT_LOWERED)


def test_each_is_in_a_test(reached: set[str]) -> None:
    assert set(OPS) - reached - in_text() == {"top.None"} - in_text()


def test_each_supported_onnx_operator_has_rows() -> None:
    table = (DOCS / "ops-table.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| (\w+) \| [\d, ]+ \| untested", table, re.MULTILINE)) == WITHOUT_ROWS
