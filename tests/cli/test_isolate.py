"""``tpumlir isolate`` as a user meets it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
from command_line import run
from onnx import TensorProto, helper
from tpumlir import npz


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: x -> Exp a -> Mul b (beyond F16) -> Sqrt y at every stage; the tensors of Top."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node("Exp", ["x"], ["a"], name="node_a"),
        helper.make_node("Mul", ["a", "k"], ["b"], name="node_b"),
        helper.make_node("Sqrt", ["b"], ["y"], name="node_y"),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 70]) for name in ("x", "y")]
    k = helper.make_tensor("k", TensorProto.FLOAT, [1], [30000.0])
    graph = helper.make_graph(nodes, "net", infos[:1], infos[1:], [k])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "m.onnx")
    npz.save("in.npz", {"x": np.linspace(-2, 2, 140, dtype=np.float32).reshape(2, 70)})
    given = ("--test_input", "in.npz")
    assert run("model_transform", "--model_def", "m.onnx", *given, "--test_result", "top.npz") == 0
    f16 = ("--quantize", "F16", "--ignore_f16_overflow", "--skip_validation")
    assert run("model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel", *f16) == 0
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("mlir", ["m_tpu.mlir", "m_final.mlir"])
def test_the_culprit_is_named(mlir: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("isolate", mlir, "--reference", "top.npz") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "output y: relative error inf"
    assert lines[1].split()[:3] == ["tensor", "operation", "in"]
    assert lines[2].split()[:6] == ["b", "tpu.MulConst", "F16", "off", "inf", "inf"]
    assert lines[-2].endswith(
        "operations run by themselves: 1 off by themselves, 2 only by what arrives at them"
    )
    assert lines[-1].startswith("  b (tpu.MulConst, node node_b): overflow: ")
    # A tolerance makes a verdict of it.
    assert run("isolate", mlir, "--reference", "top.npz", "--tolerance", "0.99,0.9") == 1


@pytest.mark.usefixtures("folder")
def test_a_right_module_passes_and_files_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    capsys.readouterr()
    files = ["--html", "p.html", "--csv", "p.csv", "--json"]
    assert run("isolate", "m.mlir", "--reference", "top.npz", "--tolerance", "0.9999,0.999", *files) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    assert document["culprits"] == []
    assert document["outputs_written"] == {"html": "p.html", "csv": "p.csv"}
    assert [op["tensor"] for op in document["ops"]] == ["a", "b", "y"]
    with Path("p.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["tensor"] for row in rows] == ["a", "b", "y"]
    assert float(rows[1]["want_max"]) == pytest.approx(30000 * np.exp(2), rel=1e-3)
    assert b"Errors by depth" in Path("p.html").read_bytes()


@pytest.mark.usefixtures("folder")
def test_the_model_inputs_may_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    tensors = npz.load("top.npz")
    npz.save("without.npz", {name: value for name, value in tensors.items() if name != "x"})
    capsys.readouterr()
    assert run("isolate", "m.mlir", "--reference", "without.npz") == 1
    error = capsys.readouterr().err
    assert "x: expected this model input in the reference, got none (give --test_input)" in error
    assert run("isolate", "m.mlir", "--reference", "without.npz", "--test_input", "in.npz") == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (("m.mlir",), 2, "the following arguments are required: --reference"),
        (("m.mlir", "--reference", "no.npz"), 1, "no.npz: no such file"),
        (("m.mlir", "--reference", "m.onnx"), 1, "m.onnx: expected a complete npz file"),
        (("no.mlir", "--reference", "top.npz"), 1, "no.mlir: no such file"),
        (("m.mlir", "--reference", "in.npz"), 1, "got none of its names"),
        (("m.mlir", "--reference", "top.npz", "--top", "-1"), 2, "--top: expected a number of at least 0"),
        (("m.mlir", "--reference", "top.npz", "--tolerance", "2"), 2, "at most 1"),
        (("m.mlir", "--reference", "top.npz", "--html", "no/p.html"), 1, "expected a folder that exists"),
        (("m.mlir", "--reference", "top.npz", "--sort", "name"), 2, "invalid choice"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(
    argv: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("isolate", *argv) == code
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.usefixtures("folder")
def test_rows_are_counted_and_ordered(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("isolate", "m.mlir", "--reference", "top.npz", "--sort", "depth", "--top", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["a", "b"]
    assert lines[4] == "and 1 more (--top 0 shows all)"
