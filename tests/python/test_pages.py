"""Pages of charts: what is in them, and that a browser shows it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tpumlir.errors import TpumlirError
from tpumlir.pages import Figure, Table, escaped, figures, fill

NASTY = "</script><i>&\"'"


def content() -> bytes:
    charts = [
        Figure(
            NASTY,
            [{"type": "bar", "x": np.arange(4), "y": np.array([1.0, np.nan, 3.0, np.inf])}],
            note="a note",
        ),
        Figure("lines", [{"type": "scatter", "x": [0, 1], "y": [1, 0], "name": escaped(NASTY)}]),
    ]
    table = Table("rows", ("name", "value"), [("b", 1.5), ("a", 30.0), (NASTY, 7.0)])
    return figures(NASTY, "a summary", [("fact", 12345), ("other", 0.123456789)], charts, [table])


def test_what_json_does_not_have_is_null() -> None:
    page = fill(
        '/*PLOTLY*/|"DATA"|', {"x": np.array([1, np.nan, -np.inf]), "y": (np.float32(2), np.int64(3))}
    )
    document = json.loads(page.decode().split("|")[-2])
    assert document == {"x": [1, None, None], "y": [2, 3]}


def test_names_cannot_end_the_script() -> None:
    assert content().count(b"</script>") == 2


def test_without_plotly_a_page_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(TpumlirError, match="a page needs the package plotly: pip install plotly"):
        content()


def test_a_browser_shows_charts_facts_and_rows(tmp_path: Path, browser: Any) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    path = tmp_path / "page.html"
    path.write_bytes(content())
    page = browser.new_context(offline=True).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if "://" in request.url[5:] else None)
    page.goto(path.as_uri())
    page.wait_for_selector("#figure1 .scatterlayer .trace", state="attached")
    assert page.locator(".figure.js-plotly-plot").count() == 2
    assert page.title() == NASTY
    assert page.locator("h1").text_content() == NASTY
    assert page.locator("h2").all_text_contents() == [NASTY, "lines", "rows"]
    assert page.locator(".fact b").all_text_contents() == ["12,345", "0.12346"]
    assert page.locator("td:first-child").all_text_contents() == ["b", "a", NASTY]
    page.locator("th", has_text="value").click()
    assert page.locator("td:last-child").all_text_contents() == ["30", "7", "1.5"]
    page.locator("th", has_text="name").click()
    assert page.locator("td:first-child").all_text_contents()[-2:] == ["a", "b"]
    assert problems == []
