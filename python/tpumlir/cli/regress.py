"""``tpumlir regress``: run a suite of models again, and say what is not as expected or became worse."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.cli.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Command,
    Parser,
    print_json,
    print_table,
)
from tpumlir.cli.options import count, names, positive, typed

if TYPE_CHECKING:
    from tpumlir.regress.baseline import Change
    from tpumlir.regress.run import Options, Report
    from tpumlir.regress.suite import Suite
    from tpumlir.regress.verdict import Row

_EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal."""
_SHOWN = 40
"""Rows of a table of problems."""


def build_parser(prog: str = "tpumlir regress") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Compile and validate every model of a suite, in processes that may die or hang; what has not "
        "changed costs nothing. Exit code 1 if a case is not as expected or, with a baseline, is worse.",
    )
    parser.add_argument(
        "suite", type=Path, metavar="SUITE", help="a folder of NAME.onnx and NAME.npz, or a TOML file"
    )
    parser.add_argument("--list", action="store_true", help="print the cases and run none")
    parser.add_argument("--filter", type=names, default=[], metavar="PATTERN,...",
                        help="only cases NAME:F16 that contain one, or match one with * and ?")  # fmt: skip
    parser.add_argument(
        "--quantize",
        type=names,
        default=[],
        metavar="MODE,...",
        help="these precisions, whatever the suite says",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="the folder of results; default: SUITE.regress",
    )
    _add_running(parser)
    _add_output(parser)
    parser.add_common()
    return parser


def _add_running(parser: Parser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "--jobs", type=typed(count), default="0", metavar="N", help="processes; 0: as many as processors"
    )
    group.add_argument("--threads", type=typed(count), default="0", metavar="N",
                       help="threads of each; 0: what each has of the machine, on a cluster 1")  # fmt: skip
    group.add_argument(
        "--timeout", type=typed(_seconds), default="600", metavar="S", help="seconds a case may take"
    )
    group.add_argument("--repeat", type=typed(positive), default="1", metavar="N",
                       help="measure every case N times, which tells the noise of its times")  # fmt: skip
    group.add_argument("--fresh", action="store_true", help="run also what is known from earlier runs")
    group.add_argument(
        "--resume", action="store_true", help="go on with the last run that was interrupted, crashes included"
    )
    group.add_argument("--dask", metavar="ADDRESS", help="run on the Dask cluster with this scheduler")


def _add_output(parser: Parser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--baseline", type=Path, metavar="JSON",
                       help="compare with results.json of an earlier run, or what --json wrote")  # fmt: skip
    group.add_argument("--threshold", action="append", type=typed(_threshold), default=[],
                       metavar="NAME=PART", help="how much worse than the baseline is still well: "
                       "cycles=1%%, ddr=1%%, compile=25%%, run=25%%, "
                       "similarity=50%% of its distance to 1")  # fmt: skip
    group.add_argument("--strict", action="store_true", help="a known failure that passes is a failure too")
    group.add_argument("-o", "--output", type=Path, metavar="JSON", help="write the results here as well")
    group.add_argument("--junit", type=Path, metavar="XML", help="write the results for a CI system")
    group.add_argument("--html", type=Path, metavar="HTML", help="write a page with the history of all runs")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"expected seconds above 0, got {text!r}")
    return value


def _threshold(text: str) -> tuple[str, float]:
    from tpumlir.regress.baseline import DEFAULTS
    from tpumlir.regress.keys import share

    name, equals, value = text.partition("=")
    if not equals or name not in DEFAULTS:
        raise ValueError(f"expected NAME=PART with a name of {', '.join(DEFAULTS)}, got {text!r}")
    return name, share(value)


def _check(parser: Parser, args: argparse.Namespace) -> None:
    from tpumlir.precision.formats import MODES, listed

    args.quantize = [mode.upper() for mode in args.quantize]
    wrong = [mode for mode in args.quantize if mode not in MODES]
    if wrong:
        parser.error(f"--quantize: expected {listed()}, got {wrong[0]}")
    if args.resume and args.fresh:
        parser.error("--resume goes on with what is done and --fresh forgets it: give one of them")
    if args.threshold and not args.baseline:
        parser.error("--threshold says what is worse than a baseline: give --baseline JSON")


