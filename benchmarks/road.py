"""Time and peak memory of the whole road of a model, in each precision, every stage validated.

    python benchmarks/road.py MODEL.onnx INPUT.npz [--json]

`model_transform` once, then `model_deploy` in F32, F16 with `--auto_mixed`, and BF16; `total_s` is both.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from measured import measure

PRECISIONS = {"F32": (), "F16": ("--auto_mixed",), "BF16": ()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("test_input", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    data = str(args.test_input.resolve())
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = measure(
            folder, "model_transform", "--model_def", str(args.model.resolve()), "--mlir", "m.mlir",
            "--test_input", data, "--test_result", "top.npz",
        )  # fmt: skip
        for precision, options in PRECISIONS.items():
            second = measure(
                folder, "model_deploy", "--mlir", "m.mlir", "--quantize", precision, "--test_input", data,
                "--test_reference", "top.npz", "--model", "m.bmodel", *options,
            )  # fmt: skip
            rows[precision] = {
                "transform_s": first[0],
                "deploy_s": second[0],
                "total_s": first[0] + second[0],
                "peak_gib": max(first[1], second[1]),
            }
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for precision, row in rows.items():
        print(f"{precision:>4}:", "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
