"""Time of the interpreter beside ONNX Runtime in F32, two threads each.

    python benchmarks/interpreter.py model.onnx [model2.onnx ...] [--rounds 15] [--threads 2] [--json]
    python benchmarks/interpreter.py model.onnx --before ../earlier/python
    python benchmarks/interpreter.py model.onnx --quantize INT8

Each side runs in a process of its own; they take turns, so that all meet the same disturbances, and the
medians over the turns are compared; ``best`` compares the shortest ones, which other programs disturb least.
``first`` compares the first runs, once, after what prepares them (``Interpreter.prepare``, making the
session). ``--before`` measures another tree's package in the same run and prints its time and ratios behind
ours. The Top module runs, or with ``--quantize`` the Tpu module of that precision, of INT8 with a table of
the samples in NAME.calib. Inputs: the npz beside the model if there is one, else random numbers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

# ONNX Runtime's threads go on looking for work for a while after a run.
PAUSE_SECONDS = 0.02


def inputs_of(model: Path) -> dict[str, Any]:
    """The npz beside the model, or random numbers of the model's static shapes."""
    data = model.with_suffix(".npz")
    if data.exists():
        return dict(np.load(data))
    import onnxruntime as ort

    rng = np.random.default_rng(0)
    session = ort.InferenceSession(str(model))
    return {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}


def ours(model: Path, inputs: dict[str, Any], precision: str, threads: int) -> Callable[[], object]:
    """A run of the interpreter on the optimised Top module, or on what it is lowered to."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before OpenMP is loaded
    import tpumlir
    from tpumlir._core.interpreter import Interpreter

    shapes = [list(array.shape) for array in inputs.values()]
    module = tpumlir.load_onnx(model, input_shapes=shapes)
    if precision == "INT8":
        table = tpumlir.calibrate(module, model.with_suffix(".calib"))
        module = module.lower("INT8", calibration_table=table)
    elif precision:
        module = module.lower(precision)
    interpreter = Interpreter(module.core)
    if hasattr(interpreter, "prepare"):  # an earlier commit's makes its kernels in its first run
        interpreter.prepare()
    return lambda: interpreter.run(inputs)


def theirs(model: Path, inputs: dict[str, Any], _: str, threads: int) -> Callable[[], object]:
    """A run of ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def serve(side: str, tree: Path | None, model: Path, precision: str, threads: int, pipe: Connection) -> None:
    """Send the seconds of the first run; then answer each request for a turn with the seconds of its runs."""
    if tree:
        sys.path.insert(0, str(tree))
    inputs = inputs_of(model)
    run = (theirs if side == "onnxruntime" else ours)(model, inputs, precision, threads)
    start = time.perf_counter()
    run()
    pipe.send(time.perf_counter() - start)
    for _ in range(4):
        run()
    pipe.send(None)
    while (runs := pipe.recv()) is not None:
        run()  # the caches were the other side's
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        pipe.send(times)


def measure(
    model: Path, rounds: int, runs: int, precision: str, threads: int, before: Path | None
) -> dict[str, Any]:
    """Medians over the turns of each side, in milliseconds, and ratios to ONNX Runtime's."""
    context = mp.get_context("spawn")
    sides = ["tpumlir", "onnxruntime", *(["before"] if before else [])]
    pipes: dict[str, Connection] = {}
    first: dict[str, float] = {}
    for side in sides:
        pipes[side], theirs_end = context.Pipe()
        tree = before if side == "before" else None
        what = (side, tree, model, precision, threads, theirs_end)
        context.Process(target=serve, args=what, daemon=True).start()
        first[side] = pipes[side].recv() * 1e3
        pipes[side].recv()
    turns: dict[str, list[list[float]]] = {side: [] for side in pipes}
    for _ in range(rounds):
        for side, pipe in pipes.items():
            time.sleep(PAUSE_SECONDS)
            pipe.send(runs)
            turns[side].append([seconds * 1e3 for seconds in pipe.recv()])
    for pipe in pipes.values():
        pipe.send(None)
    times = {side: [statistics.median(turn) for turn in values] for side, values in turns.items()}
    best = {side: min(map(min, values)) for side, values in turns.items()}
    row: dict[str, Any] = {
        "model": model.stem,
        **{side: statistics.median(values) for side, values in times.items()},
    }
    for side in sides:
        if side != "onnxruntime":
            prefix = "before_" if side == "before" else ""
            ratios = [a / b for a, b in zip(times[side], times["onnxruntime"], strict=True)]
            row[f"{prefix}ratio"] = statistics.median(ratios)
            row[f"{prefix}best"] = best[side] / best["onnxruntime"]
            row[f"{prefix}first"] = first[side] / first["onnxruntime"]
    return row


def main() -> int:
    """Measure the models of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument("--runs", type=int, default=10, help="runs per turn")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side")
    parser.add_argument(
        "--quantize", choices=("F32", "F16", "BF16", "INT8"), default="", help="of the Tpu module that runs"
    )
    parser.add_argument("--before", type=Path, help="folder of another tpumlir package, built: PYTHONPATH")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = []
    columns = ["tpumlir", "onnxruntime", "ratio", "best", "first"]
    if args.before:
        columns += ["before", "before_ratio", "before_best", "before_first"]
    if not args.json:
        print(f"{'model':20} " + " ".join(f"{name:>12}" for name in columns))
    for model in args.models:
        results.append(measure(model, args.rounds, args.runs, args.quantize, args.threads, args.before))
        if not args.json:
            print(
                f"{model.stem:20} " + " ".join(f"{results[-1][name]:12.2f}" for name in columns), flush=True
            )
    if args.json:
        json.dump(results, sys.stdout, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
