"""What all tests share: the folders that only some machines have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# As many workers as processors, each with threads of its own: they must not wait for each other awake.
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs {what} ({variable})")
    folder = Path(value)
    assert folder.is_dir(), f"{variable}: expected a folder, got {value}"
    return folder


@pytest.fixture(scope="session")
def samples() -> list[Path]:
    """Bmodels made by the vendor's compiler."""
    folder = _folder("TPUMLIR_SAMPLES", "bmodels of the vendor's compiler")
    found = sorted(folder.rglob("*.bmodel"))
    assert found, f"no bmodel below {folder}"
    return found


@pytest.fixture(scope="session")
def oracle() -> Path:
    """The folder with the vendor's libraries."""
    return _folder("TPUMLIR_ORACLE", "the vendor's libraries")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with real models."""
    return _folder("TPUMLIR_CORPUS", "the model corpus")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium: that of the system or, if there is one, that of playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    with api.sync_playwright() as playwright:
        if not found and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("needs Chromium (a system package, or playwright install chromium)")
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()
