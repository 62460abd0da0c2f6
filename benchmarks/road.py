"""Time and peak memory of the whole road of models, every stage validated; also beside another tree's time.

    python benchmarks/road.py [MODEL ...] [--modes F32 F16 BF16] [--json]
    python benchmarks/road.py [MODEL ...] --before DIR [--modes F32 F16] [--rounds 3] [--json]

A model is a name in the folder TPUMLIR_CORPUS, or a file NAME.onnx with its input NAME.npz beside it; without
any, all of that folder. The first form runs `model_transform` once, then `model_deploy` in each precision
(F16 with `--auto_mixed`); `total_s` is both.

The second form compares with the tree whose Python path is DIR: `tpumlir compile`, which imports, lowers,
places, generates code, simulates and validates three times, in a process of its own for each tree in turn.
Times are CPU seconds of that process, all threads and the start of Python included; each is the median over
the rounds. `steps` (only in the JSON) are seconds by the clock of one round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cycles import MODES, paths_of
from measured import Run, measure, run

OPTIONS = {"F32": (), "F16": ("--auto_mixed",), "BF16": ()}
Row = dict[str, Any]


def whole_road(path: Path, modes: Sequence[str]) -> Iterator[Row]:
    """A row for each precision of a model: the two commands."""
    data = str(path.with_suffix(".npz"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = measure(
            folder, "model_transform", "--model_def", str(path), "--mlir", "m.mlir",
            "--test_input", data, "--test_result", "top.npz",
        )  # fmt: skip
        for mode in modes:
            second = measure(
                folder, "model_deploy", "--mlir", "m.mlir", "--quantize", mode, "--test_input", data,
                "--test_reference", "top.npz", "--model", "m.bmodel", *OPTIONS[mode],
            )  # fmt: skip
            yield {
                "model": path.stem,
                "mode": mode,
                "transform_s": first[0],
                "deploy_s": second[0],
                "total_s": first[0] + second[0],
                "peak_gib": max(first[1], second[1]),
            }


def outcome(done: Run) -> tuple[str, dict[str, float]]:
    """Whether all validations passed, and the steps; what is no report of the road is the end of it."""
    try:
        report = json.loads(done.out)
        steps = dict(report["seconds"])
    except (ValueError, KeyError, TypeError):
        return (done.err.strip() or done.out.strip() or f"exit code {done.status}").splitlines()[-1], {}
    return "passed" if done.status == 0 else "failed", steps


def compared(path: Path, mode: str, before: Path, rounds: int) -> Row:
    """CPU seconds of one process for the whole road, here and with the other tree."""
    command = (
        "compile",
        str(path),
        "--quantize",
        mode,
        "--test_input",
        str(path.with_suffix(".npz")),
        "--json",
    )
    trees: dict[str, dict[str, str]] = {"before": {"PYTHONPATH": str(before.resolve())}, "after": {}}
    seconds: dict[str, list[float]] = {tree: [] for tree in trees}
    row: Row = {"model": path.stem, "mode": mode}
    for _ in range(rounds):
        for tree, environment in trees.items():
            with tempfile.TemporaryDirectory() as scratch:
                done = run(Path(scratch), *command, "-o", "m.bmodel", environment=environment)
            result, steps = outcome(done)
            row[tree] = {"result": result, "steps": steps}
            if steps:
                seconds[tree].append(done.cpu_s)
    for tree, taken in seconds.items():
        if taken:
            row[tree]["cpu_s"] = statistics.median(taken)
    if all(seconds.values()):
        row["ratio"] = row["after"]["cpu_s"] / row["before"]["cpu_s"]
    return row


def line_of(row: Row) -> str:
    """A row of the comparison, for reading."""
    sides = []
    for tree in ("before", "after"):
        side = row[tree]
        sides.append(f"{side['cpu_s']:8.2f} {side['result']:7}" if "cpu_s" in side else f"{'-':>8} failed ")
    ratio = f"{row['ratio']:6.2f}" if "ratio" in row else f"{'-':>6}"
    reasons = [f"{tree}: {row[tree]['result']}" for tree in ("before", "after") if "cpu_s" not in row[tree]]
    return f"{row['model']:18} {row['mode']:4} {' '.join(sides)} {ratio}  {'; '.join(reasons)}".rstrip()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--modes", nargs="+", choices=MODES, metavar="MODE", help="default: all; F32 F16")
    parser.add_argument("--before", type=Path, metavar="DIR", help="where the other tree has its tpumlir")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="turns of each tree; default: 3")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.before and not (args.before / "tpumlir").is_dir():
        sys.exit(f"expected a folder with tpumlir in it as --before, got {args.before}")
    if args.rounds < 1:
        sys.exit(f"expected at least one round, got {args.rounds}")
    rows: list[Row] = []
    if args.before and not args.json:
        print(f"{'model':18} mode {'before, CPU s':>16} {'after, CPU s':>16}  ratio")
    for path in [path.resolve() for path in paths_of(args.models, os.environ.get("TPUMLIR_CORPUS"))]:
        if args.before:
            for mode in args.modes or ("F32", "F16"):
                rows.append(compared(path, mode, args.before, args.rounds))
                if not args.json:
                    print(line_of(rows[-1]), flush=True)
            continue
        for row in whole_road(path, args.modes or MODES):
            rows.append(row)
            if not args.json:
                figures = "  ".join(f"{key} {row[key]:.2f}" for key in row if key not in ("model", "mode"))
                print(f"{row['model']:18} {row['mode']:>4}: {figures}", flush=True)
    if args.json:
        print(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
