"""Estimated cycles, traffic and memory of compiled models, beside the vendor's cycles or another tree's.

    python benchmarks/cycles.py [MODEL ...] [--modes F32 F16 BF16] [--python-path DIR] [--save FILE]
                                [--against FILE] [--json]

A model is a name in the folder TPUMLIR_CORPUS, or a file NAME.onnx with its input NAME.npz beside it; without
any, all of that folder. They are compiled only, nothing is run. `least` is a bound that no compiler can beat:
the multiply-adds at the peak of the multipliers, or the traffic of weights, inputs and outputs at the rates
of the engine. `ratio` is cycles over those of the vendor (vendor_cycles.csv: TPU-MLIR 1.30.2, the same
estimator), or of the run that `--against` names.

To compare two trees: `--python-path OTHER/python --save before.json`, then `--against before.json`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

READ, WRITTEN = 54, 41  # bytes that GDMA moves in a cycle, from DDR and to it
MODES = ("F32", "F16", "BF16")
Row = dict[str, Any]


def measure(path: Path, modes: Sequence[str]) -> Iterator[Row]:
    """A row for each precision of a model: figures, or why there are none."""
    import numpy as np

    import tpumlir
    from tpumlir.bmodel.profile import profile

    with np.load(path.with_suffix(".npz")) as archive:
        shapes = [list(value.shape) for value in archive.values()]
    top = tpumlir.load_onnx(path, input_shapes=shapes)
    for mode in modes:
        row: Row = {"model": path.stem, "mode": mode}
        try:
            final = top.lower(mode).finalize()
            total = profile(final.compile(), names=False)
        except tpumlir.TpumlirError as error:
            yield row | {"error": str(error).splitlines()[0]}
            continue
        sums = total.total_json()
        keep = (
            "cycles",
            "tiu_busy",
            "gdma_busy",
            "bound",
            "ddr_read",
            "ddr_written",
            "utilisation",
            "commands",
        )
        weights, neurons = (int(final.attributes[f"module.{part}_size"]) for part in ("coeff", "neuron"))
        inputs, outputs = (
            sum(4 * math.prod(one.shape or ()) for one in tensors)
            for tensors in (final.inputs, final.outputs)
        )
        traffic = (weights + inputs) / READ + outputs / WRITTEN
        least = round(max(total.total.peak_cycles, traffic))
        yield row | {key: sums[key] for key in keep} | {"memory": neurons, "weights": weights, "least": least}


def known() -> dict[tuple[str, str], int]:
    """The vendor's cycles by model and precision."""
    with Path(__file__).with_name("vendor_cycles.csv").open(newline="") as stream:
        return {
            (line["model"], mode): int(cycles)
            for line in csv.DictReader(stream)
            for mode, cycles in line.items()
            if mode != "model" and cycles
        }


def show(rows: Sequence[Row], other: dict[tuple[str, str], int], label: str) -> None:
    """Print the table, and the geometric mean of each precision."""
    mib = 1 << 20
    print(
        f"{'model':18} {'mode':4} {'cycles':>11} {'TIU busy':>11} {'GDMA busy':>11} {'bound':8} {'used':>5} "
        f"{'DDR MiB':>8} {'peak MiB':>8} {'least':>10} {label:>11} {'ratio':>6}"
    )
    for row in rows:
        head = f"{row['model']:18} {row['mode']:4} "
        if "error" in row:
            print(head + row["error"])
            continue
        theirs = other.get((row["model"], row["mode"]))
        compared = f"{theirs:11,} {row['cycles'] / theirs:6.2f}" if theirs else f"{'-':>11} {'-':>6}"
        print(
            f"{head}{row['cycles']:11,} {row['tiu_busy']:11,} {row['gdma_busy']:11,} {row['bound']:8} "
            f"{row['utilisation']:5.0%} {(row['ddr_read'] + row['ddr_written']) / mib:8.1f} "
            f"{row['memory'] / mib:8.1f} {row['least']:10,} {compared}"
        )
    for mode in dict.fromkeys(row["mode"] for row in rows):
        ratios = [
            row["cycles"] / other[row["model"], mode]
            for row in rows
            if row["mode"] == mode and "cycles" in row and (row["model"], mode) in other
        ]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            print(f"{mode}: geometric mean of {len(ratios)} ratios {mean:.3f}")


def paths_of(models: Sequence[str], corpus: str | None) -> list[Path]:
    """The files of models that were named, or of all in the folder."""
    if not models and not corpus:
        sys.exit("expected models, or a folder of them as TPUMLIR_CORPUS, got neither")
    paths = [Path(name) if name.endswith(".onnx") else Path(corpus or ".", f"{name}.onnx") for name in models]
    if not paths:
        paths = sorted(Path(corpus or ".").glob("*.onnx"))
    for path in paths:
        if not (path.exists() and path.with_suffix(".npz").exists()):
            sys.exit(f"expected {path} and its input {path.with_suffix('.npz').name}, got no such files")
    return paths


def elsewhere(python_path: Path, paths: Sequence[Path], modes: Sequence[str]) -> list[Row]:
    """The rows that another tree gives."""
    command = [sys.executable, __file__, *map(str, paths), "--json", "--modes", *modes]
    environment = os.environ | {"PYTHONPATH": str(python_path)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"expected rows from {python_path}, got exit code {done.returncode}")
    return list(json.loads(done.stdout))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument(
        "--modes", nargs="+", choices=MODES, default=MODES, metavar="MODE", help="default: all"
    )
    parser.add_argument("--python-path", type=Path, metavar="DIR", help="where another tree has its tpumlir")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the rows for --against")
    parser.add_argument("--against", type=Path, metavar="FILE", help="rows to compare with, not the vendor's")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    paths = [path.resolve() for path in paths_of(args.models, os.environ.get("TPUMLIR_CORPUS"))]
    if args.python_path:
        rows = elsewhere(args.python_path, paths, args.modes)
    else:
        rows = [row for path in paths for row in measure(path, args.modes)]
    if args.save:
        args.save.write_text(json.dumps(rows, indent=2) + "\n")
    if args.json:
        json.dump(rows, sys.stdout, indent=2)
        return 0
    if args.against:
        before = json.loads(args.against.read_text())
        show(rows, {(r["model"], r["mode"]): r["cycles"] for r in before if "cycles" in r}, "before")
    else:
        show(rows, known(), "vendor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
