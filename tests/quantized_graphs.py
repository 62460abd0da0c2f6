"""Models that come quantised, for tests: operands of 8 bits, graphs with scales, ONNX Runtime's result."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

import graphs
import onnx
import tpumlir
from harness import Operand, array

Array = npt.NDArray[Any]


def numbers(dtype: str, *shape: int, constant: bool = False, seed: int = 0) -> Operand:
    """Integers over the whole range of a type, its ends included."""
    limits = np.iinfo(dtype)
    data = np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(dtype)
    data.reshape(-1)[:2] = (limits.min, limits.max)[: data.size]
    return array(data, constant=constant)


def f(*values: float, constant: bool = True) -> Operand:
    """Float32 numbers: one is of rank 0."""
    data = np.array(values, np.float32)
    return array(data[0] if data.size == 1 else data, constant=constant)


def q(dtype: str, *values: int, constant: bool = True) -> Operand:
    """Zero points: one is of rank 0."""
    data = np.array(values, dtype)
    return array(data[0] if data.size == 1 else data, constant=constant)


class Graph(graphs.Graph):
    """Builds a model with QuantizeLinear and DequantizeLinear between its operators."""

    def __init__(self, *, opset: int = 13, seed: int = 0) -> None:
        super().__init__(opset=opset, seed=seed)

    def quantize(self, x: str, scale: Any, zero: Any, dtype: Any = np.uint8, **attributes: Any) -> str:
        return self.op(
            "QuantizeLinear", x, self.const(scale, np.float32), self.const(zero, dtype), **attributes
        )

    def dequantize(self, q: str, scale: Any, zero: Any, dtype: Any = np.uint8, **attributes: Any) -> str:
        return self.op(
            "DequantizeLinear", q, self.const(scale, np.float32), self.const(zero, dtype), **attributes
        )

    def pair(self, x: str, scale: Any, zero: Any, dtype: Any = np.uint8, **attributes: Any) -> str:
        """``x`` as it is after being quantised."""
        q = self.quantize(x, scale, zero, dtype, **attributes)
        return self.dequantize(q, scale, zero, dtype, **attributes)

    def weight(
        self, *shape: int, axis: int | None = None, dtype: Any = np.int8, zero: int = 0, scale: float = 0.01
    ) -> str:
        """Integers over their whole range as floats, with a scale for each index of ``axis``."""
        limits = np.iinfo(dtype)
        q = self.rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
        q.reshape(-1)[:2] = limits.min, limits.max
        if axis is None:
            return self.dequantize(self.const(q), scale, zero, dtype)
        scales = scale * self.rng.uniform(0.25, 1, shape[axis])
        return self.dequantize(self.const(q), scales, np.full(shape[axis], zero), dtype, axis=axis)

    def bias(self, count: int, scale: float = 1e-3) -> str:
        q = self.rng.integers(-1000, 1000, count).astype(np.int32)
        return self.dequantize(self.const(q), scale, 0, np.int32)


def run_onnx(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    """ONNX Runtime, operator by operator."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True))


def integer_ops(tpu: tpumlir.Module) -> Counter[str]:
    """How many operations of each kind have a quantised result, casts left out."""
    kinds = re.findall(r'"tpu\.(\w+)"\(.*-> tensor<[0-9x]*!quant', tpu.print())
    return Counter(kind for kind in kinds if kind != "Cast")
