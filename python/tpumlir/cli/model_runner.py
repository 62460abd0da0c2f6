"""``model_runner``: run an ONNX model, a Top or Tpu module, or a bmodel on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from tpumlir.cli.common import EXIT_OK, Command, Parser, Steps, print_json
from tpumlir.cli.options import (
    INPUT_HELP,
    add_nonfinite_option,
    add_preprocess_options,
    add_stage_options,
    given_preprocess,
)
from tpumlir.data.preprocess import is_image

_REFUSED = {
    "--cuda": "models run on the processor; drop the flag",
    "--decrypt_lib": "encrypted models are not supported",
    "--ip": "run the bmodel on the device yourself",
    "--pwd": "run the bmodel on the device yourself",
}


def build_parser(prog: str = "model_runner") -> Parser:
    """The command line."""
    parser = Parser(
        prog, "Run an ONNX model (ONNX Runtime), a module (interpreter) or a bmodel (simulated chip)."
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help=".onnx, .mlir or .bmodel")
    parser.add_argument("--input", metavar="FILE,...", help=INPUT_HELP)
    parser.add_argument(
        "--output", type=Path, metavar="NPZ", help="write the results; without it they are listed"
    )
    add_stage_options(parser)
    parser.add_argument("--dump_all_tensors", action="store_true", help="write every tensor (.onnx, .mlir)")
    parser.add_argument(
        "--out_fixed", action="store_true", help="outputs of a bmodel as it stores them: integers of INT8"
    )
    add_nonfinite_option(parser)
    add_preprocess_options(parser, recorded=False)
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.model.suffix not in {".onnx", ".mlir", ".bmodel"}:
        parser.error(f"expected a .onnx, .mlir or .bmodel file, got {args.model}")
    if args.dump_all_tensors and args.model.suffix == ".bmodel":
        parser.error("--dump_all_tensors works for .onnx and .mlir; a bmodel has only its outputs")
    if args.model.suffix != ".bmodel" and (args.net is not None or args.stage is not None):
        parser.error("--net and --stage choose in a bmodel; drop them")
    given = given_preprocess(args)
    if given and not any(is_image(part) for part in (args.input or "").split(",")):
        parser.error(f"--{next(iter(given))} says how pictures are read: expected one in --input")


def _body(args: argparse.Namespace) -> int:
    from tpumlir import npz
    from tpumlir.road.run import run_file

    steps = Steps(quiet=args.json)
    with steps("run"):
        results = run_file(
            args.model, args.input, all_tensors=args.dump_all_tensors, allow_nonfinite=args.allow_nonfinite,
            given=given_preprocess(args), out_fixed=args.out_fixed, net=args.net, stage=args.stage,
        )  # fmt: skip
    if args.output:
        npz.save(args.output, results)
    listing = {
        name: {"shape": list(value.shape), "dtype": str(value.dtype)} for name, value in results.items()
    }
    if args.json:
        print_json({"outputs": listing, "seconds": round(steps.seconds["run"], 4)})
        return EXIT_OK
    for name, entry in listing.items():
        print(f"{name}  {entry['shape']}  {entry['dtype']}")
    if args.output:
        print(f"wrote {args.output} in {steps.seconds['run']:.2f} s")
    return EXIT_OK


main = Command(
    build_parser, _body, refused=_REFUSED, check=_check, read=("model", "input"), written=("output",)
)
