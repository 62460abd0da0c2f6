"""``tpumlir compile``: ONNX -> bmodel in one process, all three validations."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import Command, Parser, Steps
from tpumlir.cli.options import (
    DEPLOY_ACCEPTED,
    DEPLOY_REFUSED,
    TRANSFORM_ACCEPTED,
    TRANSFORM_REFUSED,
    add_judge_options,
    add_onnx_options,
    add_precision_options,
    add_preprocess_options,
    check_precision,
    count,
    deploy_options,
    import_options,
    judge_options,
    typed,
)
from tpumlir.cli.quantize import add_search_options, find_metrics_here, show, switches_of, write_tables

if TYPE_CHECKING:
    from tpumlir.road.quantize import SearchOptions
    from tpumlir.road.single import Compiled


def build_parser(prog: str = "tpumlir compile") -> Parser:
    """The command line."""
    parser = Parser(prog, "Compile an ONNX model to a bmodel and validate every stage.")
    parser.add_argument("model", metavar="ONNX", help="the model")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="BMODEL", help="the file to write; default: NAME.bmodel"
    )
    add_precision_options(parser)
    _add_search(parser)
    parser.add_argument(
        "--not_inference",
        action="store_true",
        help="do not run the ONNX model: judge Tpu and the bmodel only",
    )
    parser.add_argument(
        "--save_mlir",
        action="store_true",
        help="also write NAME_final.mlir, the Tpu module with addresses, which tpumlir verify reads",
    )
    add_onnx_options(parser, several=True)
    add_judge_options(parser, several=True)
    add_preprocess_options(parser)
    parser.add_common()
    return parser


def _add_search(parser: Parser) -> None:
    group = parser.add_argument_group(
        "INT8 from samples", "instead of a --calibration_table; with a --target the precisions are searched"
    )
    group.add_argument("--dataset", type=Path, metavar="DIR", help="as run_calibration takes it")
    group.add_argument("--data_list", type=Path, metavar="FILE", help="as run_calibration takes it")
    group.add_argument(
        "--input_num", type=typed(count), default="0", metavar="N", help="how many samples; 0: all"
    )
    add_search_options(group, target=None)


def _search_options(args: argparse.Namespace) -> SearchOptions | None:
    from tpumlir.errors import InputError
    from tpumlir.road.quantize import SearchOptions

    if args.dataset is None and args.data_list is None and args.target is None:
        if any(switches_of(args).values()):
            raise InputError(
                "--equalize, --clip, --round and --bias_correction need --dataset DIR and a --target"
            )
        return None
    find_metrics_here()
    return SearchOptions(
        args.dataset, args.data_list, args.input_num, args.target, args.held_back, args.trials,
        args.allow_nonfinite, **switches_of(args),
    )  # fmt: skip


def _body(args: argparse.Namespace) -> int:
    from tpumlir.bmodel import write
    from tpumlir.bmodel.profile import profile
    from tpumlir.cli.report import ShownFinding, Summary, report, save_auto_table, tell_precision
    from tpumlir.files import all_or_none
    from tpumlir.road.shapes import compile_shapes, shapes_of
    from tpumlir.road.single import compile_model

    steps = Steps(quiet=args.json)
    output = args.output or Path(f"{Path(args.model).stem}.bmodel")
    shapes, inputs = args.input_shapes or [], args.test_input or []
    several = len(shapes) > 1
    args.input_shapes = shapes[0] if len(shapes) == 1 else None
    args.test_input = inputs[0] if len(inputs) == 1 and not several else None
    if several:
        result: Compiled = compile_shapes(
            args.model, shapes, import_options(args, output.stem), deploy_options(args, output.stem),
            judge_options(args), inputs, not_inference=args.not_inference, search=_search_options(args),
            step=steps,
        )  # fmt: skip
    else:
        result = compile_model(
            args.model, import_options(args, output.stem), deploy_options(args, output.stem),
            judge_options(args), not_inference=args.not_inference, search=_search_options(args), step=steps,
        )  # fmt: skip
    outputs: dict[str, object] = {}
    with steps("write"), all_or_none():
        # What the last shape had was given the table of those before.
        auto = result.stages[-1].deployed.auto_table
        if auto:
            outputs["quantize_table"] = str(save_auto_table(output, auto))
        if result.search:
            place = output.with_name(f"{output.stem}_qtable")
            outputs |= write_tables(result.search, place, given=args.calibration_table)
        for number, stage in enumerate(result.stages if args.save_mlir else []):
            which = f"_stage{number}" if several else ""
            path = output.with_name(f"{output.stem}{which}_final.mlir")
            stage.deployed.final.save(path)
            outputs[f"final{which}"] = str(path)
        write(output, result.bmodel)
        outputs["bmodel"] = str(output)
    for stage in result.stages:
        if several and args.quantize.upper() != "F32" and not args.json:
            print(f"{shapes_of(stage.bmodel)}:")
        tell_precision(stage.deployed, quiet=args.json)
    if result.search and not args.json:
        show(result.search)
    found = [ShownFinding(finding) for finding in result.divergences]
    summary = Summary(
        "tpumlir compile", result.validations, outputs, steps.seconds, found, result.top,
        {shapes_of(stage.bmodel): profile(stage.bmodel, names=False) for stage in result.stages},
    )  # fmt: skip
    return report(summary, as_json=args.json, isolate=args.isolate)


def _check(parser: Parser, args: argparse.Namespace) -> None:
    check_precision(parser, args)
    shapes, inputs = len(args.input_shapes or [0]), len(args.test_input or [])
    if inputs > 1 and inputs != shapes:
        parser.error(f"--test_input: expected one for each of {shapes} shapes, or one in all, got {inputs}")


main = Command(
    build_parser,
    _body,
    refused=DEPLOY_REFUSED | TRANSFORM_REFUSED,
    accepted=DEPLOY_ACCEPTED | TRANSFORM_ACCEPTED,
    check=_check,
    read=(
        "model",
        "test_input",
        "quantize_table",
        "calibration_table",
        "cali_data",
        "data_list",
        "fix_input",
    ),
    written=("output",),
)
