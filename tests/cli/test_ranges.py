"""``tpumlir ranges --tensor`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import command_line
import tpumlir
from onnx import TensorProto, helper
from tpumlir import npz


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the current one, with a module, samples and a table."""
    monkeypatch.chdir(tmp_path)
    shape = [1, 24, 5, 5]
    graph = helper.make_graph(
        [helper.make_node("Tanh", ["x"], ["t"]), helper.make_node("Abs", ["t"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tpumlir.load_onnx(model, optimize=False).save("m.mlir")
    rng = np.random.default_rng(0)
    Path("data").mkdir()
    for i in range(2):
        npz.save(f"data/{i}.npz", {"x": rng.standard_normal(shape).astype(np.float32)})
    tpumlir.calibrate("m.mlir", "data").write("table")
    Path("bad").write_text("x 1 2\n")
    Path("other").write_text("conv1 1 -1 1\nconv2 1 -1 1\n")
    return tmp_path


def run(*words: str) -> int:
    return command_line.run("ranges", "--mlir", "m.mlir", *words)


@pytest.mark.usefixtures("folder")
def test_a_tensor_is_told_by_channel(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--tensor", "t", "--cali_data", "data", "--calibration_table", "table") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("t (top.Tanh) [1, 24, 5, 5]: ")
    assert " in 2 runs; threshold " in out[0]
    assert out[1].split()[:3] == ["channel", "min", "max"]
    assert len(out) == 2 + 20 + 1
    assert out[-1].startswith("and 4 channels with less error")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "count"),
    [
        ((), 1),
        (("--test_input", "data/0.npz"), 1),
        (("--test_input", "data/0.npz", "--cali_data", "data"), 3),
    ],
)
def test_json_has_every_channel(
    words: tuple[str, ...], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--tensor", "y", "--json", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["tensor"], found["samples"], found["axis"]) == ("y", count, 1)
    assert len(found["channels"]) == 24
    assert found["weights"] is None
    assert found["scale"] == found["threshold"] / 255


@pytest.mark.usefixtures("folder")
def test_a_page_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    assert run("--tensor", "t", "--axis", "-1", "--html", "t.html") == 0
    assert Path("t.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "wrote t.html" in capsys.readouterr().out


BAD = [
    (("--tensor", "tt"), 1, "tt: expected the name of a float tensor of the module"),
    (("--tensor", "t", "--axis", "4"), 1, "t: expected an axis from -4 to 3, got 4"),
    (("--tensor", "t", "--calibration_table", "no"), 1, "no: no such file"),
    (("--tensor", "t", "--calibration_table", "bad"), 1, "bad:1: expected `name threshold min max`"),
    (("--tensor", "t", "--calibration_table", "other"), 1, "other: expected a table of this model"),
    (("--tensor", "t", "--cali_data", "no"), 1, "no: no such file or folder"),
    (("--tensor", "t", "--html", "no/t.html"), 1, "no/t.html: expected a folder that exists"),
    (("--html", "t.html"), 2, "--html needs --tensor"),
    (("--calibration_table", "table"), 2, "--calibration_table needs --tensor"),
    (("--tensor", "t", "--all"), 2, "--all is for all tensors"),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("words", "code", "message"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input_is_one_line(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(Path.cwd().iterdir())
    assert run(*words) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert set(Path.cwd().iterdir()) == before
