"""A run beside an earlier one: what became worse, and what better.

Verdicts, cycles and bytes are exact. Times are not: a case counts as slower only if the median of its
repetitions grew by more than a part of it, by more than its noise, and by more than the clock resolves. They
are seconds of the processor, which other programs on the machine disturb less than those of the wall.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tpumlir.compare import F32_TOLERANCE
from tpumlir.errors import TpumlirError
from tpumlir.precision.formats import PRECISIONS
from tpumlir.regress.store import read_json, times_beside
from tpumlir.regress.verdict import Row, ddr_of

DEFAULTS: Mapping[str, float] = {
    "cycles": 0.01, "ddr": 0.01, "compile": 0.25, "run": 0.25, "similarity": 0.5,
}  # fmt: skip
"""The part by which each may grow (of a similarity, by which its distance to 1 may)."""
_SIGMAS = 4.0
_NORMAL = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
_RESOLVED = 0.05
"""Seconds: a difference that is shorter is not judged."""
_ONCE = 0.25
"""The same of a case that was measured less than _ENOUGH times: an interruption may be that long."""
_ENOUGH = 3
"""Repetitions that tell the noise of a case; with fewer it is that of the suite."""
_UNKNOWN = 0.10
"""The noise where nothing tells it, of the logarithm of a ratio."""
_FEW = 5
"""Cases below which the suite tells no noise."""
_SIMILAR = 0.1
"""The part of what a stage's tolerance leaves that a similarity may lose in any case."""


@dataclass(frozen=True)
class Change:
    """What differs from the baseline; ``case`` is empty for the suite as a whole."""

    kind: Literal["regression", "improvement", "note"]
    case: str
    what: str
    before: float | str | None
    after: float | str | None
    text: str

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return dict(vars(self))


@dataclass(frozen=True)
class Baseline:
    """The results of an earlier run, and its times if they are known."""

    path: Path
    compiler: Mapping[str, str]
    cases: Mapping[str, Mapping[str, Any]]
    times: Mapping[str, Mapping[str, Sequence[float]]]

    @staticmethod
    def read(path: Path) -> Baseline:
        """Read a results file, or what ``--json`` printed. Raises: TpumlirError."""
        if not path.is_file():
            raise TpumlirError(f"{path}: no such file (a baseline is a results.json of an earlier run)")
        document = read_json(path) or {}
        results = document.get("results", document)
        try:
            cases = {str(case["id"]): case for case in results["cases"] if case["verdict"] and case["status"]}
            compiler = dict(results["compiler"])
        except (KeyError, TypeError, ValueError):
            raise TpumlirError(f"{path}: expected results of tpumlir regress (results.json)") from None
        times = document.get("times") or read_json(times_beside(path)) or {}
        return Baseline(path, compiler, cases, times.get("cases", {}))


def compare_runs(
    rows: Sequence[Row], baseline: Baseline, thresholds: Mapping[str, float], *, whole: bool
) -> list[Change]:
    """The changes, regressions first. With ``whole`` a case that only the baseline has is told."""
    limits = {**DEFAULTS, **thresholds}
    changes: list[Change] = []
    alike = []
    for row in rows:
        before = baseline.cases.get(row.case.id)
        if before is None:
            changes.append(_new(row))
            continue
        changes += _verdicts(row, before)
        if before.get("content") != row.content:
            text = "the model, its inputs or its flags changed; costs are not compared"
            changes.append(Change("note", row.case.id, "content", None, None, text))
        elif "cycles" in row.outcome and "cycles" in before:
            changes += _costs(row, before, limits)
            alike.append(row)
    for what in ("compile", "run"):
        changes += _times(alike, baseline, what, limits[what])
    if whole:
        known = {row.case.id for row in rows}
        changes += [
            Change("note", case, "verdict", str(baseline.cases[case]["verdict"]), None,
                   "is in the baseline and not in the suite")
            for case in sorted(baseline.cases.keys() - known)
        ]  # fmt: skip
    return sorted(changes, key=_importance)


def _importance(change: Change) -> tuple[int, bool, float]:
    """Regressions first, of them what has another verdict, then the largest."""
    order = ("regression", "improvement", "note")
    size = 0.0
    if isinstance(change.before, (int, float)) and isinstance(change.after, (int, float)):
        size = (
            abs(math.log(change.after / change.before)) if min(change.after, change.before) > 0 else math.inf
        )
    return order.index(change.kind), change.what != "verdict", -size


def _new(row: Row) -> Change:
    if row.verdict == "wrong":
        return Change("regression", row.case.id, "verdict", None, "wrong",
                      f"is not in the baseline: {row.why}")  # fmt: skip
    return Change("note", row.case.id, "verdict", None, row.verdict, "is not in the baseline")


