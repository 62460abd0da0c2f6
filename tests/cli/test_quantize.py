"""``tpumlir quantize``, ``tpumlir sensitivity`` and ``compile --target`` as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import onnx
import tpumlir
from accuracy_models import SHAPE, easy, hard, samples
from command_line import run
from tpumlir import CalibrationTable, npz, qtable
from tpumlir.bmodel import read


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with modules, models and good and bad samples."""
    folder = tmp_path_factory.mktemp("quantize")
    for name, model in (("easy", easy()), ("hard", hard())):
        onnx.save(model, folder / f"{name}.onnx")
        tpumlir.load_onnx(model).save(folder / f"{name}.mlir")
    good = samples(4)
    bad = np.where(good[0]["x"] > 0, np.float32("nan"), good[0]["x"])
    sets = {
        "good": good,
        "one": good[:1],
        "shape": [{"x": good[0]["x"][:, :, :4]}] * 2,
        "name": [{"z": good[0]["x"]}] * 2,
        "nan": [good[0], {"x": bad}],
    }
    for name, values in sets.items():
        (folder / name).mkdir()
        for i, sample in enumerate(values):
            npz.save(folder / name / f"{i}.npz", sample)
    (folder / "empty").mkdir()
    npz.save(folder / "x.npz", samples(1, seed=5)[0])
    (folder / "score.py").write_text(
        "def error(outputs, references):\n"
        "    return -max(float(abs(a['y'] - b['y']).max()) for a, b in zip(outputs, references))\n"
    )
    (folder / "typo_cali_table").write_text("x 1.0 -1.0 1.0\nspoild 1.0 -1.0 1.0\n")
    return folder


