"""What an isolation found, to look at: errors and ranges by depth, and the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tpumlir.pages import Figure, Table, escaped, figures
from tpumlir.road.isolate import OFF, IsolatedOp, Isolation

_LEAST = 1e-9  # what a logarithmic axis shows of nothing
_COLOURS = {"isolated": "#b2182b", "accumulated": "#2166ac", "inputs": "#969696"}
_COLUMNS = (
    "tensor", "operation", "node", "precision", "verdict", "isolated", "accumulated", "inputs", "min", "max",
    "NaN", "inf", "beyond the type", "what",
)  # fmt: skip


def page(found: Isolation, title: str) -> bytes:
    """Charts and a table that a browser shows without a network. Raises: TpumlirError: no plotly."""
    worst = next(iter(found.culprits), None)
    facts: list[tuple[str, float | str]] = [
        ("operations", len(found.ops)),
        ("off by themselves", len(found.culprits)),
        ("most off", worst.tensor if worst else "none"),
        ("tensors without a reference", len(found.missing)),
    ]
    facts += [(f"error of {name}", _text(error)) for name, error in list(found.outputs.items())[:4]]
    return figures(
        f"{title}: every operation by itself",
        " ".join((found.summary() + ".", *(note + "." for note in found.notes))),
        facts,
        [_errors(found.ops), _ranges(found.ops)],
        [_table(found)],
    )


def _errors(ops: Sequence[IsolatedOp]) -> Figure:
    finite = [
        error for op in ops for error in (op.isolated, op.accumulated, op.inputs)
        if error is not None and math.isfinite(error)
    ]  # fmt: skip
    top = 10 * max([*finite, 0.1])  # where infinite errors are drawn

    def trace(name: str, mode: str, **more: Any) -> dict[str, Any]:
        rows = [(op, getattr(op, name)) for op in ops]
        rows = [(op, error) for op, error in rows if error is not None and (error or name != "inputs")]
        return {
            "type": "scatter", "mode": mode, "name": name, "x": [op.depth for op, _ in rows],
            "y": [min(max(error, _LEAST), top) for _, error in rows],
            "text": [escaped(f"{_title(op)}: {_text(error)}") for op, error in rows],
            "hoverinfo": "text", **more,
        }  # fmt: skip

    off = [op for op in ops if op.verdict == OFF]
    ring = {"symbol": "circle-open", "size": 15, "color": _COLOURS["isolated"], "line": {"width": 2}}
    traces = [
        trace("accumulated", "lines+markers", line={"color": _COLOURS["accumulated"]}, marker={"size": 4}),
        trace("inputs", "markers", marker={"color": _COLOURS["inputs"], "size": 5, "symbol": "line-ew-open"}),
        trace("isolated", "markers", marker={"color": _COLOURS["isolated"], "size": 6}),
        {
            "type": "scatter", "mode": "markers", "name": "off by itself", "x": [op.depth for op in off],
            "y": [min(op.isolated or 0.0, top) for op in off], "hoverinfo": "text",
            "text": [escaped(f"{_title(op)}: {op.message}") for op in off],
            "marker": ring,
        },
    ]  # fmt: skip
    return Figure(
        "Errors by depth",
        traces,
        {
            "xaxis": {"title": {"text": "operation"}},
            "yaxis": {"type": "log", "title": {"text": "relative error"}},
            "shapes": [_line(top)] if any(math.isinf(op.isolated or 0.0) for op in ops) else [],
        },
        "Isolated: of the operation on right inputs. Accumulated: of the same tensor in a run of the whole. "
        "Inputs: what storing the worst of its inputs in the type of this module loses. On the dotted line: "
        "NaN or infinity where the reference has numbers.",
        420,
    )


def _ranges(ops: Sequence[IsolatedOp]) -> Figure:
    known = [op for op in ops if op.want is not None and op.want.low <= op.want.high]
    largest = [max(abs(op.want.low), abs(op.want.high)) for op in known if op.want]
    beyond = [(op, value) for op, value in zip(known, largest, strict=True) if op.beyond]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "markers", "name": "greatest magnitude", "hoverinfo": "text",
            "x": [op.depth for op in known], "y": [max(value, _LEAST) for value in largest],
            "text": [escaped(f"{_title(op)}: {value:.6g}") for op, value in zip(known, largest, strict=True)],
            "marker": {"color": _COLOURS["accumulated"], "size": 5},
        },
        {
            "type": "scatter", "mode": "markers", "name": "beyond the type", "hoverinfo": "text",
            "x": [op.depth for op, _ in beyond], "y": [value for _, value in beyond],
            "text": [escaped(f"{_title(op)}: {op.beyond:.2%} beyond {op.precision}") for op, _ in beyond],
            "marker": {"color": _COLOURS["isolated"], "size": 8},
        },
    ]  # fmt: skip
    return Figure(
        "What the tensors reach",
        traces,
        {
            "xaxis": {"title": {"text": "operation"}},
            "yaxis": {"type": "log", "title": {"text": "greatest magnitude of the reference"}},
            "shapes": [_line(65504.0)] if any(op.precision == "F16" for op in ops) else [],
        },
        "Red: elements of the reference that the type of the tensor does not hold, beyond the end of F16 "
        "(the dotted line) or of the grid of INT8.",
    )


def _table(found: Isolation) -> Table:
    rows = [
        (
            op.tensor, op.kind, op.node, op.precision, op.verdict, _cell(op.isolated), _cell(op.accumulated),
            op.inputs if math.isfinite(op.inputs) else "inf", _cell(op.got.low), _cell(op.got.high),
            op.got.nan, op.got.infinite, op.beyond, op.message,
        )
        for op in found.by()
    ]  # fmt: skip
    return Table("Operations, the most error of its own first", _COLUMNS, rows)


def _line(height: float) -> dict[str, Any]:
    return {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": height, "y1": height,
        "line": {"dash": "dot", "width": 1, "color": _COLOURS["inputs"]},
    }  # fmt: skip


def _title(op: IsolatedOp) -> str:
    return f"{op.tensor} ({op.kind}, {op.precision})"


def _cell(value: float | None) -> float | str:
    return "" if value is None else value if math.isfinite(value) else "inf"


def _text(error: float) -> str:
    return f"{100 * error:.3g}%" if math.isfinite(error) else "NaN or infinite"
