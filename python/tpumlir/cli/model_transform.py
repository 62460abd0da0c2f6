"""``model_transform``: ONNX -> Top MLIR, validated against ONNX Runtime."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tpumlir.cli.common import Command, Parser, Steps
from tpumlir.cli.options import (
    TRANSFORM_ACCEPTED,
    TRANSFORM_REFUSED,
    add_judge_options,
    add_onnx_options,
    add_preprocess_options,
    import_options,
    judge_options,
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


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.not_inference and args.test_result:
        parser.error("--test_result needs a validation: drop --not_inference")


def _body(args: argparse.Namespace) -> int:
    from tpumlir import npz
    from tpumlir.cli.report import Summary, report, save_findings
    from tpumlir.files import all_or_none
    from tpumlir.road.transform import transform_model

    steps = Steps(quiet=args.json)
    judge = replace(judge_options(args), validate=not args.not_inference)
    result = transform_model(args.model_def, import_options(args, args.model_name), judge, step=steps)
    path = args.mlir or Path(f"{args.model_name or Path(args.model_def).stem}.mlir")
    outputs: dict[str, object] = {"mlir": str(path)}
    with steps("write"), all_or_none():
        result.module.save(path)
        if args.test_result:
            npz.save(args.test_result, result.inputs | result.tensors)
            outputs["test_result"] = str(args.test_result)
        found = save_findings(result.divergences, {"top": path})
    validations = [result.validation] if result.validation else []
    summary = Summary("model_transform", validations, outputs, steps.seconds, found, result)
    return report(summary, as_json=args.json, isolate=args.isolate)


main = Command(
    build_parser,
    _body,
    refused=TRANSFORM_REFUSED,
    accepted=TRANSFORM_ACCEPTED,
    check=_check,
    read=("model_def", "test_input", "fix_input"),
    written=("mlir+", "test_result"),
)
