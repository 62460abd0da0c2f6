"""Activations, each with the defaults of the ONNX specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.elementwise import float_only, operand, wrapped
from tpumlir.onnx.registry import InvalidNodeError, Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

_LOWEST, _LARGEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)


@converts("Relu", since=6)
def relu(node: Node) -> Value:
    """``top.Relu``. Source: ONNX Relu, opset 14."""
    return node.emit("top.Relu", [node.operand(0)])


@converts("LeakyRelu", since=6)
def leaky_relu(node: Node) -> Value:
    """``top.LeakyRelu``. Source: ONNX LeakyRelu, opset 16 (6 means the same)."""
    return node.emit("top.LeakyRelu", [node.operand(0)], alpha=node.float("alpha", 0.01))


@converts("PRelu", since=7)
def prelu(node: Node) -> Value:
    """``top.PRelu``, or ``top.LeakyRelu`` for one constant slope. Source: ONNX PRelu, opset 16."""
    x, slope, data = node.shape(0), node.shape(1), node.const(1)
    if len(slope) > len(x) or any(
        s not in {1, extent} for s, extent in zip(slope[::-1], x[::-1], strict=False)
    ):
        raise InvalidNodeError(f"expected a slope that broadcasts to {list(x)}, got {list(slope)}")
    if node.kind(0) == "i32":
        product = node.helper("top.Mul", [operand(node, 0), operand(node, 1)], "product")
        below = node.helper(
            "top.CompareConst", [node.operand(0)], "below", mode="Less", const_val=0.0, inversed=False
        )
        return wrapped(node, "top.Where", [below, product, node.operand(0)])
    if data is not None and data.size == 1:
        return node.emit("top.LeakyRelu", [node.operand(0)], alpha=float(data.reshape(-1)[0]))
    # Top wants the slope in the rank of the input.
    full = (1,) * (len(x) - len(slope)) + slope
    if data is not None:
        value = node.operand(1) if full == slope else node.derived_weight(1, "slope", data.reshape(full))
    else:
        value = node.reshape(node.operand(1), full, "slope")
    return node.emit("top.PRelu", [node.operand(0), value])


@converts("Clip", since=6)
def clip_by_attributes(node: Node) -> Value:
    """Bounds as attributes. Source: ONNX Clip, opset 6."""
    float_only(node)
    return _clip(node, node.float("min", _LOWEST), node.float("max", _LARGEST))


@converts("Clip", since=11)
def clip(node: Node) -> Value:
    """Bounds as operands, each optional. Source: ONNX Clip, opset 13."""
    if node.kind(0) == "i32":
        return _clip_by_operands(node, *(_integer_bound(node, i) for i in (1, 2)))
    if all(not node.has(i) or node.const(i) is not None for i in (1, 2)):
        low, high = (
            data if data is None else float(data.reshape(-1)[0]) for data in (node.const(1), node.const(2))
        )
        return _clip(node, _LOWEST if low is None else low, _LARGEST if high is None else high)
    return _clip_by_operands(node, *(operand(node, i) if node.has(i) else None for i in (1, 2)))


def _integer_bound(node: Node, index: int) -> Value | None:
    """A bound of i32; a constant one outside of 32 bits is the last number inside."""
    data = node.const(index)
    if data is None:
        return operand(node, index) if node.has(index) else None
    limits = np.iinfo(np.int32)
    one = data.reshape(-1)[:1].reshape([1] if node.shape(0) else [])
    held = np.asarray(np.clip(one.astype(object), limits.min, limits.max)).astype(np.int32)
    return node.derived_weight(index, "bound", held)


def _clip_by_operands(node: Node, low: Value | None, high: Value | None) -> Value:
    """As ONNX defines it: the upper bound wins if the bounds cross."""
    value = node.operand(0)
    if low is None and high is None:
        return node.reshape(value, value.shape)
    if low is not None and high is not None:
        value = node.helper("top.Max", [value, low], "low")
    elif low is not None:
        return node.emit("top.Max", [value, low])
    assert high is not None
    return node.emit("top.Min", [value, high])


def _clip(node: Node, low: float, high: float) -> Value:
    if low == 0.0 and high >= _LARGEST:
        return node.emit("top.Relu", [node.operand(0)])
    if low == 0.0 and high > 0.0:
        return node.emit("top.Relu", [node.operand(0)], relu_limit=high)
    # ONNX: min(max(x, low), high), so crossed bounds give high everywhere.
    return node.emit("top.Clip", [node.operand(0)], min=max(min(low, high), _LOWEST), max=min(high, _LARGEST))


@converts("Sigmoid", since=6)
def sigmoid(node: Node) -> Value:
    """``top.Sigmoid``. Source: ONNX Sigmoid, opset 13."""
    return node.emit("top.Sigmoid", [node.operand(0)])


@converts("Tanh", since=6)
def tanh(node: Node) -> Value:
    """``top.Tanh``. Source: ONNX Tanh, opset 13."""
    return node.emit("top.Tanh", [node.operand(0)])


@converts("HardSigmoid", since=6)
def hard_sigmoid(node: Node) -> Value:
    """``top.HardSigmoid``. Source: ONNX HardSigmoid, opset 22."""
    return node.emit(
        "top.HardSigmoid", [node.operand(0)], alpha=node.float("alpha", 0.2), beta=node.float("beta", 0.5)
    )


@converts("HardSwish", since=14)
def hard_swish(node: Node) -> Value:
    """``top.HardSwish``. Source: ONNX HardSwish, opset 22."""
    return node.emit("top.HardSwish", [node.operand(0)])


@converts("Elu", since=6)
def elu(node: Node) -> Value:
    """``top.Elu``. Source: ONNX Elu, opset 22."""
    return node.emit("top.Elu", [node.operand(0)], alpha=node.float("alpha", 1.0))


@converts("Softplus", since=1)
def softplus(node: Node) -> Value:
    """``top.Softplus``. Source: ONNX Softplus, opset 22."""
    return node.emit("top.Softplus", [node.operand(0)])


@converts("Softsign", since=1)
def softsign(node: Node) -> Value:
    """``top.Softsign``. Source: ONNX Softsign, opset 22."""
    return node.emit("top.Softsign", [node.operand(0)])


@converts("Mish", since=18)
def mish(node: Node) -> Value:
    """``top.Mish``. Source: ONNX Mish, opset 22."""
    return node.emit("top.Mish", [node.operand(0)])


@converts("Gelu", since=20)
def gelu(node: Node) -> Value:
    """``top.GELU``, exact or by tanh. Source: ONNX Gelu, opset 20."""
    approximate = node.str("approximate", "none")
    if approximate not in {"none", "tanh"}:
        raise InvalidNodeError(f"expected approximate none or tanh, got {approximate}")
    return node.emit("top.GELU", [node.operand(0)], approx_mode="normal" if approximate == "none" else "tanh")


@converts("Selu", since=6)
def selu(node: Node) -> Value:
    """``gamma`` times ``top.Elu``. Source: ONNX Selu, opset 22."""
    alpha = node.float("alpha", 1.67326319217681884765625)
    inner = node.helper("top.Elu", [node.operand(0)], "elu", alpha=alpha)
    return node.emit("top.MulConst", [inner], const_val=node.float("gamma", 1.05070102214813232421875))


@converts("Celu", since=12)
def celu(node: Node) -> Value:
    """``alpha`` times ``top.Elu`` of x / alpha. Source: ONNX Celu, opset 12."""
    alpha = node.float("alpha", 1.0)
    if alpha == 0.0:
        raise InvalidNodeError("expected an alpha other than 0, got 0")
    inner = node.helper("top.MulConst", [node.operand(0)], "scaled", const_val=1.0 / alpha)
    inner = node.helper("top.Elu", [inner], "elu", alpha=1.0)
    return node.emit("top.MulConst", [inner], const_val=alpha)


@converts("ThresholdedRelu", since=10)
def thresholded_relu(node: Node) -> Value:
    """What is above alpha, else 0. Source: ONNX ThresholdedRelu, opset 22."""
    x = node.operand(0)
    above = node.helper(
        "top.CompareConst", [x], "above", mode="Greater", const_val=node.float("alpha", 1.0), inversed=False
    )
    return node.emit("top.Where", [above, x, node.emitter.none()], y_is_const=True, y_const_val=0.0)


@converts("Shrink", since=9)
def shrink(node: Node) -> Value:
    """Moved towards 0 by bias beyond -lambd and lambd, else 0. Source: ONNX Shrink, opset 9."""
    float_only(node)
    x, bias, lambd = node.operand(0), node.float("bias", 0.0), node.float("lambd", 0.5)

    def beyond(side: str, mode: str, limit: float) -> Value:
        return node.helper("top.CompareConst", [x], side, mode=mode, const_val=limit, inversed=False)

    lower = node.helper("top.AddConst", [x], "raised", const_val=bias)
    upper = node.helper("top.SubConst", [x], "lowered", const_val=bias, is_reverse=False)
    rest = node.helper(
        "top.Where", [beyond("above", "Greater", lambd), upper, node.emitter.none()], "rest",
        y_is_const=True, y_const_val=0.0,
    )  # fmt: skip
    return node.emit("top.Where", [beyond("below", "Less", -lambd), lower, rest])


@converts("Swish", since=24)
def swish(node: Node) -> Value:
    """``top.Swish``. Source: ONNX Swish, opset 24."""
    return node.emit("top.Swish", [node.operand(0)], beta=node.float("alpha", 1.0))
