"""A small net whose first layers run in several slices, compiled as a user does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir import npz
from tpumlir.cli.main import main
from tpumlir.debugger import Options, Session

Array = npt.NDArray[Any]
SHAPE = (1, 3, 96, 640)


def model() -> onnx.ModelProto:
    """Two convolutions with Relu and Sigmoid, a mean and a product."""
    rng = np.random.default_rng(7)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name)

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs.split(), [output], name=f"{kind}_{output}", **attributes)

    graph = helper.make_graph(
        [
            node("Conv", "x w0 b0", "a", pads=[1, 1, 1, 1]),
            node("Relu", "a", "b"),
            node("Conv", "b w1", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
            node("Sigmoid", "c", "d"),
            node("GlobalAveragePool", "d", "e"),
            node("Flatten", "e", "f"),
            node("Gemm", "f w2", "y"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        [weight("w0", 24, 3, 3, 3), weight("b0", 24), weight("w1", 8, 24, 3, 3), weight("w2", 8, 5)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True)
class Net:
    """The files of the net in one precision."""

    bmodel: Path
    inputs: dict[str, Array]
    reference: dict[str, Array]

    @property
    def final(self) -> Path:
        return self.bmodel.with_name(f"{self.bmodel.stem}_final.mlir")

    def session(self, **options: Any) -> Session:
        return Session(self.bmodel, self.inputs, self.reference, Options(**options))


def build(folder: Path, precision: str = "F32") -> Net:
    onnx.save(model(), folder / "net.onnx")
    x = np.random.default_rng(3).standard_normal(SHAPE).astype(np.float32)
    npz.save(folder / "x.npz", {"x": x})

    def run(*words: object) -> None:
        assert main([str(word) for word in words]) == 0

    top, bmodel = folder / "net.mlir", folder / f"{precision}.bmodel"
    run("model_transform", "--model_name", "net", "--model_def", folder / "net.onnx", "--mlir", top)
    run("model_deploy", "--mlir", top, "--quantize", precision, "--chip", "bm1684x", "--model", bmodel)
    run(
        "model_runner", "--model", folder / f"{precision}_tpu.mlir", "--input", folder / "x.npz",
        "--dump_all_tensors", "--output", folder / "reference.npz",
    )  # fmt: skip
    return Net(bmodel, {"x": x}, npz.load(folder / "reference.npz"))
