"""Operators of ONNX Runtime's own domain that exporters and its optimizer write, as the ONNX ones they fuse.

What they mean stands in ONNX Runtime's docs/ContribOperators.md; ONNX Runtime itself is the judge.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tpumlir.onnx.registry import InvalidNodeError, Node, Result, converts

_FLOAT = 1


def _number(value: float) -> np.ndarray[Any, np.dtype[Any]]:
    return np.array(value, np.float32)


def _name(node: Node, index: int) -> str:
    return node.input_names[index] if node.has(index) else ""


def _added(node: Node, *names: str) -> str:
    """The sum of the tensors that are given."""
    given = [name for name in names if name]
    total = given[0]
    for name in given[1:]:
        total = node.onnx("Add", total, name)
    return total


def _finish(node: Node, name: str, index: int = 0) -> Result:
    """The tensor called ``name`` as output ``index``."""
    return node.tensor(node.onnx("Identity", name, into=node.output_names[index]))


# --- fused activations --------------------------------------------------------------------

_ALPHA = {"LeakyRelu": 0.01, "HardSigmoid": 0.2, "Elu": 1.0}


def _activated(node: Node, name: str, kind: str, parameters: dict[str, float], into: str) -> str:
    if kind in {"", "Identity"}:
        return node.onnx("Identity", name, into=into)
    if kind in {"Relu", "Tanh", "Sigmoid", "Softplus", "Softsign"}:
        return node.onnx(kind, name, into=into)
    if kind in {"LeakyRelu", "Elu"}:
        return node.onnx(kind, name, into=into, alpha=parameters.get("alpha", _ALPHA[kind]))
    if kind == "HardSigmoid":
        alpha, beta = parameters.get("alpha", 0.2), parameters.get("beta", 0.5)
        return node.onnx(kind, name, into=into, alpha=alpha, beta=beta)
    if kind == "Clip" and {"alpha", "beta"} <= parameters.keys():
        low, high = (_number(parameters[key]) for key in ("alpha", "beta"))
        return node.onnx(kind, name, low, high, into=into)
    node.refuse(True, f"its activation {kind}", "save the model without ONNX Runtime's optimizations")
    raise AssertionError


@converts("com.microsoft.FusedConv", since=1)
def fused_conv(node: Node) -> Result:
    """A convolution, plus a tensor, then an activation."""
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    attributes = {name: node.attributes[name] for name in names if name in node.attributes}
    operands = [_name(node, i) for i in range(3) if node.has(i)]
    value = node.onnx("Conv", *operands, **attributes)
    if node.has(3):
        value = node.onnx("Add", value, _name(node, 3))
    given = node.floats("activation_params")
    parameters = dict(zip(("alpha", "beta"), given, strict=False))
    return node.tensor(_activated(node, value, node.str("activation", ""), parameters, node.output_names[0]))


@converts("com.microsoft.FusedGemm", since=1)
def fused_gemm(node: Node) -> Result:
    """Gemm, then an activation."""
    names = ("alpha", "beta", "transA", "transB")
    attributes = {name: node.attributes[name] for name in names if name in node.attributes}
    value = node.onnx("Gemm", *(_name(node, i) for i in range(3) if node.has(i)), **attributes)
    parameters = {
        name: node.float(f"activation_{name}", 0.0)
        for name in ("alpha", "beta")
        if f"activation_{name}" in node.attributes
    }
    return node.tensor(_activated(node, value, node.str("activation", ""), parameters, node.output_names[0]))


@converts("com.microsoft.TransposeMatMul", since=1)
@converts("com.microsoft.FusedMatMul", since=1)
def fused_matmul(node: Node) -> Result:
    """``alpha A B`` of transposed matrices.

    With transBatchA the first axis of A moves behind its other batch axes, in front of the columns.
    """
    names = []
    for index, letter in ((0, "A"), (1, "B")):
        rank, name = len(node.shape(index)), _name(node, index)
        order = list(range(rank))
        if node.int(f"transBatch{letter}", 0) and rank > 2:
            order = [*order[1:-1], 0, order[-1]]
        if node.int(f"trans{letter}", 0) and rank > 1:
            order[-2:] = order[:-3:-1]
        names.append(name if order == list(range(rank)) else node.onnx("Transpose", name, perm=order))
    alpha, output = node.float("alpha", 1.0), node.output_names[0]
    if alpha == 1.0:
        return node.tensor(node.onnx("MatMul", *names, into=output))
    return node.tensor(node.onnx("Mul", node.onnx("MatMul", *names), _number(alpha), into=output))


# --- Gelu and relatives -----------------------------------------------------------------------


def _gelu(node: Node, x: str) -> Result:
    """Half of x (1 + erf(x / sqrt 2))."""
    spread = node.onnx("Erf", node.onnx("Mul", x, _number(math.sqrt(0.5))))
    half = node.onnx("Mul", x, _number(0.5))
    return node.tensor(
        node.onnx("Mul", half, node.onnx("Add", spread, _number(1.0)), into=node.output_names[0])
    )


@converts("com.microsoft.Gelu", since=1)
def gelu(node: Node) -> Result:
    """With the error function."""
    return _gelu(node, _name(node, 0))


@converts("com.microsoft.BiasGelu", since=1)
def bias_gelu(node: Node) -> Result:
    """Of a sum, with the error function."""
    return _gelu(node, _added(node, _name(node, 0), _name(node, 1)))


@converts("com.microsoft.FastGelu", since=1)
def fast_gelu(node: Node) -> Result:
    """Of a sum, by the approximation that its name stands for: x (1 + tanh(a x + b x^3)) / 2."""
    x = _added(node, _name(node, 0), _name(node, 1))
    square = node.onnx("Mul", x, x)
    slope = math.sqrt(2.0 / math.pi)
    factor = node.onnx("Add", node.onnx("Mul", square, _number(0.044715 * slope)), _number(slope))
    bent = node.onnx("Tanh", node.onnx("Mul", x, factor))
    half = node.onnx("Mul", x, _number(0.5))
    return node.tensor(
        node.onnx("Mul", half, node.onnx("Add", bent, _number(1.0)), into=node.output_names[0])
    )


@converts("com.microsoft.QuickGelu", since=1)
def quick_gelu(node: Node) -> Result:
    """The product x sigmoid(alpha x)."""
    x, alpha = _name(node, 0), node.float("alpha", 1.702)
    gate = node.onnx("Sigmoid", node.onnx("Mul", x, _number(alpha)))
    return node.tensor(node.onnx("Mul", x, gate, into=node.output_names[0]))


# --- normalisations of sums ---------------------------------------------------------------------


def _skip(node: Node, normalize: str, scale: int, shift: int | None, bias: int) -> list[Result]:
    """The normalised sum of input, skip and bias; the sum itself is output 3."""
    outputs = [*node.output_names, "", "", ""][:4]
    node.refuse(any(outputs[1:3]), "its mean or deviation is used", "leave these outputs out")
    total = _added(node, _name(node, 0), _name(node, 1), _name(node, bias))
    operands = [_name(node, index) for index in (scale, shift) if index is not None and node.has(index)]
    eps = node.float("epsilon", 1e-12)
    value = node.onnx(normalize, total, *operands, axis=-1, epsilon=eps, into=outputs[0])
    results = [node.tensor(value)] * 3
    results.append(_finish(node, total, 3) if outputs[3] else node.tensor(total))
    return results[: len(node.output_names)]


@converts("com.microsoft.SkipLayerNormalization", since=1)
def skip_layer_normalization(node: Node) -> list[Result]:
    """LayerNormalization of input + skip + bias."""
    return _skip(node, "LayerNormalization", 2, 3, 4)


@converts("com.microsoft.SkipSimplifiedLayerNormalization", since=1)
def skip_simplified_layer_normalization(node: Node) -> list[Result]:
    """RMSNormalization of input + skip + bias."""
    return _skip(node, "SimplifiedLayerNormalization", 2, None, 3)


# --- attention --------------------------------------------------------------------------------


@converts("com.microsoft.RotaryEmbedding", since=1)
def rotary_embedding(node: Node) -> Result:
    """Pairs of numbers turned by the angle of their position."""
    shape, output = node.shape(0), node.output_names[0]
    node.refuse(
        bool(node.int("is_packed_batching", 0)), "is_packed_batching", "export the model without packing"
    )
    half = node.shape(2)[1]
    heads, turned = node.int("num_heads", 0), node.int("rotary_embedding_dim", 0)
    if len(shape) == 4:
        batch, length, heads, size = shape[0], shape[2], shape[1], shape[3]
        x = node.onnx("Transpose", _name(node, 0), perm=[0, 2, 1, 3])
    elif len(shape) == 3:
        if turned and not heads:
            raise InvalidNodeError("expected num_heads beside rotary_embedding_dim, got none")
        batch, length = shape[:2]
        size = shape[2] // heads if heads else 2 * half
        heads = shape[2] // size
        x = node.onnx("Reshape", _name(node, 0), np.array([batch, length, heads, size]))
    else:
        raise InvalidNodeError(f"expected an operand of rank 3 or 4, got {list(shape)}")
    turned = turned or size
    if turned != 2 * half:
        raise InvalidNodeError(f"expected caches of {turned // 2} columns, got {half}")
    positions = _name(node, 1)
    if math.prod(node.shape(1)) == 1 and len(node.shape(1)) < 2:
        first = node.onnx("Reshape", positions, np.array([1, 1]))
        steps = np.arange(length, dtype=np.int64).reshape(1, length)
        positions = node.onnx("Expand", node.onnx("Add", first, steps), np.array([batch, length]))
    shape4 = np.array([batch, length, 1, half])
    cos, sin = (
        node.onnx("Reshape", node.onnx("Gather", _name(node, i), positions, axis=0), shape4) for i in (2, 3)
    )

    def cut(name: str, start: int, end: int, step: int = 1) -> str:
        return node.onnx("Slice", name, *(np.array([v]) for v in (start, end, 3, step)))

    rest = cut(x, turned, size) if turned < size else ""
    interleaved = bool(node.int("interleaved", 0))
    a, b = (
        (cut(x, 0, turned, 2), cut(x, 1, turned, 2))
        if interleaved
        else (cut(x, 0, half), cut(x, half, turned))
    )
    left = node.onnx("Sub", node.onnx("Mul", a, cos), node.onnx("Mul", b, sin))
    right = node.onnx("Add", node.onnx("Mul", a, sin), node.onnx("Mul", b, cos))
    if interleaved:
        column = np.array([batch, length, heads, half, 1])
        pair = node.onnx("Concat", *(node.onnx("Reshape", part, column) for part in (left, right)), axis=4)
        value = node.onnx("Reshape", pair, np.array([batch, length, heads, turned]))
    else:
        value = node.onnx("Concat", left, right, axis=3)
    if rest:
        value = node.onnx("Concat", value, rest, axis=3)
    if len(shape) == 4:
        return node.tensor(node.onnx("Transpose", value, perm=[0, 2, 1, 3], into=output))
    return node.tensor(node.onnx("Reshape", value, np.array(shape), into=output))


def _heads(node: Node, name: str, heads: int) -> str:
    """[batch, length, heads * size] as [batch, heads, length, size]."""
    batch, length, width = node.tensor(name).shape
    split = node.onnx("Reshape", name, np.array([batch, length, heads, width // heads]))
    return node.onnx("Transpose", split, perm=[0, 2, 1, 3])


def _attend(node: Node, q: str, k: str, v: str, mask: str, bias: str) -> Result:
    """softmax(scale q k' + mask + bias) v of [batch, heads, length, size], as the node's first output."""
    batch, heads, length, size = node.tensor(q).shape
    total, width = node.tensor(k).shape[2], node.tensor(v).shape[3]
    scale = node.float("scale", 0.0) or 1.0 / math.sqrt(size)
    scores = node.onnx("MatMul", q, node.onnx("Transpose", k, perm=[0, 1, 3, 2]))
    scores = node.onnx("Mul", scores, _number(scale))
    if mask:
        zero = np.array(0, node.dtype(node.input_names.index(mask)))
        kept = node.onnx("Cast", node.onnx("Greater", mask, zero), to=_FLOAT)
        shape = node.tensor(mask).shape
        broad = {2: [batch, 1, 1, total], 3: [batch, 1, length, total]}.get(len(shape))
        if broad is None or math.prod(shape) != math.prod(broad):
            node.refuse(True, f"a mask of shape {list(shape)}", "give it a mask [batch, length of keys]")
        lost = node.onnx("Sub", _number(1.0), node.onnx("Reshape", kept, np.array(broad)))
        filled = node.float("mask_filter_value", -10000.0)
        scores = node.onnx("Add", scores, node.onnx("Mul", lost, _number(filled)))
    if bias:
        scores = node.onnx("Add", scores, bias)
    if node.int("unidirectional", 0):
        later = np.triu(np.ones((length, total), np.bool_), total - length + 1)
        lowest = _number(float(np.finfo(np.float32).min))
        scores = node.onnx("Where", later, lowest, scores)
    weights = node.onnx("Softmax", scores, axis=-1)
    rows = node.onnx("Transpose", node.onnx("MatMul", weights, v), perm=[0, 2, 1, 3])
    target = np.array([batch, length, heads * width])
    return node.tensor(node.onnx("Reshape", rows, target, into=node.output_names[0]))


_STATELESS = "export the model without a key and value cache"


@converts("com.microsoft.MultiHeadAttention", since=1)
def multi_head_attention(node: Node) -> Result:
    """Of query, key and value that are projected already, without a cache."""
    node.refuse(any(node.has(i) for i in range(6, 10)), "a cache of past keys and values", _STATELESS)
    node.refuse(any(node.output_names[1:]), "its outputs for a cache", _STATELESS)
    heads, rank = node.int("num_heads", 0), len(node.shape(0))
    if heads < 1:
        raise InvalidNodeError(f"expected num_heads, got {heads}")
    packed = rank != 3 or not node.has(1) or not node.has(2) or len(node.shape(1)) != len(node.shape(2))
    node.refuse(
        packed or len(node.shape(1)) not in {3, 4}, "packed operands", "give it query, key and value apart"
    )
    names = [_name(node, i) for i in range(3)]
    if node.has(3):
        width, inner = node.shape(0)[2], [node.shape(0)[2]] * 2
        inner.append(math.prod(node.shape(3)) - 2 * width)
        starts = np.cumsum([0, *inner])
        node.refuse(len(node.shape(1)) == 4, "a bias beside heads that are split", "add the bias before")
        names = [
            node.onnx(
                "Add",
                name,
                node.onnx("Slice", _name(node, 3), *(np.array([v]) for v in (starts[i], starts[i + 1], 0))),
            )
            for i, name in enumerate(names)
        ]
    q, k, v = (_heads(node, name, heads) if len(node.tensor(name).shape) == 3 else name for name in names)
    return _attend(node, q, k, v, _name(node, 4), _name(node, 5))


@converts("com.microsoft.Attention", since=1)
def attention(node: Node) -> Result:
    """With the projection to query, key and value in one matrix, without a cache."""
    node.refuse(node.has(4) or node.has(6), "a cache of past keys and values", _STATELESS)
    node.refuse(any(node.output_names[1:]), "its output for a cache", _STATELESS)
    node.refuse(bool(node.int("do_rotary", 0)), "do_rotary", "export the model with RotaryEmbedding")
    heads, columns = node.int("num_heads", 0), node.shape(1)[1]
    if heads < 1:
        raise InvalidNodeError(f"expected num_heads, got {heads}")
    sizes = node.ints("qkv_hidden_sizes", [columns // 3] * 3)
    projected = _added(node, node.onnx("MatMul", _name(node, 0), _name(node, 1)), _name(node, 2))
    starts = np.cumsum([0, *sizes])
    q, k, v = (
        _heads(
            node,
            node.onnx("Slice", projected, *(np.array([n]) for n in (starts[i], starts[i + 1], 2))),
            heads,
        )
        for i in range(3)
    )
    return _attend(node, q, k, v, _name(node, 3), _name(node, 5))
