"""The timeline of a profile to look at: a page with a chart of both engines, and a trace for Perfetto."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from tpumlir._core import isa
from tpumlir.bmodel.profile import CLOCK, Profile, Row
from tpumlir.pages import fill

ENGINES = ("TIU", "GDMA")
BARS = 20_000
"""More bars make a browser slow: beyond, commands of one operation that follow each other are one bar."""
_TABLE_ROWS = 500


@dataclass
class Bar:
    """One command of an engine, or several of one operation that follow each other."""

    engine: int
    group: int
    source: int
    start: int
    end: int
    busy: int
    first: int
    last: int
    commands: int
    ops: dict[int, None]
    works: dict[int, int]
    read: int
    written: int

    @property
    def first_op(self) -> int:
        """The kind of its first command."""
        return next(iter(self.ops))

    @property
    def work(self) -> int:
        """What most of the time goes into."""
        return max(self.works, key=lambda work: self.works[work])


def bars(profile: Profile, limit: int = BARS) -> list[Bar]:
    """The commands that take time, as at most about ``limit`` bars."""
    every = list(_single(profile))
    if len(every) <= limit:
        return every
    grain = max(1, profile.cycles // (limit // 2))
    merged: list[Bar] = []
    for bar in every:
        last = merged[-1] if merged else None
        same = last and (last.engine, last.group, last.source) == (bar.engine, bar.group, bar.source)
        if not last or not same or bar.end - last.start > grain:
            merged.append(bar)
            continue
        last.end, last.last = bar.end, bar.last
        last.busy += bar.busy
        last.commands += 1
        last.ops |= bar.ops
        last.works[bar.work] = last.works.get(bar.work, 0) + bar.busy
        last.read += bar.read
        last.written += bar.written
    return merged


def _single(profile: Profile) -> Iterator[Bar]:
    """A bar for each command that takes time."""
    c = profile.commands
    columns = (
        c.engine, c.group, profile.source, c.start, c.duration, c.id, c.op, c.work, c.read, c.written
    )  # fmt: skip
    for engine, group, source, start, busy, command, op, work, read, written in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        if not busy:
            continue
        yield Bar(
            engine, group, source, start, start + busy, busy, command, command, 1, {op: None}, {work: busy},
            read, written,
        )  # fmt: skip


def trace(profile: Profile) -> Iterator[bytes]:
    """Pieces of a file in Chrome's trace format, which Perfetto opens; times at the clock of the chip."""
    head = {
        "displayTimeUnit": "ns",
        "otherData": {"model": profile.name, "cycles": profile.cycles},
    }
    yield json.dumps(head)[:-1].encode() + b', "traceEvents": [\n'
    names: list[dict[str, object]] = [
        {"ph": "M", "pid": 0, "tid": 0, "name": "process_name", "args": {"name": profile.name}}
    ]
    names += [
        {"ph": "M", "pid": 0, "tid": tid, "name": "thread_name", "args": {"name": name}}
        for tid, name in enumerate(ENGINES)
    ]
    yield ",\n".join(map(json.dumps, names)).encode()
    for bar in _single(profile):
        yield b",\n" + json.dumps(_event(profile, bar)).encode()
    yield b"\n]}\n"


def _event(profile: Profile, bar: Bar) -> dict[str, object]:
    op, node = profile.sources[bar.source] if bar.source >= 0 else ("", "")
    command = profile.commands.ops[bar.first_op]
    microsecond = CLOCK / 1e6
    return {
        "ph": "X",
        "pid": 0,
        "tid": bar.engine,
        "name": node or command,
        "cat": isa.WORKS[bar.work],
        "ts": bar.start / microsecond,
        "dur": bar.busy / microsecond,
        "args": {
            "command": command,
            "id": bar.first,
            "group": bar.group,
            "op": op,
            "node": node,
            "cycles": bar.busy,
            "ddr_read": bar.read,
            "ddr_written": bar.written,
        },
    }


def page(profile: Profile) -> bytes:
    """A page that needs nothing else: plotly.js, the data and the tables are in it.

    Raises: TpumlirError: plotly is not installed.
    """
    shown = bars(profile)
    document = {
        "model": profile.name,
        "summary": profile.summary(),
        "total": profile.total_json(),
        "merged": len(shown) < len(profile.commands.id) and any(bar.commands > 1 for bar in shown),
        "engines": ENGINES,
        "works": isa.WORKS,
        "sources": profile.sources,
        "commands": profile.commands.ops,
        "bars": {name: [value(bar) for bar in shown] for name, value in _COLUMNS.items()},
        "tables": [
            {"title": title, "count": len(rows), "rows": _table(rows)}
            for title, rows in (
                ("ONNX nodes", profile.nodes),
                ("Operations", profile.ops),
                ("Kinds of command", profile.kinds),
            )
            if rows
        ],
    }
    text = resources.files("tpumlir.bmodel").joinpath("profile.html").read_text(encoding="utf-8")
    return fill(text, document)


_COLUMNS: dict[str, Callable[[Bar], object]] = {
    "engine": lambda bar: bar.engine,
    "start": lambda bar: bar.start,
    "end": lambda bar: bar.end,
    "busy": lambda bar: bar.busy,
    "work": lambda bar: bar.work,
    "source": lambda bar: bar.source,
    "group": lambda bar: bar.group,
    "first": lambda bar: bar.first,
    "last": lambda bar: bar.last,
    "commands": lambda bar: bar.commands,
    "ops": lambda bar: list(bar.ops),
    "read": lambda bar: bar.read,
    "written": lambda bar: bar.written,
}


def _table(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [row.to_json() for row in rows[:_TABLE_ROWS]]
