"""Normalisations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tpumlir.onnx.registry import InvalidNodeError, Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


@converts("BatchNormalization", since=7)
def batch_normalization(node: Node) -> Value:
    """``top.BatchNorm`` of inference. Source: ONNX BatchNormalization, opset 15."""
    node.refuse(bool(node.int("training_mode", 0)), "training_mode", "export the model for inference")
    node.refuse(
        node.opset < 9 and not node.int("spatial", 1), "spatial = 0", "export the model with a newer opset"
    )
    node.first_output_only()
    scale, bias, mean, variance = (node.operand(i) for i in range(1, 5))
    return node.emit(
        "top.BatchNorm", [node.operand(0), mean, variance, scale, bias], epsilon=node.float("epsilon", 1e-5)
    )


@converts("InstanceNormalization", since=6)
def instance_normalization(node: Node) -> Value:
    """``top.InstanceNorm``. Source: ONNX InstanceNormalization, opset 22."""
    return node.emit("top.InstanceNorm", node.operands(), eps=node.float("epsilon", 1e-5))


@converts("LayerNormalization", since=17)
def layer_normalization(node: Node) -> Value:
    """``top.LayerNorm``. Source: ONNX LayerNormalization, opset 17."""
    node.first_output_only()
    shape = node.shape(0)
    axis = node.axis(node.int("axis", -1), len(shape))
    size = math.prod(shape[axis:])
    for index in (1, 2):
        # Top's scale and bias have the normalised shape; ONNX allows any that broadcasts.
        node.refuse(
            node.has(index) and math.prod(node.shape(index)) != size,
            f"a scale or bias of shape {list(node.shape(index)) if node.has(index) else []}",
            f"expand it to {list(shape[axis:])}",
        )
    return node.emit(
        "top.LayerNorm",
        [node.operand(0), node.optional(1), node.optional(2)],
        normalized_shape=list(shape[axis:]),
        axis=axis,
        eps=node.float("epsilon", 1e-5),
    )


@converts("LRN", since=1)
def lrn(node: Node) -> Value:
    """``top.LRN``. Source: ONNX LRN, opset 13."""
    size = node.int("size", 0)
    if size < 1:
        raise InvalidNodeError(f"expected a size of at least 1, got {size}")
    return node.emit(
        "top.LRN",
        [node.operand(0)],
        size=size,
        alpha=node.float("alpha", 1e-4),
        beta=node.float("beta", 0.75),
        bias=node.float("bias", 1.0),
    )
