"""``tpumlir isolate``: every operation of a module by itself, on the inputs of a reference run."""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser, print_json
from tpumlir.cli.options import INPUT_HELP, add_nonfinite_option, tolerance, typed
from tpumlir.cli.tables import print_fitting

if TYPE_CHECKING:
    from tpumlir.road.isolate import IsolatedOp, Isolation

_COLUMNS = (
    "tensor", "operation", "in", "verdict", "isolated", "accumulated", "inputs", "min", "max", "NaN, inf",
    "beyond",
)  # fmt: skip
_WORDS = ("operation", "in", "verdict")
_EXPENDABLE = ("min", "max", "inputs", "in", "operation", "beyond", "NaN, inf")
_CULPRITS = 5  # that are told in words
_ORDERS = ("own", "isolated", "accumulated", "depth")


def build_parser(prog: str = "tpumlir isolate") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Run every operation of a Top, Tpu or final module on the inputs that it has in a reference run, and "
        "tell which are off by themselves and which only by what arrives at them.",
    )
    parser.add_argument("mlir", type=Path, metavar="MLIR", help="the module")
    parser.add_argument(
        "--reference",
        type=Path,
        required=True,
        metavar="NPZ",
        help="the right tensors (model_transform --test_result, model_runner --dump_all_tensors)",
    )
    parser.add_argument(
        "--test_input", metavar="FILE,...", help=f"model inputs, if NPZ has none: {INPUT_HELP.split(';')[0]}"
    )
    parser.add_argument(
        "--tolerance",
        type=typed(tolerance),
        metavar="COS,EUCLID",
        help="when an operation is off; exit code 1 if one is by itself. Without it: what its precision is "
        "allowed to lose, and exit code 0",
    )
    parser.add_argument(
        "--sort", choices=_ORDERS, default="own",
        help="order of the rows; own: what of the isolated error the storing of its inputs does not explain",
    )  # fmt: skip
    parser.add_argument("--top", type=int, default=30, metavar="N", help="rows of the table; 0: all of them")
    parser.add_argument("--html", type=Path, metavar="HTML", help="write a page with charts by depth")
    parser.add_argument("--csv", type=Path, metavar="CSV", help="write every operation as csv")
    add_nonfinite_option(parser)
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.top < 0:
        parser.error(f"--top: expected a number of at least 0, got {args.top}")


def _body(args: argparse.Namespace) -> int:
    from tpumlir import npz
    from tpumlir.data.inputs import read_inputs
    from tpumlir.ir.module import Module
    from tpumlir.road.isolate import isolate

    module = Module.load(args.mlir)
    inputs = None
    if args.test_input:
        inputs = read_inputs(args.test_input, module, allow_nonfinite=args.allow_nonfinite, fixed_wins=True)
    found = isolate(module, npz.load(args.reference), inputs, tolerance=args.tolerance)
    code = EXIT_OK if args.tolerance is None or found.passed else EXIT_FAILED
    written = _write(args, found)
    if args.json:
        print_json(found.to_json() | {"outputs_written": written})
        return code
    _show(args, found)
    if written:
        print("wrote " + ", ".join(written.values()))
    return code


def _write(args: argparse.Namespace, found: Isolation) -> dict[str, str]:
    """Write the files that were asked for. Raises: OSError; TpumlirError: plotly is missing."""
    from tpumlir.files import all_or_none, atomic_write
    from tpumlir.road.isolate_page import page

    written = {}
    with all_or_none():
        if args.html:
            content = page(found, args.mlir.stem)
            with atomic_write(args.html) as stream:
                stream.write(content)
            written["html"] = str(args.html)
        if args.csv:
            text = io.StringIO()
            rows = [_flat(op) for op in found.ops]
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
            with atomic_write(args.csv) as stream:
                stream.write(text.getvalue().encode())
            written["csv"] = str(args.csv)
    return written


def _flat(op: IsolatedOp) -> dict[str, object]:
    """A row of the csv: the JSON of an operation, without anything nested."""
    flat: dict[str, object] = {}
    for key, value in op.to_json().items():
        if key in {"got", "want"}:
            flat |= {
                f"{key}_{part}": number
                for part, number in (
                    value if isinstance(value, dict) else dict.fromkeys(("min", "max", "nan", "inf"))
                ).items()
            }
        else:
            flat[key] = " ".join(value) if isinstance(value, list) else value
    return flat


def _show(args: argparse.Namespace, found: Isolation) -> None:
    for note in found.notes:
        print(f"note: {note}")
    for name, error in found.outputs.items():
        print(f"output {name}: relative error {_percent(error)}")
    ordered = [op for op in found.by(args.sort) if op.isolated is not None or op.message]
    shown = ordered[: args.top or None]
    print_fitting([_COLUMNS, *(_row(op) for op in shown)], words=_WORDS, expendable=_EXPENDABLE)
    if len(shown) < len(ordered):
        print(f"and {len(ordered) - len(shown)} more (--top 0 shows all)")
    if found.missing:
        print(f"no reference, computed on the way: {_listed(found.missing)}")
    print(found.summary())
    for op in found.culprits[:_CULPRITS]:
        node = f", node {op.node}" if op.node != op.tensor else ""
        print(f"  {op.tensor} ({op.kind}{node}): {op.message}")
    for op in [op for op in found.ops if op.isolated is None and op.message][:_CULPRITS]:
        print(f"  {op.tensor} ({op.kind}) cannot be run by itself: {op.message}")


def _row(op: IsolatedOp) -> tuple[str, ...]:
    extent = op.got
    known = extent.low <= extent.high
    strange = [f"{count} {what}" for count, what in ((extent.nan, "NaN"), (extent.infinite, "inf")) if count]
    return (
        op.tensor, op.kind, op.precision, op.verdict, _percent(op.isolated), _percent(op.accumulated),
        _percent(op.inputs) if op.inputs else "",
        *(f"{value:.6g}" if known else "" for value in (extent.low, extent.high)),
        ", ".join(strange), f"{op.beyond:.2%}" if op.beyond else "",
    )  # fmt: skip


def _percent(error: float | None) -> str:
    if error is None:
        return "-"
    return f"{100 * error:.3g}%" if math.isfinite(error) else "inf"


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:6])
    return few if len(names) <= 6 else f"{few} and {len(names) - 6} more"


main = Command(
    build_parser, _body, check=_check, read=("mlir", "reference", "test_input"), written=("html", "csv")
)
