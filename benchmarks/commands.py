"""Time a one-convolution model through model_transform and model_deploy, as a user types them.

    python benchmarks/commands.py [--vendor BIN] [--repeat 5] [--json]

Both commands validate their result (Top against ONNX Runtime, Tpu against Top, bmodel against Tpu). With
`--vendor` the vendor's commands of the same names run in turn with ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import onnx
from onnx import TensorProto, helper, numpy_helper


def write_model(folder: Path) -> None:
    """One 3x3 convolution, 16 -> 32 channels on 28x28, with bias and Relu; and an input for it."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((32, 16, 3, 3)).astype(np.float32),
        "b": rng.standard_normal(32).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["y"], ["z"]),
        ],
        "one_conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 28, 28])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 32, 28, 28])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / "conv.onnx")
    np.savez(folder / "in.npz", x=rng.standard_normal((1, 16, 28, 28)).astype(np.float32))


def commands(binaries: Path) -> list[list[str]]:
    """The two command lines, the same for both tools."""
    return [
        [str(binaries / "model_transform"), "--model_name", "c", "--model_def", "conv.onnx", "--input_shapes",
         "[[1,16,28,28]]", "--test_input", "in.npz", "--test_result", "c_top.npz", "--mlir", "c.mlir"],
        [str(binaries / "model_deploy"), "--mlir", "c.mlir", "--quantize", "F32", "--chip", "bm1684x",
         "--test_input", "in.npz", "--test_reference", "c_top.npz", "--model", "c.bmodel"],
    ]  # fmt: skip


def run(binaries: Path, folder: Path) -> list[float]:
    """Seconds of each command.

    Raises: CalledProcessError: a command failed; its output is printed first.
    """
    seconds = []
    for command in commands(binaries):
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        seconds.append(time.perf_counter() - start)
        if done.returncode:
            print(done.stdout.decode(errors="replace"), file=sys.stderr)
            done.check_returncode()
    return seconds


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vendor", type=Path, help="bin folder in which the vendor's commands run")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    sides = {"tpumlir": Path(sys.executable).parent}
    if args.vendor:
        sides["vendor"] = args.vendor
    times: dict[str, list[list[float]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as scratch:
        for name in sides:
            folder = Path(scratch, name)
            folder.mkdir()
            write_model(folder)
        for _ in range(args.repeat):
            for name, binaries in sides.items():
                times[name].append(run(binaries, Path(scratch, name)))

    report = {}
    for name, runs in times.items():
        transform, deploy = (statistics.median(column) for column in zip(*runs, strict=True))
        report[name] = {"transform_s": transform, "deploy_s": deploy, "total_s": transform + deploy}
    if "vendor" in report:
        report["ratio"] = {"vendor_over_tpumlir": report["vendor"]["total_s"] / report["tpumlir"]["total_s"]}
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    for name, row in report.items():
        print(f"{name:8}", "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
