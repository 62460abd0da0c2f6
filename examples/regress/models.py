"""Write three small models beside suite.toml, which runs them.

    python examples/regress/models.py
    tpumlir regress examples/regress/suite.toml

A convolution with a softmax, one that leaves the range of F16, and one with an operator that nobody knows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz

SHAPE = (1, 3, 16, 16)


def main() -> None:
    """Write the models and their inputs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent / "models")
    folder: Path = parser.parse_args().folder
    folder.mkdir(exist_ok=True)
    node = helper.make_node
    write(folder / "classify.onnx", [
        node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"], name="relu"),
        node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        node("Softmax", ["p"], ["y"], name="softmax", axis=1),
    ])  # fmt: skip
    write(folder / "large.onnx", [node("Exp", ["x"], ["y"], name="exp")], scale=4.0)
    write(folder / "strange.onnx", [node("Novelty", ["x"], ["y"], name="novelty", domain="made.up")])
    print(f"3 models in {folder}")


def write(path: Path, nodes: Sequence[onnx.NodeProto], scale: float = 1.0) -> None:
    """A model from x to y, and numbers for x."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((8, 3, 3, 3)).astype(np.float32), "w")]
    used = {name for one in nodes for name in one.input}
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight for weight in weights if weight.name in used],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("made.up", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    npz.save(path.with_suffix(".npz"), {"x": scale * rng.standard_normal(SHAPE).astype(np.float32)})


if __name__ == "__main__":
    main()
