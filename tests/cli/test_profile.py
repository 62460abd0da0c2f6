"""``tpumlir profile`` as a user runs it; the page in a browser, where there is one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import command_line
import onnx
from bmodel import program
from onnx import TensorProto, helper
from tpumlir import bmodel
from tpumlir.cli.main import main


@pytest.fixture
def add_model(tmp_path: Path) -> Path:
    return program.write_model(tmp_path / "add.bmodel")


def run(*words: object) -> int:
    return command_line.run("profile", *words)


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
    return loaded


def test_the_table_tells_where_the_time_goes(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(add_model) == 0
    out = capsys.readouterr().out.splitlines()
    assert re.match(
        r"add: estimated [\d,]+ cycles \(.* ms\), bound by \w+: TIU busy \d+%, GDMA busy \d+%", out[0]
    )
    assert out[1] == "DDR: 10,360 bytes read, 10,080 written; 0 multiply-adds"
    assert out[2].split()[:4] == ["operation", "cycles", "share", "bound"]
    assert out[3].startswith("tpu.Add Add_3")
    assert "100%" in out[3]


@pytest.mark.parametrize(
    ("by", "first"), [("op", "tpu.Add Add_3"), ("node", "Add_3"), ("kind", "dma.tensor")]
)
def test_rows_by_what_was_asked_for(
    add_model: Path, by: str, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(add_model, "--by", by) == 0
    assert capsys.readouterr().out.splitlines()[3].startswith(first)


def test_top_cuts_the_table_and_says_so(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(add_model, "--by", "kind", "--top", 1) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "and 1 more (--top 0 shows all)"
    assert run(add_model, "--by", "kind", "--top", 0) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_long_name_is_cut_in_the_table_only(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "first/" + "a" * 200 + "/last"
    bmodel.write(add_model, program.spec(), debug=[entry._replace(node=name) for entry in program.DEBUG])
    assert run(add_model, "--by", "node") == 0
    label = capsys.readouterr().out.splitlines()[3].split()[0]
    assert len(label) <= 64
    assert re.fullmatch(r"first/a+\.\.\.a+/last", label)
    assert run(add_model, "--json") == 0
    assert document(capsys)["nodes"][0]["node"] == name


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (
            200,
            ["cycles", "share", "bound", "TIU", "GDMA", "load", "store", "wait", "DDR read", "DDR written"],
        ),
        (72, ["cycles", "share", "bound", "TIU", "GDMA"]),
        (52, ["cycles", "bound", "TIU", "GDMA"]),
    ],
)
def test_a_terminal_has_what_it_has_room_for(
    add_model: Path,
    width: int,
    columns: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(add_model, "--by", "kind") == 0
    # Rich styles what it takes for a terminal.
    table = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()[2:]
    assert all(len(line) <= width for line in table)
    (head,) = (line for line in table if "cycles" in line)
    assert [name for name in columns if name not in head] == []
    if width == 52:
        assert "store" not in head
    rows = [line for line in table if line.lstrip().startswith(("dma.tensor", "arith.add"))]
    assert len(rows) == 2


def test_json_has_the_whole_and_its_parts(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(add_model, "--json") == 0
    got = document(capsys)
    assert got["cycles"] > 0
    assert got["cycles"] <= got["tiu_busy"] + got["gdma_busy"]
    (op,) = got["ops"]
    assert (op["op"], op["node"], op["commands"]) == ("tpu.Add", "Add_3", 4)
    assert op["bound"] in {"compute", "load", "store", "wait"}
    assert got["ddr_read"] == 10360


def test_a_file_without_names_is_told_by_kind(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_model.with_name("add.bmodel.json").unlink()
    assert run(add_model) == 0
    captured = capsys.readouterr()
    assert "arith.add" in captured.out
    assert captured.err == ""  # nobody asked for names
    assert run(add_model, "--by", "node") == 0
    captured = capsys.readouterr()
    assert "arith.add" in captured.out
    assert "add: no names of operations beside the file" in captured.err


def slower(add_model: Path) -> Path:
    """The same program with one more node and more to add."""
    other = add_model.with_name("other.bmodel")
    debug = (*program.DEBUG[:3], program.DEBUG[3]._replace(node="Store_4"))
    bmodel.write(other, program.spec(name="other"), debug=debug)
    return other


def test_two_files_are_compared_by_node(add_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = slower(add_model)
    assert run(add_model, other) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{add_model}: estimated ")
    assert out[1].startswith(f"{other}: estimated ")
    assert out[2] == "the second takes 1 times the cycles of the first"
    assert out[3].split() == ["ONNX", "node", "first", "second", "difference", "ratio"]
    assert [line.split()[0] for line in out[4:]] == ["Add_3", "Store_4"]
    assert run(add_model, other, "--json") == 0
    got = document(capsys)
    assert got["cycles"][0] == got["cycles"][1]
    assert {row["node"]: bool(row["cycles"][0]) for row in got["rows"]} == {"Add_3": True, "Store_4": False}
    for place in (0, 1):
        assert sum(row["cycles"][place] for row in got["rows"]) == pytest.approx(got["cycles"][place], abs=1)


def test_the_trace_is_written(add_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.json"
    assert run(add_model, "--trace", path, "--json") == 0
    assert document(capsys)["outputs"] == {"trace": str(path)}
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) == 4


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["{missing}"], "missing.bmodel: No such file or directory", 1),
        (["{text}"], "expected a bmodel", 1),
        (["{folder}"], "Is a directory", 1),
        (["{add}", "{missing}"], "missing.bmodel: No such file or directory", 1),
        (["{add}", "{add}", "{add}"], "expected one or two bmodels, got 3", 2),
        (["{add}", "{add}", "--html", "{html}"], "--html: expected one bmodel, got two", 2),
        (["{add}", "{add}", "--trace", "{html}"], "--trace: expected one bmodel, got two", 2),
        (["{add}", "--top", "-1"], "--top: expected a number of at least 0, got -1", 2),
        (["{add}", "--by", "layer"], "invalid choice: 'layer'", 2),
        (["{add}", "--trace", "{nowhere}"], "expected a folder that exists", 1),
        ([], "the following arguments are required: BMODEL", 2),
    ],
)
def test_bad_input_is_one_line(
    words: list[str],
    message: str,
    code: int,
    add_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = tmp_path / "text.bmodel"
    text.write_text("not a bmodel at all, but long enough for a header of sixty-four bytes", encoding="utf-8")
    names = {
        "add": add_model, "text": text, "folder": tmp_path, "missing": tmp_path / "missing.bmodel",
        "html": tmp_path / "x.html", "nowhere": tmp_path / "no" / "x.json",
    }  # fmt: skip
    try:
        got = run(*(word.format(**names) for word in words))
    except SystemExit as stop:
        got = int(str(stop.code))
    captured = capsys.readouterr()
    assert got == code
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("tpumlir profile: error: ")
    assert message in captured.err
    assert not (tmp_path / "x.html").exists()


def test_a_file_that_hangs_is_refused(
    add_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What another compiler might have written.
    monkeypatch.setattr("tpumlir.bmodel.file.violations_of", lambda *_: [])
    bmodel.write(add_model, program.spec(groups=(program.group(cmd_id_dep=77),)), debug=program.DEBUG)
    monkeypatch.undo()
    assert run(add_model) == 1
    assert "tiu command 1: waits for gdma command 77, which never ends" in capsys.readouterr().err


def test_without_plotly_a_page_says_what_is_missing(
    add_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    assert run(add_model, "--html", tmp_path / "x.html") == 1
    assert "a page needs the package plotly: pip install plotly" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


def relu_model(path: Path) -> Path:
    """y = relu(x) of 1 x 8 x 16 x 16."""
    shape = [1, 8, 16, 16]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="Relu_of_x")],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_compile_and_deploy_end_with_the_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = relu_model(tmp_path / "relu.onnx")
    out = tmp_path / "relu.bmodel"
    assert main(["compile", str(model), "-o", str(out)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert run(out, "--json") == 0
    cycles = document(capsys)["cycles"]
    assert last.startswith(f"estimated {cycles:,} cycles (")
    assert last.endswith("(tpumlir profile tells more)")
    monkeypatch.chdir(tmp_path)
    assert (
        main(["model_transform", "--model_name", "relu", "--model_def", str(model), "--mlir", "relu.mlir"])
        == 0
    )
    capsys.readouterr()
    words = ["model_deploy", "--mlir", "relu.mlir", "--quantize", "F32", "--model", "d.bmodel"]
    assert main([*words, "--skip_validation"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last
    assert main([*words, "--skip_validation", "--json"]) == 0
    assert document(capsys)["estimate"]["cycles"] == cycles
    assert run("d.bmodel", "--by", "node", "--json") == 0
    assert [row["node"] for row in document(capsys)["nodes"]] == ["Relu_of_x"]


@pytest.mark.samples
def test_bmodels_of_the_vendor_are_profiled(samples: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    for path in samples:
        assert run(path, "--json") == 0
        got = document(capsys)
        assert got["unknown_commands"] == 0, path
        assert got["cycles"] > 0
        assert got["ops"] == []
        assert got["kinds"]


# --- the page in a browser ------------------------------------------------------------------------


def test_the_page_shows_the_chart_and_names_on_hover(add_model: Path, tmp_path: Path, browser: Any) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    path = tmp_path / "page.html"
    nasty = "Add_3 <i>&\"'</script>"
    debug = tuple(entry._replace(node=nasty) for entry in program.DEBUG)
    bmodel.write(add_model, program.spec(), debug=debug)
    assert run(add_model, "--html", path) == 0
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if "://" in request.url[5:] else None)
    page.goto(path.as_uri())
    page.wait_for_selector("#chart .barlayer .point", state="attached")
    assert page.locator("#chart .barlayer .point").count() == 4
    # Over the middle of the longest transfer.
    bars = page.locator("#chart .barlayer .point path").all()
    box = max((bar.bounding_box() for bar in bars), key=lambda box: box["width"])
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#chart .hoverlayer .hovertext")
    hover = page.locator("#chart .hoverlayer").text_content()
    assert f"ONNX node: {nasty}" in hover
    assert "op: tpu.Add" in hover
    assert re.search(r"cycles: [\d,]+ \(", hover)
    assert re.search(r"DDR: [\d.]+ K?i?B", hover)
    # Zoom by dragging.
    before = page.evaluate("document.getElementById('chart').layout.xaxis.range.slice()")
    area = page.locator("#chart .nsewdrag").bounding_box()
    middle = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + 100, middle)
    page.mouse.down()
    page.mouse.move(area["x"] + 300, middle, steps=4)
    page.mouse.up()
    page.wait_for_timeout(200)
    after = page.evaluate("document.getElementById('chart').layout.xaxis.range.slice()")
    assert np.diff(after)[0] < np.diff(before)[0]
    assert page.locator("table tbody tr td").first.text_content() == nasty
    assert problems == []
    context.close()
