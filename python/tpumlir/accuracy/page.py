"""What a search or a measurement of sensitivities found, to look at: pages of charts, and one picture."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tpumlir.accuracy.blame import OpError
from tpumlir.errors import TpumlirError
from tpumlir.pages import Figure, Table, escaped, figures

if TYPE_CHECKING:
    from tpumlir.accuracy.search import Point, QuantizeResult
    from tpumlir.accuracy.sensitivity import Sensitivity

_LEAST = 1e-9  # what a logarithmic axis shows of nothing
_COLOURS = {"front": (178, 24, 43), "met": (33, 102, 172), "missed": (150, 150, 150)}
_WIDTH, _HEIGHT, _EDGE = 900, 560, 70
_ERROR_COLUMNS = ("tensor", "operation", "node", "precision", "isolated", "accumulated", "share of the error")


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both cycles and score, the cheapest first."""
    best: list[Point] = []
    for point in sorted((p for p in points if p.cycles), key=lambda p: (p.cycles or 0, -p.score)):
        if not best or point.score > best[-1].score:
            best.append(point)
    return best


def page(result: QuantizeResult, title: str) -> bytes:
    """Cycles against accuracy, errors by depth and the table. Raises: TpumlirError: no plotly."""
    target = result.target
    facts: list[tuple[str, float | str]] = [
        ("target", target.text),
        (f"{target.kind}, found", _digits(result.best.score)),
        (f"{target.kind}, plain INT8", _digits(result.plain.score)),
        ("cycles, found", result.best.cycles or 0),
        ("cycles, plain INT8", result.plain.cycles or 0),
        ("cycles, no INT8", result.half.cycles or 0),
        ("samples calibrated", result.calibrated),
        ("samples held back", result.held),
        ("judged by", result.judged),
    ]
    verdict = "met" if result.met else "not met"
    summary = f"{result.comments()[0]}; {len(result.points)} tables were run in {result.seconds:.1f} s."
    rows = [
        (row.tensor, row.precision, row.error.share if row.error else 0.0,
         row.error.isolated if row.error else 0.0, row.error.accumulated if row.error else 0.0, row.added)
        for row in result.rows
    ]  # fmt: skip
    return figures(
        f"{title}: {target.text} {verdict}",
        summary,
        facts,
        [_pareto(result), _depth(result.errors, "Errors of the plain INT8 module by depth")],
        [
            _improvements(result),
            Table(
                "Operations that are floats",
                (
                    "tensor",
                    "precision",
                    "share of the plain error",
                    "isolated",
                    "accumulated",
                    "cycles added",
                ),
                rows,
            ),
            _errors(result.errors),
            Table(
                "Tables that were run",
                ("how", "floats", target.kind, "cycles", "target"),
                [
                    (
                        p.label,
                        len(p.floats),
                        _digits(p.score),
                        p.cycles or "",
                        "met" if p.is_met else "not met",
                    )
                    for p in result.points
                ],
            ),
        ],
    )


def _improvements(result: QuantizeResult) -> Table:
    kind = result.target.kind
    return Table(
        "Ways to a better module, with all in integers",
        ("way", f"{kind} before", "after", "mean dB before", "after", "changed", "kept", "left out"),
        [
            (one.name, _digits(one.before.score), _digits(one.after.score), _digits(one.before.snr),
             _digits(one.after.snr), f"{one.changed} {one.of}", "yes" if one.kept else "no",
             _reasons(one.skipped))
            for one in result.improvements
        ],
    )  # fmt: skip


def _reasons(skipped: Mapping[str, str]) -> str:
    """Which products were left out, and why."""
    return "; ".join(f"{name}: {reason}" for name, reason in skipped.items())


def depth_page(found: Sensitivity, title: str) -> bytes:
    """The errors of all operations by depth, and as a table. Raises: TpumlirError: no plotly."""
    outputs = [(f"error of {name}", _digits(error)) for name, error in found.outputs.items()]
    return figures(
        f"{title}: sensitivity",
        f"The module in {found.quantize} beside the module in F32 on {found.samples} "
        f"sample{'s' * (found.samples != 1)}; errors are relative to the float tensor.",
        outputs[:8],
        [_depth(found.ops, "Errors by depth"), _shares(found.ops)],
        [_errors(found.ops)],
    )


def _pareto(result: QuantizeResult) -> Figure:
    known = [point for point in result.points if point.cycles]
    best = front(known)

    def trace(points: Sequence[Point], name: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "scatter", "name": name, "mode": "markers",
            "x": [p.cycles for p in points], "y": [_loss(result, p) for p in points],
            "text": [f"{escaped(p.label)}: {len(p.floats)} float, {_digits(p.score)}" for p in points],
            **more,
        }  # fmt: skip

    traces = [
        trace([p for p in known if not p.is_met], "target not met", marker={"color": _rgb("missed")}),
        trace([p for p in known if p.is_met], "target met", marker={"color": _rgb("met")}),
        trace(best, "front", mode="lines+markers", line={"color": _rgb("front")}),
        trace([result.best], "chosen", marker={"size": 16, "symbol": "star", "color": _rgb("front")}),
    ]
    return Figure(
        "Cycles against accuracy",
        traces,
        {
            "xaxis": {"title": {"text": "estimated cycles"}},
            "yaxis": {"type": _scale(result), "title": {"text": _loss_name(result)}},
        },
        "Each point is a quantize table that was compiled and run on the held-back samples. On the front are "
        "those that no other beats in both.",
        420,
    )


