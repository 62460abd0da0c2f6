"""Pictures as the test input of ``tpumlir reduce``: they become tensors as ``compile`` makes them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from onnx import helper
from reducing import ALPHA, info, ops, plant, run, save, shows_again
from tpumlir import npz

PIXELS = np.random.default_rng(4).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
MEAN = ("--mean", "300,310,320", "--scale", "0.01,0.02,0.03", "--pixel_format", "rgb")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two pictures and a model that a plant makes wrong for negative numbers."""
    monkeypatch.chdir(tmp_path)
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(f"{number}.png")
    nodes = [helper.make_node("LeakyRelu", ["x"], ["a"]), helper.make_node("Softmax", ["a"], ["y"])]
    save(nodes, [info("x", ["n", 3, 8, 8])], [info("y", ["n", 3, 8, 8])])
    return tmp_path


def tensor(*numbers: int) -> npt.NDArray[np.float32]:
    mean, scale = np.array([300, 310, 320], np.float32), np.array([0.01, 0.02, 0.03], np.float32)
    found: npt.NDArray[np.float32] = (PIXELS[list(numbers)].astype(np.float32) - mean) * scale
    return np.ascontiguousarray(np.moveaxis(found, 3, 1), np.float32)


def test_a_picture_is_made_a_tensor_as_the_flags_say() -> None:
    given = ["--fails-validation", *plant(ALPHA), "-j", "1"]
    assert run("m.onnx", *given, "--test_input", "0.png", *MEAN) == 0
    assert ops() == ["LeakyRelu"]
    assert shows_again()  # without any of the flags, or the picture
    # Without them no number is negative, and nothing is wrong.
    assert run("m.onnx", *given, "--test_input", "0.png", "--pixel_format", "rgb", "-o", "plain") == 1
    assert run("m.onnx", *given, "--test_input", "0.png", *MEAN, "--check") == 0


@pytest.mark.parametrize("words", [["0.png,1.png"], ["x=0.png,x=1.png"]], ids=lambda words: words[0])
def test_the_tensor_is_that_of_compile(words: list[str], folder: Path) -> None:
    """As a script of the user finds it."""
    np.save("want.npy", tensor(0, 1))
    Path("check.py").write_text(
        "import sys, numpy as np\n"
        "got = np.load('input.npz')['x']\n"
        f"want = np.load('{folder / 'want.npy'}')\n"
        "sys.exit(0 if got.shape == want.shape and np.allclose(got, want, rtol=1e-6) else 1)\n"
    )
    Path("check.sh").write_text(f"#!/bin/sh\nexec {sys.executable} {folder / 'check.py'}\n")
    Path("check.sh").chmod(0o755)
    given = ["--script", "check.sh", "--input_shapes", "[[2,3,8,8]]", "-j", "1"]
    assert run("m.onnx", *given, "--test_input", *words, *MEAN) == 0
    got = np.asarray(npz.load("m_reduced/input.npz")["x"], np.float32)
    np.testing.assert_allclose(got, tensor(0, 1), rtol=1e-6)


def test_a_run_is_resumed_with_the_same_pictures_only(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1", "--test_input", "0.png"]
    assert run(*given, *MEAN) == 0
    assert run(*given, *MEAN, "--resume") == 0
    capsys.readouterr()
    assert run(*given, "--pixel_format", "rgb", "--resume") == 1
    assert "got another pictures" in capsys.readouterr().err


WRONG = [
    (["--test_input", "no.png"], "no.png: no such file"),
    (["--test_input", "text.png"], "text.png: expected an image"),
    (["--test_input", "0.png", "--pixel_format", "gray"], "expected 1 channel for gray pictures"),
    (["--test_input", "y=0.png"], "y: expected the name of a model input"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_what_does_not_fit_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.png").write_text("hello")
    assert run("m.onnx", "--crashes", *words) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not Path("m_reduced").exists()


def test_the_default_preprocessing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("m.onnx", "--crashes", "--test_input", "0.png") == 1
    assert "x: no preprocessing is recorded or given; the picture is read as bgr" in capsys.readouterr().err