def _verdicts(row: Row, before: Mapping[str, Any]) -> Iterator[Change]:
    """A verdict or a status that changed. What was wrong before is no regression."""
    was, now = str(before["verdict"]), row.verdict
    if was == "wrong" and now == "wrong":
        statuses = (str(before["status"]), str(row.outcome["status"]))
        if statuses[0] != statuses[1]:
            yield Change("note", row.case.id, "status", *statuses, f"{statuses[0]} -> {row.why}")
        return
    if was != "wrong" and now == "wrong":
        yield Change("regression", row.case.id, "verdict", was, now, row.why)
    elif was == "wrong":
        text = f"was {before['status']}, is as expected now" if now == "ok" else row.why
        yield Change("improvement", row.case.id, "verdict", was, now, text)


def _costs(row: Row, before: Mapping[str, Any], limits: Mapping[str, float]) -> Iterator[Change]:
    """Cycles, bytes and similarities, which are exact."""
    pairs = (
        ("cycles", "cycles", before["cycles"], row.outcome["cycles"]),
        ("ddr", "bytes of DDR", ddr_of(before), row.ddr),
    )
    for what, unit, old, new in pairs:
        if old is None or new is None or abs(new - old) <= limits[what] * old:
            continue
        kind: Literal["regression", "improvement"] = "regression" if new > old else "improvement"
        yield Change(kind, row.case.id, what, old, new, f"{old:,} -> {new:,} {unit} ({_percent(old, new)})")
    for stage, now in row.outcome.get("similarity", {}).items():
        was = before.get("similarity", {}).get(stage)
        for name, old, new in zip(("cosine", "euclid"), was or (), now, strict=False):
            far, near = _distance(new), _distance(old)
            room = limits["similarity"] * min(far, near) + _SIMILAR * _left(row.case.quantize, stage, name)
            if abs(far - near) > room:
                kind = "regression" if far > near else "improvement"
                yield Change(kind, row.case.id, f"{name} of {stage}", old, new,
                             f"{name} of {stage} {old} -> {new}")  # fmt: skip


def _left(quantize: str, stage: str, metric: str) -> float:
    """How far from 1 the tolerance of a stage lets a similarity be."""
    precision = PRECISIONS[quantize]
    tolerance = {
        "top": F32_TOLERANCE,
        "tpu": precision.lowering.tolerance,
        "bmodel": precision.device.tolerance,
    }[stage]
    return 1.0 - float(getattr(tolerance, metric))


def _distance(similarity: float | None) -> float:
    """To 1; that of what could not be measured is larger than any other."""
    return 1.0 - similarity if similarity is not None else 1e9


def _times(rows: Sequence[Row], baseline: Baseline, what: str, limit: float) -> Iterator[Change]:
    """The cases that take longer or less, and the suite as a whole."""
    pairs = []
    for row in rows:
        old = baseline.times.get(row.case.id, {}).get(what, ())
        new = row.result.samples.get(what, ())
        if old and new and statistics.median(old) > 0 and statistics.median(new) > 0:
            pairs.append((row.case.id, list(old), list(new)))
    common = _common_noise(pairs)
    for case, old, new in pairs:
        before, after = statistics.median(old), statistics.median(new)
        bound = max(limit, math.expm1(_SIGMAS * _noise(old, new, common)))
        resolved = _RESOLVED if min(len(old), len(new)) >= _ENOUGH else _ONCE
        if max(before, after) < (1 + bound) * min(before, after) or abs(after - before) < resolved:
            continue
        kind: Literal["regression", "improvement"] = "regression" if after > before else "improvement"
        yield Change(kind, case, what, before, after,
                     f"{what} {before:.3g} -> {after:.3g} s of the processor ({_percent(before, after)}, "
                     f"bound {bound:.0%})")  # fmt: skip
    if len(pairs) < _FEW:
        return
    before = sum(statistics.median(old) for _, old, _ in pairs)
    after = sum(statistics.median(new) for _, _, new in pairs)
    bound = max(limit, math.expm1(_SIGMAS * common / math.sqrt(len(pairs))))
    if max(before, after) >= (1 + bound) * min(before, after) and abs(after - before) >= _RESOLVED:
        kind = "regression" if after > before else "improvement"
        yield Change(kind, "", what, before, after,
                     f"{what} of all {len(pairs)} cases {before:.3g} -> {after:.3g} s of the processor "
                     f"({_percent(before, after)}, bound {bound:.0%})")  # fmt: skip


def spread(values: Sequence[float]) -> float:
    """The standard deviation that a median absolute deviation stands for."""
    middle = statistics.median(values)
    return _NORMAL * statistics.median([abs(value - middle) for value in values])


def _common_noise(pairs: Sequence[tuple[str, list[float], list[float]]]) -> float:
    """How far the ratios of the cases lie apart: most of them did not change."""
    if len(pairs) < _FEW:
        return _UNKNOWN
    return spread([math.log(statistics.median(new) / statistics.median(old)) for _, old, new in pairs])


def _noise(old: Sequence[float], new: Sequence[float], common: float) -> float:
    """The noise of the logarithm of the ratio of two medians."""
    parts = []
    for values in (old, new):
        if len(values) >= _ENOUGH:
            parts.append(spread(values) / statistics.median(values))
        else:
            parts.append(common / math.sqrt(2))
    return math.hypot(*parts)


def _percent(before: float, after: float) -> str:
    return f"{(after - before) / before:+.1%}" if before else "from nothing"
