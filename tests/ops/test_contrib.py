"""Operators of ONNX Runtime's own domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from harness import ABSENT, OpCase, Operand, Stage, array, check, rows, w, x
from onnx import helper

RNG = np.random.default_rng(3)


def ms(op: str, *operands: Operand, **attributes: Any) -> OpCase:
    """A row of the domain."""
    return OpCase(f"com.microsoft.{op}", *operands, **attributes)


def ids(values: Any) -> Operand:
    """Integers at run time."""
    return array(np.asarray(values), constant=False)


def cases() -> Iterator[OpCase]:
    more: dict[str, Any]
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    for kind, parameters in (
        ("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.1]), ("Clip", [-0.5, 0.5]),
        ("HardSigmoid", [0.25, 0.4]),
    ):  # fmt: skip
        more = {"activation": kind, **({"activation_params": parameters} if parameters else {})}
        yield ms("FusedConv", x(1, 3, 5, 6), w(4, 3, 3, 3), w(4), why=kind, **conv, **more)
    yield ms("FusedConv", x(1, 3, 5, 6), w(4, 3, 3, 3), activation="Relu", why="no bias", **conv)
    yield ms(
        "FusedConv", x(1, 3, 5, 6), w(4, 3, 3, 3), w(4), x(1, 4, 5, 6), activation="Relu", why="sum", **conv
    )
    for kind, more in (
        ("Relu", {}), ("Tanh", {}), ("Sigmoid", {}), ("LeakyRelu", {"activation_alpha": 0.3}),
    ):  # fmt: skip
        yield ms("FusedGemm", x(3, 4), w(4, 5), w(5), activation=kind, why=kind, **more)
    yield ms("FusedGemm", x(3, 4), w(5, 4), w(5), activation="Relu", transB=1, alpha=0.5, beta=2.0, why="all")
    for a, b, attributes in (
        ((3, 4), (4, 5), {"alpha": 0.25}),
        ((4, 3), (4, 5), {"transA": 1}),
        ((2, 3, 4), (2, 5, 4), {"transB": 1, "alpha": 0.125}),
        ((2, 4, 3), (5, 4), {"transA": 1, "transB": 1}),
        ((3, 2, 4), (2, 4, 5), {"transBatchA": 1}),
        ((2, 3, 4), (4, 2, 5), {"transBatchB": 1}),
        ((4, 2, 3), (2, 4, 5), {"transA": 1, "transBatchA": 1}),
        ((3, 2, 6, 4), (2, 6, 4, 5), {"transBatchA": 1}),
    ):
        yield ms("FusedMatMul", x(*a), x(*b), why=" ".join(attributes), **attributes)
    yield ms("TransposeMatMul", x(4, 3), x(4, 5), transA=1, alpha=0.5)
    for op in ("Gelu", "FastGelu", "QuickGelu"):
        yield ms(op, x(3, 40, low=-6.0, high=6.0))
    yield ms("QuickGelu", x(3, 40), alpha=1.0, why="alpha")
    yield ms("BiasGelu", x(2, 3, 8), w(8))
    yield ms("FastGelu", x(2, 3, 8), w(8), why="bias")
    yield ms("SkipLayerNormalization", x(2, 3, 8), x(2, 3, 8), w(8), w(8), w(8), epsilon=1e-5)
    yield ms("SkipLayerNormalization", x(2, 3, 8), x(2, 3, 8), w(8), why="no shift")
    yield ms("SkipLayerNormalization", x(2, 3, 8), x(1, 3, 8), w(8), w(8), why="broadcast")
    yield ms("SkipSimplifiedLayerNormalization", x(2, 3, 8), x(2, 3, 8), w(8), epsilon=1e-6)
    yield ms("SkipSimplifiedLayerNormalization", x(2, 3, 8), x(2, 3, 8), w(8), w(8), why="bias")
    yield OpCase("LayerNormalization", x(2, 3, 8), w(8), w(8), axis=-1, opset=13, why="old")
    yield OpCase("SimplifiedLayerNormalization", x(2, 3, 8), w(8), axis=-1, epsilon=1e-6, opset=13)
    cos, sin = (array(f(np.outer(np.arange(9), [1.0, 0.1])).astype(np.float32)) for f in (np.cos, np.sin))
    for interleaved in (0, 1):
        more = {"interleaved": interleaved, "why": str(interleaved)}
        yield ms("RotaryEmbedding", x(2, 3, 8), ids([[0, 1, 2], [4, 5, 8]]), cos, sin, **more)
        yield ms("RotaryEmbedding", x(1, 3, 8), ids([5]), cos, sin, **more)
        yield ms("RotaryEmbedding", x(1, 2, 3, 4), ids([[1, 2, 7]]), cos, sin, **more)
        partial = {"num_heads": 2, "rotary_embedding_dim": 4, **more}
        yield ms("RotaryEmbedding", x(1, 3, 12), ids([[1, 2, 7]]), cos, sin, **partial)
    mask = ids(np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32))
    q, k, v = x(2, 3, 8), x(2, 4, 8), x(2, 4, 6)
    yield ms("MultiHeadAttention", q, k, v, num_heads=2)
    yield ms("MultiHeadAttention", q, k, v, w(22), num_heads=2, why="bias")
    yield ms("MultiHeadAttention", q, k, v, ABSENT, mask, num_heads=2, why="mask")
    yield ms("MultiHeadAttention", q, k, v, ABSENT, ABSENT, x(1, 2, 3, 4), num_heads=2, why="added")
    yield ms("MultiHeadAttention", q, k, v, num_heads=2, scale=0.5, why="scale")
    yield ms("MultiHeadAttention", q, x(2, 3, 8), x(2, 3, 6), num_heads=2, unidirectional=1, why="causal")
    yield ms("MultiHeadAttention", q, x(2, 2, 5, 4), x(2, 2, 5, 4), num_heads=2, why="heads")
    square = ids(np.array([[1, 1, 1], [1, 1, 0]], np.int32))
    yield ms("Attention", q, w(8, 24), w(24), num_heads=2)
    yield ms("Attention", q, w(8, 24), w(24), square, num_heads=2, why="mask")
    yield ms("Attention", q, w(8, 24), w(24), num_heads=2, unidirectional=1, why="causal")
    yield ms("Attention", q, w(8, 22), w(22), num_heads=2, qkv_hidden_sizes=[8, 8, 6], why="sizes")


@rows(list(cases()))
def test_stage_agrees_with_the_one_before(case: OpCase, stage: Stage) -> None:
    check(case, stage)


def test_the_sum_of_skip_layer_normalization_is_an_output() -> None:
    case = ms("SkipLayerNormalization", x(2, 3, 8), x(2, 3, 8), w(8), w(8), w(8))
    for name in ("", "", "sum"):
        case.proto.graph.node[0].output.append(name)
    case.proto.graph.output.append(helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, None))
    got = tpumlir.ModuleInterpreter(tpumlir.load_onnx(case.proto)).run(case.inputs)
    want = case.data["in0"] + case.data["in1"] + case.data["in4"]
    np.testing.assert_allclose(got["sum"], want, rtol=1e-6)


@pytest.mark.parametrize("op", ["GroupQueryAttention", "NhwcMaxPool", "MatMulNBits"])
def test_the_rest_is_refused_by_name(op: str) -> None:
    case = ms(op, x(2, 3))
    with pytest.raises(tpumlir.UnsupportedError, match=rf"node: com.microsoft.{op} .*before ONNX Runtime's"):
        tpumlir.load_onnx(case.proto)
