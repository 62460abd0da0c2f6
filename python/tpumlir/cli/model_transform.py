"""``model_transform``: ONNX -> Top MLIR, validated against ONNX Runtime."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tpumlir.cli.common import Parser, Steps, drop_accepted, refuse_unsupported, run
from tpumlir.cli.options import (
    TRANSFORM_ACCEPTED,
    TRANSFORM_REFUSED,
    add_judge_options,
    add_onnx_options,
    add_preprocess_options,
    preprocess_of,
)


def build_parser(prog: str = "model_transform") -> Parser:
    """The command line."""
    parser = Parser(prog, "Import an ONNX model as Top MLIR and validate every tensor against ONNX Runtime.")
    parser.add_argument("--model_def", required=True, metavar="ONNX", help="the model")
    parser.add_argument("--model_name", metavar="NAME", help="name of the module; default: the file's")
    parser.add_argument("--mlir", type=Path, metavar="MLIR", help="the file to write; default: NAME.mlir")
    parser.add_argument(
        "--test_result", type=Path, metavar="NPZ", help="write the inputs and every tensor of Top"
    )
    parser.add_argument("--not_inference", action="store_true", help="do not validate")
    add_onnx_options(parser)
    add_judge_options(parser)
    add_preprocess_options(parser)
    parser.add_common()
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser()
    own_process = argv is None
    argv = sys.argv[1:] if argv is None else argv
    refuse_unsupported(parser, TRANSFORM_REFUSED, argv)
    args = parser.parse_args(drop_accepted(parser, TRANSFORM_ACCEPTED, argv))
    if args.not_inference and args.test_result:
        parser.error("--test_result needs a validation: drop --not_inference")
    return run(parser.prog, lambda: _body(args), debug=args.debug, own_process=own_process, as_json=args.json)


def _body(args: argparse.Namespace) -> int:
    from tpumlir import npz
    from tpumlir.cli.report import report, save_findings
    from tpumlir.files import all_or_none
    from tpumlir.road.compile import transform

    steps = Steps(quiet=args.json)
    result = transform(
        args.model_def, name=args.model_name, input_shapes=args.input_shapes, output_names=args.output_names,
        fixed_inputs=args.fix_input, runtime_inputs=args.runtime_inputs, test_input=args.test_input,
        allow_nonfinite=args.allow_nonfinite, preprocess=preprocess_of(args), tolerance=args.tolerance,
        element_bound=args.element_tolerance,
        excepts=args.excepts, validate=not args.not_inference, step=steps,
    )  # fmt: skip
    path = args.mlir or Path(f"{args.model_name or Path(args.model_def).stem}.mlir")
    outputs: dict[str, object] = {"mlir": str(path)}
    with steps("write"), all_or_none():
        result.module.save(path)
        if args.test_result:
            npz.save(args.test_result, result.inputs | result.tensors)
            outputs["test_result"] = str(args.test_result)
        found = save_findings(result.divergences, {"top": path})
    validations = [result.validation] if result.validation else []
    return report(
        "model_transform", validations, outputs, steps.seconds, as_json=args.json, divergences=found,
        isolate=args.isolate, top=result,
    )  # fmt: skip
