"""``tpumlir profile``: what the time of a bmodel goes into, or how two bmodels differ."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_OK, Command, Parser, print_json
from tpumlir.cli.options import add_stage_options
from tpumlir.cli.tables import print_fitting

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel
    from tpumlir.bmodel.profile import Profile, Row

_BY = {"op": "operation", "node": "ONNX node", "kind": "kind of command"}
# What a terminal has no room for, the first first.
_EXPENDABLE = ("DDR written", "DDR read", "multipliers", "wait", "store", "load", "share", "difference")
_COLUMNS = (
    "cycles", "share", "bound", "TIU", "GDMA", "load", "store", "wait", "DDR read", "DDR written",
    "multipliers",
)  # fmt: skip


def build_parser(prog: str = "tpumlir profile") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Estimate the cycles of a bmodel, ours or the vendor's: in all, by operation, ONNX node and kind of "
        "command; or compare two bmodels.",
    )
    parser.add_argument("bmodels", nargs="+", metavar="BMODEL", help="one file, or two to compare")
    parser.add_argument(
        "--by",
        choices=_BY,
        help="rows of the table; default: op, for a comparison node, kind where the file tells no names",
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="rows of the table; 0: all of them")
    parser.add_argument(
        "--html", type=Path, metavar="HTML", help="write a page with a chart of both engines over time"
    )
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="JSON",
        help="write the timeline for ui.perfetto.dev or chrome://tracing",
    )
    add_stage_options(parser)
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if len(args.bmodels) > 2:
        parser.error(f"expected one or two bmodels, got {len(args.bmodels)}")
    if args.top < 0:
        parser.error(f"--top: expected a number of at least 0, got {args.top}")
    for flag in ("html", "trace"):
        if getattr(args, flag) and len(args.bmodels) == 2:
            parser.error(f"--{flag}: expected one bmodel, got two")


def _body(args: argparse.Namespace) -> int:
    from tpumlir.bmodel import read
    from tpumlir.bmodel.profile import profile

    models = [read(path, net=args.net, stage=args.stage, legality=False) for path in args.bmodels]
    if len(models) == 1 and len(models[0].stages) > 1 and not (args.html or args.trace):
        _show_stages(args, models[0])
        return EXIT_OK
    profiles = [profile(model.only()) for model in models]
    if len(profiles) == 2:
        _compare(args, profiles)
        return EXIT_OK
    (only,) = profiles
    written = _write(args, only)
    if args.json:
        print_json(only.to_json() | {"outputs": written})
        return EXIT_OK
    _show(args, only)
    if written:
        print("wrote " + ", ".join(written.values()))
    return EXIT_OK


def _show_stages(args: argparse.Namespace, model: BModel) -> None:
    """Each stage of a file like a file of its own."""
    from tpumlir.bmodel.profile import profile

    profiles = [
        (number, stage, profile(stage))
        for network in model.networks
        for number, stage in enumerate(network.stages)
    ]
    if args.json:
        rows = [{"stage": i, "inputs": _shapes(stage), **one.to_json()} for i, stage, one in profiles]
        print_json({"stages": rows})
        return
    for number, stage, one in profiles:
        shapes = " ".join(f"{name} {shape}" for name, shape in _shapes(stage).items())
        print(f"{stage.name} stage {number}: {shapes}")
        _show(args, one)
        print()


def _shapes(stage: BModel) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.shape) for tensor in stage.inputs}


def _write(args: argparse.Namespace, only: Profile) -> dict[str, str]:
    """Write the files that were asked for. Raises: OSError; TpumlirError: plotly is missing."""
    from tpumlir.bmodel import chart
    from tpumlir.files import all_or_none, atomic_write

    written = {}
    with all_or_none():
        if args.html:
            page = chart.page(only)
            with atomic_write(args.html) as stream:
                stream.write(page)
            written["html"] = str(args.html)
        if args.trace:
            with atomic_write(args.trace) as stream:
                stream.writelines(chart.trace(only))
            written["trace"] = str(args.trace)
    return written


def _rows(profiles: Sequence[Profile], by: str | None, default: str) -> tuple[str, list[list[Row]]]:
    """Which rows to show, and those of each profile; without names there are only kinds of command."""
    named = all(one.sources for one in profiles)
    chosen = by or (default if named else "kind")
    if chosen != "kind" and not named:
        unnamed = ", ".join(one.name for one in profiles if not one.sources)
        print(
            f"note: {unnamed}: no names of operations beside the file (BMODEL.json); by kind of command",
            file=sys.stderr,
        )
        chosen = "kind"
    return chosen, [{"op": one.ops, "node": one.nodes, "kind": one.kinds}[chosen] for one in profiles]


def _show(args: argparse.Namespace, only: Profile) -> None:
    from tpumlir.bmodel.profile import share

    by, (rows,) = _rows([only], args.by, "op")
    print(f"{only.name}: {only.summary()}")
    total = only.total
    print(f"DDR: {total.read:,} bytes read, {total.written:,} written; {total.products:,} multiply-adds")
    shown = rows[: args.top or None]
    table: list[tuple[str, ...]] = [(_BY[by], *_COLUMNS)]
    for row in shown:
        sums = row.sums
        numbers = (sums.tiu, sums.gdma, sums.load, sums.store, sums.wait, sums.read, sums.written)
        table.append((
            row.label, f"{sums.cycles:,.0f}", share(sums.cycles, only.cycles), sums.bound,
            *(f"{number:,}" for number in numbers), f"{sums.utilisation:.0%}",
        ))  # fmt: skip
    print_fitting(table, words=("bound",), expendable=_EXPENDABLE)
    if len(shown) < len(rows):
        print(f"and {len(rows) - len(shown)} more (--top 0 shows all)")


def _compare(args: argparse.Namespace, profiles: Sequence[Profile]) -> None:
    """Both totals, then the rows that one of them or both have, the greatest difference first."""
    left, right = profiles
    by, (first, second) = _rows(profiles, args.by, "node")
    cycles: dict[tuple[str, str], list[float]] = {}
    for place, rows in enumerate((first, second)):
        for row in rows:
            cycles.setdefault((row.op, row.node), [0.0, 0.0])[place] = row.sums.cycles
    ordered = sorted(cycles.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))
    if args.json:
        print_json({
            "cycles": [left.cycles, right.cycles],
            "ratio": round(right.cycles / left.cycles, 6) if left.cycles else None,
            "models": [{"model": one.name, **one.total_json()} for one in profiles],
            "by": by,
            "rows": [
                {"op": op, "node": node, "cycles": [round(value, 1) for value in both]}
                for (op, node), both in ordered
            ],
        })  # fmt: skip
        return
    for path, one in zip(args.bmodels, profiles, strict=True):
        print(f"{path}: {one.summary()}")
    print(f"the second takes {_ratio(left.cycles, right.cycles)} times the cycles of the first")
    shown = ordered[: args.top or None]
    table: list[tuple[str, ...]] = [(_BY[by], "first", "second", "difference", "ratio")]
    for (op, node), (a, b) in shown:
        label = " ".join(part for part in (op, node) if part) or "(unknown)"
        table.append((label, f"{a:,.0f}", f"{b:,.0f}", f"{b - a:+,.0f}", _ratio(a, b)))
    print_fitting(table, words=("bound",), expendable=_EXPENDABLE)
    if len(shown) < len(ordered):
        print(f"and {len(ordered) - len(shown)} more (--top 0 shows all)")


def _ratio(a: float, b: float) -> str:
    return f"{b / a:.3g}" if a else "-"


main = Command(build_parser, _body, check=_check, read=("bmodels",), written=("html", "trace"))
