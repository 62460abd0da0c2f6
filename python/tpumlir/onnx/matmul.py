"""MatMul and Gemm: either operand may be a constant or a run-time tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.bytewise import integer_gemm, integer_product, of_integers
from tpumlir.onnx.indexing import broadcast
from tpumlir.onnx.registry import InvalidNodeError, Node, Result, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


@converts("MatMul", since=1)
def matmul(node: Node) -> Result:
    """``top.MatMul``; vectors become matrices and back. Source: ONNX MatMul, opset 13."""
    a, b = node.shape(0), node.shape(1)
    if not a or not b:
        raise InvalidNodeError(f"expected operands of rank 1 or more, got {list(a)} and {list(b)}")
    if of_integers(node):
        return node.tensor(
            integer_product(node, node.input_names[0], node.input_names[1], node.output_names[0])
        )
    left, right = node.operand(0), node.operand(1)
    if len(a) > 1 and len(b) > 1:
        _check_inner(a, b)
        return node.emit("top.MatMul", [left, right, node.emitter.none()])
    if len(a) == 1:
        left, a = node.reshape(left, (1, a[0]), "row"), (1, a[0])
    result = list(broadcast(a[:-2], b[:-2])) if len(b) > 1 else list(a[:-2])
    if len(node.shape(0)) > 1:
        result.append(a[-2])
    if len(b) == 1:
        right, b = node.reshape(right, (b[0], 1), "column"), (b[0], 1)
    else:
        result.append(b[-1])
    _check_inner(a, b)
    product = node.helper("top.MatMul", [left, right, node.emitter.none()], "matrix")
    return node.reshape(product, result)


def _check_inner(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    if a[-1] != b[-2]:
        raise InvalidNodeError(f"expected as many columns as rows, got {list(a)} and {list(b)}")
    broadcast(a[:-2], b[:-2])


@converts("Gemm", since=1)
def gemm(node: Node) -> Result:
    """``alpha A' B' + beta C``. Source: ONNX Gemm, opset 13 (7 and 9 mean the same)."""
    a, b = node.shape(0), node.shape(1)
    if len(a) != 2 or len(b) != 2:
        raise InvalidNodeError(f"expected two matrices, got {list(a)} and {list(b)}")
    trans_a, trans_b = bool(node.int("transA", 0)), bool(node.int("transB", 0))
    alpha, beta = node.float("alpha", 1.0), node.float("beta", 1.0)
    rows, inner = a[::-1] if trans_a else a
    inner_b, columns = b[::-1] if trans_b else b
    if inner != inner_b:
        raise InvalidNodeError(f"expected as many columns as rows, got {inner} and {inner_b}")
    if of_integers(node):
        return integer_gemm(node, trans_a, trans_b, alpha, beta)
    left = _matrix(node, 0, trans_a)
    data = node.const(1)
    if data is not None and (trans_b or alpha != 1.0):
        # What is constant is computed now, in float64, rounded once.
        scaled = (data.astype(np.float64) * alpha).astype(np.float32).reshape(data.shape)
        right = node.derived_weight(1, "fix", np.ascontiguousarray(scaled.T if trans_b else scaled))
        alpha = 1.0
    else:
        right = _matrix(node, 1, trans_b)
    return _affine(node, left, right, (rows, columns), alpha, beta)


def _matrix(node: Node, index: int, transposed: bool) -> Value:
    value = node.operand(index)
    return node.helper("top.Permute", [value], f"t{index}", order=[1, 0]) if transposed else value


def _affine(
    node: Node, left: Value, right: Value, shape: tuple[int, int], alpha: float, beta: float
) -> Value:
    """``alpha left right + beta C``; a C that is the same in all rows is the bias of the product."""
    none = node.emitter.none()
    if not node.has(2) or beta == 0.0:
        if alpha == 1.0:
            return node.emit("top.MatMul", [left, right, none])
        product = node.helper("top.MatMul", [left, right, none], "product")
        return node.emit("top.MulConst", [product], const_val=alpha)
    c, data = node.shape(2), node.const(2)
    if len(c) > 2 or broadcast(c, shape) != list(shape):
        raise InvalidNodeError(f"expected a C that broadcasts to {list(shape)}, got {list(c)}")
    if alpha == 1.0 and data is not None and data.size in {1, shape[1]} and (len(c) < 2 or c[0] == 1):
        bias = np.broadcast_to((data.astype(np.float64) * beta).reshape(-1), (shape[1],)).astype(np.float32)
        plain = beta == 1.0 and c == (shape[1],)
        value = node.operand(2) if plain else node.derived_weight(2, "fix", bias)
        return node.emit("top.MatMul", [left, right, value])
    if alpha == 1.0 and data is None and shape[0] > 1 and c in ((shape[1],), (1, shape[1])):
        row = node.reshape(_times(node, node.operand(2), beta), (shape[1],), "bias")
        return node.emit("top.MatMul", [left, right, row])
    product = node.helper("top.MatMul", [left, right, none], "product")
    if alpha != 1.0:
        product = node.helper("top.MulConst", [product], "alpha", const_val=alpha)
    if data is not None:
        addend = node.derived_weight(
            2, "fix", (data.astype(np.float64) * beta).astype(np.float32).reshape(c or (1,))
        )
    else:
        addend = _times(node, node.operand(2), beta)
    return node.emit("top.Add", [product, addend])


def _times(node: Node, addend: Value, beta: float) -> Value:
    return addend if beta == 1.0 else node.helper("top.MulConst", [addend], "beta", const_val=beta)
