"""``tpumlir-opt`` (also ``tpuc-opt``): run passes on an MLIR file, in the order of the flags."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tpumlir.cli.common import EXIT_OK, Parser, run

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


def build_parser(prog: str) -> Parser:
    """The command line, but for the passes, which are taken out before."""
    parser = Parser(
        prog,
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    prog = Path(sys.argv[0]).name if argv is None and sys.argv[0].endswith("opt") else "tpumlir-opt"
    own_process = argv is None
    parser = build_parser(prog)
    pipeline, rest = split_passes(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(rest)
    if args.input is None:
        parser.error("expected an MLIR file")
    return run(prog, lambda: _body(args, pipeline), debug=args.debug, own_process=own_process)


def _body(args: argparse.Namespace, pipeline: str) -> int:
    from tpumlir.ir.module import Module

    if args.split_input_file or args.verify_diagnostics or args.mlir_print_local_scope:
        return _text(args, pipeline)
    module = Module.load(args.input)
    if pipeline:
        module.run_pipeline(pipeline)
    if args.output:
        module.save(args.output)
    else:
        print(module.print(), end="")
    return EXIT_OK


def _text(args: argparse.Namespace, pipeline: str) -> int:
    """Treat a test's text, whose weights have no data."""
    from tpumlir._core import ir

    code, out, messages = ir.opt(
        args.input.read_text(encoding="utf-8"),
        pipeline,
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
