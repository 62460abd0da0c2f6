"""Time of the steps that work on a copy of a module: clone, lower, finalize, cut, an interpreter.

    python benchmarks/modules.py [MODEL.onnx ...] [--mode F16] [--json]

Besides the models of the command line (with the shapes of the npz beside them, if any), generated ones
of 1,000, 3,000 and 10,000 nodes. The best of a few rounds counts, in time of the processor: each step is one
thread. A clone should cost at most 1 ms per 1,000 operations, and the rest grow linearly with the nodes.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from import_size import many_nodes

import tpumlir
from tpumlir._core import codegen, ir
from tpumlir._core.interpreter import Interpreter

GENERATED = (1_000, 3_000, 10_000)
STEPS = ("clone", "lower", "finalize", "check_code", "compile", "cut", "interpreter")


def best(rounds: int, step: Callable[[], Any]) -> float:
    """Milliseconds of the fastest of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def measure(name: str, path: Path, mode: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of each step on the Top module of a file; memory that a clone takes, of the peak of 50."""
    data = path.with_suffix(".npz")
    shapes = [list(array.shape) for array in np.load(data).values()] if data.exists() else None
    top: ir.Module = tpumlir.load_onnx(path, input_shapes=shapes).core
    tpu = codegen.lower(top, mode=mode)
    final = codegen.finalize(tpu)
    signature = [i.name for i in top.inputs], [o.name for o in top.outputs]
    steps: dict[str, Callable[[], Any]] = {
        "clone": top.clone,
        "lower": lambda: codegen.lower(top, mode=mode),
        "finalize": lambda: codegen.finalize(tpu),
        "check_code": lambda: codegen.check_code(final),
        "compile": lambda: codegen.compile(final),
        "cut": lambda: top.cut(*signature),
        "interpreter": lambda: Interpreter(top),
    }
    row: dict[str, Any] = {"model": name, "ops": len(top.ops())}
    row |= {step: best(rounds, steps[step]) for step in STEPS}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clones = [top.clone() for _ in range(50)]
    row["mib_per_clone"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 / len(clones)
    return row


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--mode", default="F16", help="precision that the modules are lowered to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in GENERATED:
            path = Path(folder, f"{count}.onnx")
            many_nodes(path, count)
            rows.append(measure(f"{count:,} nodes", path, args.mode, args.rounds))
    rows += [measure(path.stem, path, args.mode, args.rounds) for path in args.models]
    if args.json:
        json.dump(rows, sys.stdout, indent=2)
        return 0
    print(f"{'milliseconds':16} {'ops':>6}" + "".join(f" {step:>11}" for step in STEPS) + " MiB/clone")
    for row in rows:
        times = "".join(f" {row[step]:11.1f}" for step in STEPS)
        print(f"{row['model']:16} {row['ops']:6}{times} {row['mib_per_clone']:9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
