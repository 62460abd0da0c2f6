"""The demo's model, out of a wheel of PyPI that is unpacked and not installed.

    python examples/text_direction/fetch.py [FOLDER]

The wheel of rapidocr-onnxruntime says that it wants a Python below 3.13. Its models do not care: pip
downloads it for whatever interpreter runs this, the one file is taken out and kept in FOLDER.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "rapidocr-onnxruntime==1.4.4"
MEMBER = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
SHA256 = "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"


class FetchError(Exception):
    """One line: what is missing and what to do about it."""


def default_folder() -> Path:
    """Where the model is kept for the next time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpumlir" / "demo"


def fetch(folder: Path | None = None) -> Path:
    """The classifier's file, downloaded at the first call. Raises: FetchError: it cannot be had."""
    path = (folder or default_folder()) / Path(MEMBER).name
    try:
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            data = _model(_wheel(scratch))
            part = Path(tempfile.mkstemp(dir=path.parent, suffix=".part")[1])
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        raise FetchError(f"{path}: {error.strerror or error}") from None
    return path


def _wheel(folder: str) -> Path:
    """The wheel, downloaded to ``folder``."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--ignore-requires-python", "--only-binary=:all:", "--dest", folder, PACKAGE,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(Path(folder).glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no wheel"]
        raise FetchError(f"expected {PACKAGE} (its models) from pip's index, got: {errors[-1].strip()}")
    return wheels[0]


def _model(wheel: Path) -> bytes:
    """The model's bytes, checked."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"{wheel.name}: expected a wheel with {MEMBER}, got: {error}") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise FetchError(f"{wheel.name}: expected a model with SHA-256 {SHA256}, got {digest}")
    return data


if __name__ == "__main__":
    try:
        print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
    except FetchError as error:
        sys.exit(f"demo: {error}")
