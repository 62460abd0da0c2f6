"""``tpumlir verify``: every tensor of a bmodel where it lies on the chip, against its Tpu module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser, Steps, print_json, print_table
from tpumlir.cli.options import (
    INPUT_HELP,
    add_nonfinite_option,
    add_stage_options,
    element_bound,
    tolerance,
    typed,
)

if TYPE_CHECKING:
    from tpumlir.verify import TensorCheck, Verification

_COLUMNS = ("tensor", "operation", "node", "depth", "type", "seen", "places", "verdict", "max abs", "excess")
_COLOURS = {"WRONG": "bold red", "consequence": "yellow", "unseen": "dim", "right": "green", "equal": "green"}


def build_parser(prog: str = "tpumlir verify") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Run a bmodel on the simulated chip and compare every tensor of every operation and slice, in local "
        "memory too, with what the Tpu module computes; say which command goes wrong first.",
    )
    parser.add_argument(
        "bmodel", type=Path, metavar="BMODEL", help="a file of this compiler, with BMODEL.json"
    )
    parser.add_argument(
        "--mlir",
        type=Path,
        metavar="MLIR",
        help="its Tpu module; default: NAME_final.mlir or NAME_tpu.mlir beside it",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="NPZ",
        help="every tensor of the Tpu module (model_runner --dump_all_tensors); without it the module is run",
    )
    parser.add_argument("--input", metavar="FILE,...", help=INPUT_HELP)
    parser.add_argument(
        "--exact", action="store_true", help="integers have to be those of the reference bit for bit"
    )
    parser.add_argument(
        "--tolerance",
        type=typed(tolerance),
        metavar="COS,EUCLID",
        help="least similarity of each tensor; default: that of its precision",
    )
    parser.add_argument(
        "--element_tolerance",
        type=typed(element_bound),
        metavar="REL,RMS",
        help="how far an element may be off; default: what one operation of its precision may be",
    )
    parser.add_argument("--all", action="store_true", help="list every tensor, not only those that are wrong")
    parser.add_argument("--html", type=Path, metavar="HTML", help="write a page with charts and tables")
    add_nonfinite_option(parser)
    add_stage_options(parser)
    parser.add_common()
    return parser


def _body(args: argparse.Namespace) -> int:
    from tpumlir.bmodel import read
    from tpumlir.verify import read_reference, verify

    steps = Steps(quiet=args.json)
    with steps("read"):
        model = read(args.bmodel, net=args.net, stage=args.stage).only()
        reference = read_reference(
            model, mlir=args.mlir, tensors=args.reference, source=args.input,
            allow_nonfinite=args.allow_nonfinite, stage=args.stage,
        )  # fmt: skip
    with steps("run and compare"):
        found = verify(
            model, reference, exact=args.exact, tolerance=args.tolerance,
            element_bound=args.element_tolerance,
        )  # fmt: skip
    outputs: dict[str, str] = {}
    if args.html:
        from tpumlir.files import atomic_write
        from tpumlir.verify.page import page

        content = page(found)
        with atomic_write(args.html) as stream:
            stream.write(content)
        outputs["html"] = str(args.html)
    if args.json:
        print_json(_plain(found.to_json() | {"outputs": outputs}))
    else:
        _show(found, every=args.all)
        for path in outputs.values():
            print(f"wrote {path}")
    return EXIT_OK if found.passed else EXIT_FAILED


def _plain(value: object) -> object:
    """Infinities as text: JSON has none."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value


_FINDINGS = 20


def _show(found: Verification, *, every: bool) -> None:
    print(f"{found.model}: {found.summary()}")
    for number, finding in enumerate(found.causes[:_FINDINGS]):
        print("first:" if number == 0 else "then:", "\n".join(finding.lines()))
    rest = len(found.causes) - _FINDINGS
    follow = len(found.findings) - len(found.causes)
    if rest > 0:
        print(f"and {rest} more causes (--json has all)")
    if follow:
        print(f"{follow} more differences follow from these (--json, --html)")
    if found.worst and not found.passed:
        row = found.worst
        print(f"worst: {row.tensor} of {row.op} @ {row.node}: {_number(row.excess)} times what is allowed")
    rows = [row for row in found.tensors if every or row.is_off or row.seen < row.elements]
    if rows:
        _print([_COLUMNS, *(_cells(row) for row in rows[: None if every else 2 * _FINDINGS])])
    if not every and len(rows) > 2 * _FINDINGS:
        print(f"and {len(rows) - 2 * _FINDINGS} more tensors (--all)")


def _cells(row: TensorCheck) -> tuple[str, ...]:
    seen = "all" if row.seen == row.elements else f"{row.seen} of {row.elements}"
    return (
        row.tensor, row.op, row.node, str(row.depth), row.dtype, seen, f"{row.local} + {row.stored}",
        row.verdict, _number(row.max_abs), _number(row.excess),
    )  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _print(table: Sequence[Sequence[str]]) -> None:
    """As it is into a file; coloured where somebody looks at it."""
    if not sys.stdout.isatty():
        print_table(table)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table[0]:
        drawn.add_column(name, overflow="fold")
    for row in table[1:]:
        style = _COLOURS.get(row[7], "")
        drawn.add_row(*(Text(cell, style=style if place == 7 else "") for place, cell in enumerate(row)))
    Console().print(drawn)


main = Command(build_parser, _body, read=("bmodel", "mlir", "reference", "input"), written=("html",))
