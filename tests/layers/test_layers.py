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
    "schedule": {"support", "dialect", "isa", "codegen"},
    "api": {
        "support",
        "isa",
        "kernels",
        "dialect",
        "interpreter",
        "transforms",
        "conversion",
        "codegen",
        "schedule",
    },
    "compare": set(),
    "bindings": {"support", "isa", "cmodel", "api", "compare"},
    "tools": {"support", "api"},
}
WITHOUT_MLIR = {"support", "isa", "cmodel", "kernels", "compare", "bindings"}
FILES = sorted(p for p in ROOT.rglob("*") if p.suffix in {".h", ".cpp", ".def"})


def includes(path: Path) -> list[tuple[str, str]]:
    return INCLUDE.findall(path.read_text())


def of_mlir(path: Path) -> list[str]:
    return [name for library, name in includes(path) if library in {"mlir", "llvm"}]


def above(layer: str, path: Path) -> list[str]:
    """The headers of ours that ``path``, a file of ``layer``, includes and may not."""
    return [
        name
        for library, name in includes(path)
        if library == "tpumlir"
        and name.split("/")[0] != layer
        and not {name, name.split("/")[0]} & ALLOWED[layer]
    ]


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_includes_only_lower_layers(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    assert above(layer, path) == [], f"{layer} may include {sorted(ALLOWED[layer])}"


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.relative_to(ROOT).parts[0] in WITHOUT_MLIR],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_sees_no_mlir(path: Path) -> None:
    assert of_mlir(path) == []


def reachable(path: Path) -> set[Path]:
    """The headers of ours that a file includes, and those that they include."""
    seen: set[Path] = set()
    open_files = [path]
    while open_files:
        for library, name in includes(open_files.pop()):
            header = ROOT / name
            if library == "tpumlir" and header.exists() and header not in seen:
                seen.add(header)
                open_files.append(header)
    return seen


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.relative_to(ROOT).parts[0] in {"bindings", "tools"}],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_what_is_built_with_rtti_reaches_no_mlir(path: Path) -> None:
    assert [header for header in reachable(path) if of_mlir(header)] == []


def test_what_headers_include_is_reached_too() -> None:
    assert ROOT / "api/Module.h" in reachable(ROOT / "bindings/Ir.cpp")
    assert ROOT / "interpreter/RuntimeTensor.h" in reachable(ROOT / "bindings/Interpreter.cpp")
    assert any(of_mlir(header) for header in reachable(ROOT / "api/ModuleImpl.cpp"))


@pytest.mark.parametrize(
    ("layer", "line", "header"),
    [
        ("dialect", '#include "tpumlir/codegen/Tiles.h"', "codegen/Tiles.h"),
        ("dialect", '  #  include "tpumlir/isa/Encoder.h"  // only isa/Chip.h is allowed', "isa/Encoder.h"),
        ("cmodel", "#include <tpumlir/kernels/Conv.h>", "kernels/Conv.h"),
        ("kernels", '#include "tpumlir/isa/Chip.h"', "isa/Chip.h"),
        ("support", '#include "tpumlir/support/Bf16.h"\n#include "tpumlir/isa/Isa.h"', "isa/Isa.h"),
    ],
)
def test_a_planted_upward_include_is_found(tmp_path: Path, layer: str, line: str, header: str) -> None:
    planted = tmp_path / "Planted.h"
    planted.write_text(f"#pragma once\n{line}\n")
    assert above(layer, planted) == [header]


def test_a_planted_header_of_mlir_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "Planted.h"
    planted.write_text('#include "mlir/IR/Value.h"\n#include <vector>\n  #include <llvm/ADT/Twine.h>\n')
    assert includes(planted) == [("mlir", "IR/Value.h"), ("llvm", "ADT/Twine.h")]


def test_the_layers_have_no_circle() -> None:
    seen: list[str] = []
    for layer, allowed in ALLOWED.items():  # in this order each names only those before it
        assert {name.split("/")[0] for name in allowed} <= set(seen), layer
        seen.append(layer)
