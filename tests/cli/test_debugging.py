"""``mlir_cut``, and what commands tell of a comparison that fails, as a user meets them."""

from __future__ import annotations

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
    """The current folder, with the modules of a chain x -> a -> b -> y at every stage."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node(op, [source], [target], name=f"node_{target}")
        for op, source, target in (("Tanh", "x", "a"), ("Exp", "a", "b"), ("Sigmoid", "b", "y"))
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 70]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "m.onnx")
    npz.save("in.npz", {"x": np.linspace(-2, 2, 140, dtype=np.float32).reshape(2, 70)})
    assert (
        run("model_transform", "--model_def", "m.onnx", "--test_input", "in.npz", "--test_result", "top.npz")
        == 0
    )
    assert run("model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel", "--test_input", "in.npz") == 0
    return tmp_path


def listing() -> set[str]:
    return {path.name for path in Path.cwd().iterdir()}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("mlir", ["m.mlir", "m_tpu.mlir", "m_final.mlir"])
def test_the_reproducer_runs_as_written(mlir: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = listing()
    capsys.readouterr()
    cut = ["--mlir", mlir, "--mode", "io", "--input_names", "a", "--output_names", "b"]
    assert run("mlir_cut", *cut, "--ref_data", "top.npz", "-o", "c.mlir", "--do_verify", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["operations"] == 1
    assert document["input_names"] == ["a"]
    assert listing() - before == {"c.mlir", "c_weight.npz", "c_inputs.npz", "c_outputs.npz"}
    assert run("model_runner", "--model", "c.mlir", "--input", "c_inputs.npz", "--output", "got.npz") == 0
    assert run("npz_tool", "compare", "got.npz", "c_outputs.npz") == 0


@pytest.mark.usefixtures("folder")
def test_a_cut_of_top_deploys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mlir_cut", "--mlir", "m.mlir", "--mode", "bt", "--num", "2", "--output_names", "y") == 0
    assert "m_cut.mlir (2 operations)" in capsys.readouterr().out
    deploy = ["--mlir", "m_cut.mlir", "--model", "c.bmodel", "--test_input", "m_cut_inputs.npz"]
    assert run("model_deploy", *deploy) == 0


@pytest.mark.usefixtures("folder")
def test_verification_fails_on_another_reference() -> None:
    tensors = npz.load("top.npz")
    npz.save("other.npz", tensors | {"b": tensors["b"] + 1})
    cut = ["--mlir", "m.mlir", "--mode", "ft", "--input_names", "a", "--ref_data", "other.npz"]
    assert run("mlir_cut", *cut, "-o", "c.mlir", "--do_verify") == 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (("--mode", "bt", "--output_names", "bb"), 1, "bb: expected the name of a tensor of the module"),
        (
            ("--input_names", "b", "--output_names", "a"),
            1,
            "x: the outputs of the cut need this model input too",
        ),
        (("--input_names", "a"), 2, "--mode io needs --output_names"),
        (("--output_names", "a"), 2, "--mode io needs --input_names"),
        (("--mode", "ft"), 2, "--mode ft needs --input_names"),
        (("--mode", "bt", "--output_names", "a", "--num", "0"), 1, "at least 1"),
        (("--config_file", "c.json"), 2, "--config_file is not supported"),
        (
            ("--mode", "bt", "--output_names", "b", "--ref_data", "in.npz"),
            1,
            "a: expected an input of this name",
        ),
        (("--mode", "bt", "--output_names", "b", "--ref_data", "none.npz"), 1, "none.npz: no such file"),
    ],
)
def test_what_cannot_be_cut_leaves_nothing(
    argv: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing()
    capsys.readouterr()
    assert run("mlir_cut", "--mlir", "m.mlir", *argv) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert listing() == before


# --- the first divergence ---------------------------------------------------------


def run_isolated(folder: Path) -> int:
    """What ``run.sh`` of a reproducer does, in this process."""
    model = "op.bmodel" if (folder / "op.bmodel").exists() else "op.mlir"
    for command in (folder / "run.sh").read_text().splitlines():
        if command.startswith("model_runner"):
            assert model in command
    got, inputs = str(folder / "got.npz"), str(folder / "op_inputs.npz")
    assert run("model_runner", "--model", str(folder / model), "--input", inputs, "--output", got) == 0
    return run("npz_tool", "compare", got, str(folder / "op_outputs.npz"))


@pytest.fixture
def wrong(folder: Path) -> Path:
    """A reference in which the results of Exp, and so of what follows, are others."""
    tensors = npz.load(folder / "top.npz")
    npz.save(folder / "wrong.npz", tensors | {"b": tensors["b"][::-1], "y": tensors["y"] * 2})
    return folder / "wrong.npz"


def test_compare_names_the_first_operation(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("npz_tool", "compare", "top.npz", str(wrong), "--mlir", "m.mlir", "--isolate", "r") == 1
    err = capsys.readouterr().err
    assert "first divergence: b\n" in err
    assert "computed by: top.Exp, node node_b: a 2x70 -> b 2x70" in err
    assert "kind: layout" in err
    command = next(line for line in err.splitlines() if "isolate it:" in line).partition(": ")[2].split()
    assert run(*command, "-o", "c.mlir", "--do_verify") == 1
    assert run_isolated(Path("r")) == 1


@pytest.mark.usefixtures("folder")
def test_compare_without_a_difference_has_no_divergence(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert (
        run("npz_tool", "compare", "top.npz", "top.npz", "--mlir", "m.mlir", "--isolate", "r", "--json") == 0
    )
    assert json.loads(capsys.readouterr().out)["divergences"] == []
    assert not Path("r").exists()


@pytest.mark.usefixtures("folder")
def test_isolating_needs_a_module() -> None:
    assert run("npz_tool", "compare", "top.npz", "top.npz", "--isolate", "r") == 2


def test_deploy_isolates_what_differs_from_top(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    deploy = ["model_deploy", "--mlir", "m.mlir", "--model", "w.bmodel", "--test_input", "in.npz"]
    assert run(*deploy, "--test_reference", str(wrong), "--isolate", "r", "--json") == 1
    (found,) = json.loads(capsys.readouterr().out)["divergences"]
    assert (found["tensor"], found["op"], found["kind"]) == ("b", "tpu.Active", "layout")
    assert found["differs_alone"] is True
    assert run(*found["command"].split(), "--do_verify") == 1
    assert run_isolated(Path("r")) == 1


@pytest.mark.usefixtures("folder")
def test_transform_tells_where_it_differs_from_onnx_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    transform = ["model_transform", "--model_def", "m.onnx", "--test_input", "in.npz", "--mlir", "t.mlir"]
    # No two implementations of tanh agree to 300 dB.
    assert run(*transform, "--tolerance", "0,0,300") == 1
    err = capsys.readouterr().err
    assert "first divergence: a\n" in err
    command = next(line for line in err.splitlines() if "isolate it:" in line).partition(": ")[2].split()
    assert run(*command) == 0
    assert list(npz.load("t_cut_inputs.npz")) == ["x"]


@pytest.mark.usefixtures("folder")
def test_deploy_finds_the_operation_whose_bmodel_deviates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chip on which the exponential is off by a thousandth."""
    from tpumlir import bmodel

    original = bmodel.BModel.run

    def faulty(self: bmodel.BModel, inputs: Any, **options: Any) -> dict[str, Any]:
        wrong = any(entry.node == "node_b" for entry in self.debug.entries()) if self.debug else False
        return {name: v * (1.01 if wrong else 1) for name, v in original(self, inputs, **options).items()}

    monkeypatch.setattr(bmodel.BModel, "run", faulty)
    capsys.readouterr()
    deploy = ["model_deploy", "--mlir", "m.mlir", "--model", "w.bmodel", "--test_input", "in.npz"]
    assert run(*deploy, "--isolate", "r", "--json") == 1
    (found,) = json.loads(capsys.readouterr().out)["divergences"]
    assert (found["tensor"], found["node"], found["kind"]) == ("b", "node_b", "wrong values")
    assert "times 1.01" in found["detail"]
    assert (Path("r") / "op.bmodel").exists()


