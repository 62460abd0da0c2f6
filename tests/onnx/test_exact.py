"""Quantised products of the reference: exact integers on every CPU, judged by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper, numpy_helper
from tpumlir.onnx import fold
from tpumlir.onnx.exact import exact_products
from tpumlir.onnx.load import load, node_info
from tpumlir.onnx.reference import run_onnx

RNG = np.random.default_rng(0)
# Pairs of products that leave 16 bits: 2 * 255 * 127 and 2 * 255 * -128.
A = np.full((3, 64), 255, np.uint8)
B = RNG.choice([-128, 127, 5], (64, 4)).astype(np.int8)
B[:, 0], B[:, 1] = 127, -128
TYPES = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}


def product(a: Any, b: Any, zero_points: tuple[Any, ...] = (), *, constant: bool = True, **names: str) -> Any:
    """A model of one MatMulInteger; the right factor is a constant or a second input."""
    given = {"b": b, **{f"z{i}": z for i, z in enumerate(zero_points) if z is not None}}
    inputs = ["a", "b", *("" if z is None else f"z{i}" for i, z in enumerate(zero_points))]
    infos = [helper.make_tensor_value_info("a", TYPES[a.dtype], a.shape)]
    if not constant:
        infos.append(helper.make_tensor_value_info("b", TYPES[b.dtype], given.pop("b").shape))
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", inputs, ["y"], **names)],
        "product",
        infos,
        [helper.make_tensor_value_info("y", TensorProto.INT32, (a.shape[0], b.shape[1]))],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def saturating(proto: Any) -> list[str]:
    """The products of unsigned by signed bytes that are left, in graphs of nodes as well."""
    inferred = onnx.shape_inference.infer_shapes(proto)
    found = []

    def visit(graph: Any, types: dict[str, int]) -> None:
        types = types | {t.name: t.data_type for t in graph.initializer}
        types |= {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
        for node in graph.node:
            for attribute in node.attribute:
                visit(attribute.g, types)
            if node.op_type in {"MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv"}:
                right = node.input[3 if node.op_type.startswith("QLinear") else 1]
                if types[node.input[0]] == TensorProto.UINT8 and types[right] == TensorProto.INT8:
                    found.append(node.op_type)

    visit(inferred.graph, {})
    return found


def exact(a: Any, b: Any, za: Any = 0, zb: Any = 0) -> Any:
    return (a.astype(np.int64) - za) @ (b.astype(np.int64) - zb)


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "computed"])
@pytest.mark.parametrize(
    "zero_points",
    [
        (),
        (np.uint8(3),),
        (np.uint8(3), np.int8(-7)),
        (None, np.int8(127)),
        (np.uint8(255), np.array([-128, 127, 0, 5], np.int8)),
    ],
    ids=["none", "left", "both", "right", "column"],
)
def test_products_of_unsigned_and_signed_bytes(zero_points: tuple[Any, ...], constant: bool) -> None:
    proto = product(A, B, zero_points, constant=constant)
    before = proto.SerializeToString()
    assert saturating(proto)
    assert not saturating(exact_products(proto))
    assert proto.SerializeToString() == before
    za, zb = ((*zero_points, None, None))[:2]
    want = exact(A, B, np.int64(za or 0), 0 if zb is None else zb.astype(np.int64))
    got = run_onnx(load(proto), {"a": A} if constant else {"a": A, "b": B})["y"]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("types", [("uint8", "uint8"), ("int8", "int8"), ("int8", "uint8")])
def test_other_types_are_left_alone(types: tuple[str, str]) -> None:
    a, b = (
        RNG.integers(np.iinfo(t).min, np.iinfo(t).max + 1, s).astype(t)
        for t, s in zip(types, ((3, 64), (64, 4)), strict=True)
    )
    proto = product(a, b)
    assert exact_products(proto).SerializeToString() == proto.SerializeToString()
    np.testing.assert_array_equal(run_onnx(load(proto), {"a": a})["y"], exact(a, b))


def test_a_model_without_products_is_not_copied() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    proto = helper.make_model(
        helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "abs", [value], [result])
    )
    assert exact_products(proto) is proto


def test_a_product_inside_of_a_branch() -> None:
    """The factors belong to the outer graph."""
    y = helper.make_tensor_value_info("y", TensorProto.INT32, (3, 4))

    def branch(name: str, left: str) -> Any:
        out = helper.make_tensor_value_info(name, TensorProto.INT32, (3, 4))
        return helper.make_graph([helper.make_node("MatMulInteger", [left, "b"], [name])], name, [], [out])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("p", "a"), else_branch=branch("q", "a"))
    infos = [
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        helper.make_tensor_value_info("a", TensorProto.UINT8, A.shape),
    ]
    graph = helper.make_graph([node], "branches", infos, [y], [numpy_helper.from_array(B, "b")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    assert len(saturating(proto)) == 2
    assert not saturating(exact_products(proto))
    for c in (True, False):
        got = run_onnx(load(proto), {"c": np.array(c), "a": A})["y"]
        np.testing.assert_array_equal(got, exact(A, B))


def test_a_product_inside_of_a_function() -> None:
    proto = product(A, B)
    body = helper.make_node("MatMulInteger", ["p", "q"], ["r"])
    function = helper.make_function("own", "Times", ["p", "q"], ["r"], [body], [helper.make_opsetid("", 13)])
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.graph.node[0].CopyFrom(helper.make_node("Times", ["a", "b"], ["y"], domain="own"))
    assert not saturating(exact_products(proto))
    np.testing.assert_array_equal(run_onnx(load(proto), {"a": A})["y"], exact(A, B))


@pytest.mark.parametrize("zero_point", [None, np.int8(-128)], ids=str)
def test_folding_a_convolution_of_integers(zero_point: Any) -> None:
    x = np.full((1, 4, 5, 5), 255, np.uint8)
    w = np.stack([np.full((4, 3, 3), 127), np.full((4, 3, 3), -128)]).astype(np.int8)
    inputs = [x, w] if zero_point is None else [x, w, np.uint8(0), np.asarray(zero_point)]
    node = node_info(helper.make_node("ConvInteger", [f"i{i}" for i in range(len(inputs))], ["y"]))
    z = np.zeros(1, np.int64) if zero_point is None else np.atleast_1d(zero_point).astype(np.int64)
    sums = ((w.astype(np.int64) - z.reshape(-1, 1, 1, 1)) * 255).sum((1, 2, 3))
    (got,) = fold.evaluate(node, [np.asarray(v) for v in inputs], 13)
    np.testing.assert_array_equal(got, np.broadcast_to(sums.reshape(1, 2, 1, 1), (1, 2, 3, 3)))


def test_names_of_the_file_are_not_taken() -> None:
    proto = product(A, B)
    proto.graph.node[0].input[0] = "b.wide"
    proto.graph.input[0].name = "b.wide"
    np.testing.assert_array_equal(run_onnx(load(proto), {"b.wide": A})["y"], exact(A, B))


def test_signed_products_behind_an_operator_of_onnxruntime() -> None:
    """ONNX does not know the type of its result, the zero point of the product does."""
    a, b = np.full((3, 64), -128, np.int8), B
    relu = helper.make_node(
        "QLinearLeakyRelu", ["a", "s", "z", "s", "z"], ["p"], domain="com.microsoft", alpha=1.0
    )
    proto = product(a, b, (np.int8(3),))
    proto.graph.node[0].input[0] = "p"
    proto.graph.node.insert(0, relu)
    proto.graph.initializer.extend(
        [numpy_helper.from_array(np.float32(1), "s"), numpy_helper.from_array(np.int8(0), "z")]
    )
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert exact_products(proto).SerializeToString() == proto.SerializeToString()
    np.testing.assert_array_equal(run_onnx(load(proto), {"a": a})["y"], exact(a, b, np.int64(3)))
