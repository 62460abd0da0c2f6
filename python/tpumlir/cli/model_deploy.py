"""``model_deploy``: Top MLIR -> Tpu MLIR -> bmodel, both steps validated."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from tpumlir.cli.common import Command, Parser, Steps
from tpumlir.cli.options import (
    DEPLOY_ACCEPTED,
    DEPLOY_REFUSED,
    add_judge_options,
    add_precision_options,
    check_precision,
    deploy_options,
    judge_options,
    tolerance,
    typed,
)


def build_parser(prog: str = "model_deploy") -> Parser:
    """The command line."""
    parser = Parser(
        prog, "Compile Top MLIR to a bmodel; validate Tpu against Top and the bmodel against Tpu."
    )
    parser.add_argument("--mlir", type=Path, required=True, metavar="MLIR", help="what model_transform wrote")
    add_precision_options(parser)
    parser.add_argument("--model", type=Path, required=True, metavar="BMODEL", help="the file to write")
    parser.add_argument(
        "--test_reference",
        type=Path,
        metavar="NPZ",
        help="tensors of Top for --test_input (model_transform --test_result); without it Top is run",
    )
    parser.add_argument(
        "--compare_all", action="store_true", help="accepted: every tensor is always compared"
    )
    parser.add_argument(
        "--correctness",
        type=typed(tolerance),
        metavar="COS,EUCLID",
        help="least similarity of the bmodel's outputs; default: --tolerance",
    )
    parser.add_argument("--skip_validation", action="store_true", help="do not validate")
    add_judge_options(parser)
    parser.add_common()
    return parser


def _check(parser: Parser, args: argparse.Namespace) -> None:
    check_precision(parser, args)
    if args.test_reference and not args.test_input:
        parser.error("--test_reference needs the --test_input that it was made with")


def _body(args: argparse.Namespace) -> int:
    from tpumlir import npz
    from tpumlir.bmodel import write
    from tpumlir.bmodel.profile import profile
    from tpumlir.cli.report import Summary, report, save_auto_table, save_findings, tell_precision
    from tpumlir.files import all_or_none
    from tpumlir.ir.module import Module
    from tpumlir.road.deploy import deploy_module

    steps = Steps(quiet=args.json)
    with steps("read"):
        module = Module.load(args.mlir)
        reference = npz.load(args.test_reference) if args.test_reference else None
    judge = replace(judge_options(args), correctness=args.correctness, validate=not args.skip_validation)
    target = deploy_options(args, args.model.stem)
    result = deploy_module(module, target, judge, reference=reference, step=steps)
    outputs: dict[str, object] = {}
    with steps("write"), all_or_none():
        for key, stage in (("tpu", result.tpu), ("final", result.final)):
            path = args.model.with_name(f"{args.model.stem}_{key}.mlir")
            stage.save(path)
            outputs[key] = str(path)
        if result.auto_table:
            outputs["quantize_table"] = str(save_auto_table(args.model, result.auto_table))
        write(args.model, result.bmodel)
        outputs["bmodel"] = str(args.model)
        files = {"tpu": Path(str(outputs["tpu"])), "bmodel": Path(str(outputs["final"]))}
        found = save_findings(result.divergences, files)
    tell_precision(result, quiet=args.json)
    estimate = profile(result.bmodel, names=False)
    summary = Summary(
        "model_deploy", result.validations, outputs, steps.seconds, found, estimates={"": estimate}
    )
    return report(summary, as_json=args.json, isolate=args.isolate)


main = Command(
    build_parser,
    _body,
    refused=DEPLOY_REFUSED,
    accepted=DEPLOY_ACCEPTED,
    check=_check,
    read=("mlir", "test_input", "test_reference", "quantize_table", "calibration_table", "cali_data"),
    written=("model+",),
)
