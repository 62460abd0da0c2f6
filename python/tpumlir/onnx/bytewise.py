"""Products of matrices of integers, on a chip that multiplies matrices of floats: exact, by bytes.

A product of two numbers of 8 bits is at most 255 * 255; EXACT_TERMS of them add up exactly in float32, in any
order.
"""

from __future__ import annotations

import numpy as np

from tpumlir.onnx.registry import Node, NotSupportedError, Result

EXACT_TERMS = 2**24 // 255**2


def _rank(node: Node, name: str) -> int:
    return len(node.tensor(name).shape)


def cut(node: Node, name: str, axis: int, start: int, end: int) -> str:
    """The elements from ``start`` to ``end`` of an axis."""
    if start == 0 and node.tensor(name).shape[axis] == end:
        return name
    return node.onnx("Slice", name, np.array([start]), np.array([end]), np.array([axis]))


def exact_products(node: Node, a: str, b: str) -> list[str]:
    """Parts of A B, each exact in float32."""
    inner = node.tensor(a).shape[-1]
    rows = max(0, _rank(node, b) - 2)
    return [
        node.onnx(
            "MatMul",
            cut(node, a, _rank(node, a) - 1, start, min(start + EXACT_TERMS, inner)),
            cut(node, b, rows, start, min(start + EXACT_TERMS, inner)),
        )
        for start in range(0, inner, EXACT_TERMS)
    ]


def of_integers(node: Node) -> bool:
    """True if the operands 0 and 1 are integers."""
    return any(node.kind(index) == "i32" for index in (0, 1))


def integer_product(node: Node, a: str, b: str, into: str = "") -> str:
    """The product of matrices of i32, exact up to 32 bits, where it wraps around as a product of Top does.

    The chip multiplies matrices of floats. Each number is the sum of four bytes b with their weights 256^i.
    Products of bytes are at most 255 * 255, and EXACT_TERMS of them add up exactly in float32; their sums are
    put together as integers. Bytes whose weights reach 2^32 together have no part in the result.
    """
    left, right = _bytes_of(node, a), _bytes_of(node, b)
    total = ""
    pairs = [(i, j) for i in left for j in right if i + j < _BYTES]
    for place in sorted({i + j for i, j in pairs}):
        same = ""
        for i in (i for i in left if (i, place - i) in pairs):
            for part in exact_products(node, left[i], right[place - i]):
                whole = node.onnx("Cast", part, to=_INT32)
                same = node.onnx("Add", same, whole) if same else whole
        if place:
            same = node.onnx("Mul", same, np.array(256**place, np.int32))
        total = node.onnx("Add", total, same) if total else same
    if not pairs:  # a constant of zeros
        shape = np.matmul(np.zeros(node.tensor(a).shape), np.zeros(node.tensor(b).shape)).shape
        zero = np.zeros([1] * len(shape), np.int32)
        total = node.onnx("Expand", zero, np.array(shape, np.int64))
    return node.onnx("Cast", total, into=into, to=_INT32)


_BYTES = 4  # of 32 bits
_INT32 = 6  # ONNX's number of the type


def _bytes_of(node: Node, name: str) -> dict[int, str]:
    """The bytes of a tensor of integers in float32, by their place; those that are all 0 are left out."""
    source = node.tensor(name)
    if isinstance(source, np.ndarray):
        limits = (0, 2**32) if source.dtype == np.uint32 else (-(2**31), 2**31)
        if source.size and not (limits[0] <= source.min() and source.max() < limits[1]):
            raise NotSupportedError(
                f"the constant {name} holds integers of more than 32 bits",
                "compute in float32, or with smaller numbers",
            )
        bits = source.astype(np.int64)
        found = {i: ((bits >> 8 * i) & 255).astype(np.float32) for i in range(_BYTES)}
        return {i: node.onnx("Identity", data) for i, data in found.items() if data.any()}
    result = {}
    for i in range(_BYTES):
        part = node.onnx("Cast", name, to=_INT32)
        if i:
            part = node.onnx("BitShift", part, np.array(8 * i, np.int32), direction="RIGHT")
        part = node.onnx("BitwiseAnd", part, np.array(255, np.int32))
        result[i] = node.onnx("Cast", part, to=1)
    return result


def integer_gemm(node: Node, trans_a: bool, trans_b: bool, alpha: float, beta: float) -> Result:
    """As for floats, with whole factors."""
    has_c = node.has(2) and beta != 0.0
    for name, factor in (("alpha", alpha), ("beta", beta if has_c else 0.0)):
        node.refuse(
            not factor.is_integer() or abs(factor) >= 2**31,
            f"{name} = {factor:g} of integers", "give it whole factors, or compute in float32",
        )  # fmt: skip
    names = list(node.input_names)
    for index, transposed in ((0, trans_a), (1, trans_b)):
        if transposed:
            names[index] = node.onnx("Transpose", names[index], perm=[1, 0])
    output = node.output_names[0]

    def times(name: str, factor: float, into: str = "") -> str:
        if factor == 1.0 and not into:
            return name
        return node.onnx("Mul", name, np.array(factor, np.int32), into=into)

    product = integer_product(node, names[0], names[1])
    if not has_c:
        return node.tensor(times(product, alpha, output))
    addend = times(node.onnx("Cast", names[2], to=_INT32), beta)
    return node.tensor(node.onnx("Add", times(product, alpha), addend, into=output))
