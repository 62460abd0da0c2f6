"""``tpumlir compile``: ONNX -> bmodel in one process, all three validations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tpumlir.cli.common import Parser, Steps, drop_accepted, refuse_unsupported, run
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
    preprocess_of,
    range_policy,
)


def build_parser(prog: str = "tpumlir compile") -> Parser:
    """The command line."""
    parser = Parser(prog, "Compile an ONNX model to a bmodel and validate every stage.")
    parser.add_argument("model", metavar="ONNX", help="the model")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="BMODEL", help="the file to write; default: NAME.bmodel"
    )
    add_precision_options(parser)
    parser.add_argument("--chip", "--processor", default="bm1684x", metavar="CHIP", help="bm1684x")
    parser.add_argument(
        "--not_inference",
        action="store_true",
        help="do not run the ONNX model: judge Tpu and the bmodel only",
    )
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
    refuse_unsupported(parser, {**DEPLOY_REFUSED, **TRANSFORM_REFUSED}, argv)
    args = parser.parse_args(drop_accepted(parser, DEPLOY_ACCEPTED | TRANSFORM_ACCEPTED, argv))
    check_precision(parser, args)
    return run(parser.prog, lambda: _body(args), debug=args.debug, own_process=own_process, as_json=args.json)


def _body(args: argparse.Namespace) -> int:
    from tpumlir.bmodel import write
    from tpumlir.cli.report import ShownFinding, report, save_auto_table, tell_precision
    from tpumlir.files import all_or_none
    from tpumlir.road.compile import compile_onnx

    steps = Steps(quiet=args.json)
    output = args.output or Path(f"{Path(args.model).stem}.bmodel")
    result = compile_onnx(
        args.model, quantize=args.quantize, quantize_table=args.quantize_table,
        ranges=range_policy(args), chip=args.chip,
        name=output.stem, input_shapes=args.input_shapes,
        output_names=args.output_names, fixed_inputs=args.fix_input, runtime_inputs=args.runtime_inputs,
        test_input=args.test_input, allow_nonfinite=args.allow_nonfinite, preprocess=preprocess_of(args),
        tolerance=args.tolerance,
        element_bound=args.element_tolerance, excepts=args.excepts,
        not_inference=args.not_inference, step=steps,
        locate=args.isolate is not None,
    )  # fmt: skip
    outputs: dict[str, object] = {}
    with steps("write"), all_or_none():
        if result.deployed.auto_table:
            outputs["quantize_table"] = str(save_auto_table(output, result.deployed.auto_table))
        write(output, result.bmodel)
        outputs["bmodel"] = str(output)
    tell_precision(result.deployed, quiet=args.json)
    return report(
        "tpumlir compile", result.validations, outputs, steps.seconds, as_json=args.json,
        divergences=[ShownFinding(finding) for finding in result.divergences], isolate=args.isolate,
        top=result.top,
    )  # fmt: skip
