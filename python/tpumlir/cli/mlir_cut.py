"""``mlir_cut``: a part of a Top, Tpu or final module as a module of its own, with the tensors to check it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser, print_json
from tpumlir.cli.options import names, tolerance, typed

if TYPE_CHECKING:
    from tpumlir.ir.module import Module
    from tpumlir.npz import Array

_REFUSED = {"--config_file": "give --mode, --input_names and --output_names"}


def build_parser(prog: str = "mlir_cut") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Cut a part out of a Top, Tpu or final module. Writes CUT.mlir with its weights, CUT_inputs.npz and "
        "CUT_outputs.npz: what model_runner and model_deploy take, and what they should give.",
    )
    parser.add_argument("--mlir", type=Path, required=True, metavar="MLIR", help="the module")
    parser.add_argument(
        "--mode",
        choices=["io", "bt", "ft"],
        default="io",
        help="io: all between --input_names and --output_names; bt: --num operations back from the outputs; "
        "ft: --num operations forward from the inputs",
    )
    parser.add_argument("--num", type=int, default=1, metavar="N", help="how many operations deep (bt, ft)")
    parser.add_argument(
        "--input_names", type=names, default=[], metavar="NAME,...", help="tensors that become inputs"
    )
    parser.add_argument(
        "--output_names",
        type=names,
        default=[],
        metavar="NAME,...",
        help="tensors that become outputs; ft without them: those that nothing in the cut reads",
    )
    parser.add_argument(
        "--ref_data",
        type=Path,
        metavar="NPZ",
        help="values of tensors (model_transform --test_result, model_runner --dump_all_tensors); without "
        "it the whole module is run",
    )
    parser.add_argument(
        "--test_input", metavar="FILE", help="what to run the whole module with; random numbers without it"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="MLIR", help="the file to write; default: MLIR's name with _cut"
    )
    parser.add_argument(
        "--do_verify", action="store_true", help="run the cut and compare its outputs with the reference"
    )
    parser.add_argument(
        "--tolerance",
        type=typed(tolerance),
        default="0.9999,0.999",
        metavar="COS,EUCLID",
        help="of --do_verify",
    )
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.mode in {"io", "bt"} and not args.output_names:
        parser.error(f"--mode {args.mode} needs --output_names")
    if args.mode in {"io", "ft"} and not args.input_names:
        parser.error(f"--mode {args.mode} needs --input_names")
    if args.ref_data and args.test_input:
        parser.error("expected --ref_data or --test_input, got both")


def _body(args: argparse.Namespace) -> int:
    from tpumlir.compare import compare
    from tpumlir.ir.interpreter import ModuleInterpreter
    from tpumlir.ir.module import Module
    from tpumlir.road.reproducer import CutFiles, Reproducer

    module = Module.load(args.mlir)
    part = _cut(module, args)
    reproducer = Reproducer.of(part, _reference(module, args))
    files = CutFiles(args.output or args.mlir.with_name(f"{args.mlir.stem}_cut.mlir"))
    files.save(reproducer)
    verdict = None
    if args.do_verify:
        got = ModuleInterpreter(part).run(reproducer.inputs)
        verdict = compare(
            got, reproducer.outputs, tolerance=args.tolerance, label="cut against the reference"
        )
    if args.json:
        print_json({
            "passed": verdict is None or verdict.passed,
            "outputs": {"mlir": str(files.mlir), "inputs": str(files.inputs), "outputs": str(files.outputs)},
            "input_names": list(reproducer.inputs),
            "output_names": list(reproducer.outputs),
            "operations": _count(part),
            "validations": [verdict.to_json()] if verdict else [],
        })  # fmt: skip
    else:
        print(f"inputs: {', '.join(reproducer.inputs)}")
        print(f"outputs: {', '.join(reproducer.outputs)}")
        print(f"wrote {files.mlir} ({_count(part)} operations), {files.inputs}, {files.outputs}")
        if verdict:
            print(verdict.summary())
    return EXIT_OK if verdict is None or verdict.passed else EXIT_FAILED


def _cut(module: Module, args: argparse.Namespace) -> Module:
    from tpumlir.ir import cut

    if args.mode == "bt":
        return cut.backwards(module, args.output_names, args.num, inputs=args.input_names)
    if args.mode == "ft":
        return cut.forwards(module, args.input_names, args.num, outputs=args.output_names)
    return cut.between(module, args.input_names, args.output_names)


def _reference(module: Module, args: argparse.Namespace) -> Mapping[str, Array]:
    from tpumlir import npz
    from tpumlir.data.inputs import read_inputs
    from tpumlir.ir.interpreter import ModuleInterpreter

    if args.ref_data:
        return npz.load(args.ref_data)
    inputs = read_inputs(args.test_input, module)
    return inputs | ModuleInterpreter(module).run(inputs, all_tensors=True)


def _count(module: Module) -> int:
    from tpumlir.ir.graph import Graph

    return sum(op.kind != "top.Input" for op in Graph(module).ops)


main = Command(
    build_parser,
    _body,
    refused=_REFUSED,
    check=_check,
    read=("mlir", "ref_data", "test_input"),
    written=("output+",),
)
