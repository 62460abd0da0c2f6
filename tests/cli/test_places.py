"""Where commands write, what they print to, and names of any letters."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import onnx
from command_line import run
from onnx import TensorProto, helper
from tpumlir import Module, npz
from tpumlir.cli.main import COMMANDS, _unknown

X = np.arange(12, dtype=np.float32).reshape(1, 12) / 12
WEIGHT = helper.make_tensor("gewicht_ü", TensorProto.FLOAT, [12], X.ravel() + 1)


def model() -> onnx.ModelProto:
    """Mul by a constant, with a name that is not ASCII."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "gewicht_ü"], ["y"], name="mäl")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 12])],
        [WEIGHT],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with a model, a sample and a Top module."""
    monkeypatch.chdir(tmp_path)
    onnx.save(model(), "m.onnx")
    npz.save("in.npz", {"x": X})
    assert run("model_transform", "--model_def", "m.onnx", "--mlir", "m.mlir", "--not_inference") == 0
    return tmp_path


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path.cwd().iterdir() if path.is_file()}


WRITERS = {
    "compile": (("compile", "m.onnx"), "-o"),
    "compile, samples": (("compile", "m.onnx", "--test_input", "in.npz"), "--output"),
    "model_transform": (("model_transform", "--model_def", "m.onnx", "--not_inference"), "--mlir"),
    "test_result": (("model_transform", "--model_def", "m.onnx", "--test_input=x=in.npz"), "--test_result"),
    "model_deploy": (("model_deploy", "--mlir", "m.mlir", "--test_input", "in.npz"), "--model"),
    "model_runner": (("model_runner", "--model", "m.onnx", "--input", "in.npz"), "--output"),
    "run_calibration": (("run_calibration", "m.mlir", "--dataset", "in.npz"), "-o"),
    "mlir_cut": (("mlir_cut", "--mlir", "m.mlir", "--mode=bt", "--output_names=y"), "-o"),
    "graph": (("graph", "m.mlir"), "-o"),
    "ranges": (("ranges", "--mlir", "m.mlir", "--test_input", "in.npz"), "--csv"),
}


@pytest.mark.parametrize("command", WRITERS)
def test_a_place_that_is_none_is_told_and_nothing_is_touched(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, flag = WRITERS[command]
    Path("folder").mkdir()
    Path("link").symlink_to("m.onnx" if "m.onnx" in words else "m.mlir")
    before = contents()
    capsys.readouterr()
    read = next(word for word in words if word in {"m.onnx", "m.mlir"})
    for place, said in [
        ("no/file", "no/file: expected a folder that exists, got no (make it first)"),
        ("folder", "folder: expected a file to write, got a folder"),
        ("m.onnx/file", "m.onnx/file: expected a folder that exists"),
        (read, f"{read}: expected a file other than those that are read"),
        ("link", "link: expected a file other than those that are read"),
        *([("in.npz", "in.npz: expected a file other")] if any("in.npz" in word for word in words) else []),
    ]:
        assert run(*words, flag, place) == 1
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert contents() == before
    assert list(Path("folder").iterdir()) == []


def test_one_file_cannot_hold_two_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    before = contents()
    Path("link").symlink_to("new")
    for other in ("new", "./new", "link"):
        words = ("model_transform", "--model_def", "m.onnx", "--mlir", "new", "--test_result", other)
        assert run(*words) == 1
        assert "expected different files to write, got this one twice" in capsys.readouterr().err
    assert contents() == before


def test_files_beside_the_output_do_not_replace_what_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.mlir").rename("net_tpu.mlir")  # model_deploy --model net.bmodel writes one of this name
    before = contents()
    assert run("model_deploy", "--mlir", "net_tpu.mlir", "--model", "net.bmodel", "--skip_validation") == 1
    assert "net_tpu.mlir: expected a file other than" in capsys.readouterr().err
    assert contents() == before


def test_a_bmodel_goes_into_a_pipe_and_nothing_beside_it() -> None:
    assert run("compile", "m.onnx", "-o", "m.bmodel") == 0
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        before = set(contents())
        assert run("compile", "m.onnx", "-o", "pipe") == 0
        assert os.read(reader, 4) == Path("m.bmodel").read_bytes()[:4]
    finally:
        os.close(reader)
    assert set(contents()) == before
    assert run("model_deploy", "--mlir", "m.mlir", "--model", "pipe") == 1


def test_the_vendors_steps_with_names_of_any_letters(capsys: pytest.CaptureFixture[str]) -> None:
    name = 'Modèle "1" 模型 \\ x'
    Path("m.onnx").rename(f"{name}.onnx")
    Path("cali ü").mkdir()
    Path("in.npz").rename("cali ü/données.npz")
    sample = "cali ü/données.npz"
    steps = [
        ("model_transform", "--model_def", f"{name}.onnx", "--test_input", sample, "--mlir", f"{name}.mlir"),
        ("run_calibration", f"{name}.mlir", "--dataset", "cali ü", "-o", f"{name}_table"),
        ("model_deploy", "--mlir", f"{name}.mlir", "--test_input", sample, "--quantize", "INT8",
         "--calibration_table", f"{name}_table", "--model", f"{name}.bmodel"),
        ("verify", f"{name}.bmodel", "--input", sample),
        ("model_runner", "--model", f"{name}.bmodel", "--input", sample, "--output", "out.npz"),
        ("model_tool", "--info", f"{name}.bmodel"),
        ("bmodel_dis", f"{name}.bmodel"),
        ("graph", f"{name}_final.mlir"),
    ]  # fmt: skip
    for step in steps:
        assert run(*step) == 0, (step, capsys.readouterr().err)
    assert set(Module.load(f"{name}.mlir").weights) == {"gewicht_ü"}


def shell(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which ``tpumlir`` is this tree's."""
    code = "import sys; from tpumlir.cli.main import main; sys.exit(main())"
    script = f'tpumlir() {{ "{sys.executable}" -c "{code}" "$@"; }}; {words}'
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **paths, **environment},
    )


