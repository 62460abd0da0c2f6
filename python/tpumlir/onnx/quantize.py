"""Quantised operators, as exact simulations: integers in float32 where they fit its 24 bits, in int32 beyond.

A product of two numbers of 8 bits, each less its zero point, is at most 255 * 255. Up to 258 of them add up
exactly in float32, in any order; longer sums are made of such parts, which are added as integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.bytewise import EXACT_TERMS, cut, exact_products
from tpumlir.onnx.registry import Array, Attribute, DType, InvalidNodeError, Node, Result, converts
from tpumlir.onnx.types import is_stored_only

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

_NARROW = {np.dtype(name) for name in ("int8", "uint8", "int16", "uint16")}
CONV_ATTRIBUTES = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
PRODUCT = "product"
"""Attribute of a QuantizeLinear that ``qlinear`` makes: scales of left operand, result, right operand."""
QUANTISE_HERE = "start from the float model and quantise with this compiler"


def _code(dtype: DType) -> int:
    import onnx

    return onnx.helper.np_dtype_to_tensor_dtype(dtype)


def _float(node: Node, name: str) -> str:
    return node.onnx("Cast", name, to=_code(np.dtype(np.float32)))


def _narrow(node: Node, dtype: DType) -> DType:
    node.refuse(dtype not in _NARROW, f"numbers of type {dtype}", QUANTISE_HERE)
    return dtype


def _check(node: Node, index: int) -> None:
    """Refuse a scale or zero point (operand ``index``) that does not fit operand 0.

    A number is for the whole tensor, a vector for the indices of the axis, anything else for blocks of it.
    """
    given, shape = node.shape(index), node.shape(0)
    if len(given) <= 1 and math.prod(given) == 1:
        return
    axis = node.axis(node.int("axis", 1), len(shape))
    if len(given) == 1:
        if given[0] != shape[axis]:
            raise InvalidNodeError(f"expected {shape[axis]} numbers in operand {index}, got {given[0]}")
        return
    block = node.int("block_size", 0)
    count = given[axis] if len(given) == len(shape) else 0
    wanted = (*shape[:axis], count, *shape[axis + 1 :])
    if given != wanted or block < 1 or -(-shape[axis] // block) != count:
        raise InvalidNodeError(
            f"expected operand {index} with one number for {block} of axis {axis} of {list(shape)}, "
            f"got {list(given)}"
        )


def _parameters(node: Node, prefix: str) -> tuple[list[Value], dict[str, Attribute]]:
    """Scale and zero point as operands, or as attributes if they are constants for the tensor or an axis."""
    scale, zero_point = node.const(1), node.const(2)
    given = [scale, zero_point] if node.has(2) else [scale]
    for index in range(1, 1 + len(given)):
        _check(node, index)
    shape: dict[str, Attribute] = {"axis": node.int("axis", 1)}
    if all(array is not None and array.ndim <= 1 for array in given) and _is_whole(zero_point):
        assert scale is not None
        zeros = np.zeros(1) if zero_point is None else zero_point
        count = max(scale.size, zeros.size)
        return [], {
            f"{prefix}_scale": [float(number) for number in np.broadcast_to(scale, count)],
            f"{prefix}_zero_point": [int(number) for number in np.broadcast_to(zeros, count)],
            **shape,
        }
    if any(len(node.shape(index)) > 1 for index in range(1, 1 + len(given))):
        shape["block_size"] = node.int("block_size", 0)
    return [_operand(node, index) for index in range(1, 1 + len(given))], shape


def _is_whole(array: Array | None) -> bool:
    return array is None or bool((array.astype(np.float32) == np.rint(array.astype(np.float32))).all())


def _operand(node: Node, index: int) -> Value:
    """Operand ``index``; a constant is float32, which has the numbers of all types that are quantised."""
    data = node.const(index)
    if data is None or data.dtype == np.float32:
        return node.operand(index)
    return node.derived_weight(index, "f32", data.astype(np.float32))


def _saturated(node: Node, name: str, zero_point: str, dtype: DType) -> Result:
    """A float tensor rounded half to even, plus the zero point, in the range of ``dtype``."""
    rounded = node.onnx("Round", name)
    if zero_point:
        rounded = node.onnx("Add", rounded, zero_point)
    limits = np.iinfo(dtype)
    bounds = (np.array(limit, np.float32) for limit in (limits.min, limits.max))
    clipped = node.onnx("Clip", rounded, *bounds)
    return node.tensor(node.onnx("Cast", clipped, into=node.output_names[0], to=_code(dtype)))


@converts("QuantizeLinear", since=10)
def quantize_linear(node: Node) -> Result:
    """``top.QuantizeLinear``. Source: ONNX QuantizeLinear, opset 25."""
    dtype = _narrow(node, node.output_dtype())
    operands, attributes = _parameters(node, "y")
    # Of the integers of a product: the scales that --quantize INT8 reads instead of the factor of its sum.
    product = node.floats(PRODUCT)
    if product:
        attributes[PRODUCT] = product
    y = node.emit("top.QuantizeLinear", [_operand(node, 0), *operands], **attributes, to=dtype.name.upper())
    scale, zero_point = node.const(1), node.const(2)
    if not operands and scale is not None and dtype.itemsize == 1 and (product or scale.size == 1):
        zero = 0 if zero_point is None else int(zero_point.reshape(-1)[0])
        node.emitter.steps.state(y.name, product[1] if product else float(scale.item()), zero)
    return y


@converts("DequantizeLinear", since=10)
def dequantize_linear(node: Node) -> Result:
    """``top.DequantizeLinear``. Source: ONNX DequantizeLinear, opset 25."""
    if node.dtype(0) != np.dtype(np.int32) and not is_stored_only(node.dtype(0)):
        _narrow(node, node.dtype(0))
    operands, attributes = _parameters(node, "x")
    return node.emit("top.DequantizeLinear", [_operand(node, 0), *operands], **attributes)


# --- products -----------------------------------------------------------------------------------


def _centred(node: Node, index: int, zero_point: int, shape: tuple[int, ...]) -> str:
    """Operand ``index`` less its zero point, which is brought to ``shape`` if it is a vector, as float."""
    dtype = node.dtype(index)
    node.refuse(
        dtype not in {np.dtype(np.int8), np.dtype(np.uint8)}, f"numbers of type {dtype}", QUANTISE_HERE
    )
    value = _float(node, node.input_names[index])
    if not node.has(zero_point):
        return value
    return node.onnx("Sub", value, _vector(node, _float(node, node.input_names[zero_point]), shape))


def _vector(node: Node, name: str, shape: tuple[int, ...]) -> str:
    """A scale or zero point; a vector of more than one number takes ``shape``."""
    given = node.tensor(name).shape
    if len(given) != 1 or given[0] == 1:
        return name
    if given[0] != math.prod(shape):
        raise InvalidNodeError(f"expected {math.prod(shape)} scales or zero points, got {given[0]}")
    return node.onnx("Reshape", name, np.array(shape))


def _exact_sum(node: Node, parts: list[str], into: str = "") -> str:
    """The sum of float tensors of whole numbers, as int32."""
    code = _code(np.dtype(np.int32))
    whole = [node.onnx("Cast", part, into=into if len(parts) == 1 else "", to=code) for part in parts]
    total = whole[0]
    for i, part in enumerate(whole[1:], 2):
        total = node.onnx("Add", total, part, into=into if i == len(whole) else "")
    return total


def _convolution(node: Node, x: str, w: str) -> list[str]:
    """Parts of a convolution by groups of input channels, each exact in float32."""
    attributes = {name: node.attributes[name] for name in CONV_ATTRIBUTES if name in node.attributes}
    shape, group = tuple(node.tensor(w).shape), node.int("group", 1)
    step = EXACT_TERMS // math.prod(shape[2:])
    if step >= shape[1]:
        return [node.onnx("Conv", x, w, **attributes)]
    node.refuse(step == 0 or group != 1, "a sum of more terms than float32 holds exactly", QUANTISE_HERE)
    return [
        node.onnx(
            "Conv",
            cut(node, x, 1, start, min(start + step, shape[1])),
            cut(node, w, 1, start, min(start + step, shape[1])),
            **attributes,
        )
        for start in range(0, shape[1], step)
    ]


@converts("MatMulInteger", since=10)
def matmul_integer(node: Node) -> Result:
    """(A - a) (B - b) in int32. Source: ONNX MatMulInteger, opset 10."""
    a = _centred(node, 0, 2, (*node.shape(0)[-2:-1], 1))
    b = _centred(node, 1, 3, node.shape(1)[-1:])
    return node.tensor(_exact_sum(node, exact_products(node, a, b), node.output_names[0]))


@converts("ConvInteger", since=10)
def conv_integer(node: Node) -> Result:
    """The convolution of x - a with w - b in int32. Source: ONNX ConvInteger, opset 10."""
    x = _centred(node, 0, 2, (1,))
    w = _centred(node, 1, 3, (node.shape(1)[0], *[1] * (len(node.shape(1)) - 1)))
    return node.tensor(_exact_sum(node, _convolution(node, x, w), node.output_names[0]))


def _requantized(
    node: Node,
    parts: list[str],
    scales: tuple[int, int, int],
    zero_point: int,
    shapes: Callable[[int], tuple[int, ...]],
) -> Result:
    """saturate(round(sum a_scale b_scale / y_scale) + zero point), with the factor in float32."""
    names = node.input_names
    a, b, y = (_vector(node, names[index], shapes(i)) for i, index in enumerate(scales))
    factor = node.onnx("Div", node.onnx("Mul", a, b), y)
    total = parts[0] if len(parts) == 1 else _float(node, _exact_sum(node, parts))
    dtype = _narrow(node, node.output_dtype())
    moved = _vector(node, _float(node, names[zero_point]), shapes(2))
    return _saturated(node, node.onnx("Mul", total, factor), moved, dtype)


def exact_qlinear_matmul(node: Node) -> Result:
    """QLinearMatMul of any scales and zero points, with the exact sum of integers."""
    row, column = (*node.shape(0)[-2:-1], 1), node.shape(3)[-1:]
    a, b = _centred(node, 0, 2, row), _centred(node, 3, 5, column)
    shapes = (row, column, row)
    return _requantized(node, exact_products(node, a, b), (1, 4, 6), 7, lambda i: shapes[i])


def exact_qlinear_conv(node: Node) -> Result:
    """QLinearConv of any scales and zero points, with the exact sum of integers."""
    rank, channels = len(node.shape(3)), node.shape(3)[0]
    x, w = _centred(node, 0, 2, (1,)), _centred(node, 3, 5, (channels, *[1] * (rank - 1)))
    parts = _convolution(node, x, w)
    along = (channels, *[1] * (rank - 2))
    if node.has(8):
        # The bias counts in steps of x_scale w_scale: an integer like the sums.
        bias = node.onnx("Reshape", node.input_names[8], np.array(along))
        whole = node.onnx("Add", _exact_sum(node, parts), bias)
        parts = [_float(node, whole)]
    return _requantized(node, parts, (1, 4, 6), 7, lambda _: along)
