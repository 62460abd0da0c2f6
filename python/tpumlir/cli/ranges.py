"""``tpumlir ranges``: what the tensors of a Top module reach, and whether F16 holds it."""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpumlir.cli.common import EXIT_OK, Command, Parser, Steps, print_json, print_table
from tpumlir.cli.options import INPUT_HELP, add_range_options

if TYPE_CHECKING:
    from tpumlir.calibration.channels import View
    from tpumlir.ir.module import Module
    from tpumlir.precision.ranges import Ranges, TensorRange

_WORST = 20  # channels that are listed
_COLUMNS = (
    "tensor",
    "operation",
    "min",
    "max",
    "smallest",
    "below 2^-14",
    "become 0",
    "F16 error",
    "verdict",
)


def build_parser(prog: str = "tpumlir ranges") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Run a Top module in F32 and report which tensors F16 does not hold, and what sums inside of "
        "operations reach (those are held in F32 on the chip).",
    )
    parser.add_argument("--mlir", type=Path, required=True, metavar="MLIR", help="what model_transform wrote")
    parser.add_argument(
        "--test_input",
        metavar="FILE,...",
        help=INPUT_HELP,
    )
    add_range_options(parser)
    parser.add_argument("--all", action="store_true", help="list every tensor, not only those that F16 hurts")
    parser.add_argument("--csv", type=Path, metavar="CSV", help="write every tensor as csv")
    group = parser.add_argument_group("one tensor in detail", "its channels, and how INT8 holds them")
    group.add_argument("--tensor", metavar="NAME", help="the tensor")
    group.add_argument(
        "--calibration_table",
        type=Path,
        metavar="TABLE",
        help="what run_calibration wrote; without it the best threshold for these inputs",
    )
    group.add_argument("--axis", type=int, help="of the channels; default: 1, or the last after a product")
    group.add_argument(
        "--html", type=Path, metavar="FILE", help="a page: distribution, threshold, channels, weights"
    )
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    detail = [flag for flag in ("calibration_table", "axis", "html") if getattr(args, flag) is not None]
    if args.tensor is None and detail:
        parser.error(f"--{detail[0]} needs --tensor, the tensor to look at")
    whole = [flag for flag in ("all", "csv") if getattr(args, flag)]
    if args.tensor is not None and whole:
        parser.error(f"--{whole[0]} is for all tensors; drop it or --tensor")


def _body(args: argparse.Namespace) -> int:
    return _all_tensors(args) if args.tensor is None else _one_tensor(args)


def _one_tensor(args: argparse.Namespace) -> int:
    from tpumlir.calibration.channels import view
    from tpumlir.calibration.table import resolve
    from tpumlir.files import atomic_write
    from tpumlir.ir.module import Module

    steps = Steps(quiet=args.json)
    with steps("measure"):
        module = Module.load(args.mlir)
        table = resolve(args.calibration_table, module) if args.calibration_table else None
        seen = view(module, args.tensor, _samples(module, args), table, args.axis)
    if args.html:
        from tpumlir.calibration.page import page

        content = page(seen)
        with atomic_write(args.html) as stream:
            stream.write(content)
    rows = seen.channel_rows()
    if args.json:
        print_json(_view_document(seen, rows, args.html))
        return EXIT_OK
    print(
        f"{seen.name} ({seen.kind}) {list(seen.shape)}: {seen.whole.low:.6g} to {seen.whole.high:.6g} in "
        f"{seen.samples} runs; threshold {seen.row.threshold:.6g} {seen.origin}, scale {seen.scale:.6g}, "
        f"{seen.clipped():.3%} clipped, relative error in INT8 {seen.error():.2%}"
    )
    worst = sorted(rows, key=lambda row: -row["error"])[:_WORST]
    print_table([
        ("channel", "min", "max", "rms", "clipped", "INT8 error", "bits in use"),
        *(
            (f"{row['channel']:.0f}", f"{row['min']:.6g}", f"{row['max']:.6g}", f"{row['rms']:.6g}",
             f"{row['clipped']:.2%}", f"{row['error']:.2%}", f"{row['bits']:.1f}")
            for row in worst
        ),
    ])  # fmt: skip
    if len(rows) > len(worst):
        print(f"and {len(rows) - len(worst)} channels with less error (--json and --html have all)")
    if args.html:
        print(f"wrote {args.html}")
    return EXIT_OK


