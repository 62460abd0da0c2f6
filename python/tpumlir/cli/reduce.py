"""``tpumlir reduce``: the smallest model that still shows a fault."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import EXIT_FAILED, EXIT_OK, Command, Parser, print_json
from tpumlir.cli.options import (
    DEPLOY_ACCEPTED,
    DEPLOY_REFUSED,
    TRANSFORM_ACCEPTED,
    TRANSFORM_REFUSED,
    add_nonfinite_option,
    add_onnx_options,
    add_precision_options,
    add_preprocess_options,
    check_precision,
    count,
    deploy_options,
    element_bound,
    given_preprocess,
    import_options,
    names,
    positive,
    tolerance,
    typed,
)

if TYPE_CHECKING:
    from tpumlir.reduce.report import Report
    from tpumlir.reduce.request import Request
    from tpumlir.reduce.run import Options


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(
        "tpumlir reduce",
        "Make an ONNX model as small as possible while it still shows a fault, and write a folder with it, "
        "an input and run.sh. Exit code 1 if the model does not show it.",
    )
    parser.add_argument("model", metavar="ONNX", help="the model")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="the folder to write; default: NAME_reduced"
    )
    _add_predicates(parser)
    parser.add_argument(
        "--import", dest="imports", action="append", default=[], type=Path, metavar="FILE.py",
        help="run this file before a model is compiled, for instance a converter to try (may be repeated)",
    )  # fmt: skip
    _add_bounds(parser)
    add_precision_options(parser)
    _add_samples(parser)
    add_onnx_options(parser)
    add_preprocess_options(parser, recorded=False)
    _add_judging(parser)
    parser.add_common()
    return parser


def _add_predicates(parser: Parser) -> None:
    group = parser.add_argument_group("what the model shows (one of)")
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument(
        "--fails-validation", "--fails_validation", action="store_true", help="a validation of compile fails"
    )
    one.add_argument(
        "--crashes", action="store_true",
        help="compile dies of a signal, does not end, or raises what is no error of tpumlir",
    )  # fmt: skip
    one.add_argument("--refused", action="store_true", help="compile refuses it")
    one.add_argument(
        "--wrong", metavar="NODE", help="a stage computes this node or tensor otherwise than ONNX Runtime"
    )
    one.add_argument(
        "--script", type=Path, metavar="FILE",
        help="this program ends with 0; it gets the path of the model, in a folder with model.onnx and "
        "input.npz",
    )  # fmt: skip
    group.add_argument(
        "--any",
        action="store_true",
        help="any fault of the sort will do, not only that of the whole model",
    )
    group.add_argument(
        "--check", action="store_true", help="only say whether the model shows it: exit code 0 if it does"
    )


def _add_bounds(parser: Parser) -> None:
    group = parser.add_argument_group("time")
    group.add_argument(
        "--timeout", type=typed(_seconds), default="600", metavar="SECONDS", help="of the whole reduction"
    )
    group.add_argument(
        "--candidate_timeout", type=typed(_seconds), metavar="SECONDS",
        help="of one model; longer means that it does not end; without it 5 times what the whole model "
        "takes, 20 to 60",
    )  # fmt: skip
    group.add_argument(
        "-j", "--jobs", type=typed(positive), metavar="N",
        help="models judged at once, which changes the time only; without it one per processor",
    )  # fmt: skip
    group.add_argument(
        "--resume", action="store_true", help="go on where a run with the same flags and folder ended"
    )


def _add_samples(parser: Parser) -> None:
    group = parser.add_argument_group("INT8 from samples", "instead of a --calibration_table")
    group.add_argument("--dataset", type=Path, metavar="DIR", help="as run_calibration takes it")
    group.add_argument("--data_list", type=Path, metavar="FILE", help="as run_calibration takes it")
    group.add_argument(
        "--input_num", type=typed(count), default="0", metavar="N", help="how many samples; 0: all"
    )


def _add_judging(parser: Parser) -> None:
    parser.add_argument(
        "--test_input",
        metavar="FILE,...",
        help="npz, or an npy file or pictures for each input; random numbers without it",
    )
    add_nonfinite_option(parser)
    parser.add_argument(
        "--tolerance", type=typed(tolerance), metavar="COS,EUCLID", help="as compile takes it"
    )
    parser.add_argument(
        "--element_tolerance", type=typed(element_bound), metavar="REL[,SCALE]", help="as compile takes it"
    )
    parser.add_argument("--excepts", type=names, default=[], metavar="NAME,...", help="tensors not to judge")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"expected seconds above 0, got {text!r}")
    return value


def _check(parser: Parser, args: argparse.Namespace) -> None:
    check_precision(parser, args)
    for flag in ("fuse_preprocess", "cali_data", "quant_input_list", "quant_output_list"):
        if getattr(args, flag):
            parser.error(f"--{flag}: a part of a model has other inputs; reduce it without")
    if args.wrong == "":
        parser.error("--wrong: expected the name of a node or tensor")
    if args.check and args.resume:
        parser.error("expected --check or --resume, got both")
    if args.dataset is not None or args.data_list is not None:
        if args.calibration_table is not None:
            parser.error("expected --dataset or --calibration_table, got both")
        if args.quantize.upper() != "INT8":
            parser.error(f"a dataset calibrates INT8: expected --quantize INT8, got {args.quantize}")


def _predicate(args: argparse.Namespace) -> str:
    for name in ("fails_validation", "crashes", "refused"):
        if getattr(args, name):
            return name.replace("_", "-")
    return "wrong" if args.wrong is not None else "script"


def _request(args: argparse.Namespace) -> Request:
    from tpumlir.reduce.case import absolute
    from tpumlir.reduce.request import Request

    target = deploy_options(args, Path(args.model).stem)
    if target.quantize_table is not None:
        target = replace(target, quantize_table=absolute(args.quantize_table))
    if target.calibration_table is not None:
        target = replace(target, calibration_table=absolute(args.calibration_table))
    return Request(
        _predicate(args), target, args.wrong or "",
        absolute(args.script) if args.script else "", tuple(map(absolute, args.imports)),
        args.tolerance, args.element_tolerance, tuple(args.excepts), args.allow_nonfinite,
    )  # fmt: skip


def _options(args: argparse.Namespace) -> Options:
    from tpumlir.reduce.run import Options

    return Options(
        args.model, _request(args), args.output or Path(f"{Path(args.model).stem}_reduced"),
        replace(import_options(args), preprocess=None), args.test_input, args.timeout, args.candidate_timeout,
        args.jobs or len(os.sched_getaffinity(0)), args.resume, args.any,
        samples=(args.dataset, args.data_list, args.input_num)
        if args.dataset is not None or args.data_list is not None else None,
        pictures=given_preprocess(args),
    )  # fmt: skip


def _body(args: argparse.Namespace) -> int:
    from tpumlir.reduce.report import counted
    from tpumlir.reduce.run import check, reduce_model

    options = _options(args)
    if args.check:
        with tempfile.TemporaryDirectory() as scratch:
            outcome = check(options, Path(scratch))
        kind = outcome.kinds[0] if outcome.kinds else None
        if args.json:
            print_json({"passed": kind is not None, "shows": kind and kind.text, "reason": outcome.reason})
        else:
            print(f"shows it: {kind.text}" if kind else f"does not show it: {outcome.reason}")
        return EXIT_OK if kind else EXIT_FAILED
    result = reduce_model(options, _reporter(args, options), _teller(args))
    if args.json:
        print_json({
            "passed": True, "finished": result.finished, "folder": str(result.folder),
            "shows": result.kind.text, "nodes": result.after[0], "elements": result.after[1],
            "before": {"nodes": result.before[0], "elements": result.before[1]},
            "judged": result.judged, "seconds": round(result.seconds, 2), "steps": list(result.steps),
        })  # fmt: skip
        return EXIT_OK
    print(f"shows it: {result.kind.text}")
    print(
        f"{counted(result.before[0], 'node')} became {result.after[0]}, "
        f"{counted(result.before[1], 'element')} {result.after[1]}; "
        f"{counted(result.judged, 'model')} judged in {result.seconds:.1f} s"
    )
    if not result.finished:
        print("the time was over: --resume goes on (with a larger --timeout)", file=sys.stderr)
    print(f"wrote {result.folder} (run.sh shows it)")
    return EXIT_OK


def _teller(args: argparse.Namespace) -> Callable[[str], None]:
    start = time.monotonic()

    def tell(text: str) -> None:
        if not args.json:
            print(f"[{time.monotonic() - start:6.1f} s] {text}", file=sys.stderr, flush=True)

    return tell


# Of compile, as they stand.
_SWITCHES = (
    "auto_mixed", "plain_half", "ignore_f16_overflow", "disable_layer_group", "allow_nonfinite",
    "quant_input", "quant_output",
)  # fmt: skip


def _compile_flags(args: argparse.Namespace, tables: dict[str, Path]) -> list[str]:
    """What is said to compile; ``tables`` lie in the folder."""
    flags = ["--quantize", args.quantize.upper()]
    for name, path in tables.items():
        flags += [f"--{name}", path.name]
    flags += [f"--{name}" for name in _SWITCHES if getattr(args, name)]
    for name, usual in (("range_margin", 2), ("opt", 2)):
        if getattr(args, name) != usual:
            flags += [f"--{name}", f"{getattr(args, name):g}"]
    if args.tolerance is not None:
        flags += ["--tolerance", str(args.tolerance)]
    if args.element_tolerance is not None:
        flags += ["--element_tolerance", args.element_tolerance.text]
    return flags


def _reporter(args: argparse.Namespace, options: Options) -> Callable[[tuple[int, int], str | None], Report]:
    """What writes the folder: its flags name the copies of the user's files that lie there."""
    from tpumlir.reduce.report import Report

    predicate = [f"--{_predicate(args)}"]
    if args.wrong is not None:
        predicate.append(args.wrong)
    if args.script is not None:
        predicate.append(f"./{args.script.name}")
    flags = [*predicate, *(["--excepts", ",".join(args.excepts)] if args.excepts else [])]
    if args.candidate_timeout is not None:
        flags += ["--candidate_timeout", f"{args.candidate_timeout:g}"]
    for path in args.imports:
        flags += ["--import", path.name]
    # What compile alone shows too.
    plain = args.wrong is None and args.script is None and not args.imports and args.quantize_table is None

    def report(before: tuple[int, int], calibration: str | None) -> Report:
        tables = {
            "quantize_table": args.quantize_table,
            "calibration_table": calibration and Path(calibration),
        }
        named = {name: path for name, path in tables.items() if path}
        files = [*args.imports, *([args.script] if args.script else []), *named.values()]
        compiled = _compile_flags(args, named)
        return Report(
            options.folder, Path(args.model), " ".join(predicate), [*flags, *compiled],
            compiled if plain else None, files, before,
        )  # fmt: skip

    return report


main = Command(
    build_parser,
    _body,
    refused=DEPLOY_REFUSED | TRANSFORM_REFUSED,
    accepted=DEPLOY_ACCEPTED | TRANSFORM_ACCEPTED,
    check=_check,
)
