"""Time of the interpreter (Top, F32) beside ONNX Runtime, two threads each.

    python benchmarks/interpreter.py model.onnx [model2.onnx ...] [--rounds 15] [--json]

Each side runs in a process of its own; the two take turns, so that both meet the same disturbances, and the
medians over the turns are compared. Inputs: the npz beside the model if there is one, else random numbers.
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

THREADS = 2
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


def ours(model: Path, inputs: dict[str, Any]) -> Callable[[], object]:
    """A run of the interpreter on the optimised Top module."""
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    import tpumlir
    from tpumlir._core.interpreter import Interpreter

    shapes = [list(array.shape) for array in inputs.values()]
    interpreter = Interpreter(tpumlir.load_onnx(model, input_shapes=shapes).core)
    return lambda: interpreter.run(inputs)


def theirs(model: Path, inputs: dict[str, Any]) -> Callable[[], object]:
    """A run of ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def serve(side: str, model: Path, pipe: Connection) -> None:
    """Answer each request for a turn with the median of its runs in seconds."""
    inputs = inputs_of(model)
    run = (ours if side == "tpumlir" else theirs)(model, inputs)
    for _ in range(5):
        run()
    pipe.send(None)
    while (runs := pipe.recv()) is not None:
        run()  # the caches were the other side's
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        pipe.send(statistics.median(times))


def measure(model: Path, rounds: int, runs: int) -> dict[str, Any]:
    """Medians over the turns of both sides, in milliseconds, and their ratio."""
    context = mp.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for side in ("tpumlir", "onnxruntime"):
        pipes[side], theirs_end = context.Pipe()
        context.Process(target=serve, args=(side, model, theirs_end), daemon=True).start()
        pipes[side].recv()
    times: dict[str, list[float]] = {side: [] for side in pipes}
    for _ in range(rounds):
        for side, pipe in pipes.items():
            time.sleep(PAUSE_SECONDS)
            pipe.send(runs)
            times[side].append(pipe.recv() * 1e3)
    for pipe in pipes.values():
        pipe.send(None)
    medians = {side: statistics.median(values) for side, values in times.items()}
    ratios = sorted(a / b for a, b in zip(times["tpumlir"], times["onnxruntime"], strict=True))
    return {"model": model.stem, **medians, "ratio": statistics.median(ratios)}


def main() -> int:
    """Measure the models of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument("--runs", type=int, default=10, help="runs per turn")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = [measure(model, args.rounds, args.runs) for model in args.models]
    if args.json:
        json.dump(results, sys.stdout, indent=2)
        return 0
    print(f"{'model':20} {'tpumlir ms':>12} {'onnxruntime ms':>15} {'ratio':>7}")
    for r in results:
        print(f"{r['model']:20} {r['tpumlir']:12.3f} {r['onnxruntime']:15.3f} {r['ratio']:7.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
