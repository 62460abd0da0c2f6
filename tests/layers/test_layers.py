"""The dependency order of docs/architecture.md, read off the `#include` lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "csrc" / "tpumlir"
# Whatever else is included comes from the standard library.
INCLUDE = re.compile(r'^\s*#\s*include\s+["<](tpumlir|mlir|llvm|pybind11|dnnl|oneapi)/?([^">]*)[">]', re.M)

# Directory -> directories it may include. A single header is named in full.
ALLOWED: dict[str, set[str]] = {
    "support": set(),
    "isa": {"support"},
    "cmodel": {"support", "isa"},
    "kernels": {"support"},
    "dialect": {"support", "kernels", "isa/Chip.h", "isa/Cycles.h"},
    "interpreter": {"support", "kernels", "dialect"},
    "transforms": {"support", "dialect", "isa/Chip.h", "isa/Cycles.h"},
    "conversion": {"support", "dialect", "transforms"},
    "codegen": {"support", "dialect", "isa"},
    "pipeline": {
        "support",
        "isa",
        "kernels",
        "dialect",
        "interpreter",
        "transforms",
        "conversion",
        "codegen",
    },
    "compare": set(),
    "bindings": {"support", "isa", "cmodel", "pipeline", "compare"},
    "tools": {"support", "pipeline"},
}
WITHOUT_MLIR = {"support", "isa", "cmodel", "kernels", "compare", "bindings"}
FILES = sorted(p for p in ROOT.rglob("*") if p.suffix in {".h", ".cpp", ".def"})


def includes(path: Path) -> list[tuple[str, str]]:
    return INCLUDE.findall(path.read_text())


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_includes_only_lower_layers(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    wrong = [
        name
        for library, name in includes(path)
        if library == "tpumlir"
        and name.split("/")[0] != layer
        and not {name, name.split("/")[0]} & ALLOWED[layer]
    ]
    assert wrong == [], f"{layer} may include {sorted(ALLOWED[layer])}"


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.relative_to(ROOT).parts[0] in WITHOUT_MLIR],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_sees_no_mlir(path: Path) -> None:
    assert [name for library, name in includes(path) if library in {"mlir", "llvm"}] == []


@pytest.mark.parametrize(
    "path",
    [p for p in ROOT.glob("pipeline/*.h") if p.name != "ModuleImpl.h"],
    ids=lambda p: p.name,
)
def test_facade_headers_are_plain_cpp(path: Path) -> None:
    assert [name for library, name in includes(path) if library in {"mlir", "llvm"}] == []
