"""A run of a suite: what is known already, what is compiled, and what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

from tpumlir.regress.baseline import Baseline, Change, compare_runs
from tpumlir.regress.contents import compiler, content_of, key_of
from tpumlir.regress.execute import Job, Result
from tpumlir.regress.pool import Workers, cores, threads_of
from tpumlir.regress.store import Run, Store
from tpumlir.regress.suite import Case, Suite
from tpumlir.regress.verdict import Row, judge, results_of, times_of

TIMEOUT = 600.0
_BYTES_PER_SECOND = 2e6
"""What a model that never ran is taken for, so that large ones come first."""


@dataclass(frozen=True)
class Options:
    """How a suite is run."""

    jobs: int = 0
    """Processes; 0: as many as processors."""
    threads: int = 0
    """Threads of each; 0: what each has of the machine."""
    timeout: float = TIMEOUT
    repeat: int = 1
    fresh: bool = False
    """Run also what is known."""
    resume: bool = False
    dask: str | None = None
    filters: Sequence[str] = ()
    baseline: Baseline | None = None
    thresholds: dict[str, float] = field(default_factory=dict)


class Progress(Protocol):
    """Who is told how far the run is."""

    def start(self, total: int, known: int, costs: Sequence[float]) -> None:
        """Of ``total`` cases ``known`` are done; each of the others is expected to cost something."""

    def done(self, row: Row, cost: float) -> None:
        """A case ended."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass
class Report:
    """A run that reached its end, or was interrupted."""

    suite: Suite
    rows: list[Row]
    total: int
    seconds: float
    ran: int
    changes: list[Change] = field(default_factory=list)
    baseline: Baseline | None = None
    results: dict[str, Any] = field(default_factory=dict)
    times: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    def count(self, verdict: str) -> int:
        """The rows with a verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def regressions(self) -> list[Change]:
        """What is worse than the baseline."""
        return [change for change in self.changes if change.kind == "regression"]

    @property
    def passed(self) -> bool:
        """With a baseline: nothing is worse. Without one: everything is as expected."""
        if self.interrupted:
            return False
        return not (self.regressions if self.baseline else self.count("wrong"))


@dataclass(frozen=True)
class _Work:
    """One content with the cases that have it: it is compiled once."""

    key: str
    cases: tuple[tuple[Case, str], ...]
    cost: float

    @property
    def case(self) -> Case:
        return self.cases[0][0]


def regress(suite: Suite, options: Options, store: Store, progress: Progress) -> Report:
    """Run what is not known yet, longest first. A KeyboardInterrupt ends the run and keeps what is done.

    Raises: TpumlirError: the cluster; OSError: a file of the suite or of the results.
    """
    start = time.perf_counter()
    cases = suite.filtered(options.filters)
    work = _work(suite, cases, store)
    run = store.begin(suite.name, {"cases": len(cases)}, resume=options.resume)
    if options.resume and not run.resumed:
        progress.note("no interrupted run of this suite to resume; this is a new one")
    try:
        rows, ran, interrupted = _rows(suite, options, store, run, work, progress)
        report = Report(suite, rows, len(cases), 0.0, ran, baseline=options.baseline, interrupted=interrupted)
        if options.baseline and not interrupted:
            limits = {**suite.thresholds, **options.thresholds}
            report.changes = compare_runs(rows, options.baseline, limits, whole=not options.filters)
        report.seconds = time.perf_counter() - start
        _document(report, compiler())
        if not interrupted:
            store.finish(run, report.results, report.times, report.summary)
        return report
    finally:
        store.digests.save()
        run.close()


def _work(suite: Suite, cases: Sequence[Case], store: Store) -> list[_Work]:
    """The contents of the cases, the longest first."""
    versions = compiler()
    found: dict[str, list[tuple[Case, str]]] = {}
    for case in cases:
        content = content_of(case, store.digests, suite.plugin)
        found.setdefault(key_of(content, versions), []).append((case, content))
    seconds = store.seconds()
    work = [_Work(key, tuple(same), _cost(same[0][0], seconds)) for key, same in found.items()]
    return sorted(work, key=lambda one: (-one.cost, one.case.id))


def _cost(case: Case, seconds: dict[str, float]) -> float:
    """What a case is expected to take: as long as last time, else by its size."""
    known = seconds.get(case.id)
    return known if known is not None else 0.05 + case.model.stat().st_size / _BYTES_PER_SECOND


def _rows(
    suite: Suite, options: Options, store: Store, run: Run, work: Sequence[_Work], progress: Progress
) -> tuple[list[Row], int, bool]:
    """The rows, how many cases ran for them, and whether the user had enough."""
    rows: list[Row] = []
    missing: list[_Work] = []
    for one in work:
        known = run.done.get(one.key)
        if known is None and not options.fresh:
            known = store.cached(one.key, options.repeat)
        if known is None:
            missing.append(one)
        else:
            rows += [judge(case, content, known, cached=True) for case, content in one.cases]
    jobs = options.jobs or cores()
    count = len(rows) + sum(len(one.cases) for one in missing)
    progress.start(count, len(rows), [one.cost for one in missing])
    ran = 0
    try:
        with closing(_results(suite, options, store, missing, jobs)) as results:
            for number, result in results:
                one = missing[number]
                run.record(one.key, one.case.id, result)
                changed = store.keep(one.key, result)
                if changed:
                    progress.note(f"{one.case.id}: not the same as the last time: {changed}")
                ran += len(one.cases)
                for place, (case, content) in enumerate(one.cases):
                    rows.append(judge(case, content, result))
                    progress.done(rows[-1], one.cost if not place else 0.0)
    except KeyboardInterrupt:
        return rows, ran, True
    return rows, ran, False


def _results(
    suite: Suite, options: Options, store: Store, missing: Sequence[_Work], jobs: int
) -> Generator[tuple[int, Result], None, None]:
    """(place in ``missing``, result) as the cases end."""
    if not missing:
        return
    plugin = str(suite.plugin.absolute()) if suite.plugin else None
    given: Iterable[tuple[int, Job, float]] = [
        (number, Job(one.case, options.repeat, plugin), one.case.timeout or options.timeout)
        for number, one in enumerate(missing)
    ]
    if options.dask:
        from tpumlir.regress.cluster import run_on_cluster

        yield from run_on_cluster(options.dask, given, store.digests, options.threads or 1)
        return
    with Workers(min(jobs, len(missing)), options.threads or threads_of(jobs)) as workers:
        yield from workers.run(given)


def _document(report: Report, versions: dict[str, str]) -> None:
    """Fill in what is written of a run."""
    rows = report.rows
    report.results = results_of(report.suite.name, versions, rows)
    taken = {
        name: sum(statistics.median(row.result.samples[name]) for row in rows if row.result.samples.get(name))
        for name in ("compile", "run", "cpu")
    }
    ran = [row for row in rows if not row.cached]
    report.summary = {
        "suite": report.suite.name,
        "ended": time.time(),
        "seconds": round(report.seconds, 3),
        "cases": len(rows),
        "ran": report.ran,
        "ok": report.count("ok"),
        "wrong": report.count("wrong"),
        "fixed": report.count("fixed"),
        "regressions": len(report.regressions),
        "cycles": sum(int(row.outcome.get("cycles", 0)) for row in rows),
        "ddr": sum(row.ddr or 0 for row in rows),
        "build": versions["build"],
        "processor_seconds": {name: round(value, 3) for name, value in taken.items()},
        "processor_seconds_now": round(sum(sum(row.result.samples.get("cpu", ())[-1:]) for row in ran), 3),
    }
    report.times = {"format": 1, "run": report.summary, "cases": times_of(rows)}
