"""Time and memory of `model_transform --not_inference` on generated models: many nodes, and much weight.

    python benchmarks/import_size.py [--json]

The time of a model with many nodes should grow linearly with them; the memory of one with many weights should
stay below 2.5 times their size.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from pathlib import Path

import numpy as np
from measured import measure

import onnx
from onnx import TensorProto, helper, numpy_helper

# Name, nodes, and whether the weights lie in the file itself.
MODELS = (
    ("1,000 nodes", 1_000, True),
    ("3,000 nodes", 3_000, True),
    ("10,000 nodes", 10_000, True),
    ("1 GiB of weights beside the file", 0, False),
    ("1 GiB of weights in the file", 0, True),
)


def save(path: Path, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], shape: list[int]) -> None:
    """A model from x to the last node's result; weights beyond 1 MB go to a file beside it."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1 << 20)


def many_nodes(path: Path, count: int) -> None:
    """Residual blocks of convolution, batch normalisation, activation and addition, with shape arithmetic."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"

    def weight(name: str, *shape: int) -> str:
        weights.append(numpy_helper.from_array(rng.random(shape, np.float32) + 0.5, name))
        return name

    for i in range(count // 10):
        norm = [weight(f"{name}{i}", 8) for name in ("scale", "bias", "mean", "variance")]
        kernel = weight(f"w{i}", 8, 8, 1, 1)
        nodes += [
            helper.make_node("Conv", [x, kernel], [f"conv{i}"], name=f"/block{i}/Conv"),
            helper.make_node("BatchNormalization", [f"conv{i}", *norm], [f"norm{i}"]),
            helper.make_node("Sigmoid", [f"norm{i}"], [f"gate{i}"]),
            helper.make_node("Mul", [f"norm{i}", f"gate{i}"], [f"swish{i}"]),
            helper.make_node("Add", [f"swish{i}", x], [f"sum{i}"]),
            helper.make_node("Shape", [f"sum{i}"], [f"shape{i}"]),
            helper.make_node("Reshape", [f"sum{i}", f"shape{i}"], [f"same{i}"]),
            helper.make_node("Transpose", [f"same{i}"], [f"turned{i}"], perm=[0, 1, 3, 2]),
            helper.make_node("Relu", [f"turned{i}"], [f"relu{i}"]),
            helper.make_node("Transpose", [f"relu{i}"], [f"back{i}"], perm=[0, 1, 3, 2]),
        ]
        x = f"back{i}"
    save(path, nodes, weights, [1, 8, 4, 4])


def much_weight(path: Path) -> None:
    """Matrix products with 1 GiB of weights in 64 tensors."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"
    for i in range(64):
        weights.append(numpy_helper.from_array(rng.random((2048, 2048), np.float32), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"y{i}"], name=f"/layer{i}/MatMul"))
        x = f"y{i}"
    save(path, nodes, weights, [1, 2048])


def generate(path: Path, count: int, *, inline: bool) -> None:
    """Write a model of ``count`` nodes, or one with 1 GiB of weights for 0, into one file if ``inline``."""
    if count:
        many_nodes(path, count)
    else:
        much_weight(path)
    if inline:
        onnx.save(onnx.load(path), path)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, count, inline in MODELS:
            path = Path(folder, "model.onnx")
            # In a process of its own: a command that is started counts the memory of its parent as its peak.
            writer = multiprocessing.get_context("spawn").Process(
                target=generate, args=(path, count), kwargs={"inline": inline}
            )
            writer.start()
            writer.join()
            rows.append((
                name,
                *measure(path.parent, "model_transform", "--model_def", path.name, "--mlir", "model.mlir",
                         "--not_inference"),
            ))  # fmt: skip
    if args.json:
        print(json.dumps([{"model": m, "seconds": s, "peak_gib": g} for m, s, g in rows], indent=2))
        return 0
    for model, seconds, peak in rows:
        print(f"{model:>32}: {seconds:6.2f} s, peak memory {peak:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
