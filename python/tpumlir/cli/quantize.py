"""``tpumlir quantize``: the cheapest quantize table that meets a target of accuracy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser, print_json, print_table
from tpumlir.cli.options import add_nonfinite_option, count, positive, typed

if TYPE_CHECKING:
    from tpumlir.accuracy.search import QuantizeResult

TARGET_HELP = "cos=0.99, snr=20, euclid=0.9 or metric=module:function>=0.8; see docs/int8-guide.md"
_SHOWN = 12


def build_parser(prog: str = "tpumlir quantize") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Search the cheapest table of INT8, F16 and F32 whose outputs are as near to those of the float "
        "model as the target asks, on samples that the calibration has not seen.",
    )
    parser.add_argument("mlir", type=Path, metavar="MLIR", help="what model_transform wrote")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="as run_calibration takes it")
    parser.add_argument("--data_list", type=Path, metavar="FILE", help="as run_calibration takes it")
    parser.add_argument(
        "--input_num", type=typed(count), default="0", metavar="N", help="how many samples; 0: all"
    )
    add_search_options(parser)
    parser.add_argument(
        "--calibration_table",
        type=Path,
        metavar="FILE",
        help="take these thresholds; without it several methods are tried, and the best is written beside "
        "the table as NAME_cali_table",
    )
    parser.add_argument("-o", "--quantize_table", type=Path, required=True, metavar="QTABLE",
                        help="the table to write, for model_deploy --quantize_table")  # fmt: skip
    parser.add_argument(
        "--keep", action="store_true", help="write the nearest table even if the target is not met"
    )
    parser.add_argument("--html", type=Path, metavar="HTML", help="write a page: cycles against accuracy")
    parser.add_argument("--png", type=Path, metavar="PNG", help="write the same as a picture")
    parser.add_argument("--chip", "--processor", default="bm1684x", metavar="CHIP", help="bm1684x")
    add_nonfinite_option(parser)
    parser.add_common()
    return parser


def add_search_options(parser: argparse._ActionsContainer, *, target: str | None = "cos=0.99") -> None:
    """Add what a search for a table is told."""
    parser.add_argument("--target", default=target, metavar="TARGET", help=TARGET_HELP)
    parser.add_argument(
        "--held_back",
        type=typed(count),
        default="0",
        metavar="K",
        help="samples that judge and do not calibrate; 0: a quarter of them, at most 8. Up to 8 of the "
        "others judge too",
    )
    parser.add_argument(
        "--trials", type=typed(positive), default="60", metavar="N", help="how many tables are run at most"
    )
    for name, ways, help_ in (
        ("equalize", ("on", "off"), "bring channels that share a scale to one size, over layers"),
        ("clip", ("on", "off"), "choose the threshold of single tensors by what it does to the outputs"),
        ("round", ("optimized", "nearest"), "choose for each weight whether it is rounded up or down"),
        ("bias_correction", ("on", "off"), "put what rounding shifts the mean of a channel by into its bias"),
    ):
        parser.add_argument(
            f"--{name}", choices=("auto", *ways), default="auto", help=f"{help_}; auto: if it helps"
        )


def switches_of(args: argparse.Namespace) -> dict[str, bool | None]:
    """The keywords of ``tpumlir.quantize`` for what --equalize, --clip, --round and --bias_correction say."""
    said = {"on": True, "optimized": True, "off": False, "nearest": False, "auto": None}
    return {
        "equalize": said[args.equalize],
        "rounding": said[args.round],
        "bias_correction": said[args.bias_correction],
        "clipping": said[args.clip],
    }


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.dataset is None and args.data_list is None:
        parser.error("expected samples: --dataset DIR or --data_list FILE")


def _body(args: argparse.Namespace) -> int:
    from tpumlir.accuracy.page import page, picture
    from tpumlir.accuracy.search import quantize
    from tpumlir.accuracy.target import Target
    from tpumlir.files import all_or_none, atomic_write

    find_metrics_here()
    result = quantize(
        args.mlir, args.dataset, target=Target.parse(args.target), calibration_table=args.calibration_table,
        data_list=args.data_list, input_num=args.input_num, held_back=args.held_back, trials=args.trials,
        chip=args.chip, allow_nonfinite=args.allow_nonfinite, step=tell_steps(quiet=args.json),
        **switches_of(args),
    )  # fmt: skip
    written: dict[str, str] = {}
    with all_or_none():
        if result.met or args.keep:
            written = write_tables(result, args.quantize_table, given=args.calibration_table)
        for name, make in (("html", page), ("png", picture)):
            place = getattr(args, name)
            if place:
                with atomic_write(place) as stream:
                    stream.write(make(result, args.mlir.stem))
                written[name] = str(place)
    if args.json:
        print_json(result.to_json() | {"outputs": written})
    else:
        show(result)
        if written:
            print("wrote " + ", ".join(written.values()))
    return verdict(result, kept=args.keep)


def verdict(result: QuantizeResult, *, kept: bool) -> int:
    """Say on standard error if the target is not met; returns the exit code."""
    if result.met:
        return EXIT_OK
    nearest = result.best
    remedy = "a lower --target" if kept else "a lower --target, or --keep to write the nearest table"
    print(
        f"tpumlir: the target {result.target.text} is not met: no table of {len(result.points)} reaches it, "
        f"the nearest has {result.target.kind} {nearest.score:.6g} on {result.judged} ({remedy})",
        file=sys.stderr,
    )
    return EXIT_FAILED


def write_tables(result: QuantizeResult, path: Path, *, given: Path | None) -> dict[str, str]:
    """Write the quantize table, the calibration table unless it was given, a module that is another.

    Raises: OSError.
    """
    from tpumlir.precision import table as qtable

    reasons = {row.tensor: row.comment for row in result.rows}
    qtable.write(path, result.table, comments=result.comments(), reasons=reasons)
    written = {"quantize_table": str(path)}
    stem = path.name.removesuffix("_qtable")
    if result.changed:
        place = path.with_name(f"{stem}_opt.mlir")
        result.module.save(place)
        written["mlir"] = str(place)
    if given is None:
        place = path.with_name(f"{stem}_cali_table")
        result.calibration.write(place)
        written["calibration_table"] = str(place)
    return written


def tell_steps(*, quiet: bool) -> Callable[[str], None]:
    """What prints each step of a search on standard error."""

    def tell(text: str) -> None:
        if not quiet:
            print(text, file=sys.stderr, flush=True)

    return tell


def find_metrics_here() -> None:
    """Let ``metric=module:function`` name a file in this folder, as ``python -m`` does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def show(result: QuantizeResult) -> None:
    """Print what was found: three tables to compare, then the rows that cost most."""
    kind = result.target.kind
    rows = [("", kind, "cycles", "of no INT8", "floats", "target")]
    for label, point in (("plain INT8", result.plain), ("no INT8", result.half), ("found", result.best)):
        ratio = f"{(point.cycles or 0) / (result.half.cycles or 1):.2f}"
        rows.append((label, f"{point.score:.6g}", f"{point.cycles or 0:,}", ratio, str(len(point.table)),
                     "met" if point.is_met else "not met"))  # fmt: skip
    print_table(rows)
    shares = ", ".join(f"{name} {number}" for name, number in result.precisions.items())
    print(
        f"operations: {shares}; thresholds: {result.method or 'as given'}; {result.calibrated} samples "
        f"calibrated; judged by {result.judged}; {len(result.points)} tables run in {result.seconds:.1f} s"
    )
    if result.improvements:
        lines = [("way", f"{kind} before", "after", "mean dB before", "after", "changed", "")]
        for one in result.improvements:
            before, after = one.before, one.after
            numbers = (f"{before.score:.6g}", f"{after.score:.6g}", f"{before.snr:.1f}", f"{after.snr:.1f}")
            lines.append((one.name, *numbers, f"{one.changed} {one.of}", "kept" if one.kept else "not kept"))
        print_table(lines)
    if not result.rows:
        return
    dear = sorted(result.rows, key=lambda row: (-(row.error.share if row.error else 0), row.tensor))
    print_table([("float", "precision", "why"), *((r.tensor, r.precision, r.comment) for r in dear[:_SHOWN])])
    if len(dear) > _SHOWN:
        print(f"and {len(dear) - _SHOWN} more (in the table)")


main = Command(
    build_parser,
    _body,
    check=_check,
    read=("mlir", "data_list", "calibration_table"),
    written=("quantize_table+", "html", "png"),
)
