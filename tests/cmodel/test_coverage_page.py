"""docs/generated/cmodel-coverage.md is the report of the differential run over every case there is."""

from __future__ import annotations

from oracle import cases, coverage


def test_page_lists_every_row_without_mismatch() -> None:
    rows = [
        coverage.Row(op, dtype, cases=coverage.CASES)
        for family in cases.FAMILIES.values()
        for op, dtype, _ in family
    ]
    assert coverage.PAGE.read_text(encoding="utf-8") == "\n".join(coverage.page(rows)) + "\n"