def _depth(errors: Sequence[OpError], title: str) -> Figure:
    traces = [
        {
            "type": "scatter", "mode": mode, "name": name, "x": [e.depth for e in errors],
            "y": [max(getattr(e, name), _LEAST) or None for e in errors],
            "text": [escaped(f"{e.tensor} ({e.kind}, {e.precision})") for e in errors],
        }
        for name, mode in (("accumulated", "lines+markers"), ("isolated", "markers"))
    ]  # fmt: skip
    return Figure(
        title,
        traces,
        {
            "xaxis": {"title": {"text": "operation"}},
            "yaxis": {"type": "log", "title": {"text": "relative error"}},
        },
        "Accumulated: the difference to the float tensor. Isolated: what the operation itself adds by "
        "rounding its result and its weights.",
        380,
    )


def _shares(errors: Sequence[OpError]) -> Figure:
    return Figure(
        "What the error of the outputs is made of",
        [
            {"type": "bar", "x": [e.depth for e in errors], "y": [e.share for e in errors],
             "text": [escaped(e.tensor) for e in errors], "name": "share"}
        ],
        {"xaxis": {"title": {"text": "operation"}}, "yaxis": {"title": {"text": "share"}}},
    )  # fmt: skip


def _errors(errors: Sequence[OpError]) -> Table:
    ordered = sorted(errors, key=lambda e: (-e.share, e.depth))
    return Table(
        "Errors of the operations",
        _ERROR_COLUMNS,
        [(e.tensor, e.kind, e.node, e.precision, e.isolated, e.accumulated, e.share) for e in ordered],
    )


def picture(result: QuantizeResult, title: str) -> bytes:
    """A png of cycles against accuracy. Raises: TpumlirError: Pillow is not installed."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise TpumlirError("a png needs Pillow (pip install 'tpumlir[image]'); a page does not") from None
    known = [point for point in result.points if point.cycles]
    cycles = [float(p.cycles or 0) for p in known]
    logarithmic = _scale(result) == "log"
    heights = [_height(result, p, logarithmic) for p in known]
    least_x, most_x = _ends(cycles)
    least_y, most_y = _ends(heights)
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _EDGE + (x - least_x) / (most_x - least_x) * (_WIDTH - 2 * _EDGE),
            _HEIGHT - _EDGE - (y - least_y) / (most_y - least_y) * (_HEIGHT - 2 * _EDGE),
        )

    draw.rectangle((_EDGE, _EDGE, _WIDTH - _EDGE, _HEIGHT - _EDGE), outline=(120, 120, 120))
    for i in range(6):
        x, y = least_x + (most_x - least_x) * i / 5, least_y + (most_y - least_y) * i / 5
        draw.text((place(x, 0)[0] - 25, _HEIGHT - _EDGE + 6), f"{x:,.0f}", fill="black")
        draw.text((6, place(0, y)[1] - 6), f"{10**y if logarithmic else y:.3g}", fill="black")
    best = front(known)
    line = [place(float(p.cycles or 0), _height(result, p, logarithmic)) for p in best]
    if len(line) > 1:
        draw.line(line, fill=_COLOURS["front"], width=2)
    for point, x, y in zip(known, cycles, heights, strict=True):
        left, top = place(x, y)
        size = 9 if point is result.best else 4
        colour = _COLOURS["front" if point is result.best else "met" if point.is_met else "missed"]
        draw.ellipse((left - size, top - size, left + size, top + size), fill=colour)
    safe = title.encode("latin-1", "replace").decode("latin-1")  # what the built-in letters have
    draw.text((_EDGE, 14), f"{safe}: {result.target.text} {'met' if result.met else 'not met'}", fill="black")
    draw.text((_EDGE, 34), "blue: met, grey: not met, red: the front, large: chosen", fill="black")
    draw.text((_WIDTH // 2 - 50, _HEIGHT - 28), "estimated cycles", fill="black")
    draw.text((6, _EDGE - 22), _loss_name(result), fill="black")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or max(abs(high), 1.0) * 0.05
    return low - room, high + room


def _scale(result: QuantizeResult) -> str:
    return "log" if result.target.kind in {"cos", "euclid"} else "linear"


def _loss_name(result: QuantizeResult) -> str:
    return f"1 - {result.target.kind}" if _scale(result) == "log" else result.target.kind


def _loss(result: QuantizeResult, point: Point) -> float | None:
    if _scale(result) == "log":
        return max(result.target.loss(point.score), _LEAST)
    return point.score if math.isfinite(point.score) else None


def _height(result: QuantizeResult, point: Point, logarithmic: bool) -> float:
    loss = _loss(result, point)
    if loss is None:
        return 0.0
    return math.log10(min(loss, 2.0)) if logarithmic else loss


def _digits(score: float) -> str:
    return f"{score:.6g}"


def _rgb(name: str) -> str:
    return "rgb({}, {}, {})".format(*_COLOURS[name])
