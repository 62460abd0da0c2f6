"""``tpumlir check``: which nodes of an ONNX model cannot be compiled, and what to do."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser, print_json, print_table
from tpumlir.cli.options import add_onnx_options, import_options

if TYPE_CHECKING:
    from tpumlir.road.check import Report


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(
        "tpumlir check",
        "Say which operators of an ONNX model can be compiled in which precision, which nodes are refused, "
        "why, and what to do; nothing is written or run. Exit code 1 if a node is refused.",
    )
    parser.add_argument("model", metavar="ONNX", help="the model")
    add_onnx_options(parser)
    parser.add_common()
    return parser


def _body(args: argparse.Namespace) -> int:
    from tpumlir.road.check import check

    report = check(args.model, import_options(args))
    if args.json:
        print_json(_document(report))
    else:
        _print(report)
    return EXIT_OK if report.passed else EXIT_FAILED


def _print(report: Report) -> None:
    from tpumlir.precision.formats import FLOATS

    rows: list[tuple[str, ...]] = [("operator", "nodes", *FLOATS)]
    for op_type, count in report.counts.items():
        refused = [report.refused(op_type, precision) for precision in FLOATS]
        rows.append((op_type, str(count), *("yes" if not n else f"{n} refused" for n in refused)))
    print_table(rows)
    if report.refusals:
        print(f"\n{len({r.node for r in report.refusals})} nodes are refused:")
        print_table([
            ("node", "operator", "step", "precision", "why", "what to do"),
            *((r.node, r.op_type, r.step, ",".join(r.precisions), r.reason, r.remedy)
              for r in report.refusals),
        ])  # fmt: skip
    if report.unreached:
        print(f"\nnot looked at, for no shapes are known before them: {', '.join(report.unreached)}")
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if report.passed:
        print(f"\nall {sum(report.counts.values())} nodes can be compiled")


def _document(report: Report) -> dict[str, object]:
    from tpumlir.precision.formats import FLOATS

    return {
        "passed": report.passed,
        "operators": [
            {
                "operator": op_type,
                "nodes": count,
                "refused": {precision: report.refused(op_type, precision) for precision in FLOATS},
            }
            for op_type, count in report.counts.items()
        ],
        "refused": [
            {
                "node": r.node, "operator": r.op_type, "step": r.step, "precisions": r.precisions,
                "reason": r.reason, "remedy": r.remedy,
            }
            for r in report.refusals
        ],
        "notes": [str(note) for note in report.notes],
        "warnings": [str(warning) for warning in report.warnings],
        "unreached": [{"node": node, "operator": op} for node, op in report.unreached.items()],
    }  # fmt: skip


main = Command(build_parser, _body)
