"""What foreign commands may hold: neither simulator reads it, and no rule judges it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oracle import unused

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def found(oracle: Path) -> list[dict[str, object]]:
    """What happened in each row."""
    command = [sys.executable, unused.__file__, str(oracle)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    rows = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert (done.returncode, len(rows)) == (0, len(unused.rows())), done.stderr[-2000:]
    return rows


@pytest.mark.parametrize("column", ["vendor", "ours", "ours before"])
def test_both_simulators_give_the_same_with_other_values(found: list[dict[str, object]], column: str) -> None:
    assert {str((row["base"], row["change"])): row[column] for row in found if row[column] != "equal"} == {}


def test_no_rule_judges_them_at_load(found: list[dict[str, object]]) -> None:
    assert [row for row in found if row["rules"]] == []


def test_a_field_that_is_read_makes_a_difference(oracle: Path) -> None:
    # The comparison itself: these fields count.
    pair = unused.Pair(oracle)
    for row in (unused.Row("mm2", {"opd1_c": 18}), unused.Row("average", {"opd1_addr": 0x3F800000})):
        assert pair.theirs(row, False) != pair.theirs(row, True)
        assert pair.ours(row, True) == pair.theirs(row, True)
