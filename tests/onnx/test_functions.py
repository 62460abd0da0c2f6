"""Model-local functions at the import: attributes bound or by default, names that nothing else has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper
from tpumlir.onnx.functions import inline_functions
from tpumlir.road.compile import transform

X = np.random.default_rng(3).standard_normal((2, 3)).astype(np.float32)
DOMAIN = "my.ops"


def of(kind: str, values: Any) -> npt.NDArray[Any]:
    """An array of a type."""
    return np.array(values, kind)


def referring(node: onnx.NodeProto, name: str, like: Any, outer: str) -> onnx.NodeProto:
    """``node`` with an attribute ``name``, of the kind of ``like``, that is the function's ``outer``."""
    kind = helper.make_attribute(name, like).type
    node.attribute.append(onnx.AttributeProto(name=name, type=kind, ref_attr_name=outer))
    return node


def function(
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    nodes: Sequence[onnx.NodeProto],
    *,
    attributes: Sequence[str] = (),
    opset: int = 17,
    **defaults: Any,
) -> onnx.FunctionProto:
    """A function of the domain ``my.ops``."""
    return helper.make_function(
        DOMAIN, name, list(inputs), list(outputs), list(nodes),
        [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)], attributes=list(attributes),
        attribute_protos=[helper.make_attribute(key, value) for key, value in defaults.items()],
    )  # fmt: skip


def call(name: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(name, list(inputs), list(outputs), domain=DOMAIN, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    functions: Sequence[onnx.FunctionProto],
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)],
        functions=list(functions),
        ir_version=8,
    )