# --- values that F16 does not hold --------------------------------------------------


@pytest.fixture
def overflowing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The deploy of x -> Exp -> Sqrt -> Tanh in F16, for inputs whose exponentials leave F16."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node(op, [source], [target], name=f"node_{target}")
        for op, source, target in (("Exp", "x", "e"), ("Sqrt", "e", "r"), ("Tanh", "r", "y"))
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 70]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "m.onnx")
    npz.save("in.npz", {"x": np.linspace(-9, 12, 140, dtype=np.float32).reshape(2, 70)})
    Path("cali").mkdir()
    npz.save("cali/0.npz", {"x": np.full((2, 70), 14, np.float32)})
    assert run("model_transform", "--model_def", "m.onnx", "--test_input", "in.npz") == 0
    return [
        "model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel", "--quantize", "F16", "--test_input",
        "in.npz",
    ]  # fmt: skip


def test_a_deploy_beyond_f16_is_refused_with_the_way_out(
    overflowing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing()
    capsys.readouterr()
    assert run(*overflowing) == 1
    err = capsys.readouterr().err
    assert "1 tensor leaves the range of F16" in err
    assert "--auto_mixed" in err
    assert "note: e (tpu.Active, node node_e): 162755" in err
    assert listing() == before


@pytest.mark.parametrize("way", [["--auto_mixed"], ["--quantize_table", "auto"]])
def test_auto_mixed_writes_its_table_and_passes(
    overflowing: list[str], way: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*overflowing, *way) == 0
    assert "--auto_mixed keeps 2 operations in F32" in capsys.readouterr().out
    lines = Path("m_auto_qtable").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["e F32", "r F32"]
    assert any("162755" in line for line in lines if line.startswith("#"))
    # What it wrote is what a user would give.
    assert run(*overflowing, "--quantize_table", "m_auto_qtable") == 0


def test_calibration_data_count(overflowing: list[str]) -> None:
    npz.save("in.npz", {"x": np.zeros((2, 70), np.float32)})
    assert run(*overflowing) == 0
    assert run(*overflowing, "--cali_data", "cali") == 1
    assert run(*overflowing, "--cali_data", "cali", "--auto_mixed") == 0
    assert "over 2 runs" in Path("m_auto_qtable").read_text()


def test_ranges_are_reported_before_any_deploy(
    overflowing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert overflowing
    capsys.readouterr()
    assert run("ranges", "--mlir", "m.mlir", "--test_input", "in.npz", "--csv", "r.csv") == 0
    out = capsys.readouterr().out
    assert "1 beyond F16" in out
    assert len(Path("r.csv").read_text().splitlines()) == 5
    assert run("ranges", "--mlir", "m.mlir", "--test_input", "in.npz", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tensors"]["e"]["verdict"] == "overflow"
    assert document["tensors"]["y"]["verdict"] == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--auto_mixed", "--ignore_f16_overflow"), "got both"),
        (("--auto_mixed", "--quantize", "F32"), "--auto_mixed needs a half precision"),
        (("--range_margin", "0.5"), "expected a factor of at least 1, got '0.5'"),
    ],
)
def test_flags_without_meaning_are_refused(
    overflowing: list[str], more: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*overflowing, *more) == 2
    assert message in capsys.readouterr().err
