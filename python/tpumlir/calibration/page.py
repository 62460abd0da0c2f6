"""The page of one tensor: distribution and threshold, channels, weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.calibration import methods
from tpumlir.calibration.channels import View, Weights
from tpumlir.pages import Figure, Table, figures

F64 = npt.NDArray[np.float64]

_BARS = 360
_ROWS_OF_MAP = 120
_THRESHOLDS = 120
_RED, _GREY = "#d62728", "#7f8c9a"


def page(view: View) -> bytes:
    """The page as bytes. Raises: TpumlirError: plotly is not installed."""
    rows = view.channel_rows()
    charts = [_distribution(view), _thresholds(view), _channel_map(view), _channel_errors(rows)]
    tables = [
        Table(
            f"Channels of axis {view.axis}",
            ("channel", "min", "max", "rms", "clipped", "relative error in INT8", "bits in use"),
            [[*row.values()] for row in rows],
        )
    ]
    if view.weights is not None:
        charts += [_weight_map(view.weights), _weight_scales(view.weights)]
        tables.append(_weight_table(view.weights))
    low, high = (view.whole.low, view.whole.high)
    return figures(
        f"{view.name} ({view.kind})",
        f"{view.samples} sample{'s' * (view.samples != 1)}; the threshold {view.origin}",
        [
            ("shape", str(list(view.shape))),
            ("min and max of these samples", f"{low:.6g}, {high:.6g}"),
            ("threshold", view.row.threshold),
            ("scale", view.scale),
            ("grid", "u8, 0 to 255" if view.steps == 255 else "i8, -128 to 127"),
            ("clipped", f"{view.clipped():.3%}"),
            ("expected relative error in INT8", view.error()),
            ("become 0", f"{methods.lost_share(view.magnitudes, view.row.threshold):.2%} of what is not 0"),
        ],
        charts,
        tables,
    )


def _signed(view: View, bars: int) -> tuple[F64, F64, float]:
    """The middles of bins over the tensor's range, what is in them, and their width."""
    seen = view.whole
    if not seen.width:
        return np.zeros(1), np.array([float(seen.count)]), 1.0
    sides = seen.counts(negative=True)[::-1], seen.counts(negative=False)
    counts = np.concatenate(sides).astype(np.float64)
    filled = np.nonzero(counts)[0]
    first, last = int(filled[0]), int(filled[-1]) + 1
    merge = max(1, -(-(last - first) // bars))
    first -= (first - seen.bins) % merge  # so that 0 is an edge
    cut = counts[max(first, 0) : last]
    cut = np.pad(cut, (max(-first, 0), -(len(cut) + max(-first, 0)) % merge))
    width = seen.width * merge
    left = (first - seen.bins) * seen.width
    summed: F64 = cut.reshape(-1, merge).sum(axis=1)
    middles: F64 = left + (np.arange(len(summed), dtype=np.float64) + 0.5) * width
    return middles, summed, width


def _lines(view: View, axis: str) -> dict[str, Any]:
    """Where the grid ends and where the numbers do, across ``axis``."""
    ends = [(view.row.threshold, _RED, "threshold")]
    if view.steps == 127:
        ends.append((-view.row.threshold, _RED, ""))
    ends += [(view.row.low, _GREY, "min"), (view.row.high, _GREY, "max")]
    other = "y" if axis == "x" else "x"
    shapes, notes = [], []
    for place, colour, text in ends:
        shapes.append({
            "type": "line", f"{axis}0": place, f"{axis}1": place, f"{other}0": 0, f"{other}1": 1,
            f"{other}ref": "paper", "line": {"color": colour, "width": 1.5, "dash": "dash"},
        })  # fmt: skip
        if text:
            notes.append({
                axis: place, other: 1, f"{other}ref": "paper", "text": text, "showarrow": False,
                "font": {"color": colour}, f"{other}anchor": "bottom" if axis == "x" else "left",
            })  # fmt: skip
    return {"shapes": shapes, "annotations": notes}


def _distribution(view: View) -> Figure:
    middles, counts, width = _signed(view, _BARS)
    return Figure(
        "Distribution",
        [{"type": "bar", "x": middles, "y": counts, "width": width, "name": "elements"}],
        {
            "xaxis": {"title": {"text": "value"}},
            "yaxis": {"type": "log", "title": {"text": "elements"}},
            "bargap": 0,
            **_lines(view, "x"),
        },
    )


def _thresholds(view: View) -> Figure:
    magnitudes = view.magnitudes
    if not magnitudes.largest:
        return Figure("Error by threshold", [], note="The tensor is 0 throughout: any scale holds it.")
    least = min(magnitudes.width * magnitudes.steps / 2, magnitudes.largest)
    ends = np.geomspace(least, magnitudes.largest, _THRESHOLDS)
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "x": ends, "y": [methods.relative_noise(magnitudes, end) for end in ends],
         "mode": "lines", "name": "expected error"},
    ]  # fmt: skip
    for name in methods.METHODS:
        end = methods.threshold(magnitudes, name)
        traces.append(
            {"type": "scatter", "x": [end], "y": [methods.relative_noise(magnitudes, end)], "name": name,
             "mode": "markers", "marker": {"size": 9}},
        )  # fmt: skip
    line = {"type": "line", "x0": view.row.threshold, "x1": view.row.threshold, "y0": 0, "y1": 1,
            "yref": "paper", "line": {"color": _RED, "width": 1.5, "dash": "dash"}}  # fmt: skip
    return Figure(
        "Error by threshold",
        traces,
        {
            "xaxis": {"type": "log", "title": {"text": "threshold"}},
            "yaxis": {"type": "log", "title": {"text": "relative error in INT8"}},
            "shapes": [line],
        },
        "Left of the least error clipping dominates, right of it rounding. The dashed line is the threshold "
        f"{view.origin}.",
    )