def results(proto: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """The outputs of Top, which agree with ONNX Runtime on the file itself."""
    done = transform(proto, test_input={"x": X})
    assert done.validation is not None
    done.validation.raise_if_failed()
    assert {t.name for t in done.validation.tensors} >= {o.name for o in proto.graph.output}
    return {o.name: done.tensors[o.name] for o in proto.graph.output}


def leaky(**options: Any) -> onnx.FunctionProto:
    node = referring(helper.make_node("LeakyRelu", ["a"], ["b"]), "alpha", 0.5, "slope")
    return function("Act", ["a"], ["b"], [node], **options)


def lrelu(alpha: float) -> npt.NDArray[Any]:
    return np.where(X < 0, np.float32(alpha) * X, X)


@pytest.mark.parametrize(
    ("given", "options", "alpha"),
    [
        ({}, {"slope": 0.25}, 0.25),
        ({"slope": 2.0}, {"slope": 0.25}, 2.0),
        ({"slope": 2.0}, {"attributes": ["slope"]}, 2.0),
        # An attribute that nobody gives is absent, so the operator's own default counts.
        ({}, {"attributes": ["slope"]}, 0.01),
    ],
    ids=["default", "default overridden", "given", "operator's default"],
)
def test_an_attribute_is_that_of_the_call_or_the_default(
    given: dict[str, Any], options: dict[str, Any], alpha: float
) -> None:
    got = results(model([call("Act", ["x"], ["y"], **given)], [leaky(**options)]))["y"]
    np.testing.assert_allclose(got, lrelu(alpha), rtol=1e-6)


TENSOR = helper.make_tensor("t", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
KINDS: list[tuple[str, str, Any, Any]] = [
    ("int", "value_int", 3, np.int64(3)),
    ("ints", "value_ints", [3, 4, 5], np.array([3, 4, 5])),
    ("float", "value_float", 0.5, np.float32(0.5)),
    ("floats", "value_floats", [0.5, 2.0, 4.0], of("float32", [0.5, 2, 4])),
    ("tensor", "value", TENSOR, of("float32", [1, 2, 3])),
]  # fmt: skip


@pytest.mark.parametrize("nested", [False, True], ids=["direct", "nested"])
@pytest.mark.parametrize(("attribute", "value", "want"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS])
def test_defaults_of_every_kind(attribute: str, value: Any, want: Any, nested: bool) -> None:
    nodes = [
        referring(helper.make_node("Constant", [], ["c"]), attribute, value, "k"),
        helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["a", "f"], ["b"]),
    ]
    functions = [function("Shift", ["a"], ["b"], nodes, k=value)]
    name = "Shift"
    if nested:  # the outer function passes an attribute on that it does not have itself
        inner = referring(call("Shift", ["p"], ["q"]), "k", value, "k")
        functions.append(function("Outer", ["p"], ["q"], [inner], attributes=["k"]))
        name = "Outer"
    got = results(model([call(name, ["x"], ["y"])], functions))["y"]
    np.testing.assert_allclose(got, X + np.asarray(want, np.float32), rtol=1e-6)


def test_a_text_attribute_passes_through_two_functions() -> None:
    pad = referring(helper.make_node("Pad", ["a", "p"], ["b"]), "mode", "edge", "how")
    pads = helper.make_node("Constant", [], ["p"], value_ints=[0, 1, 0, 1])
    inner = function("Edge", ["a"], ["b"], [pads, pad], how="constant")
    outer = function(
        "Two", ["a"], ["b"], [referring(call("Edge", ["a"], ["b"]), "how", "edge", "mode")], mode="reflect"
    )
    got = results(model([call("Two", ["x"], ["y"])], [inner, outer]))["y"]
    np.testing.assert_array_equal(got, np.pad(X, ((0, 0), (1, 1)), mode="reflect"))


def test_an_attribute_inside_of_a_branch() -> None:
    branches = {}
    for name, value in (("then", 1.0), ("else", -1.0)):
        constant = referring(helper.make_node("Constant", [], ["c"]), "value_float", 0.5, "shift")
        body = [constant, helper.make_node("Add", ["a", "c"], [name])]
        if value < 0:
            body = [helper.make_node("Neg", ["a"], [name])]
        branches[f"{name}_branch"] = helper.make_graph(
            body, name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )
    nodes = [
        referring(helper.make_node("Constant", [], ["flag"]), "value_int", 1, "yes"),
        helper.make_node("Cast", ["flag"], ["cond"], to=TensorProto.BOOL),
        helper.make_node("If", ["cond"], ["b"], **branches),
    ]
    choose = function("Choose", ["a"], ["b"], nodes, shift=4.0, yes=1)
    calls = [call("Choose", ["x"], ["y"]), call("Choose", ["y"], ["z"], yes=0)]
    got = results(model(calls, [choose], ["y", "z"]))
    np.testing.assert_array_equal(got["y"], X + np.float32(4))
    np.testing.assert_array_equal(got["z"], -got["y"])


def test_names_inside_are_those_of_nothing_else() -> None:
    # The body uses names that the graph has, and that an inlined call would get.
    body = [helper.make_node("Neg", ["a"], ["x"]), helper.make_node("Exp", ["x"], ["t"]),
            helper.make_node("Neg", ["t"], ["b"])]  # fmt: skip
    nodes = [
        helper.make_node("Abs", ["x"], ["y::x"]),
        helper.make_node("Sqrt", ["y::x"], ["t"]),
        call("F", ["t"], ["y"]),
        call("F", ["y"], ["a"]),
    ]
    got = results(model(nodes, [function("F", ["a"], ["b"], body)], ["y", "a", "t", "y::x"]))
    want = -np.exp(-np.sqrt(np.abs(X)))
    np.testing.assert_allclose(got["y"], want, rtol=1e-6)
    np.testing.assert_allclose(got["a"], -np.exp(-want), rtol=1e-6)


def test_operands_and_results_that_a_call_leaves_out() -> None:
    clip = function(
        "Bound", ["a", "low", "high"], ["b", "s"],
        [helper.make_node("Clip", ["a", "low", "high"], ["b"]), helper.make_node("Sign", ["b"], ["s"])],
    )  # fmt: skip
    zero = helper.make_node("Constant", [], ["zero"], value_float=0.0)
    nodes = [zero, call("Bound", ["x", "", "zero"], ["y"]), call("Bound", ["x", "zero"], ["", "s"])]
    # ONNX Runtime has no calls with fewer results than the function.
    got = tpumlir.ModuleInterpreter(tpumlir.load_onnx(model(nodes, [clip], ["y", "s"]))).run({"x": X})
    np.testing.assert_array_equal(got["y"], np.minimum(X, 0))
    np.testing.assert_array_equal(got["s"], np.sign(np.maximum(X, 0)))


def test_a_function_of_another_opset_than_the_model() -> None:
    # Before opset 13 Squeeze has its axes as an attribute, afterwards as an operand.
    body = [
        helper.make_node("Unsqueeze", ["a"], ["u"], axes=[0]),
        helper.make_node("Squeeze", ["u"], ["b"], axes=[0]),
    ]
    old = function("Old", ["a"], ["b"], body, opset=11)
    inlined = inline_functions(model([call("Old", ["x"], ["y"])], [old]))
    got = tpumlir.ModuleInterpreter(tpumlir.load_onnx(model([call("Old", ["x"], ["y"])], [old]))).run(
        {"x": X}
    )
    np.testing.assert_array_equal(got["y"], X)
    assert not inlined.functions


def test_a_call_that_does_not_fit_is_refused() -> None:
    with pytest.raises(tpumlir.OnnxImportError, match=r"Act: expected at most 1 inputs and 1 outputs"):
        tpumlir.load_onnx(model([call("Act", ["x", "x"], ["y"])], [leaky(slope=0.5)]))


def test_a_function_that_calls_itself_is_refused() -> None:
    again = function("F", ["a"], ["b"], [call("F", ["a"], ["b"])])
    with pytest.raises(tpumlir.OnnxImportError):
        tpumlir.load_onnx(model([call("F", ["x"], ["y"])], [again]))
