"""The page of a run, in a browser where there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from regress import models
from regress.models import folder_of, run


def test_the_page(tmp_path: Path, browser: Any) -> None:
    pytest.importorskip("plotly")
    for op in ("Relu", "Exp"):
        models.write(tmp_path / f"{op.lower()}.onnx", op)
    models.write(tmp_path / "strange<b>.onnx", "NoSuchOp", domain="made.up")
    path = models.suite(tmp_path, '[[model]]\npath = "*.onnx"\nquantize = ["F32", "BF16"]\n')
    assert run(path) == 1
    base = json.loads((folder_of(path) / "results.json").read_bytes())
    for case in base["cases"]:
        case["cycles"] = 10
    (tmp_path / "base.json").write_text(json.dumps(base))
    (tmp_path / "base.times.json").write_bytes((folder_of(path) / "results.times.json").read_bytes())
    html = tmp_path / "page.html"
    assert run(path, "--html", html, "--baseline", tmp_path / "base.json") == 1

    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(html.as_uri())
    page.wait_for_selector(".plot-container")
    assert "suite: 4 of 6 cases as expected, 2 not, 4 regressions" in page.text_content("h1")
    headings = page.eval_on_selector_all("h2", "all => all.map(one => one.textContent)")
    assert headings == [
        "Verdicts of all runs", "Costs of all runs", "cycles beside the baseline",
        "compile beside the baseline", "The longest cases", "Beside the baseline", "Not as expected",
        "All cases",
    ]  # fmt: skip
    assert page.evaluate("document.querySelectorAll('.plot-container').length") == 5
    bars = page.evaluate("document.getElementById('figure0').data.map(trace => trace.y)")
    assert bars == [[4, 4], [0, 0], [2, 2]]
    rows = page.eval_on_selector_all("tbody tr", "all => all.map(row => row.firstChild.textContent)")
    assert "strange<b>:F32" in rows
    assert rows.count("regression") == 4
    assert problems == []
    page.close()
