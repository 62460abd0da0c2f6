"""INT8 of whole models, plain and to a target: accuracy, cycles, precisions and the time of the search.

    python benchmarks/quantize.py [MODEL ...] [--target cos=0.99] [--unseen] [--save FILE] [--json]

A model is a name in the folder TPUMLIR_CORPUS, or a file NAME.onnx; beside it are NAME.calib, the samples
that calibrate and choose, and NAME.npz, the input that judges. Where that input is one of the samples too,
--unseen leaves it out of them, so that nothing has seen what judges. It is judged against ONNX Runtime on the
original file: the cosine and the SNR of the worst output. `F16` is the ratio to the
cycles of the model's own F16 bmodel, `vendor` that to the vendor's INT8 (vendor_cycles.csv).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def reference(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs that ONNX Runtime computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    outputs = [one.name for one in session.get_outputs()]
    values = session.run(outputs, {name: value for name, value in inputs.items() if name in names})
    return dict(zip(outputs, values, strict=True))


def samples_of(folder: Path, judge: dict[str, Any], *, unseen: bool) -> list[dict[str, Any]]:
    """What calibrates and chooses; ``unseen``: without what is equal to the input that judges."""
    import numpy as np

    samples = []
    for file in sorted(folder.iterdir()):
        with np.load(file) as archive:
            sample = dict(archive)
        if not unseen or any(not np.array_equal(sample[name], judge[name]) for name in sample):
            samples.append(sample)
    return samples


def measure(path: Path, target: str, *, unseen: bool = False) -> Row:
    """The row of a model: figures, or why there are none."""
    import numpy as np

    import tpumlir
    from tpumlir.accuracy.target import Target
    from tpumlir.bmodel.profile import profile

    with np.load(path.with_suffix(".npz")) as archive:
        inputs = dict(archive)
    row: Row = {"model": path.stem, "target": target}
    try:
        top = tpumlir.load_onnx(path, input_shapes=[list(value.shape) for value in inputs.values()])
        f16 = profile(top.lower("F16").finalize().compile(), names=False).cycles
        samples = samples_of(path.with_suffix(".calib"), inputs, unseen=unseen)
        start, busy = time.perf_counter(), time.process_time()
        result = tpumlir.quantize(top, samples, target=target)
        seconds = time.perf_counter() - start
        row |= {"samples": len(samples), "cpu_seconds": round(time.process_time() - busy, 1)}
        want = reference(path, inputs)
        row |= {"f16_cycles": f16, "seconds": round(seconds, 1), "met": result.met, "method": result.method}
        row |= {"improvements": [one.to_json() for one in result.improvements]}
        row |= {"tables": len(result.points), "precisions": result.precisions, "held": result.best.score}
        for label, point in (("plain", result.plain), ("found", result.best)):
            lowered = result.module.lower(
                "INT8", quantize_table=point.table, calibration_table=result.calibration
            )
            got = tpumlir.ModuleInterpreter(lowered).run(inputs)
            scores = {
                kind: Target.parse(f"{kind}=1").score([got], [{name: want[name] for name in got}])
                for kind in ("cos", "snr")
            }
            row[label] = scores | {"cycles": point.cycles}
    except tpumlir.TpumlirError as error:
        row["error"] = str(error).splitlines()[0]
    row["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return row


def vendor() -> dict[str, int]:
    """The vendor's INT8 cycles by model."""
    with Path(__file__).with_name("vendor_cycles.csv").open(newline="") as stream:
        return {line["model"]: int(line["INT8"]) for line in csv.DictReader(stream) if line.get("INT8")}


def show(rows: Sequence[Row]) -> None:
    """Print the table, and the geometric means."""
    theirs = vendor()
    print(
        f"{'model':18} {'plain cos':>9} {'SNR':>5} {'cycles':>11} {'F16':>5} {'vendor':>6} | "
        f"{'found cos':>9} {'SNR':>5} {'cycles':>11} {'F16':>5} {'vendor':>6} {'seconds':>7} "
        f"{'CPU':>6}  precisions"
    )
    ratios: dict[str, list[float]] = {}
    for row in rows:
        if "error" in row:
            print(f"{row['model']:18} {row['error']}")
            continue
        line = f"{row['model']:18}"
        for label in ("plain", "found"):
            part = row[label]
            own = part["cycles"] / row["f16_cycles"]
            other = part["cycles"] / theirs[row["model"]] if row["model"] in theirs else None
            ratios.setdefault(f"{label} to F16", []).append(own)
            if other:
                ratios.setdefault(f"{label} to vendor", []).append(other)
            line += f" {part['cos']:9.5f} {part['snr']:5.1f} {part['cycles']:11,} {own:5.2f} "
            line += f"{other:6.2f}" if other else f"{'-':>6}"
            line += " |" if label == "plain" else ""
        total = sum(row["precisions"].values())
        shares = " ".join(f"{name} {number / total:.0%}" for name, number in row["precisions"].items())
        line += f" {row['seconds']:7.1f} {row.get('cpu_seconds', math.nan):6.1f}"
        print(f"{line}  {shares}{'' if row['met'] else '  TARGET NOT MET'}")
        for one in row.get("improvements", ()):
            print(
                f"    {one['name']}: {one['score_before']:.5f} -> {one['score_after']:.5f}, mean "
                f"{one['snr_before']:.1f} -> {one['snr_after']:.1f} dB, {one['changed']} products"
                f"{', kept' if one['kept'] else ''}"
            )
    for name, values in ratios.items():
        mean = math.exp(sum(map(math.log, values)) / len(values))
        print(f"{name}: geometric mean of {len(values)} ratios {mean:.3f}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--target", default="cos=0.99")
    parser.add_argument(
        "--unseen", action="store_true", help="leave the input that judges out of the samples"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the rows as JSON")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print rows that were saved")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.show:
        show(json.loads(args.show.read_text()))
        return 0
    corpus = os.environ.get("TPUMLIR_CORPUS")
    if not args.models and not corpus:
        sys.exit("expected models, or a folder of them as TPUMLIR_CORPUS, got neither")
    paths = [Path(name) if name.endswith(".onnx") else Path(corpus or ".", f"{name}.onnx")
             for name in args.models]  # fmt: skip
    paths = paths or sorted(Path(corpus or ".").glob("*.onnx"))
    rows = []
    for path in paths:
        if not all(path.with_suffix(suffix).exists() for suffix in (".onnx", ".npz", ".calib")):
            sys.exit(f"expected {path}, its input {path.stem}.npz and its samples {path.stem}.calib")
        rows.append(measure(path.resolve(), args.target, unseen=args.unseen))
        print(f"{path.stem}: done", file=sys.stderr, flush=True)
        if args.save:
            args.save.write_text(json.dumps(rows, indent=1) + "\n")
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
