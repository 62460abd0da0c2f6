"""``npz_tool`` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from command_line import run
from tpumlir import npz
from tpumlir.cli.npz_tool import main

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.npz"
    npz.save(path, {"x": X, "scalar": np.float32(3), "dir/y:0": np.array([1, 2], np.int64)})
    return path


def test_save_and_load_keep_names_order_types_and_shapes(file: Path) -> None:
    tensors = npz.load(file)
    assert list(tensors) == ["x", "scalar", "dir/y:0"]
    assert tensors["scalar"].shape == ()
    assert tensors["dir/y:0"].dtype == np.int64
    np.testing.assert_array_equal(tensors["x"], X)
    assert set(np.load(file)) == set(tensors)


def test_compare_passes_and_fails(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "b.npz"
    npz.save(other, npz.load(file) | {"x": X * np.float32(1.1)})
    assert main(["compare", str(file), str(file)]) == 0
    assert "passed, 3 tensors" in capsys.readouterr().out
    assert main(["compare", str(other), str(file)]) == 1
    assert "first: x:" in capsys.readouterr().out.replace("\n", " ")
    assert main(["compare", str(other), str(file), "--tolerance", "0.9,0.8"]) == 0
    assert main(["compare", str(other), str(file), "--excepts", "x", "-vv"]) == 0
    capsys.readouterr()
    assert main(["compare", str(other), str(file), "--json", "--save", str(tmp_path / "v.csv")]) == 1
    assert json.loads(capsys.readouterr().out)["worst"] == "x"
    assert (tmp_path / "v.csv").read_text().startswith("name,status")


def test_compare_judges_names_of_one_side_unless_told(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "b.npz"
    for passes, value in ((True, X), (False, X + 1)):
        npz.save(other, {"x": value})
        assert main(["compare", str(other), str(file)]) == 1
        assert ("--common judges only that" in capsys.readouterr().out) == passes
    npz.save(other, {"x": X})
    assert main(["compare", str(other), str(file), "--common"]) == 0
    npz.save(other, {"z": X})
    assert main(["compare", str(other), str(file), "--common"]) == 1


EDITS: list[tuple[list[str], Callable[[dict[str, np.ndarray]], bool]]] = [
    (["extract", "IN", "OUT", "x,scalar"], lambda t: list(t) == ["x", "scalar"]),
    (["remove", "IN", "OUT", "x,scalar"], lambda t: list(t) == ["dir/y:0"]),
    (["rename", "IN", "x", "z", "-o", "OUT"], lambda t: list(t) == ["z", "scalar", "dir/y:0"]),
    (["reshape", "IN", "x", "6,4", "-o", "OUT"], lambda t: t["x"].shape == (6, 4)),
    (["permute", "IN", "x", "2,0,1", "-o", "OUT"], lambda t: np.array_equal(t["x"], X.transpose(2, 0, 1))),
    (["fp32_to_fp16", "IN", "OUT"], lambda t: t["x"].dtype == np.float16 and t["dir/y:0"].dtype == np.int64),
    (["fp32_to_bf16", "IN", "OUT"], lambda t: t["x"].dtype == np.uint16),
    (["merge", "IN", "-o", "OUT"], lambda t: len(t) == 3),
]


@pytest.mark.parametrize(("command", "check"), EDITS, ids=[e[0][0] for e in EDITS])
def test_edits(
    command: list[str], check: Callable[[dict[str, np.ndarray]], bool], file: Path, tmp_path: Path
) -> None:
    before = file.read_bytes()
    out = tmp_path / "out.npz"
    words = {"IN": str(file), "OUT": str(out)}
    assert main([words.get(word, word) for word in command]) == 0
    assert check(npz.load(out))
    assert file.read_bytes() == before


def test_edits_in_place_without_output(file: Path) -> None:
    assert main(["rename", str(file), "x", "z"]) == 0
    assert "z" in npz.load(file)


def test_insert_takes_an_npy_file(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "v.npy", X)
    assert main(["insert", str(file), "v", str(tmp_path / "v.npy")]) == 0
    np.testing.assert_array_equal(npz.load(file)["v"], X)
    assert main(["insert", str(file), "v", str(tmp_path / "v.npy")]) == 1
    assert "--force" in capsys.readouterr().err


def test_bf16_goes_there_and_back_rounding_to_even(tmp_path: Path) -> None:
    source, bits, back = (tmp_path / name for name in ("s.npz", "b.npz", "r.npz"))
    values = np.array([1.0, 1.00390625, 1.01171875, np.inf, -0.0, 3.4e38, np.nan], np.float32)
    npz.save(source, {"v": values})
    assert main(["fp32_to_bf16", str(source), str(bits)]) == 0
    assert main(["bf16_to_fp32", str(bits), str(back)]) == 0
    # 1 + 1/256 lies between 1 and 1 + 1/128: even is 1; 1 + 3/256 goes up to 1 + 4/256. 3.4e38 rounds to
    # infinity.
    want = np.array([1.0, 1.0, 1.015625, np.inf, -0.0, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(npz.load(back)["v"], want)


def test_raw_bytes(file: Path, tmp_path: Path) -> None:
    assert main(["to_bin", str(file), "x", str(tmp_path / "x.bin")]) == 0
    assert (tmp_path / "x.bin").read_bytes() == X.tobytes()
    assert main(["to_npy", str(file), "x", str(tmp_path / "x.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), X)
    assert main(["to_dat", str(file), str(tmp_path / "x.dat")]) == 0
    assert (tmp_path / "x.dat").stat().st_size == 24 * 4 + 4 + 16


def test_looks(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", str(file)]) == 0
    assert "dir/y:0  [2]  int64" in capsys.readouterr().out
    assert main(["dump", str(file), "x", "2"]) == 0
    assert "22 more" in capsys.readouterr().out
    assert main(["get_shape", str(file), "x"]) == 0
    assert capsys.readouterr().out == "2,3,4\n"
    assert main(["statistic", str(file)]) == 0
    assert main(["check_nan_inf", str(file)]) == 0
    npz.save(tmp_path / "n.npz", {"n": np.array([np.nan, np.inf, 1], np.float32)})
    assert main(["check_nan_inf", str(tmp_path / "n.npz")]) == 1
    assert "n: 1 NaN, 1 infinities of 3" in capsys.readouterr().out
    npz.save(tmp_path / "d.npz", {"x": X + (X == 5)})
    assert main(["print_diff", str(tmp_path / "d.npz"), str(file), "x"]) == 1
    assert "0,1,1" in capsys.readouterr().out
    assert main(["visualize_diff", str(tmp_path / "d.npz"), str(file), "x"]) == 0


@pytest.mark.parametrize(
    ("kind", "start"), [("png", b"\x89PNG"), ("html", b"<!DOCTYPE html>"), ("PNG", b"\x89")]
)
def test_differences_are_drawn(
    kind: str, start: bytes, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    npz.save(tmp_path / "d.npz", {"x": X + (X == 5)})
    out = tmp_path / f"out.{kind}"
    assert main(["visualize_diff", str(tmp_path / "d.npz"), str(file), "x", "-o", str(out)]) == 0
    assert out.read_bytes().startswith(start)
    assert "1 of 24 elements differ; the most at [0, 1, 1]: got 6, want 5" in capsys.readouterr().out


BAD = [
    (["visualize_diff", "IN", "IN", "nope", "-o", "OUT.png"], 1, "no tensor of this name"),
    (["visualize_diff", "IN", "IN", "x", "-o", "OUT.jpg"], 2, "expected a .html or .png file"),
    (["visualize_diff", "IN", "IN", "x", "-o", "OUT.png", "--axis", "7"], 1, "expected an axis from -3 to 2"),
    (["visualize_diff", "IN", "IN", "x", "--bins", "0"], 2, "expected a number from 1 on"),
    (["dump", "MISSING"], 1, "no such file"),
    (["dump", "TEXT"], 1, "expected a complete npz file"),
    (["dump", "TRUNCATED"], 1, "expected a complete npz file"),
    (["dump", "IN", "nope"], 1, "no tensor of this name"),
    (["extract", "IN", "OUT", "nope"], 1, "no tensor of this name"),
    (["reshape", "IN", "x", "5,5"], 1, "expected a shape of 24 elements"),
    (["permute", "IN", "x", "0,0,1"], 1, "expected a permutation"),
    (["rename", "IN", "x", "scalar"], 1, "already"),
    (["merge", "IN", "IN", "-o", "OUT"], 1, "earlier file"),
    (["compare", "IN"], 2, "reference"),
    (["compare", "IN", "IN", "--tolerance", "2"], 2, "expected a cosine"),
    (["frobnicate"], 2, "invalid choice"),
]


@pytest.mark.parametrize(("command", "code", "message"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input_is_one_line(
    command: list[str],
    code: int,
    message: str,
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "cut.npz").write_bytes(file.read_bytes()[:-100])
    words = {
        "IN": str(file),
        "OUT": str(tmp_path / "out.npz"),
        "MISSING": str(tmp_path / "no.npz"),
        "TEXT": str(tmp_path / "text.npz"),
        "TRUNCATED": str(tmp_path / "cut.npz"),
    }
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    got = run("npz_tool", *(words.get(word, word) for word in command))
    err = capsys.readouterr().err
    assert got == code
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("npz_tool")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
