"""The order of the Python modules (``tpumlir.tools.layers``): kept, and whoever breaks it is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tpumlir.tools import layers

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "python" / "tpumlir"
IMPORTS = layers.imports(SOURCE)


def test_every_module_has_a_layer_and_the_scan_sees_imports() -> None:
    assert len([layers.level_of(name) for name in layers.modules(SOURCE)]) > 90
    assert len(IMPORTS) > 300


def test_no_module_imports_a_higher_layer() -> None:
    assert list(map(str, layers.upward(IMPORTS))) == []


def test_no_modules_import_each_other() -> None:
    assert layers.circles(IMPORTS) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(SOURCE, tmp_path / "python" / "tpumlir", ignore=shutil.ignore_patterns("*.so"))
    )


@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("ir/graph.py", "from tpumlir.road.deploy import deploy_module", "road.deploy"),
        ("ir/graph.py", "def late():\n    from tpumlir.onnx import importer", "onnx.importer"),
        (
            "ir/graph.py",
            "if TYPE_CHECKING:\n    from tpumlir.precision.ranges import Ranges",
            "precision.ranges",
        ),
        ("ir/graph.py", "def late():\n    import tpumlir.precision.rules as rules", "precision.rules"),
        ("ir/graph.py", "from ..road import compile", "road.compile"),
        ("ir/graph.py", "from .. import onnx", "onnx"),
        ("ir/graph.py", "from tpumlir import compile_onnx", ""),
        ("ir/graph.py", "from tpumlir import _core", ""),
        ("ir/graph.py", "import importlib\nimportlib.import_module('tpumlir.cli.main')", "cli.main"),
        ("data/record.py", "class Late:\n    import tpumlir.bmodel.model", "bmodel.model"),
        ("bmodel/__init__.py", "from ..ir.module import Module", "ir.module"),
        ("precision/table.py", "from tpumlir.ir.module import Module", "ir.module"),
        ("tensors.py", "try:\n    from tpumlir import data\nexcept ImportError:\n    raise", "data"),
        ("errors.py", "from tpumlir.tensors import TensorSpec", "tensors"),
    ],
)
def test_a_planted_upward_import_is_found(copy: Path, file: str, line: str, found: str) -> None:
    path = copy / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    name = ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
    assert [(one.importer, one.imported) for one in layers.upward(layers.imports(copy))] == [(name, found)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from tpumlir.ir import cut", "def late():\n    from tpumlir.ir.graph import Graph"),
        ("if TYPE_CHECKING:\n    from tpumlir.ir.cut import between", "from tpumlir.ir import graph"),
    ],
)
def test_a_planted_circle_in_one_layer_is_found(copy: Path, first: str, second: str) -> None:
    for file, line in (("graph", first), ("cut", second)):
        path = copy / "ir" / f"{file}.py"
        path.write_text(f"{path.read_text()}\n{line}\n")
    assert layers.circles(layers.imports(copy)) == [["ir.cut", "ir.graph"]]


def test_the_tool_names_what_is_wrong_and_fails(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (copy / "files.py").open("a") as stream:
        stream.write("from tpumlir import npz\nfrom tpumlir import cli\n")
    assert layers.main(["--folder", str(copy)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == ["cli is in a higher layer", "files, npz"]


def test_a_module_in_no_layer_is_an_error() -> None:
    with pytest.raises(KeyError, match="add it to"):
        layers.level_of("upstairs.attic")


@pytest.mark.parametrize("folder", layers.folders(SOURCE), ids=lambda folder: folder or "package")
def test_ruff_knows_the_layers(folder: str) -> None:
    written = SOURCE.joinpath(folder, "ruff.toml").read_text()
    assert written == layers.ruff_settings(folder, SOURCE), "run python -m tpumlir.tools.layers --write"


def test_ruff_finds_a_planted_import(copy: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", copy.parents[1])
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--select",
        "TID251",
        "--output-format",
        "concise",
    ]
    if subprocess.run([*ruff[:3], "--version"], capture_output=True, check=False).returncode:
        pytest.skip("ruff is not installed (pip install tpumlir[dev])")
    clean = subprocess.run([*ruff, str(copy)], capture_output=True, text=True, check=False)
    assert clean.returncode == 0, clean.stdout
    path = copy / "ir" / "graph.py"
    path.write_text(f"{path.read_text()}\ndef late():\n    from tpumlir.road import deploy\n")
    planted = subprocess.run([*ruff, str(copy)], capture_output=True, text=True, check=False)
    assert planted.returncode == 1
    assert "`tpumlir.road` is banned" in planted.stdout


def test_the_picture_has_the_layers_and_their_imports(capsys: pytest.CaptureFixture[str]) -> None:
    assert layers.main(["--folder", str(SOURCE), "--dot"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("digraph imports {")
    assert '"road" -> "onnx";' in text
    assert '"onnx" -> "road";' not in text
