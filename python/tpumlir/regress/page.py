"""A run as a page: what is not as expected, what changed, where the time goes, and all runs before it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from tpumlir.pages import Figure, Table, escaped, figures
from tpumlir.regress.baseline import Change
from tpumlir.regress.run import Report
from tpumlir.regress.store import Past
from tpumlir.regress.verdict import Row, described

_COLOURS = {"ok": "#2b8a3e", "fixed": "#1971c2", "wrong": "#c92a2a"}
_LONGEST = 40
_ALL_RUNS = 60


def page(report: Report, history: Sequence[Past]) -> bytes:
    """The page of a run; ``history`` ends with it. Raises: TpumlirError: plotly is not installed."""
    summary = report.summary
    facts: list[tuple[str, float | str]] = [
        ("cases", summary["cases"]),
        ("as expected", summary["ok"]),
        ("not as expected", summary["wrong"]),
        ("known failures that pass", summary["fixed"]),
        ("compiled now", summary["ran"]),
        ("seconds", round(summary["seconds"], 1)),
    ]
    if report.baseline:
        facts.append(("regressions", summary["regressions"]))
    charts = []
    if len(history) > 1:
        charts += _history(history[-_ALL_RUNS:])
    if report.baseline:
        charts += _beside(report)
    charts.append(_longest(report.rows))
    tables = [_changes(report.changes)] if report.changes else []
    tables += [_problems(report.rows)] if summary["wrong"] + summary["fixed"] else []
    tables.append(_cases(report.rows))
    return figures(f"{report.suite.name}: {headline(report)}", _told(report), facts, charts, tables)


def headline(report: Report) -> str:
    """The run in a few words."""
    parts = [f"{report.count('ok')} of {len(report.rows)} cases as expected"]
    if report.count("wrong"):
        parts.append(f"{report.count('wrong')} not")
    if report.count("fixed"):
        count = report.count("fixed")
        parts.append(f"{count} known failure{'s pass' if count > 1 else ' passes'}")
    if report.baseline:
        count = len(report.regressions)
        parts.append(f"{count or 'no'} regression{'s' * (count != 1)}")
    return ", ".join(parts)


def _told(report: Report) -> str:
    versions = report.results["compiler"]
    others = ", ".join(
        f"{name} {text}" for name, text in versions.items() if name not in {"tpumlir", "build"}
    )
    beside = f"; beside {report.baseline.path}" if report.baseline else ""
    return f"tpumlir {versions['tpumlir']}, build {versions['build'][:12]}, {others}{beside}."


def _history(history: Sequence[Past]) -> list[Figure]:
    names = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(past.summary["ended"])) for past in history]
    hover = [f"build {past.summary['build'][:12]}" for past in history]

    def series(key: str) -> list[Any]:
        return [past.summary[key] for past in history]

    verdicts = [
        {"type": "bar", "name": name, "x": names, "y": series(key), "text": hover, "textposition": "none",
         "marker": {"color": _COLOURS[key]}}
        for key, name in (("ok", "as expected"), ("fixed", "passes after all"), ("wrong", "not as expected"))
    ]  # fmt: skip
    costs = [
        {"type": "scatter", "mode": "lines+markers", "name": name, "x": names, "text": hover,
         "y": [past.summary["processor_seconds"][name] for past in history]}
        for name in ("compile", "run")
    ]  # fmt: skip
    cycles = {
        "type": "scatter", "mode": "lines+markers", "name": "cycles", "x": names, "y": series("cycles"),
        "text": hover, "yaxis": "y2", "line": {"dash": "dot"},
    }  # fmt: skip
    axis = {"type": "category", "tickangle": -30, "nticks": 12, "automargin": True}
    return [
        Figure("Verdicts of all runs", verdicts, {"barmode": "stack", "xaxis": axis,
               "yaxis": {"title": {"text": "cases"}}}, height=300),
        Figure(
            "Costs of all runs", [*costs, cycles],
            {"xaxis": axis, "yaxis": {"title": {"text": "seconds of the processor"}, "rangemode": "tozero"},
             "yaxis2": {"title": {"text": "estimated cycles"}, "overlaying": "y", "side": "right",
                        "rangemode": "tozero"}},
            "Sums over all cases of the median of each; a case that was not compiled again counts as before.",
            320,
        ),
    ]  # fmt: skip


def _beside(report: Report) -> list[Figure]:
    """Each case against the baseline: on the diagonal nothing changed."""
    assert report.baseline
    points: dict[str, list[tuple[float, float, str]]] = {"cycles": [], "compile": [], "run": []}
    for row in report.rows:
        before = report.baseline.cases.get(row.case.id, {})
        if "cycles" in before and "cycles" in row.outcome:
            points["cycles"].append((before["cycles"], row.outcome["cycles"], row.case.id))
        old = report.baseline.times.get(row.case.id, {})
        for what in ("compile", "run"):
            if old.get(what) and row.result.samples.get(what):
                pair = (statistics.median(old[what]), statistics.median(row.result.samples[what]))
                points[what].append((*pair, row.case.id))
    result = []
    for what, unit in (("cycles", "estimated cycles"), ("compile", "s of the processor")):
        kept = [point for point in points[what] if point[0] > 0 and point[1] > 0]
        if not kept:
            continue
        ends = [min(min(point[:2]) for point in kept), max(max(point[:2]) for point in kept)]
        result.append(
            Figure(
                f"{what} beside the baseline",
                [
                    {"type": "scatter", "mode": "lines", "x": ends, "y": ends, "name": "no change",
                     "line": {"color": "#adb5bd"}},
                    {"type": "scatter", "mode": "markers", "name": "cases", "x": [p[0] for p in kept],
                     "y": [p[1] for p in kept], "text": [escaped(p[2]) for p in kept]},
                ],
                {"xaxis": {"type": "log", "dtick": 1, "title": {"text": f"baseline, {unit}"}},
                 "yaxis": {"type": "log", "dtick": 1, "title": {"text": f"now, {unit}"}}},
                "Above the line is worse.",
            )
        )  # fmt: skip
    return result


def _longest(rows: Sequence[Row]) -> Figure:
    def median(row: Row, what: str) -> float:
        return statistics.median(row.result.samples.get(what) or [0.0])

    kept = sorted(rows, key=lambda row: -median(row, "cpu"))[:_LONGEST]
    names = [escaped(row.case.id) for row in kept]
    traces = [
        {"type": "bar", "name": what, "x": names, "y": [median(row, what) for row in kept]}
        for what in ("compile", "run")
    ]
    rest = [max(0.0, median(row, "cpu") - median(row, "compile") - median(row, "run")) for row in kept]
    traces.append({"type": "bar", "name": "reference and comparison", "x": names, "y": rest})
    return Figure(
        "The longest cases", traces,
        {"barmode": "stack", "xaxis": {"type": "category", "tickangle": -40, "automargin": True,
                                       "tickfont": {"size": 10}},
         "yaxis": {"title": {"text": "s of the processor"}}},
        height=420,
    )  # fmt: skip


def _changes(changes: Sequence[Change]) -> Table:
    return Table(
        "Beside the baseline",
        ("kind", "case", "what", "change"),
        [(one.kind, one.case or "(all)", one.what, one.text) for one in changes],
    )


def _problems(rows: Sequence[Row]) -> Table:
    ordered = sorted((row for row in rows if row.verdict != "ok"), key=lambda row: (row.verdict, row.case.id))
    return Table(
        "Not as expected",
        ("case", "verdict", "status", "why"),
        [(row.case.id, row.verdict, row.outcome["status"], row.why) for row in ordered],
    )


def _cases(rows: Sequence[Row]) -> Table:
    columns = ("case", "verdict", "status", "euclid top", "euclid tpu", "euclid bmodel", "cycles",
               "DDR bytes", "compile s", "run s", "message")  # fmt: skip
    table = []
    for row in sorted(rows, key=lambda row: row.case.id):
        similarity = row.outcome.get("similarity", {})
        seconds = [statistics.median(row.result.samples.get(what) or [0.0]) for what in ("compile", "run")]
        euclids = [similarity[stage][1] if stage in similarity else "" for stage in ("top", "tpu", "bmodel")]
        passed = row.outcome["status"] == "passed"
        table.append((
            row.case.id, row.verdict, row.outcome["status"], *("" if e is None else e for e in euclids),
            row.outcome.get("cycles", ""), row.ddr if row.ddr is not None else "", *seconds,
            "" if passed else described(row.outcome),
        ))  # fmt: skip
    return Table("All cases", columns, table)
