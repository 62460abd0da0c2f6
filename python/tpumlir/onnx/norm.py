"""Normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.compose import Composer
from tpumlir.onnx.registry import Attribute, InvalidNodeError, Node, Result, converts

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


@converts("LayerNormalization", since=1)
def layer_normalization(node: Node) -> list[Value]:
    """``top.LayerNorm``; mean and inverse deviation on their own.

    Source: ONNX LayerNormalization, opset 17. ONNX Runtime's optimizer writes it into older models too.
    """
    x, shape = node.operand(0), node.shape(0)
    axis = node.axis(node.int("axis", -1), len(shape))
    eps = node.float("epsilon", 1e-5)
    normalized = list(shape[axis:])
    attributes: dict[str, Attribute] = {"normalized_shape": normalized, "axis": axis, "eps": eps}
    parameters = [_expanded(node, index, normalized) for index in (1, 2)]
    if all(value is not None for value in parameters):
        operands = [x, *(value for value in parameters if value is not None)]
        results = [node.emit("top.LayerNorm", operands, **attributes)]
    else:
        none = node.emitter.none()
        value = node.helper("top.LayerNorm", [x, none, none], "normal", **attributes)
        results = [_affine(node, value)]
    return results + _moments(node, x, list(range(axis, len(shape))), eps)


def _expanded(node: Node, index: int, shape: list[int]) -> Value | None:
    """Scale or bias as Top has it, one element per normalised one; None if it takes a broadcast."""
    if not node.has(index):
        return node.emitter.none()
    if math.prod(node.shape(index)) == math.prod(shape):
        return node.operand(index)
    data = node.const(index)
    if data is None or data.ndim > len(shape):
        return None
    return node.derived_weight(index, "expanded", np.ascontiguousarray(np.broadcast_to(data, shape)))


def _affine(node: Node, value: Value) -> Value:
    """``value * scale + bias`` with operands 1 and 2 that broadcast."""
    if not node.has(2):
        return node.emit("top.Mul", [value, node.operand(1)])
    if node.has(1):
        value = node.helper("top.Mul", [value, node.operand(1)], "scaled")
    return node.emit("top.Add", [value, node.operand(2)])


def _moments(node: Node, x: Value, axes: list[int], eps: float) -> list[Value]:
    """Outputs 1 and 2 of LayerNormalization, as far as they are wanted."""
    wanted = [*node.output_names, "", ""][1:3]
    if not any(wanted):
        return []
    c = Composer(node)
    mean = c.mean(x, axes)
    centred = c.sub(x, mean)
    deviation = c.op("Rsqrt", [c.add(c.mean(c.mul(centred, centred), axes), eps)])
    return [
        node.emitter.emit("top.Reshape", [value], {"shape": list(value.shape)}, [name], node.name)[0]
        if name
        else value
        for value, name in zip((mean, deviation), wanted, strict=True)
    ][: len(node.output_names) - 1]


@converts("SimplifiedLayerNormalization", since=1)
def simplified_layer_normalization(node: Node) -> Result | Sequence[Result]:
    """RMSNormalization before ONNX had it. Source: ONNX Runtime's SimplifiedLayerNormalization."""
    node.first_output_only()
    return rms_normalization(node)


@converts("RMSNormalization", since=23)
def rms_normalization(node: Node) -> Value:
    """``top.RMSNorm`` over the axes from ``axis`` on as one. Source: ONNX RMSNormalization, opset 23."""
    shape = node.shape(0)
    axis = node.axis(node.int("axis", -1), len(shape))
    normalized = list(shape[axis:])
    flat = [*shape[:axis], math.prod(normalized)]
    eps = node.float("epsilon", 1e-5)
    x = node.reshape(node.operand(0), flat, "flat")
    scale = _expanded(node, 1, normalized)
    if scale is None or tuple(flat) != shape:
        operands = [x, node.emitter.none() if scale is None else scale]
        value = node.helper("top.RMSNorm", operands, "normal", eps=eps)
        if scale is not None:
            return node.reshape(value, shape)
        return _affine(node, node.reshape(value, shape, "shape"))
    return node.emit("top.RMSNorm", [x, scale], eps=eps)


@converts("GroupNormalization", since=18)
def group_normalization(node: Node) -> Value:
    """``top.GroupNorm`` with a scale and bias for each group. Source: ONNX GroupNormalization, opset 18."""
    shape, groups = node.shape(0), node.int("num_groups", 0)
    if len(shape) < 3 or groups < 1 or shape[1] % groups:
        raise InvalidNodeError(
            f"expected num_groups that divides the channels of {list(shape)}, got {groups}"
        )
    each = shape[1] // groups

    def per_channel(index: int) -> Value:
        if math.prod(node.shape(index)) != groups:
            raise InvalidNodeError(f"expected {groups} scales and biases, got {list(node.shape(index))}")
        data = node.const(index)
        if data is not None:
            return node.derived_weight(index, "channels", np.repeat(data.reshape(-1), each))
        column = node.reshape(node.operand(index), [groups, 1], f"column{index}")
        wide = node.helper("top.Tile", [column], f"wide{index}", tile=[1, each])
        return node.reshape(wide, [shape[1]], f"channels{index}")

    operands = [node.operand(0), per_channel(1), per_channel(2)]
    return node.emit("top.GroupNorm", operands, num_groups=groups, eps=node.float("epsilon", 1e-5))


@converts("GroupNormalization", since=21)
def group_normalization_21(node: Node) -> Value:
    """``top.GroupNorm`` with a scale and bias for each channel. Source: ONNX GroupNormalization, opset 21."""
    return node.emit(
        "top.GroupNorm",
        node.operands(),
        num_groups=node.int("num_groups", 0),
        eps=node.float("epsilon", 1e-5),
    )


@converts("LpNormalization", since=1)
def lp_normalization(node: Node) -> Value:
    """``x`` over its norm, 0 where that is 0. Source: ONNX LpNormalization, opset 22."""
    p, x = node.int("p", 2), node.operand(0)
    if p not in {1, 2}:
        raise InvalidNodeError(f"expected a p of 1 or 2, got {p}")
    axis = node.axis(node.int("axis", -1), len(node.shape(0)))
    norm = node.helper("top.Reduce", [x], "norm", axes=[axis], keepdims=True, mode=f"ReduceL{p}")
    # All elements under a norm of 0 are 0: any divisor but 0 gives the result.
    least = 4.0 * float(np.finfo(np.float32).tiny)  # whose reciprocal the chip still computes
    return node.emit("top.Div", [x, node.helper("top.MaxConst", [norm], "divisor", const_val=least)])


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
