"""Operators on quantised tensors, as ONNX Runtime's quantiser writes them: in floats between pairs.

DequantizeLinear, the operator, QuantizeLinear is what each of them means; --quantize INT8 compiles what is
between such pairs to integers. Products are written with integers as floats, exact in every precision.
Those of the domain com.microsoft are described in ONNX Runtime's docs/ContribOperators.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tpumlir.onnx.moves import pair
from tpumlir.onnx.quantize import (
    CONV_ATTRIBUTES,
    QUANTISE_HERE,
    exact_qlinear_conv,
    exact_qlinear_matmul,
)
from tpumlir.onnx.registry import Array, DType, InvalidNodeError, Node, Result, converts

_BYTES = (np.dtype(np.int8), np.dtype(np.uint8))
_CHANNELS_LAST = "channels_last"


# --- operands and results ---------------------------------------------------------------------


def _byte_type(node: Node, index: int) -> DType:
    dtype = node.dtype(index)
    node.refuse(dtype not in _BYTES, f"numbers of type {dtype}", QUANTISE_HERE)
    return dtype


def _zero_point(node: Node, index: int, dtype: DType) -> str | Array:
    """Operand ``index``, or 0 if it is absent."""
    if not node.has(index):
        return np.zeros((), dtype)
    if node.dtype(index) != dtype:
        raise InvalidNodeError(
            f"expected a zero point of {dtype} in operand {index}, got {node.dtype(index)}"
        )
    return node.input_names[index]


def _numbers(node: Node, index: int, scale: int, zero: int, axis: int | None = None) -> str:
    """What the integers of operand ``index`` stand for; scale and zero point may be for ``axis``."""
    dtype = _byte_type(node, index)
    names, moved = node.input_names, _zero_point(node, zero, dtype)
    along: dict[str, Any] = {} if axis is None else {"axis": axis}
    numbers = node.onnx("DequantizeLinear", names[index], names[scale], moved, **along)
    if node.const(index) is not None or not _has_one_step(node, scale, zero):
        return numbers
    # Of integers from elsewhere, such as an input of the model, no pair says what they stand for.
    return numbers if _is_stated(node, index, scale, zero) else pair(node, numbers, names[scale], moved)


def _has_one_step(node: Node, scale: int, zero: int) -> bool:
    """True if scale and zero point are constant and for the whole tensor."""
    given = [node.const(scale), *([node.const(zero)] if node.has(zero) else [])]
    return all(array is not None and array.size == 1 for array in given)


def _is_stated(node: Node, index: int, scale: int, zero: int) -> bool:
    """True if operand ``index``, a run-time tensor, was quantised with the steps that it is read with."""
    factor, moved = node.const(scale), node.const(zero)
    assert factor is not None
    step = float(factor.item()), 0 if moved is None else int(moved.item())
    return node.emitter.steps.stated(node.operand(index).name) == step


def _centred(node: Node, index: int, scale: int, zero: int) -> str:
    """The integers of operand ``index`` less their zero point, as floats, which hold them exactly."""
    integers, moved = node.input_names[index], _zero_point(node, zero, node.dtype(index))
    if node.const(index) is None and not _is_stated(node, index, scale, zero):
        step = node.input_names[scale]
        numbers = node.onnx("DequantizeLinear", integers, step, moved)
        integers = node.onnx("QuantizeLinear", numbers, step, moved)
    return node.onnx("DequantizeLinear", integers, np.ones((), np.float32), moved)


def _result(node: Node, numbers: str, scale: int, zero: int, default: DType) -> Result:
    """``numbers`` as the output, in the type of the zero point, or in ``default`` if there is none."""
    dtype = _byte_type(node, zero) if node.has(zero) else default
    moved = _zero_point(node, zero, dtype)
    scale_name = node.input_names[scale]
    return node.tensor(node.onnx("QuantizeLinear", numbers, scale_name, moved, into=node.output_names[0]))


# --- products ---------------------------------------------------------------------------------


class _Product:
    """A product of two quantised tensors, left (operands 0 to 2) and right (3 to 5), to be quantised.

    It is written with integers as floats: their sum is exact while it stays below 2^24.
    """

    def __init__(self, node: Node, channels: int, bias: int, result: tuple[int, int]) -> None:
        self.node, self.channels, self.bias, self.result = node, channels, bias, result
        self.dtype = _byte_type(node, 0)
        _byte_type(node, 3)

    def is_plain(self) -> bool:
        """True if it has this form: constant scales, integers of the right operand that 8 bits hold."""
        node = self.node
        scales = [node.const(i) for i in (1, 4, self.result[0])]
        return (
            _has_one_step(node, 1, 2)
            and _has_one_step(node, *self.result)
            and self._has_bytes_on_the_right()
            and (node.const(self.bias) is not None or not node.has(self.bias))
            and all(s is not None and bool(((s > 2.0**-60) & (s < 2.0**60)).all()) for s in scales)
        )

    def _has_bytes_on_the_right(self) -> bool:
        node = self.node
        data, scales, zeros = node.const(3), node.const(4), node.const(5)
        if data is None:
            return _has_one_step(node, 4, 5)
        if scales is None or (node.has(5) and zeros is None) or scales.size not in {1, self.channels}:
            return False
        zero = np.zeros(1, np.int64) if zeros is None else zeros.reshape(-1).astype(np.int64)
        if not (zero == zero[0]).all():
            return False
        centred = data.astype(np.int64) - zero[0]
        return bool(((centred >= -128) & (centred <= 127)).all())

    def left(self) -> str:
        """The integers of the left operand less their zero point, as floats."""
        return _centred(self.node, 0, 1, 2)

    def right(self) -> str | Array:
        """Those of the right one."""
        data, zeros = self.node.const(3), self.node.const(5)
        if data is None:
            return _centred(self.node, 3, 4, 5)
        zero = 0 if zeros is None else int(zeros.reshape(-1)[0])
        return np.asarray(data.astype(np.int64) - zero, np.float32)

    def addend(self) -> list[str | Array]:
        """The bias, which counts in steps of the product."""
        bias = self.node.const(self.bias)
        return [] if bias is None else [bias.astype(np.float32)]

    def quantized(self, total: str, axis: int, alpha: float = 1.0) -> Result:
        """The output, ``alpha`` times the sum; its channels are those of ``axis``.

        It is quantised by one factor. --quantize INT8 reads the scales of the model from an attribute.
        """
        node = self.node
        scales = [node.const(i) for i in (1, self.result[0], 4)]
        left, y, right = (s.reshape(-1) for s in scales if s is not None)
        right = right * np.float32(alpha)
        factor = left * right / y  # rounded as ONNX Runtime rounds it
        step = np.asarray(1 / factor.astype(np.float64), np.float32)
        dtype = _byte_type(node, self.result[1]) if node.has(self.result[1]) else self.dtype
        output = node.onnx(
            "QuantizeLinear",
            total,
            step if step.size > 1 else step.reshape(()),
            _zero_point(node, self.result[1], dtype),
            into=node.output_names[0],
            axis=axis,
            product=[float(number) for number in (*left, *y, *right)],
        )
        return node.tensor(output)


@converts("QLinearConv", since=10)
def qlinear_conv(node: Node) -> Result:
    """A convolution of quantised tensors. Source: ONNX QLinearConv, opset 10."""
    product = _Product(node, node.shape(3)[0], 8, (6, 7))
    if not product.is_plain():
        return exact_qlinear_conv(node)
    attributes = {name: node.attributes[name] for name in CONV_ATTRIBUTES if name in node.attributes}
    y = node.onnx("Conv", product.left(), product.right(), *product.addend(), **attributes)
    return product.quantized(y, 1)


@converts("com.microsoft.QLinearConv", since=1)
def qlinear_conv_of_either_layout(node: Node) -> Result:
    """The same; with ``channels_last`` the data, not the filter, has its channels behind."""
    channels_last = bool(node.int(_CHANNELS_LAST, 0))
    attributes = {name: node.attributes[name] for name in CONV_ATTRIBUTES if name in node.attributes}
    x = _layout(node, node.input_names[0], channels_last)
    into = "" if channels_last else node.output_names[0]
    y = node.onnx("QLinearConv", x, *node.input_names[1:], into=into, **attributes)
    return node.tensor(_layout(node, y, channels_last, back=True, into=node.output_names[0]))


@converts("QLinearMatMul", since=10)
def qlinear_matmul(node: Node) -> Result:
    """The product of two quantised matrices. Source: ONNX QLinearMatMul, opset 21."""
    product = _Product(node, node.shape(3)[-1], len(node.inputs), (6, 7))
    if not product.is_plain():
        return exact_qlinear_matmul(node)
    y = node.onnx("MatMul", product.left(), product.right())
    return product.quantized(y, max(len(node.tensor(y).shape) - 1, 0))


@converts("com.microsoft.QGemm", since=1)
def qgemm(node: Node) -> Result:
    """Alpha (A B + C) of quantised A and B; C counts in steps of the product. Without y_scale in floats."""
    turned, alpha = node.int("transB", 0), node.float("alpha", 1.0)
    flags: dict[str, Any] = {"transA": node.int("transA", 0), "transB": turned}
    product = _Product(node, node.shape(3)[0 if turned else 1], 6, (7, 8))
    if node.has(7) and product.is_plain() and 2.0**-20 < alpha < 2.0**20:
        y = node.onnx("Gemm", product.left(), product.right(), *product.addend(), **flags)
        return product.quantized(y, 1, alpha)
    a, b = _numbers(node, 0, 1, 2), _numbers(node, 3, 4, 5, axis=0 if turned else 1)
    operands: list[str | Array] = [a, b]
    if node.has(6):
        steps = node.onnx(
            "Mul", node.onnx("Mul", *(node.input_names[i] for i in (1, 4))), np.array(alpha, np.float32)
        )
        operands.append(node.onnx("Mul", node.onnx("Cast", node.input_names[6], to=1), steps))
    if not node.has(7):
        return node.tensor(node.onnx("Gemm", *operands, into=node.output_names[0], alpha=alpha, **flags))
    return _result(node, node.onnx("Gemm", *operands, alpha=alpha, **flags), 7, 8, product.dtype)


# --- elementwise ------------------------------------------------------------------------------


def _binary(node: Node, kind: str) -> Result:
    a, b = _numbers(node, 0, 1, 2), _numbers(node, 3, 4, 5)
    return _result(node, node.onnx(kind, a, b), 6, 7, node.dtype(0))


@converts("com.microsoft.QLinearAdd", since=1)
def qlinear_add(node: Node) -> Result:
    """A + B."""
    return _binary(node, "Add")


@converts("com.microsoft.QLinearMul", since=1)
def qlinear_mul(node: Node) -> Result:
    """A B."""
    return _binary(node, "Mul")


def _unary(node: Node, kind: str, **attributes: Any) -> Result:
    y = node.onnx(kind, _numbers(node, 0, 1, 2), **attributes)
    return _result(node, y, 3, 4, node.dtype(0))


@converts("com.microsoft.QLinearLeakyRelu", since=1)
def qlinear_leaky_relu(node: Node) -> Result:
    """LeakyRelu."""
    return _unary(node, "LeakyRelu", alpha=node.float("alpha", 0.01))


@converts("com.microsoft.QLinearSigmoid", since=1)
def qlinear_sigmoid(node: Node) -> Result:
    """Sigmoid."""
    return _unary(node, "Sigmoid")


@converts("com.microsoft.QLinearSoftmax", since=1)
def qlinear_softmax(node: Node) -> Result:
    """Softmax of the opset that the node names: before 13 over all axes from ``axis`` on."""
    rank = len(node.shape(0))
    axis = node.axis(node.int("axis", -1), rank)
    x = _numbers(node, 0, 1, 2)
    if node.int("opset", 13) >= 13 or axis == rank - 1:
        return _result(node, node.onnx("Softmax", x, axis=axis), 3, 4, node.dtype(0))
    rows = node.onnx("Softmax", node.onnx("Flatten", x, axis=axis), axis=1)
    return _result(node, node.onnx("Reshape", rows, np.array(node.shape(0))), 3, 4, node.dtype(0))


@converts("com.microsoft.QLinearConcat", since=1)
def qlinear_concat(node: Node) -> Result:
    """Tensors of scales of their own, one after another."""
    if len(node.inputs) < 5 or len(node.inputs) % 3 != 2:
        raise InvalidNodeError(
            f"expected a tensor, a scale and a zero point each, got {len(node.inputs)} operands"
        )
    parts = [_numbers(node, i, i + 1, i + 2) for i in range(2, len(node.inputs), 3)]
    return _result(node, node.onnx("Concat", *parts, axis=node.int("axis", 0)), 0, 1, node.dtype(2))


@converts("com.microsoft.QLinearWhere", since=1)
def qlinear_where(node: Node) -> Result:
    """Of two tensors of scales of their own the elements that a condition chooses."""
    x, y = _numbers(node, 1, 2, 3), _numbers(node, 4, 5, 6)
    return _result(node, node.onnx("Where", node.input_names[0], x, y), 7, 8, node.dtype(1))


# --- pools and reductions ---------------------------------------------------------------------


def _layout(node: Node, name: str, channels_last: bool, *, back: bool = False, into: str = "") -> str:
    """A tensor with its channels last as one with them second, or the way back."""
    rank = len(node.tensor(name).shape)
    if not channels_last or rank < 3:
        return name
    order = [0, *range(2, rank), 1] if back else [0, rank - 1, *range(1, rank - 1)]
    return node.onnx("Transpose", name, into=into, perm=order)


def _mean(node: Node, kind: str, *operands: Array, **attributes: Any) -> Result:
    channels_last = bool(node.int(_CHANNELS_LAST, 0))
    x = _layout(node, _numbers(node, 0, 1, 2), channels_last)
    y = _layout(node, node.onnx(kind, x, *operands, **attributes), channels_last, back=True)
    return _result(node, y, 3, 4, node.dtype(0))


@converts("com.microsoft.QLinearAveragePool", since=1)
def qlinear_average_pool(node: Node) -> Result:
    """AveragePool."""
    names = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
    return _mean(node, "AveragePool", **{n: node.attributes[n] for n in names if n in node.attributes})


@converts("com.microsoft.QLinearGlobalAveragePool", since=1)
def qlinear_global_average_pool(node: Node) -> Result:
    """GlobalAveragePool."""
    return _mean(node, "GlobalAveragePool")


@converts("com.microsoft.QLinearReduceMean", since=1)
def qlinear_reduce_mean(node: Node) -> Result:
    """The mean over ``axes``, or over all of them."""
    axes = node.ints("axes", [])
    operands = [np.array(axes, np.int64)] if axes else []
    return _mean(node, "ReduceMean", *operands, keepdims=node.int("keepdims", 1))


# --- conversions ------------------------------------------------------------------------------


@converts("com.microsoft.QuantizeLinear", since=1)
def quantize_linear(node: Node) -> Result:
    """ONNX's QuantizeLinear, for more types."""
    return _again(node, "QuantizeLinear")


