"""Our cycle model against the vendor's estimator, command by command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oracle import cycle_cases

pytestmark = pytest.mark.oracle

# Commands of each kind; TPUMLIR_CYCLE_CASES=2000 is the run that docs/profiling.md tells of.
CASES = int(os.environ.get("TPUMLIR_CYCLE_CASES", "300"))
FAR = 0.02


def _rows(oracle: Path, script: Path, count: int) -> list[dict[str, object]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(script), str(oracle), str(count), "11"],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-500:]}\n{done.stderr[-2000:]}"
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def test_every_kind_of_command_costs_what_the_vendor_says(oracle: Path) -> None:
    rows = _rows(oracle, Path(__file__).with_name("estimated.py"), CASES)
    assert [row for row in rows if float(str(row["worst"])) > FAR] == []
    kinds = {row["kind"] for row in rows}
    assert set(cycle_cases.KINDS) <= kinds
    assert all(row["cases"] == CASES for row in rows if row["kind"] in cycle_cases.KINDS)


def test_a_wrong_formula_is_seen(oracle: Path, tmp_path: Path) -> None:
    source = Path(__file__).with_name("estimated.py").read_text(encoding="utf-8")
    folder = str(Path(__file__).resolve().parents[1])
    changed = source.replace("str(Path(__file__).resolve().parents[1])", repr(folder)).replace(
        "isa.cost(command).cycles", "isa.cost(command).cycles * 26 // 25"
    )
    assert changed != source
    script = tmp_path / "estimated.py"
    script.write_text(changed, encoding="utf-8")
    rows = _rows(oracle, script, 40)
    assert all(float(str(row["worst"])) > FAR for row in rows if row["kind"] in {"conv", "dma.tensor load"})