def _body(args: argparse.Namespace) -> int:
    from tpumlir.regress.run import regress
    from tpumlir.regress.store import Store
    from tpumlir.regress.suite import read_suite

    suite = read_suite(args.suite, args.quantize)
    if args.list:
        _list(args, suite)
        return EXIT_OK
    options = _options(args)
    store = Store(args.results or _results_folder(args.suite))
    progress = _progress(quiet=args.json)
    try:
        report = regress(suite, options, store, progress)
    finally:
        progress.stop()
    written = {} if report.interrupted else _write(args, report, store.history(suite.name))
    if args.json:
        _print_json(report, written)
    else:
        _show(report, written)
    if report.interrupted:
        done = f"{len(report.rows)} of {report.total}"
        print(
            f"tpumlir regress: interrupted with {done} cases done; --resume goes on",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    strict = args.strict and report.count("fixed")
    return EXIT_OK if report.passed and not strict else EXIT_FAILED


def _results_folder(suite: Path) -> Path:
    path = suite.resolve()
    return path.with_name(f"{path.name}.regress")


def _options(args: argparse.Namespace) -> Options:
    from tpumlir.regress.baseline import Baseline
    from tpumlir.regress.run import Options

    baseline = Baseline.read(args.baseline) if args.baseline else None
    return Options(
        args.jobs, args.threads, args.timeout, args.repeat, args.fresh, args.resume, args.dask, args.filter,
        baseline, dict(args.threshold),
    )  # fmt: skip


def _list(args: argparse.Namespace, suite: Suite) -> None:
    cases = suite.filtered(args.filter)
    if args.json:
        print_json({
            "suite": suite.name,
            "cases": [
                {"id": case.id, "model": str(case.model), "quantize": case.quantize, "chip": case.chip,
                 "files": {key: list(given) for key, given in case.files.items()},
                 "options": dict(case.options), "expected": dict(case.expected)}
                for case in cases
            ],
        })  # fmt: skip
        return
    for case in cases:
        print(case.id)


def _write(args: argparse.Namespace, report: Report, history: Sequence[Any]) -> dict[str, str]:
    """Write the files that were asked for. Raises: OSError; TpumlirError: plotly is missing."""
    from tpumlir.files import all_or_none, atomic_write
    from tpumlir.regress.junit import junit
    from tpumlir.regress.page import page
    from tpumlir.regress.store import times_beside, write_json

    written = {}
    with all_or_none():
        if args.output:
            write_json(args.output, report.results)
            write_json(times_beside(args.output), report.times)
            written["results"] = str(args.output)
        if args.junit:
            with atomic_write(args.junit) as stream:
                stream.write(junit(report.suite.name, report.rows, report.changes))
            written["junit"] = str(args.junit)
        if args.html:
            with atomic_write(args.html) as stream:
                stream.write(page(report, history))
            written["html"] = str(args.html)
    return written


def _print_json(report: Report, written: dict[str, str]) -> None:
    print_json({
        "passed": report.passed,
        "interrupted": report.interrupted,
        "summary": report.summary,
        "changes": [change.to_json() for change in report.changes],
        "results": report.results,
        "times": report.times,
        "outputs": written,
    })  # fmt: skip


def _show(report: Report, written: dict[str, str]) -> None:
    from tpumlir.regress.page import headline

    rows = sorted((row for row in report.rows if row.verdict != "ok"), key=_importance)
    if rows:
        _table(("case", "verdict", "status", "why"),
               [(row.case.id, row.verdict, str(row.outcome["status"]), row.why) for row in rows])  # fmt: skip
    if report.changes:
        _table(("baseline", "case", "what", "change"), [_change(change) for change in report.changes])
    seconds = report.seconds
    known = len(report.rows) - report.ran
    rate = f", {len(report.rows) / seconds:,.1f} cases per second" if seconds else ""
    print(f"{report.suite.name}: {headline(report)}")
    print(f"{report.ran} cases ran, {known} were known; {seconds:.1f} s{rate}"
          f"; {report.summary['processor_seconds_now']:.1f} s of the processor")  # fmt: skip
    if written:
        print("wrote " + ", ".join(written.values()))


def _importance(row: Row) -> tuple[str, str]:
    return (row.verdict, row.case.id) if row.verdict == "fixed" else ("", row.case.id)


def _change(change: Change) -> tuple[str, ...]:
    return change.kind, change.case or "(all)", change.what, change.text


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Aligned columns into a file; on a terminal the last one is folded to its width."""
    shown = rows[:_SHOWN]
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*head, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        for row in shown:
            drawn.add_row(*map(Text, row))
        Console().print(drawn)
    else:
        print_table([head, *shown])
    if len(shown) < len(rows):
        print(f"and {len(rows) - len(shown)} more (--json and --html have all)")


# --- progress ------------------------------------------------------------------------------


class _Lines:
    """A line now and then, for logs; with ``quiet`` only what the user must know."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.total = self.ended = self.wrong = 0
        self.cost = self.spent = 0.0
        self.start_time = self.told = time.monotonic()

    def start(self, total: int, known: int, costs: Sequence[float]) -> None:
        self.total, self.ended, self.cost = total, known, sum(costs)
        self.start_time = self.told = time.monotonic()

    def done(self, row: Row, cost: float) -> None:
        self.ended += 1
        self.spent += cost
        self.wrong += row.verdict == "wrong"
        now = time.monotonic()
        if now - self.told >= _EVERY and not self.quiet:
            self.told = now
            left = (now - self.start_time) * (self.cost - self.spent) / max(self.spent, 1e-9)
            self._print(f"{self.ended} of {self.total} cases, {self.wrong} not as expected, "
                        f"about {_duration(left)} left")  # fmt: skip

    def note(self, text: str) -> None:
        self._print(f"note: {text}")

    def stop(self) -> None:
        pass

    def _print(self, text: str) -> None:
        print(f"tpumlir regress: {text}", file=sys.stderr, flush=True)


class _Bar(_Lines):
    """A bar on a terminal, whose length is what the cases are expected to cost."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.bar: Any = None

    def start(self, total: int, known: int, costs: Sequence[float]) -> None:
        super().start(total, known, costs)
        if not costs:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.fields[ended]} of {task.fields[cases]} cases"), BarColumn(),
            TextColumn("{task.fields[wrong]} not as expected"), TimeElapsedColumn(), TextColumn("left"),
            TimeRemainingColumn(), console=Console(stderr=True), transient=True, speed_estimate_period=120,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=self.cost, ended=known, cases=total, wrong=0)
        self.bar.start()

    def done(self, row: Row, cost: float) -> None:
        super().done(row, cost)
        self.bar.update(self.task, advance=cost, ended=self.ended, wrong=self.wrong)

    def _print(self, text: str) -> None:
        if self.bar is None:
            super()._print(text)
        else:
            self.bar.console.print(f"tpumlir regress: {text}", markup=False, highlight=False)

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def _progress(*, quiet: bool) -> _Lines:
    return _Bar() if sys.stderr.isatty() and not quiet else _Lines(quiet=quiet)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


main = Command(build_parser, _body, check=_check, catches_interrupts=True)