def _density(values: Sequence[tuple[F64, F64]], low: float, high: float) -> tuple[F64, F64]:
    """Of each column (places, counts) how much lies in each row from ``low`` to ``high``, as logarithms."""
    edges = np.linspace(low, high, _ROWS_OF_MAP + 1)
    rows = np.zeros((_ROWS_OF_MAP, len(values)))
    for place, (where, counts) in enumerate(values):
        rows[:, place] = np.histogram(where, bins=edges, weights=counts)[0]
    return (edges[1:] + edges[:-1]) / 2, np.where(rows > 0, np.log10(np.maximum(rows, 1)), np.nan)


def _map(title: str, values: Sequence[tuple[F64, F64]], low: float, high: float, **layout: Any) -> Figure:
    middles, rows = _density(values, *((low, high) if low < high else (low - 0.5, high + 0.5)))
    heat = {
        "type": "heatmap", "x": np.arange(len(values)), "y": middles, "z": rows, "colorscale": "Viridis",
        "colorbar": {"title": {"text": "log10"}, "thickness": 12},
    }  # fmt: skip
    return Figure(
        title,
        [heat],
        {"xaxis": {"title": {"text": "channel"}}, "yaxis": {"title": {"text": "value"}}, **layout},
    )


def _channel_map(view: View) -> Figure:
    columns = []
    for seen in view.channels:
        middles = (np.arange(seen.bins) + 0.5) * seen.width
        columns.append(
            (
                np.concatenate([-middles, middles]),
                np.concatenate([seen.counts(negative=True), seen.counts(negative=False)]).astype(float),
            )
        )
    low, high = view.whole.low, view.whole.high
    return _map(f"What the channels of axis {view.axis} hold", columns, low, high, **_lines(view, "y"))


def _channel_errors(rows: Sequence[dict[str, float]]) -> Figure:
    channels = [row["channel"] for row in rows]
    return Figure(
        "How the scale of the tensor holds each channel",
        [
            {"type": "bar", "x": channels, "y": [row["error"] for row in rows], "name": "relative error"},
            {"type": "scatter", "x": channels, "y": [row["bits"] for row in rows], "name": "bits in use",
             "mode": "markers", "marker": {"size": 4}, "yaxis": "y2"},
        ],
        {
            "xaxis": {"title": {"text": "channel"}},
            "yaxis": {"type": "log", "title": {"text": "relative error in INT8"}},
            "yaxis2": {"overlaying": "y", "side": "right", "range": [0, 9], "title": {"text": "bits in use"}},
        },
        "A channel that is small beside the others has few of the 256 numbers: equalisation would help it.",
    )  # fmt: skip


def _weight_map(weights: Weights) -> Figure:
    columns = [(row, np.ones(len(row))) for row in weights.values]
    low, high = float(weights.values.min()), float(weights.values.max())
    return _map(f"Weights {weights.name} by output channel", columns, low, high)


def _weight_scales(weights: Weights) -> Figure:
    channels = np.arange(len(weights.values))
    return Figure(
        "Scales of the weights",
        [
            {"type": "bar", "x": channels, "y": weights.scales, "name": "scale of the channel"},
            {"type": "scatter", "x": channels, "y": weights.errors(), "name": "relative error, a scale each",
             "mode": "lines", "line": {"width": 1}, "yaxis": "y2"},
            {"type": "scatter", "x": channels, "y": weights.errors_of_one_scale(),
             "name": "relative error, one scale", "mode": "lines", "line": {"width": 1}, "yaxis": "y2"},
        ],
        {
            "xaxis": {"title": {"text": "output channel"}},
            "yaxis": {"title": {"text": "scale"}},
            "yaxis2": {
                "overlaying": "y", "side": "right", "type": "log", "title": {"text": "relative error"},
            },
        },
    )  # fmt: skip


def _weight_table(weights: Weights) -> Table:
    columns = zip(
        weights.values.min(axis=1), weights.values.max(axis=1), weights.scales, weights.errors(),
        weights.errors_of_one_scale(), strict=True,
    )  # fmt: skip
    return Table(
        f"Weights {weights.name}",
        ("output channel", "min", "max", "scale", "relative error", "with one scale for all"),
        [(place, *map(float, row)) for place, row in enumerate(columns)],
    )
