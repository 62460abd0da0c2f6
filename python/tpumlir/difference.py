"""Where a tensor and its reference differ, to look at: a page of charts, or one picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.errors import Diagnostic, TpumlirError
from tpumlir.pages import Figure, Table, figures

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

_CELLS = 320
"""A map has at most so many rows and columns; of more, each cell shows the element that is off most."""
_BINS = 120
_ROWS = 500
_RED_BLUE = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))
_DARK_BRIGHT = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_GREY = (190, 190, 190)


@dataclass(frozen=True)
class Difference:
    """A tensor, its reference of the same shape, and the axis of its channels."""

    name: str
    got: F64
    want: F64
    axis: int

    @staticmethod
    def of(name: str, got: npt.NDArray[Any], want: npt.NDArray[Any], axis: int | None = None) -> Difference:
        """Raises: TpumlirError: other shapes, something else than numbers, no such axis."""
        if got.shape != want.shape:
            raise TpumlirError(Diagnostic(f"expected shape {list(want.shape)}, got {list(got.shape)}", name))
        for value in (got, want):
            if value.dtype.kind not in "fiub":
                raise TpumlirError(Diagnostic(f"expected numbers, got {value.dtype}", name))
        rank = max(got.ndim, 1)
        chosen = (1 if rank > 2 else rank - 1) if axis is None else axis
        if not -rank <= chosen < rank:
            raise TpumlirError(Diagnostic(f"expected an axis from {-rank} to {rank - 1}, got {chosen}", name))
        shape = got.shape or (1,)
        return Difference(
            name,
            got.astype(np.float64).reshape(shape),
            want.astype(np.float64).reshape(shape),
            chosen % rank,
        )

    @cached_property
    def error(self) -> F64:
        """Got - want; 0 where both are the same infinity or NaN, else not finite where one of them is not."""
        with np.errstate(invalid="ignore"):
            error: F64 = self.got - self.want
        same = (self.got == self.want) | (np.isnan(self.got) & np.isnan(self.want))
        return np.where(same, 0.0, error)

    @cached_property
    def size(self) -> F64:
        """The size of the error, infinite where that is not finite."""
        return np.where(np.isfinite(self.error), np.abs(self.error), np.inf)

    @cached_property
    def worst(self) -> tuple[int, ...]:
        """The place of the greatest error."""
        if not self.error.size:
            return ()
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(self.size)), self.error.shape))

    @property
    def strange(self) -> int:
        """How many elements are NaN or infinite on one side, and not so on the other."""
        return int((~np.isfinite(self.error)).sum())

    def relative(self) -> float:
        """The error as a whole relative to the reference, where both are finite; infinite if that is 0."""
        ok = np.isfinite(self.error) & np.isfinite(self.want)
        noise, signal = float((self.error[ok] ** 2).sum()), float((self.want[ok] ** 2).sum())
        return float(np.sqrt(noise / signal)) if signal else (np.inf if noise else 0.0)

    def summary(self) -> str:
        """One line."""
        if not self.error.size:
            return "no elements"
        place = ", ".join(map(str, self.worst))
        strange = f", {self.strange} of them NaN or infinite on one side" if self.strange else ""
        return (
            f"{int((self.error != 0).sum()):,} of {self.error.size:,} elements differ{strange}; the most at "
            f"[{place}]: got {self.got[self.worst]:.9g}, want {self.want[self.worst]:.9g}"
        )

    def channels(self) -> tuple[F64, F64, F64]:
        """Of each channel the rms of the error, the greatest error and the rms of the reference."""
        moved = [
            np.moveaxis(v, self.axis, 0).reshape(v.shape[self.axis], -1) for v in (self.error, self.want)
        ]
        error, want = (np.where(np.isfinite(v), v, 0.0) for v in moved)
        if not error.size:
            return (np.zeros(len(error)),) * 3
        return (
            np.sqrt((error**2).mean(axis=1)),
            np.abs(error).max(axis=1),
            np.sqrt((want**2).mean(axis=1)),
        )

    def plane(self) -> tuple[str, dict[str, F64]]:
        """Got, want and difference in the last two axes longer than 1, through the greatest error, reduced.

        The first result says which plane it is: ``[0, 3, :, :]``.
        """
        long = [axis for axis, extent in enumerate(self.error.shape) if extent > 1]
        kept = long[-2:]
        index = tuple(slice(None) if axis in kept else i for axis, i in enumerate(self.worst))
        where = "[" + ", ".join(":" if axis in kept else str(i) for axis, i in enumerate(self.worst)) + "]"
        cut: dict[str, F64] = {}
        for title, value in (("got", self.got), ("want", self.want), ("got - want", self.error)):
            cut[title] = _folded(value[index]) if len(kept) < 2 else value[index]
        places = _most(np.abs(np.nan_to_num(cut["got - want"], nan=np.inf)), _CELLS)
        return where, {title: value[places] for title, value in cut.items()}


def _folded(line: F64) -> F64:
    """A line in rows, so that it is a plane that can be looked at."""
    width = max(int(np.ceil(np.sqrt(line.size))), 1)
    rows = -(-line.size // width) if line.size else 1
    padded = np.full(rows * width, np.nan)
    padded[: line.size] = line.reshape(-1)
    return padded.reshape(rows, width)


def _most(size: F64, cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each cell of a coarse grid the place of the greatest ``size``."""
    if max(size.shape) <= cells:
        whole = np.indices(size.shape)
        return whole[0], whole[1]
    cuts = [np.arange(0, extent, -(-extent // cells)) for extent in size.shape]
    rows = np.empty((len(cuts[0]), len(cuts[1])), np.int64)
    columns = np.empty_like(rows)
    ends = [[*cut[1:], extent] for cut, extent in zip(cuts, size.shape, strict=True)]
    for i, (top, bottom) in enumerate(zip(cuts[0], ends[0], strict=True)):
        for j, (left, right) in enumerate(zip(cuts[1], ends[1], strict=True)):
            place = int(np.argmax(size[top:bottom, left:right]))
            rows[i, j], columns[i, j] = top + place // (right - left), left + place % (right - left)
    return rows, columns


# --- a page --------------------------------------------------------------------------


def page(difference: Difference) -> bytes:
    """A page with everything. Raises: TpumlirError: plotly is not installed; no elements."""
    _expect_elements(difference)
    noise, largest, signal = difference.channels()
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(noise > 0, noise / signal, 0.0)
    order = np.argsort(-noise, kind="stable")[:_ROWS]
    place = ", ".join(map(str, difference.worst))
    return figures(
        f"{difference.name}: got and want",
        difference.summary(),
        [
            ("shape", str(list(difference.got.shape))),
            ("relative error", difference.relative()),
            (f"greatest error, at [{place}]", float(difference.size[difference.worst])),
            ("elements that differ", int((difference.error != 0).sum())),
            ("NaN or infinite on one side", difference.strange),
        ],
        [_maps(difference), _histogram(difference), _scatter(difference), _per_channel(difference)],
        [
            Table(
                f"Channels of axis {difference.axis} by error",
                ("channel", "rms error", "greatest error", "rms of want", "rms error / rms of want"),
                [
                    (int(i), float(noise[i]), float(largest[i]), float(signal[i]), float(share[i]))
                    for i in order
                ],
            )
        ],
    )


def _expect_elements(difference: Difference) -> None:
    if not difference.error.size:
        raise TpumlirError(
            Diagnostic(f"expected elements to draw, got shape {list(difference.got.shape)}", difference.name)
        )


def _maps(difference: Difference) -> Figure:
    where, planes = difference.plane()
    both = np.concatenate([planes["got"].ravel(), planes["want"].ravel()])
    low, high = _ends(both)
    reach = max(map(abs, _ends(planes["got - want"])))
    traces = []
    for i, (title, plane) in enumerate(planes.items(), 1):
        last = title == "got - want"
        traces.append(
            {
                "type": "heatmap",
                "z": plane,
                "name": title,
                "xaxis": f"x{i}",
                "yaxis": f"y{i}",
                "colorscale": _scale(_RED_BLUE) if last else "Viridis",
                "zmin": -reach if last else low,
                "zmax": reach if last else high,
                "showscale": i != 1,
                "colorbar": {"x": 1.0 if last else 0.635, "thickness": 12},
            }
        )
    layout: dict[str, Any] = {}
    for i, (start, end) in enumerate(((0.0, 0.28), (0.34, 0.62), (0.71, 0.99)), 1):
        layout[f"xaxis{i}"] = {"domain": [start, end], "title": {"text": list(planes)[i - 1]}}
        layout[f"yaxis{i}"] = {"anchor": f"x{i}", "autorange": "reversed"}
    return Figure(
        f"Values in {where}",
        traces,
        layout,
        "The plane through the greatest error. Where it has more elements than cells, a cell shows the one "
        "that is off most.",
        400,
    )


def _scale(colours: Sequence[tuple[int, int, int]]) -> list[tuple[float, str]]:
    """Colours as plotly.js has them."""
    last = len(colours) - 1
    return [(i / last, "rgb({}, {}, {})".format(*colour)) for i, colour in enumerate(colours)]


def _histogram(difference: Difference) -> Figure:
    error = difference.error[np.isfinite(difference.error)]
    counts, edges = np.histogram(error, bins=_BINS) if error.size else (np.zeros(1), np.zeros(2))
    return Figure(
        "Differences",
        [{"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts, "width": np.diff(edges)}],
        {"xaxis": {"title": {"text": "got - want"}}, "yaxis": {"type": "log", "title": {"text": "elements"}}},
    )


def _scatter(difference: Difference) -> Figure:
    ok = np.isfinite(difference.got) & np.isfinite(difference.want)
    got, want = difference.got[ok], difference.want[ok]
    low, high = _ends(np.concatenate([got, want]))
    counts, x, y = np.histogram2d(want, got, bins=_BINS, range=[[low, high], [low, high]])
    line = {"type": "scatter", "x": [low, high], "y": [low, high], "mode": "lines", "name": "got = want",
            "line": {"color": "#d62728", "width": 1}}  # fmt: skip
    return Figure(
        "Got over want",
        [
            {
                "type": "heatmap",
                "x": (x[1:] + x[:-1]) / 2,
                "y": (y[1:] + y[:-1]) / 2,
                "z": np.where(counts.T > 0, np.log10(np.maximum(counts.T, 1)), np.nan),
                "colorscale": "Blues",
                "reversescale": True,
                "colorbar": {"title": {"text": "log10 of elements"}, "thickness": 12},
            },
            line,
        ],
        {"xaxis": {"title": {"text": "want"}}, "yaxis": {"title": {"text": "got"}}},
        height=420,
    )


def _per_channel(difference: Difference) -> Figure:
    noise, largest, signal = difference.channels()
    channels = np.arange(len(noise))
    return Figure(
        f"Channels of axis {difference.axis}",
        [
            {"type": "bar", "x": channels, "y": noise, "name": "rms error"},
            {"type": "scatter", "x": channels, "y": largest, "name": "greatest error", "mode": "markers",
             "marker": {"size": 4}},
            {"type": "scatter", "x": channels, "y": signal, "name": "rms of want", "mode": "lines",
             "line": {"width": 1}},
        ],
        {"yaxis": {"type": "log"}, "xaxis": {"title": {"text": "channel"}}},
    )  # fmt: skip


def _ends(values: F64) -> tuple[float, float]:
    """Least and greatest finite value, a little apart if there is only one."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


# --- a picture -----------------------------------------------------------------------

_PANEL = 320
_MARGIN, _LINE = 14, 16


def picture(difference: Difference) -> bytes:
    """A png with the maps of the page side by side. Raises: TpumlirError: no Pillow; no elements."""
    _expect_elements(difference)
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise TpumlirError("a png needs Pillow (pip install 'tpumlir[image]'); a page does not") from None
    where, planes = difference.plane()
    low, high = _ends(np.concatenate([planes["got"].ravel(), planes["want"].ravel()]))
    reach = max(map(abs, _ends(planes["got - want"])))
    panels = [
        _coloured(plane, -reach, reach, _RED_BLUE)
        if title == "got - want"
        else _coloured(plane, low, high, _DARK_BRIGHT)
        for title, plane in planes.items()
    ]
    rows, columns = panels[0].shape[:2]
    zoom = max(1, _PANEL // max(rows, columns))
    height, width = rows * zoom, columns * zoom
    room = max(width, 150)
    top = _MARGIN + 3 * _LINE
    image = Image.new("RGB", (_MARGIN + 3 * (room + _MARGIN), top + height + 3 * _LINE), "white")
    draw = ImageDraw.Draw(image)

    def text(x: int, y: int, words: str) -> None:
        # The font that is always there has Latin letters only.
        draw.text((x, y), words.encode("ascii", "backslashreplace").decode(), fill=(28, 39, 51))

    text(_MARGIN, _MARGIN, f"{difference.name} {list(difference.got.shape)}, {where}")
    text(_MARGIN, _MARGIN + _LINE, difference.summary())
    for i, (title, panel) in enumerate(zip(planes, panels, strict=True)):
        left = _MARGIN + i * (room + _MARGIN)
        ends = (-reach, reach) if title == "got - want" else (low, high)
        text(left, top - _LINE, title)
        drawn = Image.fromarray(panel).resize((width, height), Image.Resampling.NEAREST)
        image.paste(drawn, (left, top))
        bar = _coloured(
            np.linspace(0, 1, room)[None, :], 0, 1, _RED_BLUE if title == "got - want" else _DARK_BRIGHT
        )
        image.paste(Image.fromarray(np.repeat(bar, 8, axis=0)), (left, top + height + 4))
        text(left, top + height + _LINE, f"{ends[0]:.4g}")
        end = f"{ends[1]:.4g}"
        text(left + room - int(draw.textlength(end)), top + height + _LINE, end)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _coloured(values: F64, low: float, high: float, colours: Sequence[tuple[int, int, int]]) -> U8:
    """The colours of values from ``low`` to ``high``; grey where there is no number."""
    known = np.isfinite(values)
    share = np.clip((np.where(known, values, low) - low) / (high - low), 0, 1) * (len(colours) - 1)
    stops = np.arange(len(colours))
    table = np.array(colours, np.float64)
    result = np.stack([np.interp(share, stops, table[:, c]) for c in range(3)], axis=-1)
    result[~known] = _GREY
    return result.astype(np.uint8)


WRITERS: dict[str, Callable[[Difference], bytes]] = {".html": page, ".png": picture}
