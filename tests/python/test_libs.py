"""How long idle threads wait awake: less where other programs want the processors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tpumlir import _libs

QUIET = "some avg10=0.32 avg60=71.04 avg300=80.00 total=93\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
CROWDED = "some avg10=38.21 avg60=0.00 avg300=0.00 total=93\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


@pytest.fixture
def pressure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the kernel says how long programs wait."""
    monkeypatch.setattr(_libs, "_PRESSURE", tmp_path / "cpu")
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cpu"


@pytest.mark.parametrize(
    ("text", "spins"), [(QUIET, "50000"), (CROWDED, "1000"), ("", "50000"), ("some total=93\n", "50000")]
)
def test_the_last_ten_seconds_count(pressure: Path, text: str, spins: str) -> None:
    pressure.write_text(text)
    _libs.shorten_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == spins


@pytest.mark.usefixtures("pressure")
def test_a_kernel_that_does_not_tell() -> None:
    _libs.shorten_spinning()
    assert os.environ["GOMP_SPINCOUNT"] == "50000"


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_has_set_stays(pressure: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pressure.write_text(CROWDED)
    monkeypatch.setenv(name, "passive")
    _libs.shorten_spinning()
    assert os.environ.get("GOMP_SPINCOUNT", "passive") == "passive"


def test_the_package_says_it_before_the_library_is_loaded() -> None:
    environ = {k: v for k, v in os.environ.items() if k not in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}}
    code = "import tpumlir, os; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in {"1000", "50000"}
