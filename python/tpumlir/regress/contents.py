"""What a case is made of, by content: files are read once, and again only when they change."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tpumlir.files import atomic_write
from tpumlir.regress.suite import Case, split_input

_CHUNK = 1 << 20
_FRESH = 2.0
"""Seconds for which a file that was just written may change again without its times telling it."""
_FORMAT = 1
"""Part of every key: raised when the outcome of a case gets other fields."""
_COMPUTING = ("tpumlir", "numpy", "onnx", "onnxruntime", "onednn-cpu-gomp")
_NOT_PACKAGE = {"__pycache__", "ruff.toml"}


def digest(data: bytes) -> str:
    """The name that content goes by."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Digests:
    """Digests of files by path, size, times and inode; kept in a file between runs."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        if path:
            try:
                self._known = json.loads(path.read_bytes())
            except (OSError, ValueError):
                self._known = {}

    def of(self, path: Path) -> str:
        """The digest of a file. Raises: OSError."""
        return str(self._entry(path)[1])

    def external(self, model: Path) -> list[str]:
        """The files with external data of a model, relative to its folder. Raises: OSError."""
        entry = self._entry(model)
        if len(entry) < 3:
            entry.append(_external(model))
            self._changed = True
        return list(entry[2])

    def save(self) -> None:
        """Keep what was found for the next run. Raises: OSError."""
        if self._path and self._changed:
            with atomic_write(self._path) as stream:
                stream.write(json.dumps(self._known, separators=(",", ":")).encode())
            self._changed = False

    def _entry(self, path: Path) -> list[Any]:
        name = str(path.absolute())
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._known.get(name)
        if known and known[0] == stamp:
            return known
        now = time.time()
        state = hashlib.blake2b(digest_size=16)
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                state.update(chunk)
        entry: list[Any] = [stamp, state.hexdigest()]
        if now - max(status.st_mtime, status.st_ctime) < _FRESH:
            entry[0] = []  # fits no file: read again next time
        self._known[name] = entry
        self._changed = True
        return entry


def _external(model: Path) -> list[str]:
    """What the file itself names; a model that cannot be read has none, and says so when it is compiled."""
    # Reading a model costs more than all the rest: the key of an external tensor stands in the file as it is.
    if b"location" not in model.read_bytes():
        return []
    from tpumlir.errors import TpumlirError
    from tpumlir.onnx.load import load

    try:
        return list(load(model).external_files)
    except TpumlirError:
        return []


@cache
def compiler() -> dict[str, str]:
    """What computes here: the installed package, byte by byte, and the versions of what it computes with."""
    from importlib import metadata

    package = Path(__file__).parents[1]
    state = hashlib.blake2b(digest_size=16)
    for path in sorted(package.rglob("*")):
        if path.suffix in {".tmp", ".pyi", ".pyc"} or not _NOT_PACKAGE.isdisjoint(path.parts):
            continue
        if path.is_file():
            state.update(f"{path.relative_to(package).as_posix()}\0{digest(path.read_bytes())}\n".encode())
    versions = {"build": state.hexdigest()}
    for name in _COMPUTING:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "source" if name == "tpumlir" else "none"
    return versions


def files_of(case: Case, digests: Digests) -> dict[str, str]:
    """The digests of all files of a case by path relative to its model's folder, or as given if elsewhere."""
    found = {case.model.name: digests.of(case.model)}
    for name in digests.external(case.model):
        path = case.model.parent / name
        found[name] = digests.of(path) if path.is_file() else ""
    return found


def content_of(case: Case, digests: Digests, plugin: Path | None) -> str:
    """What goes into a case but for the compiler, as one digest. Raises: OSError."""
    read = {
        option: [[split_input(text)[0], digests.of(Path(split_input(text)[1]))] for text in given]
        for option, given in case.files.items()
    }
    document = [
        _FORMAT, case.quantize, case.chip, files_of(case, digests), read, dict(case.options),
        digests.of(plugin) if plugin else "",
    ]  # fmt: skip
    return digest(json.dumps(document, sort_keys=True).encode())


def key_of(content: str, versions: dict[str, str]) -> str:
    """Under which the outcome of a case is kept."""
    return digest(json.dumps([content, versions], sort_keys=True).encode())


def differing(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """In which versions two compilers differ, in words."""
    names: Sequence[str] = sorted(ours.keys() | theirs.keys())
    return [
        f"{name} {theirs.get(name, 'none')} instead of {ours.get(name, 'none')}"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]
