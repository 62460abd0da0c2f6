"""Pages that need nothing else: plotly.js, the data and the tables are in them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np

from tpumlir.errors import Diagnostic, TpumlirError


@dataclass(frozen=True)
class Figure:
    """One chart: traces and layout as plotly.js has them."""

    title: str
    traces: Sequence[dict[str, Any]]
    layout: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    height: int = 340


@dataclass(frozen=True)
class Table:
    """Rows that a click on a column sorts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[float | str]]


def figures(
    title: str,
    summary: str,
    facts: Sequence[tuple[str, float | str]],
    charts: Sequence[Figure],
    tables: Sequence[Table] = (),
) -> bytes:
    """A page of charts and tables. Raises: TpumlirError: plotly is not installed."""
    document = {
        "title": title,
        "summary": summary,
        "facts": facts,
        "figures": [vars(chart) for chart in charts],
        "tables": [vars(table) for table in tables],
    }
    text = resources.files("tpumlir").joinpath("figures.html").read_text(encoding="utf-8")
    return fill(text, document)


def fill(template: str, document: object) -> bytes:
    """A page with plotly.js for its ``/*PLOTLY*/`` and a document for its ``"DATA"``.

    Raises: TpumlirError: plotly is not installed.
    """
    before, middle, after = _split(template, "/*PLOTLY*/", '"DATA"')
    return "".join((before, _plotly(), middle, _json(document), after)).encode()


def fill_plain(template: str, document: object) -> bytes:
    """The same for a page that draws by itself: a document for its ``"DATA"``."""
    before, after = _split(template, '"DATA"')
    return "".join((before, _json(document), after)).encode()


def _json(document: object) -> str:
    # In a script "<" could end it, whatever a node is called. NaN is no JSON.
    return json.dumps(_plain(document), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def escaped(text: str) -> str:
    """``text`` for legends and hovers of plotly, which reads a little HTML there; names may hold anything."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(value: Any) -> Any:
    """Arrays as lists, and null for what JSON does not have."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _split(text: str, *marks: str) -> Iterable[str]:
    for mark in marks:
        before, found, text = text.partition(mark)
        assert found, mark
        yield before
    yield text


def _plotly() -> str:
    """The script that draws, out of the Python package, which is not needed otherwise."""
    try:
        folder = resources.files("plotly")
    except ImportError:
        raise TpumlirError(Diagnostic("a page needs the package plotly: pip install plotly")) from None
    return folder.joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
