"""Small ONNX graphs for tests, built node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


class Graph:
    """Builds an ONNX model; every method that adds something returns the name of its tensor."""

    def __init__(self, *, opset: int = 17, seed: int = 0) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.types: dict[str, int] = {}
        self.outputs: list[str] = []

    def input(self, name: str, *shape: int, dtype: int = TensorProto.FLOAT) -> str:
        """An input; ``dtype`` is one of TensorProto."""
        self.inputs[name], self.types[name] = shape, dtype
        return name

    def const(self, value: npt.ArrayLike, dtype: npt.DTypeLike | None = None, *, stem: str = "c") -> str:
        """A constant of given numbers."""
        name = f"{stem}{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        """A constant vector of int64."""
        return self.const(values, np.int64)

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        """A constant of normal numbers, float32."""
        return self.const(self.rng.standard_normal(shape) * scale, np.float32)

    def op(self, kind: str, *operands: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.ops(kind, *operands, outputs=1, **attributes)[0]

    def ops(self, kind: str, *operands: str, outputs: int, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        stem = f"{kind.lower()}{len(self.nodes)}"
        names = [stem] if outputs == 1 else [f"{stem}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, operands, names, name=f"n_{stem}", **attributes))
        return names

    def output(self, *names: str) -> None:
        """Tensors that the model returns, after those it returns already."""
        self.outputs += names

    def model(self) -> onnx.ModelProto:
        """The model, its shapes inferred."""
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info(n, self.types[n], shape) for n, shape in self.inputs.items()],
            [helper.make_empty_tensor_value_info(name) for name in self.outputs],
            self.constants,
        )
        domains = {node.domain for node in self.nodes} - {""}
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(d, 1) for d in sorted(domains))]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return onnx.shape_inference.infer_shapes(model)
