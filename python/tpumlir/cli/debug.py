"""``tpumlir debug``: a bmodel on the simulated chip, command by command, forward and back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser
from tpumlir.cli.options import (
    INPUT_HELP,
    add_nonfinite_option,
    add_stage_options,
    element_bound,
    tolerance,
    typed,
)

if TYPE_CHECKING:
    from tpumlir.debugger.commands import Commands


def build_parser(prog: str = "tpumlir debug") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Run a bmodel, ours or the vendor's, on the simulated chip under a debugger: breakpoints, steps, the "
        "way back, tensors and memory, comparison with a reference.",
    )
    parser.add_argument("bmodel", type=Path, metavar="BMODEL", help="the program")
    parser.add_argument("--input", metavar="FILE,...", help=INPUT_HELP)
    parser.add_argument(
        "--reference", type=Path, metavar="NPZ",
        help="tensors to compare with (model_runner --dump_all_tensors); without it the module is run",
    )  # fmt: skip
    parser.add_argument(
        "--mlir", type=Path, metavar="MLIR",
        help="the Tpu module of this bmodel, to compare with, and for its lines if it is the final one; "
        "default: NAME_final.mlir or NAME_tpu.mlir beside it, if there is one",
    )  # fmt: skip
    parser.add_argument(
        "--commands", metavar="FILE", help="commands to run instead of asking for them; -: standard input"
    )
    parser.add_argument(
        "--replay", action="store_true",
        help="BMODEL is a file of commands that `save NAME.npz` wrote: run it and compare",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=typed(tolerance), metavar="COS,EUCLID",
        help="how far a tensor may be off; default: as model_deploy judges a bmodel",
    )  # fmt: skip
    parser.add_argument(
        "--element_tolerance", type=typed(element_bound), metavar="REL[,SCALE]",
        help="the same of each element",
    )  # fmt: skip
    parser.add_argument(
        "--history", type=int, default=256, metavar="MIB", help="memory for the way back, in MiB"
    )
    add_nonfinite_option(parser)
    add_stage_options(parser)
    parser.add_argument("--debug", action="store_true", help="show a traceback if something goes wrong")
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.history < 1:
        parser.error(f"--history: expected a number of at least 1, got {args.history}")


def _body(args: argparse.Namespace) -> int:
    if args.replay:
        return _replay(args.bmodel)
    from tpumlir.debugger.shell import run_interactive, run_script

    commands = _open(args)

    def out(text: str) -> None:
        print(text, flush=True)

    if args.commands is None:
        for line in commands.run("info program"):
            out(line)
        run_interactive(commands, out)
    elif args.commands == "-":
        run_script(commands, sys.stdin, "<stdin>", out)
    else:
        with Path(args.commands).open(encoding="utf-8") as lines:
            run_script(commands, lines, args.commands, out)
    return EXIT_OK


def _open(args: argparse.Namespace) -> Commands:
    from tpumlir import bmodel, npz
    from tpumlir.debugger.commands import Commands
    from tpumlir.debugger.session import Options, Session
    from tpumlir.ir.module import Module
    from tpumlir.road.run import input_numbers
    from tpumlir.verify.reference import module_beside

    whole = bmodel.read(args.bmodel)
    model = whole.only(args.net, args.stage)
    numbers = input_numbers(model, args.input, allow_nonfinite=args.allow_nonfinite)
    inputs = {spec.name: spec.stored(numbers[spec.name]) for spec in model.inputs}
    reference = npz.load(args.reference) if args.reference else None
    path = args.mlir or module_beside(model.path, args.stage)
    options = Options(
        tpu_text=args.mlir, module=(lambda: Module.load(path)) if path else None, tolerance=args.tolerance,
        bound=args.element_tolerance, allow_nan=args.allow_nonfinite, history=args.history << 20,
        net=args.net, stage=args.stage,
    )  # fmt: skip
    return Commands(Session(whole, inputs, reference, options))


def _replay(path: Path) -> int:
    from tpumlir.debugger.memory import address_text
    from tpumlir.debugger.saved import SavedCommands, differences

    saved = SavedCommands.load(path)
    wrong = differences(saved, saved.run())
    for address, count in wrong:
        print(f"{address_text(address)}: {count} bytes are not as they were saved")
    total = sum(map(len, saved.after.values()))
    print(f"{len(saved.commands)} commands ran, {total:,} bytes " + ("differ" if wrong else "as saved"))
    return EXIT_FAILED if wrong else EXIT_OK


# Ctrl-C stops the program that is debugged, not the debugger.
main = Command(build_parser, _body, check=_check, catches_interrupts=True)
