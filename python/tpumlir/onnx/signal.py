"""Fourier transforms as products with constant matrices, and the cumulative product."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tpumlir.onnx.registry import InvalidNodeError, Node, Result, converts


def _matrix(
    extent: int, parts: int, length: int, *, inverse: bool, onesided: bool
) -> npt.NDArray[np.float32]:
    """What a transform of ``length`` multiplies with: [extent * parts, bins * parts of the result].

    Row (n, part) is input n of ``extent``: missing ones count as 0, further ones are cut off.
    Computed in float64, rounded once.
    """
    back = inverse and onesided
    bins = length // 2 + 1 if onesided and not inverse else length
    n, k = np.arange(extent).reshape(-1, 1), np.arange(bins)
    # The product is taken modulo the length: large angles would lose digits.
    angle = (1 if inverse else -1) * 2 * np.pi * (n * k % length) / length
    scale = 1 / length if inverse else 1.0
    weight = np.where(n < (length // 2 + 1 if back else length), scale, 0.0)
    if back:
        # Bins that stand for two: all but the first, and the middle one of an even length.
        weight = weight * np.where((n == 0) | (2 * n == length), 1, 2)
    cos, sin = np.cos(angle) * weight, np.sin(angle) * weight
    # [n, part of the input, k, part of the result]
    table = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)[:, :parts]
    if back:
        table = table[..., :1]
    return table.reshape(extent * parts, -1).astype(np.float32)


def _transform(node: Node, name: str, axis: int, length: int, *, inverse: bool, onesided: bool) -> str:
    """The transform of a tensor along ``axis``; its last axis is [1] (real) or [2] (real, imaginary)."""
    shape = tuple(node.tensor(name).shape)
    parts, rank = shape[-1], len(shape)
    if parts not in {1, 2} or axis == rank - 1 or length < 1:
        raise InvalidNodeError(
            f"expected an axis before a last one of 1 or 2, got axis {axis} of {list(shape)}"
        )
    if onesided and inverse != (parts == 2):
        raise InvalidNodeError(
            "expected a real signal, or a complex one and its inverse transform, for onesided = 1"
        )
    order = [i for i in range(rank - 1) if i != axis] + [axis, rank - 1]
    if order != list(range(rank)):
        name = node.onnx("Transpose", name, perm=order)
    rest = [shape[i] for i in order[:-2]]
    matrix = _matrix(shape[axis], parts, length, inverse=inverse, onesided=onesided)
    rows = node.onnx("Reshape", name, np.array([math.prod(rest), matrix.shape[0]]))
    product = node.onnx("MatMul", rows, matrix)
    parts = 1 if inverse and onesided else 2
    name = node.onnx("Reshape", product, np.array([*rest, matrix.shape[1] // parts, parts]))
    if order != list(range(rank)):
        name = node.onnx("Transpose", name, perm=[order.index(i) for i in range(rank)])
    return name


def _dft(node: Node, axis: int) -> Result:
    rank = len(node.shape(0))
    axis = node.axis(axis, rank)
    inverse, onesided = bool(node.int("inverse", 0)), bool(node.int("onesided", 0))
    given = node.known_ints(1, "its length")
    extent = node.shape(0)[axis]
    length = given[0] if given else 2 * (extent - 1) if inverse and onesided else extent
    name = _transform(node, node.input_names[0], axis, length, inverse=inverse, onesided=onesided)
    return node.tensor(name)


@converts("DFT", since=17)
def dft_17(node: Node) -> Result:
    """A product with the matrix of the transform. Source: ONNX DFT, opset 17."""
    return _dft(node, node.int("axis", 1))


@converts("DFT", since=20)
def dft_20(node: Node) -> Result:
    """The axis is an operand. Source: ONNX DFT, opset 20."""
    axis = node.known_ints(2, "its axis")
    return _dft(node, axis[0] if axis else -2)


@converts("STFT", since=17)
def stft(node: Node) -> Result:
    """The transforms of frames, each times the window. Source: ONNX STFT, opset 17."""
    shape = node.shape(0)
    step, given = node.known_ints(1, "its step"), node.known_ints(3, "its frame length")
    if len(shape) != 3 or not step or step[0] < 1:
        raise InvalidNodeError(f"expected a signal of rank 3 and a step, got {list(shape)} and {step}")
    length = given[0] if given else node.shape(2)[0] if node.has(2) else shape[1]
    if not 1 <= length <= shape[1] or (node.has(2) and node.shape(2) != (length,)):
        raise InvalidNodeError(f"expected a frame, and a window of its length, in {shape[1]}, got {length}")
    starts = np.arange(0, shape[1] - length + 1, step[0]).reshape(-1, 1)
    frames = node.onnx("Gather", node.input_names[0], starts + np.arange(length), axis=1)
    if node.has(2):
        window = node.onnx("Reshape", node.input_names[2], np.array([length, 1]))
        frames = node.onnx("Mul", frames, window)
    onesided = bool(node.int("onesided", 1)) and shape[2] == 1
    return node.tensor(_transform(node, frames, 2, length, inverse=False, onesided=onesided))


@converts("CumProd", since=26)
def cumprod(node: Node) -> Result:
    """Products of 1, 2, 4, ... neighbours, each step from the one before. Source: ONNX CumProd, opset 26."""
    axes = node.known_ints(1, "its axis")
    shape = list(node.shape(0))
    axis = node.axis(axes[0] if axes else 0, len(shape))
    extent, name = shape[axis], node.input_names[0]
    place = np.array([axis])
    backwards = bool(node.int("reverse", 0))

    def shifted(tensor: str, count: int) -> str:
        """The tensor moved by ``count`` places, with ones in front (behind, if the products go backwards)."""
        start, end = (count, extent) if backwards else (0, extent - count)
        ones = np.ones([count if i == axis else v for i, v in enumerate(shape)], node.dtype(0))
        if count == extent:
            return node.onnx("Concat", ones, axis=axis)
        kept = node.onnx("Slice", tensor, np.array([start]), np.array([end]), place)
        return node.onnx("Concat", *((kept, ones) if backwards else (ones, kept)), axis=axis)

    if node.int("exclusive", 0):
        name = shifted(name, 1)
    count = 1
    while count < extent:
        name = node.onnx("Mul", name, shifted(name, count))
        count *= 2
    return node.tensor(name)
