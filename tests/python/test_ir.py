"""The graph builder and the module: what they accept, what they keep, what they say."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tpumlir import errors
from tpumlir._core import ir

CONV: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}


def small() -> ir.Module:
    g = ir.GraphBuilder("net")
    x = g.input("x", [1, 3, 8, 8])
    w = g.weight("w", np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3))
    y = g.op("top.Conv", [x, w, g.none()], CONV, names=["y"], node="Conv_0")
    return g.finish(g.op("top.Relu", y, {}, names=["z"], node="z"))


def test_a_module_is_built_with_its_names() -> None:
    module = small()
    conv = next(op for op in module.ops() if op.kind == "top.Conv")
    assert (conv.name, conv.node, conv.operands) == ("y", "Conv_0", ["x", "w", ""])
    assert conv.results[0].shape == (1, 4, 8, 8)
    assert conv.attrs["group"] == 1
    assert [i.name for i in module.inputs] == ["x"]
    assert [(o.name, o.dtype) for o in module.outputs] == [("z", "f32")]
    assert module.attributes["module.state"] == "TOP_F32"
    assert 'loc("y"(#' in module.print()


def test_text_reads_back_to_the_same_text() -> None:
    module = small()
    again = ir.Module.parse(module.print(), module.weights())
    assert again.print() == module.print()
    assert module.clone().print() == module.print()


def test_weights_are_shared_and_outlive_the_module() -> None:
    data = np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3)
    g = ir.GraphBuilder("net")
    x = g.input("x", [1, 3, 8, 8])
    y = g.op("top.Conv", [x, g.weight("w", data), g.none()], CONV, names=["y"])
    module = g.finish(y)
    weights = module.clone().weights()
    assert np.shares_memory(weights["w"], data)
    with pytest.raises(ValueError, match="read-only"):
        weights["w"][0] = 0
    del g, x, y, module, data
    gc.collect()
    assert weights["w"].sum() == 108 * 107 / 2


def test_numbers_take_the_kind_that_the_operation_declares() -> None:
    g = ir.GraphBuilder("net")
    x = g.input("x", [2, 3])
    (s,) = g.op("top.Softmax", [x], {"axis": np.int64(-1), "beta": 2}, names=["s"])
    (a,) = g.op("top.AddConst", [s], {"const_val": np.float32(0.5), "do_relu": True}, names=["a"])
    values, indices = g.op("top.TopK", [a], {"axis": 1, "K": 2}, names=["", "i"])
    assert (values.name, values.dtype, indices.shape, indices.dtype) == ("", "none", (2, 2), "i32")
    text = g.finish([a, indices]).print()
    assert "axis = 1 : si32" in text
    assert "beta = 2.000000e+00 : f64" in text
    assert "const_val = 5.000000e-01 : f64" in text


def _op(kind: str, attrs: dict[str, Any], **words: Any) -> Callable[[ir.GraphBuilder], object]:
    def call(g: ir.GraphBuilder) -> object:
        x = g.input("x", [1, 3, 8, 8])
        w = g.weight("w", np.zeros((4, 3, 3, 3), np.float32))
        operands = [x, w, g.none()] if kind == "top.Conv" else [x]
        return g.op(kind, operands, attrs, **{"names": ["y"], "node": "n"} | words)

    return call


WRONG = [
    (
        "unknown_operation",
        errors.UnsupportedError,
        "n",
        "expected an operation of the Top dialect",
        _op("top.Foo", {}),
    ),
    (
        "unknown_attribute",
        errors.VerifyError,
        "n",
        r"expected an attribute of top.Conv \(auto_pad, .*got 'padds'",
        _op("top.Conv", CONV | {"padds": [0]}),
    ),
    ("missing_attribute", errors.VerifyError, "n", "requires attribute 'axis'", _op("top.Softmax", {})),
    (
        "kind_of_attribute",
        errors.VerifyError,
        "n",
        r"'axis'.*signed 32-bit integer.*got 1.5",
        _op("top.Softmax", {"axis": 1.5}),
    ),
    (
        "list_of_numbers",
        errors.VerifyError,
        "n",
        r"'strides'.*64-bit integer array.*got 1 :",
        _op("top.Conv", CONV | {"strides": 1}),
    ),
    (
        "whole_numbers",
        errors.VerifyError,
        "n",
        r"'strides'.*64-bit integer array.*got \[1.5",
        _op("top.Conv", CONV | {"strides": [1.5, 1.0]}),
    ),
    (
        "too_wide",
        errors.VerifyError,
        "n",
        r"'axis'.*signed 32-bit integer.*got 1099511627776",
        _op("top.Softmax", {"axis": 1 << 40}),
    ),
    (
        "flag",
        errors.VerifyError,
        "n",
        r"'log'.*bool attribute.*got 1 :",
        _op("top.Softmax", {"axis": 1, "log": 1}),
    ),
    (
        "word",
        errors.VerifyError,
        "n",
        r"'mode'.*one of constant, reflect.*got \"wrap\"",
        _op("top.Pad", {"paddings": [0] * 8, "mode": "wrap"}),
    ),
    (
        "rule",
        errors.VerifyError,
        "n",
        "expected a group that divides 3 input and 4 output",
        _op("top.Conv", CONV | {"group": 2}),
    ),
    (
        "axis",
        errors.VerifyError,
        "n",
        r"expected an axis in \[-4, 4\), got 4",
        _op("top.Softmax", {"axis": 4}),
    ),
    (
        "count_of_results",
        errors.VerifyError,
        "n",
        "requires one result",
        _op("top.Exp", {}, names=["y", "z"]),
    ),
    (
        "no_name",
        errors.VerifyError,
        "n",
        "expected the name of a result, got none",
        _op("top.Exp", {}, names=[""]),
    ),
    (
        "name_taken",
        errors.VerifyError,
        "n",
        "expected a tensor name that is free, got 'x' again",
        _op("top.Exp", {}, names=["x"]),
    ),
    (
        "weight_taken",
        errors.VerifyError,
        "x",
        "expected a tensor name that is free",
        lambda g: (g.input("x", [1]), g.weight("x", np.zeros(1, np.float32))),
    ),
    ("weight_type", errors.VerifyError, "w", "float64", lambda g: g.weight("w", np.zeros(1))),
    ("input_shape", errors.VerifyError, "x", "expected positive extents", lambda g: g.input("x", [1, 0])),
    (
        "input_type",
        errors.VerifyError,
        "x",
        "expected an element type such as f32, got 'float'",
        lambda g: g.input("x", [1], "float"),
    ),
    ("no_output", errors.VerifyError, None, "expected at least one output", lambda g: g.finish([])),
    (
        "other_graph",
        errors.VerifyError,
        "y",
        "expected a value of this graph, got 'q' of another",
        lambda g: g.op("top.Exp", [ir.GraphBuilder("other").input("q", [1])], {}, names=["y"]),
    ),
]


@pytest.mark.parametrize(
    ("kind", "node", "message", "call"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_a_wrong_call_names_the_node(
    kind: type[errors.TpumlirError], node: str | None, message: str, call: Callable[[ir.GraphBuilder], object]
) -> None:
    with pytest.raises(kind, match=message) as info:
        call(ir.GraphBuilder("net"))
    assert info.value.node == node


def test_a_failed_operation_leaves_the_graph_usable() -> None:
    g = ir.GraphBuilder("net")
    x = g.input("x", [2, 3])
    with pytest.raises(errors.VerifyError):
        g.op("top.Softmax", [x], {"axis": 9}, names=["y"])
    (y,) = g.op("top.Softmax", [x], {"axis": 1}, names=["y"])
    assert len(g.finish([y]).ops()) == 2
    with pytest.raises(errors.VerifyError, match="expected a graph that is not finished"):
        g.none()


def test_missing_and_wrong_weights_are_named() -> None:
    text = small().print()
    with pytest.raises(errors.VerifyError, match="expected data for this weight, got none") as info:
        ir.Module.parse(text, {})
    assert info.value.node == "w"
    with pytest.raises(errors.VerifyError, match="got 3 elements of f32"):
        ir.Module.parse(text, {"w": np.zeros(3, np.float32)})
    assert ir.Module.parse(text).print() == text


def test_syntax_and_pass_errors() -> None:
    with pytest.raises(errors.ParseError, match=r"net\.mlir:1:7"):
        ir.Module.parse("module {", file="net.mlir")
    module = small()
    with pytest.raises(errors.PassError, match="'nope' does not refer to a registered pass"):
        module.run_pipeline("nope")
    wrong = (
        module.print()
        .replace("pads = [1, 1, 1, 1]", "pads = [1, 1, 1]")
        .replace("tensor<1x4x8x8xf32>", "tensor<*xf32>")
    )
    with pytest.raises(errors.VerifyError, match="expected 2 strides") as info:
        ir.Module.parse(wrong)
    assert info.value.node == "Conv_0"


def test_ten_thousand_operations_take_about_a_second() -> None:
    g = ir.GraphBuilder("net")
    value = g.input("x", [1, 3, 8, 8])
    begin = time.perf_counter()
    for i in range(10_000):
        (value,) = g.op("top.Relu", [value], {}, names=[f"t{i}"], node=f"n{i}")
    module = g.finish([value])
    assert time.perf_counter() - begin < 5  # 0.1 s on an idle machine
    assert len(module.ops()) == 10_001
