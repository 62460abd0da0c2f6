"""``tpumlir graph`` as a user meets it, and its page in a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
from command_line import run
from onnx import TensorProto, helper
from tpumlir import npz


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a chain of 40 operations and a skip, at every stage in F16, and verdicts on it."""
    folder = tmp_path_factory.mktemp("graph")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        nodes = [
            helper.make_node("Tanh" if i % 2 else "Exp", [f"t{i}"], [f"t{i + 1}"], name=f"node_{i + 1}")
            for i in range(40)
        ]
        nodes.append(helper.make_node("Add", ["t1", "t40"], ["y"], name="node_y"))
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 70]) for name in ("t0", "y")]
        graph = helper.make_graph(nodes, "net", infos[:1], infos[1:])
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "m.onnx"
        )
        npz.save("in.npz", {"t0": np.linspace(-1, 1, 140, dtype=np.float32).reshape(2, 70)})
        given = ("--test_input", "in.npz")
        assert run("model_transform", "--model_def", "m.onnx", *given, "--test_result", "top.npz") == 0
        deploy = ("--quantize", "F16", "--skip_validation")
        assert run("model_deploy", "--mlir", "m.mlir", "--model", "m.bmodel", *deploy) == 0
        tensors = npz.load("top.npz")
        tensors["t5"] = tensors["t5"] + 1
        npz.save("wrong.npz", tensors)
        yield folder