def _samples(module: Module, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The test input, then the folder; random numbers only if there is neither."""
    from tpumlir.calibration.dataset import samples_of
    from tpumlir.data.inputs import read_inputs
    from tpumlir.data.record import recorded_pictures

    pictures = recorded_pictures(module)
    if args.test_input is not None or args.cali_data is None:
        yield read_inputs(args.test_input, module, pictures, fixed_wins=True)
    if args.cali_data is not None:
        for sample in samples_of(module, args.cali_data):
            yield sample.read(module, pictures, allow_nonfinite=False)


def _view_document(seen: View, rows: list[dict[str, float]], html: Path | None) -> dict[str, object]:
    weights = seen.weights
    return {
        "tensor": seen.name,
        "operation": seen.kind,
        "shape": list(seen.shape),
        "axis": seen.axis,
        "samples": seen.samples,
        "min": seen.whole.low,
        "max": seen.whole.high,
        "threshold": seen.row.threshold,
        "scale": seen.scale,
        "clipped": seen.clipped(),
        "error": seen.error(),
        "channels": [{k: None if math.isnan(v) else v for k, v in row.items()} for row in rows],
        "weights": None
        if weights is None
        else {"name": weights.name, "scales": weights.scales.tolist(), "errors": weights.errors().tolist()},
        "outputs": {"html": str(html)} if html else {},
    }


def _all_tensors(args: argparse.Namespace) -> int:
    from tpumlir.data.inputs import read_samples
    from tpumlir.files import atomic_write
    from tpumlir.ir.module import Module
    from tpumlir.precision.ranges import measure

    steps = Steps(quiet=args.json)
    with steps("measure"):
        module = Module.load(args.mlir)
        ranges = measure(module, read_samples(module, args.test_input, args.cali_data))
    verdicts = {name: range_.verdict(args.range_margin) for name, range_ in ranges.tensors.items()}
    ops = {result.name: op.kind for op in ranges.module.ops() for result in op.results}
    if args.csv:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(name, ops, r, verdicts[name]) for name, r in ranges.tensors.items())
        with atomic_write(args.csv) as stream:
            stream.write(text.getvalue().encode())
    rules = _rules(module)
    if args.json:
        print_json(_document(ranges, verdicts, rules))
        return EXIT_OK
    shown = [name for name in ranges.tensors if args.all or verdicts[name]]
    if shown:
        print_table([_COLUMNS, *(_row(name, ops, ranges.tensors[name], verdicts[name]) for name in shown)])
    large = [inner for inner in ranges.inner if inner.overflows]
    if large:
        print("\nsums inside of operations that F16 would not hold; they are held in F32 in every precision:")
        print_table([(inner.op.name, inner.op.kind, inner.text()) for inner in large])
    if rules:
        print("\nkept in F32 by the precision rules, whatever the input is (docs/precision.md):")
        print_table([("tensor", "in", "rule"), *((name, *rule) for name, rule in rules.items())])
    print(
        f"{len(ranges.tensors)} tensors in {ranges.samples} runs: "
        f"{sum(v == 'overflow' for v in verdicts.values())} beyond F16, "
        f"{sum(v == 'close' for v in verdicts.values())} within a factor {args.range_margin:g} of its end, "
        f"{sum(v == 'imprecise' for v in verdicts.values())} that lose precision"
    )
    return EXIT_OK


def _row(name: str, ops: dict[str, str], range_: TensorRange, verdict: str) -> tuple[str, ...]:
    of_nonzero = max(range_.nonzero, 1)
    numbers = (range_.low, range_.high, range_.smallest)
    return (
        name, ops.get(name, ""), *(f"{number:.6g}" for number in numbers),
        f"{range_.subnormal / of_nonzero:.2%}", f"{range_.lost / of_nonzero:.2%}",
        f"{range_.f16_error:.1e}", verdict,
    )  # fmt: skip


def _rules(module: Module) -> dict[str, tuple[str, str]]:
    """The tensors that rules keep in F32: in which half precisions, and by which rule."""
    from tpumlir.precision.formats import HALVES
    from tpumlir.precision.rules import choices

    found: dict[str, tuple[str, str]] = {}
    for mode in HALVES:
        for choice in choices(module.lower(mode)):
            before = found.get(choice.tensor)
            found[choice.tensor] = (f"{before[0]}, {mode}" if before else mode, choice.why)
    return found


def _document(
    ranges: Ranges, verdicts: dict[str, str], rules: dict[str, tuple[str, str]]
) -> dict[str, object]:
    return {
        "rules": {name: {"in": modes.split(", "), "why": why} for name, (modes, why) in rules.items()},
        "samples": ranges.samples,
        "tensors": {n: r.to_json() | {"verdict": verdicts[n]} for n, r in ranges.tensors.items()},
        "inner": [
            {"tensor": i.op.name, "operation": i.op.kind, "what": i.what, "max": i.largest, "bound": i.bound}
            for i in ranges.inner
        ],
    }


main = Command(
    build_parser,
    _body,
    check=_check,
    read=("mlir", "test_input", "cali_data", "calibration_table"),
    written=("csv", "html"),
)
