"""``run_calibration``: where the 8-bit scale of every float tensor ends, from a dataset."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tpumlir.cli.common import ANY, EXIT_OK, Accepted, Command, Parser, print_json, print_table
from tpumlir.cli.options import add_nonfinite_option, count, typed

if TYPE_CHECKING:
    from tpumlir.calibration.calibrate import Calibration
    from tpumlir.calibration.dataset import Sample
    from tpumlir.calibration.search import Found
    from tpumlir.calibration.table import CalibrationTable
    from tpumlir.ir.module import Module

BENCHMARKS = ("cos", "snr")
METHODS = ("mse", "kl", "max", "percentile9999", "aciq_gauss", "aciq_laplace")

_NO_SEARCH = (
    "the table has one threshold for each tensor; keep single tensors out of INT8 with a --quantize_table"
)
_ONE_SCALE = "activations are calibrated as they are; drop the flag"

# Flags of TPU-MLIR's run_calibration that are not accepted, and what to do instead.
REFUSED = {
    "--tune_list": "every sample is used; drop the flag, or name them in --data_list",
    **dict.fromkeys(("--use_mse", "--use_max", "--use_kl", "--use_percentile9999"),
                    "write it as --cali_method mse, max, kl or percentile9999"),
    **dict.fromkeys(("--use_aciq_gauss", "--use_aciq_laplace"),
                    "write it as --cali_method aciq_gauss or aciq_laplace"),
    "--use_old_kl": "write it as --cali_method kl",
    **dict.fromkeys(
        ("--expected_cos", "--max_float_layers",
         "--min_layer_cos", "--quantize_method_list", "--global_compare_layers", "--post_process",
         "--pre_qtable", "--mix_mode", "--fp_type", "--quantize_table", "--transformer", "--loss_table"),
        _NO_SEARCH,
    ),
    **dict.fromkeys(
        ("--we", "--bc", "--sq", "--smc", "--kurtosis_analysis", "--part_asymmetric", "--part_quantize",
         "--custom_operator", "--cluster", "--bc_inference_num"),
        _ONE_SCALE,
    ),
    "--preprocess_on_the_fly": "pictures are read as the module records it; drop the flag",
}  # fmt: skip

ACCEPTED = {
    "--cuda": Accepted("models run on the processor"),
    "--debug_cmd": Accepted("--debug shows where an error comes from", ANY),
    "--log_level": Accepted("--debug shows where an error comes from", ANY),
    "--debug_log": Accepted("--debug shows where an error comes from"),
    "--chip": Accepted("a table is for every chip", ANY),
    "--processor": Accepted("a table is for every chip", ANY),
}


def build_parser(prog: str = "run_calibration") -> Parser:
    """The command line."""
    parser = Parser(
        prog,
        "Run a Top module on a dataset and write, for each float tensor, its least and greatest number and "
        "the threshold where its INT8 scale ends.",
    )
    parser.add_argument("mlir", type=Path, nargs="?", metavar="MLIR", help="what model_transform wrote")
    parser.add_argument("--mlir", type=Path, dest="mlir_flag", metavar="MLIR", help="the same as a flag")
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="a folder of npz, npy or picture files, one for each sample (or one file)",
    )
    parser.add_argument(
        "--data_list", type=Path, metavar="FILE", help="a line for each sample: a.npz, or a.jpg,b.npy"
    )
    parser.add_argument(
        "--input_num", type=typed(count), default="0", metavar="N", help="how many samples; 0: all"
    )
    parser.add_argument("--cali_method", choices=METHODS, default=METHODS[0], help="see docs/calibration.md")
    parser.add_argument(
        "--tune_num",
        type=typed(count),
        default="0",
        metavar="N",
        help="not 0: of all methods the one with the least expected error, for each tensor",
    )
    parser.add_argument(
        "--search",
        type=typed(_search),
        metavar="search_threshold",
        help="lower the module to INT8 with the table of every method and take the best by its outputs",
    )
    parser.add_argument("--inference_num", type=typed(count), default="30", metavar="N",
                        help="how many samples --search runs; 0: all")  # fmt: skip
    parser.add_argument(
        "--benchmark_method",
        choices=BENCHMARKS,
        default=BENCHMARKS[0],
        help="what --search judges outputs by",
    )
    parser.add_argument("--histogram_bin_num", type=typed(_bins), default="2048", metavar="N",
                        help="bins from 0 to the greatest magnitude, at least")  # fmt: skip
    parser.add_argument("-o", "--calibration_table", type=Path, required=True, metavar="TABLE",
                        help="the table to write")  # fmt: skip
    add_nonfinite_option(parser)
    parser.add_common()
    return parser


def _search(text: str) -> str:
    if text != "search_threshold":
        raise ValueError(f"expected search_threshold, got {text!r} ({_NO_SEARCH})")
    return text


def _bins(text: str) -> int:
    from tpumlir.calibration.calibrate import LEAST_BINS, MOST_BINS

    if not text.isdecimal() or not LEAST_BINS <= int(text) <= MOST_BINS:
        raise ValueError(f"expected {LEAST_BINS} to {MOST_BINS} bins, got {text!r}")
    return int(text)


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if (args.mlir is None) == (args.mlir_flag is None):
        parser.error("expected the MLIR file once: run_calibration MLIR --dataset DIR -o TABLE")
    args.mlir = args.mlir or args.mlir_flag
    if args.dataset is None and args.data_list is None:
        parser.error("expected samples: --dataset DIR or --data_list FILE")
    if args.search and args.tune_num:
        parser.error("expected --search or --tune_num, got both")


def _body(args: argparse.Namespace) -> int:
    from tpumlir.calibration.calibrate import Options, measure
    from tpumlir.calibration.dataset import samples_of
    from tpumlir.ir.module import Module

    start = time.perf_counter()
    options = Options(
        args.cali_method, args.histogram_bin_num, args.tune_num > 0, allow_nonfinite=args.allow_nonfinite
    )
    module = Module.load(args.mlir)
    samples = samples_of(module, args.dataset, args.data_list, args.input_num)
    with _progress(quiet=args.json) as progress:
        seen = measure(module, samples, options, progress)
    found = _best(args, module, seen, samples) if args.search else None
    table = found.table if found else seen.table()
    table.write(args.calibration_table)
    seen.tell(table)
    seconds = time.perf_counter() - start
    if args.json:
        document = _document(args.calibration_table, seen, table, seconds)
        if found:
            trials = [{"method": t.method, "mean": t.mean, "worst": t.worst} for t in found.trials]
            document |= {"method": found.method, "benchmark": args.benchmark_method, "trials": trials}
        print_json(document)
        return EXIT_OK
    if found:
        heading = ("method", f"mean {args.benchmark_method} of outputs", "worst sample")
        rows = [(trial.method, f"{trial.mean:.6g}", f"{trial.worst:.6g}") for trial in found.trials]
        print_table([heading, *rows])
    if seen.chosen:
        counts = {name: list(seen.chosen.values()).count(name) for name in METHODS}
        print("least expected error: " + ", ".join(f"{name} {n}" for name, n in counts.items() if n))
    how = found.method if found else "tuned" if seen.chosen else options.method
    print(
        f"wrote {args.calibration_table}: {len(table)} tensors, {seen.samples} "
        f"sample{'s' * (seen.samples != 1)}, {how}, in {seconds:.1f} s"
    )
    return EXIT_OK


def _best(args: argparse.Namespace, module: Module, seen: Calibration, samples: Sequence[Sample]) -> Found:
    from tpumlir.calibration.dataset import spread
    from tpumlir.calibration.search import search

    chosen = spread(samples, args.inference_num)
    with _progress(quiet=args.json, what="search") as progress:
        return search(module, seen, chosen, args.benchmark_method, progress)


def _document(path: Path, seen: Calibration, table: CalibrationTable, seconds: float) -> dict[str, object]:
    return {
        "table": str(path),
        "rows": len(table),
        "samples": seen.samples,
        "method": seen.options.method,
        "histogram_bin_num": seen.options.bins,
        "chosen": seen.chosen,
        "constant": seen.constant,
        "integer": seen.integers,
        "empty": seen.empty,
        "nonfinite": seen.nonfinite,
        "lost": seen.lost(table),
        "seconds": round(seconds, 4),
    }


@contextmanager
def _progress(*, quiet: bool, what: str = "calibrate") -> Iterator[Callable[[int, int], None] | None]:
    """A bar with the time left, if standard error is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    description, bar_column, percentage, *_ = Progress.get_default_columns()
    columns = (description, bar_column, percentage, "{task.completed}/{task.total}", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


main = Command(
    build_parser,
    _body,
    refused=REFUSED,
    accepted=ACCEPTED,
    check=_check,
    read=("mlir", "dataset", "data_list"),
    written=("calibration_table",),
)
