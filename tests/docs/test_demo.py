"""The demo's models are had from a wheel that the interpreter need not be able to install."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FETCH = Path(__file__).resolve().parents[2] / "examples" / "ocr" / "fetch.py"
NAME = "rapidocr_onnxruntime-1.4.4"


def fetch(folder: Path, links: Path) -> subprocess.CompletedProcess[str]:
    """Run fetch.py with the wheels of ``links`` and no index."""
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links), "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, str(FETCH), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def wheel(folder: Path, members: dict[str, bytes]) -> None:
    """A wheel for a Python that nobody has."""
    metadata = "Metadata-Version: 2.1\nName: rapidocr-onnxruntime\nVersion: 1.4.4\nRequires-Python: <3\n"
    with zipfile.ZipFile(folder / f"{NAME}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{NAME}.dist-info/METADATA", metadata)
        archive.writestr(f"{NAME}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{NAME}.dist-info/RECORD", "")
        for name, data in members.items():
            archive.writestr(name, data)


MODEL = "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (None, "expected rapidocr-onnxruntime==1.4.4 (its models) from pip's index"),
        ({}, f"expected a wheel with {MODEL}"),
        ({MODEL: b"another"}, "expected a model with SHA-256"),
    ],
    ids=["no wheel", "no model", "another model"],
)
def test_what_is_missing_is_one_line(members: dict[str, bytes] | None, reason: str, tmp_path: Path) -> None:
    if members is not None:
        wheel(tmp_path, members)
    result = fetch(tmp_path / "out", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("demo: ")
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list((tmp_path / "out").glob("*"))