@pytest.fixture
def folder(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(built)
    return built


@pytest.fixture
def verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What ``npz_tool compare --json`` says of a tensor that is wrong."""
    capsys.readouterr()
    assert run("npz_tool", "compare", "wrong.npz", "top.npz", "--json") == 1
    path = folder / "verdict.json"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("mlir", ["m.mlir", "m_tpu.mlir", "m_final.mlir"])
def test_every_stage_is_drawn(mlir: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    capsys.readouterr()
    html, file = tmp_path / "p.html", tmp_path / "p.onnx"
    flags = ["--bmodel", "m.bmodel", "-o", str(html), "--onnx", str(file), "--json"]
    assert run("graph", mlir, *flags) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outputs"] == {"html": str(html), "onnx": str(file)}
    total = sum(op["cycles"] for op in document["operations"])
    assert 0.5 * document["cycles"] < total <= 1.001 * document["cycles"]
    assert {"t1", "t40", "y"} <= {op["tensor"] for op in document["operations"]}
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    assert len(proto.graph.node) == len(document["operations"])


@pytest.mark.usefixtures("folder")
def test_the_page_lies_beside_the_module_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("graph", "m.mlir") == 0
    assert "m: 41 operations; wrote m.html" in capsys.readouterr().out
    assert Path("m.html").is_file()
    Path("m.html").unlink()
    assert run("graph", "m.mlir", "--onnx", "only.onnx") == 0
    assert not Path("m.html").exists()


@pytest.mark.usefixtures("folder")
def test_failed_tensors_come_from_other_commands(verdict: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("isolate", "m_tpu.mlir", "--reference", "wrong.npz", "--json") == 0
    isolated = Path("isolated.json")
    isolated.write_text(capsys.readouterr().out)
    for path in (verdict, isolated):
        assert run("graph", "m_tpu.mlir", "--failed", str(path), "-o", "f.html", "--json") == 0
        states = {op["tensor"]: op["verdict"] for op in json.loads(capsys.readouterr().out)["operations"]}
        assert states["t5"] == "failed"
        assert states["t20"] == "passed"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (("no.mlir",), 1, "no.mlir: no such file"),
        (("m.mlir", "--bmodel", "no.bmodel"), 1, "no.bmodel"),
        (("m.mlir", "--failed", "no.json"), 1, "no.json: no such file"),
        (("m.mlir", "--failed", "top.npz"), 1, "top.npz: expected JSON, as npz_tool compare"),
        (("m.mlir", "-o", "no/p.html"), 1, "expected a folder that exists"),
        (("m.mlir", "--onnx", "."), 1, "expected a file to write, got a folder"),
        (("m.mlir", "--weight"), 2, "unknown flag --weight, did you mean --weights?"),
    ],
)
def test_wrong_use_is_one_line(
    argv: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("graph", *argv) == code
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.usefixtures("folder")
def test_what_belongs_to_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "v.json"
    other.write_text(json.dumps([{"name": "other", "passed": False}]))
    assert run("graph", "m.mlir", "--failed", str(other)) == 1
    assert "got none of its names" in capsys.readouterr().err
    plain = tmp_path / "m.bmodel"
    plain.write_bytes(Path("m.bmodel").read_bytes())
    assert run("graph", "m.mlir", "--bmodel", str(plain)) == 1
    assert "expected the names of its operations beside it" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_browser_draws_searches_and_tells(verdict: Path, tmp_path: Path, browser: Any) -> None:
    path = tmp_path / "p.html"
    flags = ["--bmodel", "m.bmodel", "--failed", str(verdict), "-o", str(path)]
    assert run("graph", "m_final.mlir", *flags) == 0
    page = browser.new_context(offline=True, viewport={"width": 1200, "height": 800}).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if "://" in request.url[5:] else None)
    page.goto(path.as_uri())
    assert page.locator("h1").text_content() == "m_final"
    modes = page.locator("#mode option").all_text_contents()
    assert {"precision", "cycles", "failed", "operation"} <= set(modes)
    # The failed tensors are what is shown first, with a way to each.
    assert page.locator("#mode").input_value() == "failed"
    assert "failed: 1" in page.locator("#legend").text_content()
    page.locator("#legend .row", has_text="t5").last.click()
    details = page.locator("#details")
    assert details.locator("h2").text_content() == "t5"
    assert "unlike" in details.text_content()
    # Search: all that contain it, the exact one first, Enter goes on.
    page.fill("#search", "t3")
    assert details.locator("h2").text_content() == "t3"
    assert page.locator("#hits").text_content().endswith(" of 11")
    page.press("#search", "Enter")
    assert details.locator("h2").text_content() == "t30"
    assert "cycles" in details.text_content()
    assert "1x" in details.text_content() or "2x70" in details.text_content()
    # From there to what it reads, and by the address to a tensor.
    page.locator("#details .row", has_text="t29").first.click()
    assert details.locator("h2").text_content() == "t29"
    assert page.evaluate("location.hash") == "#t29"

    def colours() -> set[tuple[int, ...]]:
        """What the canvas holds around its middle, where the chosen box is."""
        page.wait_for_timeout(100)
        pixels = page.evaluate(
            "() => Array.from(document.getElementById('view').getContext('2d')"
            ".getImageData(view.width / 2 - 40, view.height / 2 - 12, 80, 24).data)"
        )
        return {tuple(pixels[i : i + 3]) for i in range(0, len(pixels), 4)}

    page.fill("#search", "")
    page.select_option("#mode", "precision")
    assert (146, 197, 222) in colours()  # F16
    page.select_option("#mode", "failed")
    assert (183, 224, 177) in colours()  # passed
    # Drag, wheel and a click on a box.
    box = page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + page.evaluate("90 * scale"), steps=4)
    page.mouse.up()
    assert (183, 224, 177) in colours()  # the next box has come to the middle
    page.mouse.click(x, y)
    assert details.locator("h2").text_content() != "t29"
    page.mouse.wheel(0, 4000)
    page.wait_for_timeout(100)
    page.locator("#fit").click()
    page.locator("#view").press("Escape")
    assert details.locator("h2").count() == 0
    page.goto(path.as_uri() + "#t7")
    page.reload()
    assert details.locator("h2").text_content() == "t7"
    assert problems == []


def test_the_picture_of_the_documentation(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Any
) -> None:
    """A real model with colours on cycles; TPUMLIR_DOCS_PICTURES=docs makes docs/graph.png anew."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (x,) = npz.load(corpus / "ppocr_cls.npz").values()
    shape = "[[" + ",".join(map(str, x.shape)) + "]]"
    transform = (
        "--model_def",
        str(corpus / "ppocr_cls.onnx"),
        "--model_name",
        "ppocr_cls",
        "--input_shapes",
        shape,
    )
    assert run("model_transform", *transform, "--not_inference") == 0
    deploy = ("--quantize", "F16", "--skip_validation", "--model", "ppocr_cls.bmodel")
    assert run("model_deploy", "--mlir", "ppocr_cls.mlir", *deploy) == 0
    assert run("graph", "ppocr_cls_final.mlir", "--bmodel", "ppocr_cls.bmodel", "-o", "p.html") == 0
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 760}).new_page()
    page.goto((tmp_path / "p.html").as_uri())
    assert page.locator("#mode").input_value() == "cycles"
    page.locator("#legend .row").nth(2).click()
    assert "cycles" in page.locator("#details").text_content()
    page.wait_for_timeout(500)
    folder = Path(__file__).parents[2] / os.environ.get("TPUMLIR_DOCS_PICTURES", tmp_path)
    page.screenshot(path=folder / "graph.png")
    with Image.open(folder / "graph.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100
