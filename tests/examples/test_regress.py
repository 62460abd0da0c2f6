"""The sample suite of docs/regress.md is as it expects."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tpumlir.cli.main import main

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "regress"


def test_the_suite_is_as_expected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FOLDER / "suite.toml", tmp_path)
    words = [sys.executable, str(FOLDER / "models.py"), "--folder", str(tmp_path / "models")]
    assert "3 models" in subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert main(["regress", str(tmp_path / "suite.toml"), "--strict"]) == 0
    assert "suite: 9 of 9 cases as expected" in capsys.readouterr().out
