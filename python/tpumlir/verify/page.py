"""A verification to look at: errors by depth, what went wrong, every piece that was read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tpumlir.pages import Figure, Table, escaped, figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tpumlir.verify.result import TensorCheck, Verification

_LEAST = 1e-9  # what a logarithmic axis shows of nothing
_MOST = 1e9  # and of what cannot be measured
_COLOURS = {
    "equal": "rgb(27, 120, 55)",
    "right": "rgb(33, 102, 172)",
    "WRONG": "rgb(178, 24, 43)",
    "consequence": "rgb(230, 145, 20)",
}
_ROWS = 5000  # of a table; more make a browser slow


def page(found: Verification) -> bytes:
    """A page that needs nothing else. Raises: TpumlirError: plotly is not installed."""
    first, worst = found.first, found.worst
    facts: list[tuple[str, float | str]] = [
        ("verdict", "passed" if found.passed else "FAILED"),
        ("reference", found.reference),
        ("precision", found.precision),
        ("commands", found.ran),
        ("places read", f"{found.read} of {found.places}"),
        ("tensors seen whole", sum(row.seen == row.elements for row in found.tensors)),
        ("equal bit for bit", sum(row.verdict == "equal" for row in found.tensors)),
        ("causes", len(found.causes)),
    ]
    if first:
        facts.append(("first", f"{first.kind}: {first.op} @ {first.node}, {first.where}"))
    if worst:
        facts.append(("worst", f"{worst.tensor} of {worst.op} @ {worst.node}"))
    return figures(
        f"{found.model}: {'passed' if found.passed else 'FAILED'}",
        found.summary(),
        facts,
        [_depth(found.tensors)],
        [
            Table(
                "What went wrong, in the order of the commands",
                ("follows", "kind", "operation", "node", "tensor", "slice", "memory", "address", "command",
                 "line", "detail", "worst element"),
                [
                    ("yes" if one.is_consequence else "", one.kind, one.op, one.node, one.tensor, one.slice,
                     one.memory, f"{one.address:#x}", one.where, one.line or "", one.detail, one.worst)
                    for one in found.findings[:_ROWS]
                ],
            ),
            Table(
                "Tensors",
                ("tensor", "operation", "node", "depth", "type", "shape", "seen", "elements", "local places",
                 "global places", "verdict", "max abs", "cosine", "times what is allowed", "remark"),
                [
                    (row.tensor, row.op, row.node, row.depth, row.dtype, "x".join(map(str, row.shape)),
                     row.seen, row.elements, row.local, row.stored, row.verdict, _shown(row.max_abs),
                     _shown(row.cosine), _shown(row.excess), row.note)
                    for row in found.tensors[:_ROWS]
                ],
            ),
            Table(
                "Places",
                ("tensor", "operation", "node", "slice", "how", "memory", "address", "command", "size"),
                [
                    (place.tensor, place.op, place.node, place.slice, place.kind, place.memory,
                     f"{place.address:#x}", f"{place.engine} {place.command}", "x".join(map(str, place.size)))
                    for place in found.pieces[:_ROWS]
                ],
            ),
        ],
    )  # fmt: skip


def _depth(rows: Sequence[TensorCheck]) -> Figure:
    traces: list[dict[str, Any]] = []
    for verdict, colour in _COLOURS.items():
        chosen = [row for row in rows if row.verdict == verdict]
        if chosen:
            traces.append({
                "type": "scatter", "mode": "markers", "name": f"{verdict} ({len(chosen)})",
                "x": [row.depth for row in chosen], "y": [_height(row.excess) for row in chosen],
                "text": [escaped(f"{row.tensor}: {row.op} @ {row.node}") for row in chosen],
                "marker": {"color": colour, "size": 9 if verdict in {"WRONG", "consequence"} else 6},
            })  # fmt: skip
    line = {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1, "y1": 1,
        "line": {"dash": "dot", "width": 1},
    }  # fmt: skip
    return Figure(
        "Errors by depth",
        traces,
        {
            "xaxis": {"title": {"text": "operations behind the inputs"}},
            "yaxis": {"type": "log", "title": {"text": "error, times what is allowed"}},
            "shapes": [line],
        },
        "Each point is a tensor: its worst element by what its operation alone makes of the operands that "
        "the chip had. What is above the line is wrong.",
        420,
    )


def _height(excess: float | None) -> float:
    return min(max(excess or 0.0, _LEAST), _MOST)


def _shown(value: float | None) -> float | str:
    if value is None:
        return ""
    return value if math.isfinite(value) else str(value)
