"""``run_calibration`` as a user runs it: good data, bad data, nothing half-written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import command_line
import onnx
import tpumlir
from onnx import TensorProto, helper
from tpumlir import CalibrationTable, npz
from tpumlir.cli import run_calibration


def save_module(path: str, inputs: dict[str, list[int]]) -> None:
    nodes = [helper.make_node("Sum", list(inputs), ["s"]), helper.make_node("Sigmoid", ["s"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, next(iter(inputs.values())))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    tpumlir.load_onnx(model, optimize=False).save(path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with modules and good and bad data."""
    monkeypatch.chdir(tmp_path)
    save_module("m.mlir", {"x": [1, 3, 4, 4]})
    save_module("two.mlir", {"a": [4], "b": [4]})
    rng = np.random.default_rng(0)
    good = [rng.standard_normal((1, 3, 4, 4)).astype(np.float32) for _ in range(3)]
    data = {
        "good": [{"x": value} for value in good],
        "one": [{"x": good[0]}],
        "shape": [{"x": good[0]}, {"x": good[1][:, :, :2]}],
        "name": [{"x": good[0]}, {"z": good[1]}],
        "nan": [{"x": good[0]}, {"x": np.where(good[1] > 0, np.float32("nan"), good[1])}],
        "words": [{"x": np.full((1, 3, 4, 4), "a")}],
        "two": [{"a": good[0].ravel()[:4], "b": good[1].ravel()[:4]}] * 2,
        "half": [{"a": good[0].ravel()[:4]}] * 2,
    }
    for name, samples in data.items():
        Path(name).mkdir()
        for i, sample in enumerate(samples):
            npz.save(f"{name}/{i}.npz", sample)
    for name in ("empty", "text", "broken", "mixed", "npy", "picture", "notpicture", "gray"):
        Path(name).mkdir()
    Path("text/a.txt").write_text("hello")
    Path("broken/0.npz").write_bytes(Path("good/0.npz").read_bytes()[:200])
    Path("broken/1.npz").write_bytes(Path("good/0.npz").read_bytes())
    for name in ("mixed", "npy"):
        np.save(f"{name}/0.npy", good[0])
    Path("mixed/1.npz").write_bytes(Path("good/0.npz").read_bytes())
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).save(f"picture/{i}.png")
    Path("notpicture/0.png").write_bytes(b"no picture")
    Path("list.txt").write_text("good/0.npz\ngood/7.npz\n")
    Path("empty.txt").write_text("# nothing\n\n")
    Path("text.mlir").write_text("this is not a module\n")
    tpumlir.Module.load("m.mlir").lower("F32").save("tpu.mlir")
    return tmp_path


def run(*words: str) -> int:
    """``tpumlir run_calibration WORDS``."""
    return command_line.run("run_calibration", *words)


def files() -> set[str]:
    return {str(path) for path in Path.cwd().rglob("*")}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("method", run_calibration.METHODS)
def test_a_table_is_written(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("m.mlir", "--dataset", "good", "--input_num", "3", "--cali_method", method, "-o", "t") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"wrote t: 3 tensors, 3 samples, {method}, in ")
    assert captured.err == ""
    table = CalibrationTable.read("t")
    assert list(table) == ["x", "s", "y"]
    table.check(tpumlir.Module.load("m.mlir"))
    assert table.ranges() == tpumlir.calibrate("m.mlir", "good", method=method).ranges()


@pytest.mark.usefixtures("folder")
def test_the_same_data_give_the_same_bytes() -> None:
    for name in ("t", "u"):
        assert run("--mlir", "m.mlir", "--dataset", "good", "-o", name) == 0
    assert Path("t").read_bytes() == Path("u").read_bytes()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "words",
    [
        ("m.mlir", "--dataset", "npy"),
        ("m.mlir", "--dataset", "good/1.npz"),
        ("two.mlir", "--dataset", "two"),
        ("m.mlir", "--dataset", "good", "--input_num", "2", "--histogram_bin_num", "512"),
        ("m.mlir", "--dataset", "good", "--cuda", "--debug_cmd", "x"),
        ("m.mlir", "--dataset", "nan", "--allow_nonfinite"),
    ],
    ids=" ".join,
)
def test_other_ways_to_give_samples(words: tuple[str, ...]) -> None:
    assert run(*words, "-o", "t") == 0
    assert len(CalibrationTable.read("t")) >= 3


@pytest.mark.usefixtures("folder")
def test_pictures_are_samples_too() -> None:
    assert run("m.mlir", "--dataset", "picture", "-o", "t") == 0
    row = CalibrationTable.read("t")["x"]
    assert 0 <= row.low < row.high <= 255


@pytest.mark.usefixtures("folder")
def test_tuning_tells_what_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("m.mlir", "--dataset", "good", "--tune_num", "2", "-o", "t") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("least expected error: ")
    assert ", tuned, in " in out[1]