@pytest.mark.parametrize(
    "command", ["--help", "--version", "check m.onnx", "check m.onnx --json", "npz_tool dump in.npz"]
)
def test_standard_output_that_is_full_is_one_line(command: str) -> None:
    done = shell(f"tpumlir {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.endswith("error: standard output: No space left on device\n")
    assert done.stderr.count("\n") == 1


def test_closed_streams_do_no_harm() -> None:
    done = shell("tpumlir compile m.onnx -o m.bmodel <&- >&- 2>&- && tpumlir debug m.bmodel <&-")
    assert done.returncode == 0, done.stderr
    assert Path("m.bmodel").stat().st_size > 0


@pytest.mark.parametrize(
    ("width", "columns", "left_out"),
    [
        (40, ["validation", "verdict"], ["cosine", "worst element"]),
        (80, ["validation", "verdict", "worst tensor", "cosine", "euclid"], ["worst element"]),
        (200, ["validation", "tensors", "max abs", "worst element"], []),
    ],
)
def test_verdicts_fit_into_a_terminal(
    width: int,
    columns: list[str],
    left_out: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    assert run("compile", "m.onnx", "--quantize", "F16") == 0
    table = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).partition("wrote ")[0].splitlines()
    (head,) = (line for line in table if "validation" in line)
    assert [name for name in columns if name not in head] == []
    assert [name for name in left_out if name in head] == []
    assert all(len(line) <= width for line in table)
    assert sum("against" in line for line in table) == 3


def test_letters_that_the_terminal_does_not_have_are_escaped() -> None:
    Path("m.onnx").rename("ü.onnx")
    plain = shell("tpumlir compile ü.onnx", PYTHONIOENCODING="ascii")
    assert plain.returncode == 0, plain.stderr
    assert "wrote \\xfc.bmodel" in plain.stdout
    done = shell("tpumlir compile ü.onnx --json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["outputs"]["bmodel"] == "ü.bmodel"


def test_a_name_that_is_no_text_is_refused() -> None:
    done = shell("tpumlir check $(printf 'a\\xff.onnx')")
    assert done.returncode == 2
    assert "expected names in UTF-8, got a\\udcff.onnx" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("dtype", "of"), [("complex64", "complex64"), ("U3", "<U3"), ("datetime64[s]", "datetime64")]
)
def test_inputs_that_are_no_numbers_are_refused_at_every_stage(
    dtype: str, of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compile", "m.onnx", "-o", "m.bmodel") == 0
    np.savez("bad.npz", x=np.zeros((1, 12), dtype))
    for stage in ("m.onnx", "m.mlir", "m.bmodel"):
        capsys.readouterr()
        assert run("model_runner", "--model", stage, "--input", "bad.npz", "--output", "out.npz") == 1
        assert f"x: expected numbers of type float32, got {of}" in capsys.readouterr().err
    assert not Path("out.npz").exists()


@pytest.mark.parametrize(
    ("text", "said"), [("", "m.mlir: expected MLIR text, got an empty file"), ("\n \n", "got an empty file")]
)
def test_an_empty_module_is_no_module(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.mlir").write_text(text)
    for words in (("model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel"), ("graph", "m.mlir")):
        assert run(*words) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("complie", "did you mean compile?"),
        ("model-deploy.py", "did you mean model_deploy?"),
        ("tdb", "got tdb of TPU-MLIR: use tpumlir debug"),
        ("MLIR2ONNX.py", "use tpumlir graph --onnx"),
        ("xyz", "got xyz (see tpumlir --help)"),
    ],
)
def test_a_word_that_is_no_command(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(word) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_no_command_is_said_to_be_elsewhere() -> None:
    for name in COMMANDS:
        assert "of TPU-MLIR" not in _unknown(name)
