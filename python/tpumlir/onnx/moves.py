"""Quantised tensors between operators that read them as the numbers they stand for.

Files of the QOperator form have plain operators on integers of 8 bits among the QLinear ones: a Reshape, a
MaxPool. What they move keeps its scale and zero point. Written with floats between a pair of its own such an
operator takes part in what the integers of its neighbours are compiled to.
"""

from __future__ import annotations

import numpy as np

from tpumlir.onnx.registry import Array, Node, Result

_NARROW = (np.dtype(np.int8), np.dtype(np.uint8))
# What makes its result of the elements of its first operand alone, none of them changed.
_MOVES = frozenset(
    {
        "DepthToSpace", "Expand", "Flatten", "Gather", "MaxPool", "Reshape", "Slice", "SpaceToDepth",
        "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip


def moves_quantized(node: Node) -> bool:
    """True for an operator that moves the elements of a tensor with a known scale."""
    if node.op_type not in _MOVES or not node.inputs or node.const(0) is not None or not node.has(0):
        return False
    return (
        node.dtype(0) in _NARROW
        and node.emitter.steps.stated(node.operand(0).name) is not None
        and not (node.op_type == "MaxPool" and any(node.output_names[1:]))  # places of maxima
    )


def moved(node: Node) -> list[Result]:
    """The same on the numbers that the integers stand for, as integers of the same steps."""
    steps = node.emitter.steps.stated(node.operand(0).name)
    assert steps is not None
    scale, zero_point = np.array(steps[0], np.float32), np.array(steps[1], node.dtype(0))
    numbers = node.onnx("DequantizeLinear", node.input_names[0], scale, zero_point)
    parts = node.onnx_all(
        node.op_type,
        numbers,
        *node.input_names[1:],
        count=len(node.output_names),
        opset=node.opset,
        **node.attributes,
    )
    return [
        node.tensor(node.onnx("QuantizeLinear", part, scale, zero_point, into=name) if name else part)
        for part, name in zip(parts, node.output_names, strict=True)
    ]


def pair(node: Node, numbers: str, scale: str | Array, zero_point: str | Array) -> str:
    """``numbers`` after they were rounded to integers of these steps."""
    integers = node.onnx("QuantizeLinear", numbers, scale, zero_point)
    return node.onnx("DequantizeLinear", integers, scale, zero_point)
