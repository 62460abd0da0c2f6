"""``tpumlir sensitivity``: the error of every operation of a quantised module."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_OK, Command, Parser, print_json, print_table
from tpumlir.cli.options import INPUT_HELP, add_nonfinite_option

if TYPE_CHECKING:
    from tpumlir.accuracy.sensitivity import Sensitivity


def build_parser(prog: str = "tpumlir sensitivity") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Run a quantised module beside the one in F32 and print the error of every operation: what it adds "
        "itself, what has accumulated at its result, and its share of the error of the outputs.",
    )
    parser.add_argument("mlir", type=Path, metavar="MLIR", help="what model_transform wrote")
    parser.add_argument("--input", metavar="FILE,...", help=INPUT_HELP)
    parser.add_argument("--quantize", default="INT8", metavar="MODE", help="precision of the module")
    parser.add_argument("--calibration_table", type=Path, metavar="FILE", help="INT8 needs it")
    parser.add_argument("--quantize_table", type=Path, metavar="FILE", help="lines `tensor mode`")
    parser.add_argument("--by", choices=("share", "isolated", "accumulated", "depth"), default="share",
                        help="order of the rows")  # fmt: skip
    parser.add_argument("--top", type=int, default=30, metavar="N", help="rows of the table; 0: all of them")
    parser.add_argument("--html", type=Path, metavar="HTML", help="write a page with charts by depth")
    parser.add_argument("--chip", "--processor", default="bm1684x", metavar="CHIP", help="bm1684x")
    add_nonfinite_option(parser)
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    from tpumlir.precision.formats import MODES, PRECISIONS, listed

    args.quantize = args.quantize.upper()
    if args.quantize not in MODES:
        parser.error(f"--quantize: expected {listed()}, got {args.quantize}")
    if PRECISIONS[args.quantize].needs_calibration and args.calibration_table is None:
        parser.error(f"--quantize {args.quantize} needs --calibration_table (run_calibration writes it)")
    if args.top < 0:
        parser.error(f"--top: expected a number of at least 0, got {args.top}")


def _body(args: argparse.Namespace) -> int:
    from tpumlir.accuracy.page import depth_page
    from tpumlir.accuracy.sensitivity import sensitivity
    from tpumlir.data.inputs import read_samples
    from tpumlir.files import atomic_write
    from tpumlir.ir.module import Module

    module = Module.load(args.mlir)
    found = sensitivity(
        module,
        read_samples(module, args.input, None, allow_nonfinite=args.allow_nonfinite),
        quantize=args.quantize,
        calibration_table=args.calibration_table,
        quantize_table=args.quantize_table,
        chip=args.chip,
    )
    written = {}
    if args.html:
        text = depth_page(found, args.mlir.stem)
        with atomic_write(args.html) as stream:
            stream.write(text)
        written["html"] = str(args.html)
    if args.json:
        print_json(found.to_json() | {"outputs_written": written})
        return EXIT_OK
    _show(args, found)
    if written:
        print("wrote " + ", ".join(written.values()))
    return EXIT_OK


def _show(args: argparse.Namespace, found: Sensitivity) -> None:
    for name, error in found.outputs.items():
        print(f"output {name}: relative error {error:.3%}")
    key = args.by
    ordered = sorted(
        found.ops, key=lambda error: (error.depth if key == "depth" else -getattr(error, key), error.depth)
    )
    shown = ordered[: args.top or None]
    rows = [("tensor", "operation", "precision", "isolated", "accumulated", "share")]
    rows += [
        (e.tensor, e.kind, e.precision, f"{e.isolated:.3%}", f"{e.accumulated:.3%}", f"{e.share:.2%}")
        for e in shown
    ]
    print_table(rows)
    if len(shown) < len(ordered):
        print(f"and {len(ordered) - len(shown)} more (--top 0 shows all)")


main = Command(
    build_parser,
    _body,
    check=_check,
    read=("mlir", "input", "calibration_table", "quantize_table"),
    written=("html",),
)
