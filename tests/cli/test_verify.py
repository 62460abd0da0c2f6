"""``tpumlir verify`` as a user runs it: files, exit codes, what it prints, the page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import command_line
from faults import Subject, built, swapped_operands
from tpumlir import ModuleInterpreter, bmodel, npz
from tpumlir.bmodel.debug import debug_path

SUBJECT = Subject("F32", 2)
Files = Callable[[bool], Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A bmodel (with a fault or without) with its module and its input beside it."""

    def make(broken: bool) -> Path:
        made = built(SUBJECT)
        model = swapped_operands(made.bmodel).model if broken else made.bmodel
        bmodel.write(tmp_path / "net.bmodel", model)
        made.final.save(tmp_path / "net_final.mlir")
        npz.save(tmp_path / "in.npz", made.inputs)
        return tmp_path / "net.bmodel"

    return make


def run(*words: object) -> int:
    return command_line.run("verify", *words)


def test_a_right_model_passes(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path = files(False)
    assert run(path, "--input", path.with_name("in.npz")) == 0
    out = capsys.readouterr().out
    assert "passed: 7 of 7 tensors seen whole" in out
    assert len(out.splitlines()) == 1
    assert run(path) == 0  # random inputs
    assert run(path, "--all") == 0
    assert "n_sub4" in capsys.readouterr().out


def test_a_fault_is_reported(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path = files(True)
    assert run(path, "--input", path.with_name("in.npz")) == 1
    out = capsys.readouterr().out
    assert "FAILED: wrong values by tpu.Sub @ n_sub4: 7 of 7 tensors seen whole" in out
    found = re.search(r"first: tpu.Sub, node n_sub4 \(line (\d+) of the Tpu text\): tiu command", out)
    assert found
    (text,) = path.parent.glob("*_final.mlir")
    assert '"tpu.Sub"' in text.read_text().splitlines()[int(found[1]) - 1]
    assert "seen in: sub4, slice 0, local memory at 0x" in out
    assert "WRONG" in out


def test_json_has_everything(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path = files(True)
    assert run(path, "--input", path.with_name("in.npz"), "--json") == 1
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert document["first"]["node"] == document["worst"]["node"] == "n_sub4"
    assert document["coverage"] == {"tensors": 7, "whole": 7, "unseen": []}
    assert {row["verdict"] for row in document["tensors"]} == {"equal", "right", "WRONG", "consequence"}
    assert document["places"] == document["places_read"]


def test_the_page_tells_the_same(files: Files, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    path = files(True)
    page = tmp_path / "page.html"
    assert run(path, "--input", path.with_name("in.npz"), "--html", page) == 1
    text = page.read_text()
    assert '"title":"graph: FAILED"' in text
    for word in ("Errors by depth", "n_sub4", "tpu.Sub", "What went wrong", "Places"):
        assert word in text


def test_a_browser_shows_the_page(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Any
) -> None:
    """TPUMLIR_DOCS_PICTURES=docs makes docs/verify.png anew."""
    pytest.importorskip("plotly")
    files(True)
    monkeypatch.chdir(tmp_path)
    assert run("net.bmodel", "--input", "in.npz", "--html", "page.html") == 1
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 860}).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(".plot-container")
    assert "FAILED" in page.text_content("h1")
    rows = page.eval_on_selector_all("tbody tr", "all => all.map(row => row.textContent)")
    assert any("n_sub4" in row and "tpu.Sub" in row for row in rows)
    page.wait_for_timeout(300)
    folder = Path(__file__).parents[2] / os.environ.get("TPUMLIR_DOCS_PICTURES", tmp_path)
    page.screenshot(path=folder / "verify.png")
    assert (folder / "verify.png").stat().st_size > 10_000
    assert problems == []


def test_tensors_of_a_file_are_a_reference(files: Files, tmp_path: Path) -> None:
    path = files(False)
    made = built(SUBJECT)
    tensors = ModuleInterpreter(made.final).run(made.inputs, all_tensors=True)
    npz.save(tmp_path / "all.npz", tensors | made.inputs)
    assert run(path, "--reference", tmp_path / "all.npz") == 0
    path.with_name("net_final.mlir").unlink()
    assert run(path, "--reference", tmp_path / "all.npz") == 0
    tensors["sub4"] = tensors["sub4"] + np.float32(0.5)
    npz.save(tmp_path / "all.npz", tensors | made.inputs)
    assert run(path, "--reference", tmp_path / "all.npz") == 1


def _says(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_what_is_missing_is_named(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = files(False)
    made = built(SUBJECT)
    tensors = ModuleInterpreter(made.final).run(made.inputs, all_tensors=True)
    npz.save(tmp_path / "few.npz", tensors)
    assert run(path, "--reference", tmp_path / "few.npz") == 1
    _says(capsys, "x0", "--input")
    other = {name: value + np.float32(1) for name, value in made.inputs.items()}
    npz.save(tmp_path / "other.npz", tensors | other)
    assert run(path, "--reference", tmp_path / "other.npz", "--input", tmp_path / "in.npz") == 1
    _says(capsys, "x0", "was made with")
    assert run(tmp_path / "no.bmodel") == 1
    _says(capsys, "no.bmodel")
    path.with_name("net_final.mlir").rename(tmp_path / "moved.mlir")
    assert run(path) == 1
    _says(capsys, "net_final.mlir", "--mlir")
    assert run(path, "--mlir", tmp_path / "nothing.mlir") == 1
    _says(capsys, "nothing.mlir: no such file")
    assert run(path, "--mlir", tmp_path / "moved.mlir", "--input", tmp_path / "in.npz") == 0
    capsys.readouterr()
    debug_path(path).unlink()
    assert run(path, "--mlir", tmp_path / "moved.mlir") == 1
    _says(capsys, "net.bmodel.json", "compile the model again")


def test_the_module_of_another_model_is_refused(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files(False)
    built(Subject("F16", 2)).final.save(tmp_path / "half.mlir")
    assert run(path, "--mlir", tmp_path / "half.mlir") == 1
    _says(capsys, "expected the module that it was compiled from")
