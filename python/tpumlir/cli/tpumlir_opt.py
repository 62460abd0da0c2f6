"""``tpumlir-opt`` (also ``tpuc-opt``): run passes on an MLIR file, in the order of the flags."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tpumlir.cli.common import EXIT_OK, Command, Parser

# TPU-MLIR frames every call with these; here a module is ready when it is read.
_FRAMES = {"--init", "--deinit", "--mlir-disable-threading"}
_OWN = {
    "-o",
    "--output",
    "--debug",
    "--help",
    "-h",
    "--split-input-file",
    "--verify-diagnostics",
    "--mlir-print-local-scope",
}


class _Parser(Parser):
    """Takes the passes out before it looks at the flags: they are many, and their order counts."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does; the passes become ``pipeline``."""
        pipeline, rest = split_passes(sys.argv[1:] if args is None else args)
        found, unknown = super().parse_known_args(rest, namespace)
        found.pipeline = pipeline
        return found, unknown


def build_parser(prog: str | None = None) -> Parser:
    """The command line, but for the passes."""
    called = Path(sys.argv[0]).name
    parser = _Parser(
        prog or (called if called.endswith("opt") else "tpumlir-opt"),
        "Run passes on an MLIR file: tpumlir-opt in.mlir --shape-infer --canonicalize -o out.mlir. "
        'Options of a pass follow it: --pass="key=value key=value".',
    )
    parser.add_argument("input", type=Path, nargs="?", help="MLIR file; its weights are read from beside it")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="MLIR", help="the file to write, else it is printed"
    )
    for flag, what in (
        ("split-input-file", "the file holds several modules, separated by // -----"),
        ("verify-diagnostics", "compare the errors with the expected-error comments"),
        ("mlir-print-local-scope", "print each location beside its operation"),
    ):
        parser.add_argument(
            f"-{flag}", f"--{flag}", action="store_true", help=f"{what}; weights have no data"
        )
    parser.add_argument("--debug", action="store_true", help="show a traceback if something goes wrong")
    return parser


def split_passes(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The pipeline that flags such as ``--canonicalize`` or ``--pass="k=v"`` spell, and what remains."""
    passes: list[str] = []
    rest: list[str] = []
    for i, arg in enumerate(argv):
        name, _, options = arg.partition("=")
        if not name.startswith("--") or name in _OWN or (i and argv[i - 1] in {"-o", "--output"}):
            rest.append(arg)
        elif name not in _FRAMES:
            options = re.sub(r"\s+", " ", options.strip().strip("\"'"))
            passes.append(name[2:] + (f"{{{options}}}" if options else ""))
    return ",".join(passes), rest


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.input is None:
        parser.error("expected an MLIR file")


def _body(args: argparse.Namespace) -> int:
    from tpumlir.ir.module import Module

    if args.split_input_file or args.verify_diagnostics or args.mlir_print_local_scope:
        return _text(args)
    module = Module.load(args.input)
    if args.pipeline:
        module.run_pipeline(args.pipeline)
    if args.output:
        module.save(args.output)
    else:
        print(module.print(), end="")
    return EXIT_OK


def _text(args: argparse.Namespace) -> int:
    """Treat a test's text, whose weights have no data."""
    from tpumlir._core import ir

    code, out, messages = ir.opt(
        args.input.read_text(encoding="utf-8"),
        args.pipeline,
        split_input_file=args.split_input_file,
        verify_diagnostics=args.verify_diagnostics,
        local_scope=args.mlir_print_local_scope,
        file=str(args.input),
    )
    print(messages, end="", file=sys.stderr)
    if args.output:
        args.output.write_text(out, encoding="utf-8")
    else:
        print(out, end="")
    return code


main = Command(build_parser, _body, check=_check)