@converts("com.microsoft.DequantizeLinear", since=1)
def dequantize_linear(node: Node) -> Result:
    """ONNX's DequantizeLinear, for more types."""
    return _again(node, "DequantizeLinear")


def _again(node: Node, kind: str) -> Result:
    operands = [name for i, name in enumerate(node.input_names) if node.has(i)]
    along = {"axis": node.attributes["axis"]} if "axis" in node.attributes else {}
    return node.tensor(node.onnx(kind, *operands, into=node.output_names[0], **along))


@converts("com.microsoft.MatMulIntegerToFloat", since=1)
def matmul_integer_to_float(node: Node) -> Result:
    """MatMulInteger, times both scales, plus a bias."""
    return _product(node, (0, 1), (2, 3), (4, 5), 6)


def _product(
    node: Node, factors: tuple[int, int], scales: tuple[int, int], zeros: tuple[int, int], bias: int
) -> Result:
    a, b = (node.input_names[i] for i in factors)
    points = [_zero_point(node, z, _byte_type(node, f)) for f, z in zip(factors, zeros, strict=True)]
    a_scale, b_scale = (node.input_names[i] for i in scales)
    return _scaled(node, node.onnx("MatMulInteger", a, b, *points), a_scale, b_scale, bias)


def _scaled(node: Node, product: str, a_scale: str, b_scale: str, bias: int) -> Result:
    """An integer product times both scales, plus operand ``bias`` if there is one."""
    output, factor = node.output_names[0], node.onnx("Mul", a_scale, b_scale)
    numbers = node.onnx("Cast", product, to=1)
    if not node.has(bias):
        return node.tensor(node.onnx("Mul", numbers, factor, into=output))
    return node.tensor(
        node.onnx("Add", node.onnx("Mul", numbers, factor), node.input_names[bias], into=output)
    )


@converts("com.microsoft.DynamicQuantizeMatMul", since=1)
def dynamic_quantize_matmul(node: Node) -> Result:
    """The product of floats, quantised to bytes by their own range, with a quantised matrix."""
    a, a_scale, a_zero = node.onnx_all("DynamicQuantizeLinear", node.input_names[0], count=3)
    b_zero = _zero_point(node, 3, _byte_type(node, 1))
    product = node.onnx("MatMulInteger", a, node.input_names[1], a_zero, b_zero)
    return _scaled(node, product, a_scale, node.input_names[2], 4)
