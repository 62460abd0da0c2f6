"""Our simulator against the vendor's: every instruction and data type, random legal commands, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle import cases, coverage

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("family", cases.FAMILIES)
def test_simulators_agree_bit_for_bit(family: str, oracle: Path) -> None:
    rows = coverage.run_family(oracle, family, seconds=600)
    assert [problem for row in rows for problem in row.problems] == []
    assert {row.cases for row in rows} == {coverage.CASES}


def test_a_difference_is_seen(oracle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The comparison itself: the vendor's library gets another operation than ours.
    script = tmp_path / "differential.py"
    source = Path(coverage.__file__).with_name("differential.py").read_text(encoding="utf-8")
    folder = str(Path(coverage.__file__).resolve().parents[1])
    changed = source.replace("str(Path(__file__).resolve().parents[1])", repr(folder)).replace(
        "pair.machine.execute(case.engine, command)", "pass"
    )
    assert changed != source
    script.write_text(changed, encoding="utf-8")
    monkeypatch.setattr(coverage, "__file__", str(script))
    rows = coverage.run_family(oracle, "mm", count=2)
    assert all(row.mismatches == 2 for row in rows)