@pytest.fixture(autouse=True)
def here(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands run in the folder and leave nothing new there but what a test looks at."""
    monkeypatch.chdir(data)
    before = set(data.iterdir())
    yield
    for path in set(data.iterdir()) - before:
        if path.is_file():
            path.unlink()


def test_a_table_that_the_deploy_takes(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(
        "quantize", "hard.mlir", "--dataset", "good", "--target", "cos=0.999", "-o", "hard_qtable",
        "--html", "hard.html", "--png", "hard.png",
        "--equalize", "off", "--round", "nearest", "--bias_correction", "off",
    )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0
    assert "met" in out
    assert "wrote hard_qtable, hard_cali_table, hard.html, hard.png" in out
    assert "spoiled" in qtable.read("hard_qtable")
    CalibrationTable.read("hard_cali_table").check(tpumlir.Module.load("hard.mlir"))
    assert Path("hard.png").read_bytes().startswith(b"\x89PNG")
    code = run(
        "model_deploy", "--mlir", "hard.mlir", "--quantize", "INT8", "--quantize_table", "hard_qtable",
        "--calibration_table", "hard_cali_table", "--test_input", "x.npz", "--model", "hard.bmodel",
    )  # fmt: skip
    assert code == 0
    assert "cycles" in capsys.readouterr().out


def test_a_changed_module_that_the_deploy_takes(capsys: pytest.CaptureFixture[str]) -> None:
    code = run("quantize", "hard.mlir", "--dataset", "good", "--target", "cos=0.999", "-o", "h_qtable")
    out = capsys.readouterr().out
    assert code == 0
    assert "wrote h_qtable, h_opt.mlir, h_cali_table" in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("equalisation ")] == ["kept"]
    assert not qtable.read("h_qtable")  # test_a_table_that_the_deploy_takes needs floats
    code = run(
        "model_deploy", "--mlir", "h_opt.mlir", "--quantize", "INT8", "--quantize_table", "h_qtable",
        "--calibration_table", "h_cali_table", "--test_input", "x.npz", "--model", "h.bmodel",
    )  # fmt: skip
    assert code == 0


@pytest.mark.parametrize("flag", [("--equalize", "maybe"), ("--round", "on"), ("--bias_correction", "2")])
def test_switches_are_words(flag: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("quantize", "easy.mlir", "--dataset", "good", *flag, "-o", "t") == 2
    assert flag[0] in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("quantize", "easy.mlir", "--dataset", "good", "--json", "--round", "optimized", "-o", "t") == 0
    document = json.loads(capsys.readouterr().out)
    rounding = document["improvements"][1]
    assert (rounding["name"], rounding["kept"], rounding["changed"]) == ("rounding", True, 3)
    assert set(rounding) >= {"score_before", "score_after", "snr_before", "snr_after", "skipped"}
    assert document["met"] is True
    assert document["best"]["cycles"] > 0
    assert document["outputs"] == {
        "quantize_table": "t", "mlir": "t_opt.mlir", "calibration_table": "t_cali_table",
    }  # fmt: skip


def test_a_metric_in_a_file_here(capsys: pytest.CaptureFixture[str]) -> None:
    target = "metric=score:error>=0.5"  # no error is below 0
    args = ("quantize", "easy.mlir", "--dataset", "good", "--target", target, "--trials", "4", "-o", "t")
    assert run(*args) == 1
    told = capsys.readouterr()
    assert "the target metric=score:error>=0.5 is not met" in told.err
    assert "--keep" in told.err
    assert not Path("t").exists()
    assert run(*args, "--keep") == 1
    assert "NOT met" in Path("t").read_text()
    assert qtable.read("t")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("easy.mlir", "--dataset", "empty"), 1, "empty: expected npz"),
        (("easy.mlir", "--dataset", "no_such"), 1, "no_such: no such file or folder"),
        (("easy.mlir", "--dataset", "shape"), 1, "shape/"),
        (("easy.mlir", "--dataset", "name"), 1, "name/"),
        (("easy.mlir", "--dataset", "nan"), 1, "NaN"),
        (("easy.mlir",), 2, "expected samples: --dataset DIR or --data_list FILE"),
        (("no.mlir", "--dataset", "good"), 1, "no.mlir: no such file"),
        (("easy.mlir", "--dataset", "good", "--target", "cos=much"), 1, "as the target cos"),
        (("easy.mlir", "--dataset", "good", "--target", "0.99"), 1, "expected a target such as"),
        (("easy.mlir", "--dataset", "good", "--target", "metric=nothing_here:f"), 1, "'nothing_here'"),
        (("easy.mlir", "--dataset", "good", "--target", "metric=score:nothing"), 1, "'nothing' in 'score'"),
        (("easy.mlir", "--dataset", "good", "--held_back", "4"), 1, "fewer held-back samples"),
        (("easy.mlir", "--dataset", "one", "--held_back", "1"), 1, "fewer held-back samples"),
        (("easy.mlir", "--dataset", "good", "--held_back", "-1"), 2, "--held_back"),
        (("easy.mlir", "--dataset", "good", "--trials", "0"), 2, "--trials"),
        (("easy.mlir", "--dataset", "good", "--calibration_table", "no_table"), 1, "no_table: no such file"),
        (("hard.mlir", "--dataset", "good", "--calibration_table", "typo_cali_table"), 1, "spoild"),
        (("easy.mlir", "--dataset", "good", "--html", "none/a.html"), 1, "expected a folder that exists"),
        (("easy.mlir", "--dataset", "good", "--goal", "1"), 2, "unknown flag --goal"),
    ],
)
def test_bad_input(
    args: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        got = run("quantize", *args, "-o", "bad_qtable")
    except SystemExit as leave:
        got = int(str(leave.code))
    told = capsys.readouterr().err
    assert got == code, told
    assert message in told
    assert "Traceback" not in told
    assert not list(Path().glob("bad_*"))


def test_one_sample_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("quantize", "easy.mlir", "--dataset", "one", "--target", "cos=0.9", "-o", "t") == 0
    assert "it calibrates and judges" in capsys.readouterr().err


def test_compile_to_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(
        "compile", "hard.onnx", "--quantize", "INT8", "--dataset", "good", "--target", "cos=0.999",
        "--test_input", "x.npz", "-o", "hard.bmodel",
    )  # fmt: skip
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "wrote hard_qtable, hard_opt.mlir, hard_cali_table, hard.bmodel" in told.out
    inputs = npz.load("x.npz")
    got = read("hard.bmodel").run(inputs)["y"].ravel()
    want = tpumlir.ModuleInterpreter(tpumlir.Module.load("hard.mlir")).run(inputs)["y"].ravel()
    assert got @ want / np.sqrt((got @ got) * (want @ want)) > 0.998


def test_switches_need_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("compile", "easy.onnx", "--quantize", "INT8", "--round", "optimized", "-o", "easy.bmodel")
    assert run(*args) == 1
    assert "--dataset DIR and a --target" in capsys.readouterr().err
    assert run(*args, "--dataset", "good") == 1
    assert "expected --target" in capsys.readouterr().err


def test_compile_with_a_dataset_alone_calibrates(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(
        "compile", "easy.onnx", "--quantize", "INT8", "--dataset", "good", "--test_input", "x.npz",
        "-o", "easy.bmodel",
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--dataset", "good"), "a dataset calibrates INT8: expected --quantize INT8, got F32"),
        (("--quantize", "INT8", "--target", "cos=0.9"), "a target needs samples"),
        (("--quantize", "INT8", "--dataset", "good", "--target", "cosine"), "expected a target such as"),
        (
            ("--quantize", "INT8", "--dataset", "good", "--target", "cos=0.9", "--quantize_table", "t"),
            "expected --target, which makes the table, or --quantize_table, got both",
        ),
        (
            (
                "--quantize",
                "INT8",
                "--dataset",
                "good",
                "--target",
                "metric=score:error>=0.5",
                "--trials",
                "2",
            ),
            "meets the target metric=score:error>=0.5",
        ),
    ],
)
def test_compile_refuses(args: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compile", "easy.onnx", *args, "-o", "bad.bmodel") == 1
    told = capsys.readouterr().err
    assert message in told
    assert not list(Path().glob("bad*"))


def test_sensitivity(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run_calibration", "hard.mlir", "--dataset", "good", "-o", "cali") == 0
    capsys.readouterr()
    args = ("sensitivity", "hard.mlir", "--calibration_table", "cali", "--input", "x.npz")
    assert run(*args, "--html", "s.html") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("output y: relative error")
    assert lines[2].startswith("spoiled ")
    assert b"Errors by depth" in Path("s.html").read_bytes()
    assert run(*args, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {op["tensor"] for op in document["ops"]} >= {"spoiled", "y"}
    assert sum(op["share"] for op in document["ops"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--input", "x.npz"), "needs --calibration_table"),
        (("--input", "x.npz", "--quantize", "INT4"), "--quantize: expected"),
        (("--input", "no.npz", "--quantize", "F16"), "no.npz"),
        (("--input", "x.npz", "--calibration_table", "typo_cali_table"), "spoild"),
        (("--input", "x.npz", "--quantize", "F16", "--top", "-1"), "--top"),
    ],
)
def test_sensitivity_refuses(args: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = run("sensitivity", "hard.mlir", *args)
    except SystemExit as leave:
        code = int(str(leave.code))
    assert code in {1, 2}
    assert message in capsys.readouterr().err


def test_the_shape_of_the_models() -> None:
    """What the tests above take for granted."""
    assert tpumlir.Module.load("easy.mlir").inputs[0].shape == SHAPE
