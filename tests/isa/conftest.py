"""What the tests of instructions share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def samples() -> list[Path]:
    """Bmodels made by the vendor's compiler."""
    folder = os.environ.get("TPUMLIR_SAMPLES")
    if not folder:
        pytest.skip("needs bmodels of the vendor's compiler (TPUMLIR_SAMPLES)")
    found = sorted(Path(folder).rglob("*.bmodel"))
    assert found, f"no bmodel below {folder}"
    return found