@pytest.mark.usefixtures("folder")
def test_the_best_method_is_searched_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*GOOD, "--search", "search_threshold", "--inference_num", "2", "-o", "t")
    assert run(*words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["method", "mean", "cos", "of", "outputs", "worst", "sample"]
    assert sorted(line.split()[0] for line in out[1:7]) == sorted(run_calibration.METHODS)
    best = out[1].split()[0]
    assert out[7].startswith(f"wrote t: 3 tensors, 3 samples, {best}, in ")
    assert CalibrationTable.read("t") == tpumlir.calibrate("m.mlir", "good", method=best)
    assert run(*words, "--json", "--benchmark_method", "snr") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["benchmark"] == "snr"
    assert found["method"] == found["trials"][0]["method"]
    assert len(found["trials"]) == 6


@pytest.mark.usefixtures("folder")
def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("m.mlir", "--dataset", "good", "-o", "t", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["table"], found["rows"], found["samples"], found["method"]) == ("t", 3, 3, "mse")
    assert found["constant"] == found["integer"] == found["nonfinite"] == []


@pytest.mark.usefixtures("folder")
def test_one_sample_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("m.mlir", "--dataset", "one", "-o", "t") == 0
    assert "note: one sample only" in capsys.readouterr().err


GOOD = ("m.mlir", "--dataset", "good")
BAD = [
    ("missing module", ("no.mlir", "--dataset", "good"), 1, "no.mlir: no such file"),
    ("not a module", ("text.mlir", "--dataset", "good"), 1, "text.mlir"),
    ("a Tpu module", ("tpu.mlir", "--dataset", "good"), 1, "expected a Top module"),
    ("missing folder", ("m.mlir", "--dataset", "no"), 1, "no: no such file or folder"),
    ("empty folder", ("m.mlir", "--dataset", "empty"), 1, "empty: expected npz, npy, jpg"),
    ("folder of other files", ("m.mlir", "--dataset", "text"), 1, "in this folder, got a.txt"),
    ("other file", ("m.mlir", "--dataset", "text/a.txt"), 1, "text/a.txt: expected a folder of samples"),
    ("wrong shape", ("m.mlir", "--dataset", "shape"), 1, "shape/1.npz: x: expected shape [1, 3, 4, 4]"),
    ("unknown input", ("m.mlir", "--dataset", "name"), 1, "name/1.npz: z: expected the name of a model"),
    ("missing input", ("two.mlir", "--dataset", "half"), 1, "half/0.npz: b: expected an input of this name"),
    ("nan", ("m.mlir", "--dataset", "nan"), 1, "nan/1.npz: x: expected finite values, got"),
    ("words", ("m.mlir", "--dataset", "words"), 1, "words/0.npz: x: expected numbers"),
    ("broken npz", ("m.mlir", "--dataset", "broken"), 1, "broken/0.npz: expected a complete npz file"),
    ("two kinds", ("m.mlir", "--dataset", "mixed"), 1, "mixed: expected samples of one kind in a folder"),
    ("no picture", ("m.mlir", "--dataset", "notpicture"), 1, "notpicture/0.png: expected an image"),
    ("pictures for no image", ("two.mlir", "--dataset", "picture"), 1, "expected npz files with all of"),
    ("npy for two inputs", ("two.mlir", "--dataset", "npy"), 1, "npz files with all of the inputs a, b"),
    ("list with a hole", ("m.mlir", "--data_list", "list.txt"), 1, "list.txt:2: good/7.npz: no such file"),
    ("empty list", ("m.mlir", "--data_list", "empty.txt"), 1, "empty.txt: expected a line for each sample"),
    ("missing list", ("m.mlir", "--data_list", "no.txt"), 1, "no.txt: no such file"),
    ("list is an npz", ("m.mlir", "--data_list", "good/0.npz"), 1, "good/0.npz: expected lines of text"),
    ("no samples", ("m.mlir",), 2, "expected samples: --dataset DIR or --data_list FILE"),
    ("no module", ("--dataset", "good"), 2, "expected the MLIR file once"),
    ("two modules", ("m.mlir", "--mlir", "m.mlir", "--dataset", "good"), 2, "expected the MLIR file once"),
    ("unknown method", (*GOOD, "--cali_method", "entropy"), 2, "invalid choice: 'entropy'"),
    ("number of samples", (*GOOD, "--input_num", "-1"), 2, "--input_num"),
    ("number of words", (*GOOD, "--tune_num", "many"), 2, "expected a number from 0 on, got 'many'"),
    ("too few bins", (*GOOD, "--histogram_bin_num", "16"), 2, "expected 128 to 1048576 bins, got '16'"),
    (
        "other search",
        (*GOOD, "--search", "search_qtable"),
        2,
        "expected search_threshold, got 'search_qtable'",
    ),
    ("two searches", (*GOOD, "--search", "search_threshold", "--tune_num", "1"), 2, "got both"),
    ("flag of TPU-MLIR", (*GOOD, "--max_float_layers", "5"), 2, "--max_float_layers is not supported"),
    ("alias of TPU-MLIR", (*GOOD, "--use_mse"), 2, "write it as --cali_method"),
    ("unknown flag", (*GOOD, "--input_nun", "3"), 2, "did you mean --input_num?"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "code", "message"), [b[1:] for b in BAD], ids=[b[0].replace(" ", "_") for b in BAD]
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t").write_text("an older table")
    before = files()
    assert run(*words, "-o", "t") == code
    captured = capsys.readouterr()
    assert message in captured.err
    errors = [line for line in captured.err.splitlines() if "note:" not in line]
    assert len(errors) == 1, captured.err
    assert "Traceback" not in captured.err
    assert files() == before
    assert Path("t").read_text() == "an older table"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("place", "message"), [("no/t", "expected a folder that exists"), ("good", "folder")]
)
def test_a_table_without_a_place_is_told_before_the_work(
    place: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tpumlir.Module, "load", lambda *_: sys.exit("the module was read"))
    assert run(*GOOD, "-o", place) == 1
    assert message in capsys.readouterr().err
