"""``bmodel_dis``: the commands of a bmodel as text, or the difference of two bmodels."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tpumlir import bmodel
from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser
from tpumlir.cli.options import add_stage_options

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel

_UNSUPPORTED = {"--less": "pipe the output into less"}
_UNSUPPORTED_FORMATS = {
    "reg-set": "use --format reg",
    "version": "use model_tool --info",
}


def build_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        "bmodel_dis", "Disassemble a bmodel; with two of them, print how their commands differ (exit code 1)."
    )
    parser.add_argument("bmodels", nargs="+", metavar="bmodel", help="one file, or two to compare")
    parser.add_argument(
        "--format",
        "--fmt",
        default="mlir",
        choices=[*bmodel.FORMATS, *_UNSUPPORTED_FORMATS],
        help="mlir: generic operations with their nodes; reg: one JSON object per command; "
        "bits: every field; bin: hexadecimal bytes",
    )
    add_stage_options(parser)
    parser.add_argument("-N", type=int, default=3, metavar="LINES", help="lines of context in a comparison")
    parser.add_argument("--debug", action="store_true", help="show a traceback if something goes wrong")
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.format in _UNSUPPORTED_FORMATS:
        parser.error(f"--format {args.format} is not supported yet: {_UNSUPPORTED_FORMATS[args.format]}")
    if len(args.bmodels) > 2:
        parser.error(f"expected one or two bmodels, got {len(args.bmodels)}")


def _body(args: argparse.Namespace) -> int:
    paths, form = args.bmodels, args.format
    models = [bmodel.read(path, net=args.net, stage=args.stage, legality=False) for path in paths]
    if len(models) == 2:
        left, right = (list(_disassemble(model, form)) for model in models)
        difference = list(difflib.unified_diff(left, right, paths[0], paths[1], lineterm="", n=args.N))
        for line in difference:
            print(line)
        return EXIT_FAILED if difference else EXIT_OK
    (model,) = models
    for line in _disassemble(model, form):
        print(line)
    violations = [
        violation
        for name, stage in _named(model)
        for violation in bmodel.violations_of(stage, stage.debug, f"{model.path}{name and ': '}{name}")
    ]
    for violation in violations:
        print(f"bmodel_dis: illegal: {violation}", file=sys.stderr)
    return EXIT_FAILED if violations else EXIT_OK


def _named(model: BModel) -> Iterator[tuple[str, BModel]]:
    """Each stage with what it is called; the only one needs no name."""
    for network in model.networks:
        for number, stage in enumerate(network.stages):
            yield f"{network.name} stage {number}" if len(model.stages) > 1 else "", stage


def _disassemble(model: BModel, form: str) -> Iterator[str]:
    """The commands of all stages, one behind the other."""
    for name, stage in _named(model):
        if name:
            yield f"// {name}"
        yield from bmodel.disassemble(stage, form)


main = Command(build_parser, _body, refused=_UNSUPPORTED, check=_check)
