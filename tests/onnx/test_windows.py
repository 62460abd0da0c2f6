"""Slices and ranges whose place is a run-time number and whose length is a constant."""

from __future__ import annotations

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import parser
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from tpumlir.road.check import check_model

X = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
CONSTANTS = (
    "one = Constant<value_ints=[1]>() two = Constant<value_ints=[2]>() three = Constant<value_ints=[3]>() "
)

# On x [4, 5, 6] and i [1], which is 1 in the test and then -2 if the graph takes that.
GRAPHS = {
    "one row": "e = Add(i, one) y = Slice(x, i, e, one)",
    "rows": "e = Add(i, three) y = Slice(x, i, e, one)",
    "the last axis without axes": "z = Constant<value_ints=[0, 0]>() n = Constant<value_ints=[9, 9]>() "
    "e = Add(i, two) s = Concat<axis=0>(z, i) t = Concat<axis=0>(n, e) y = Slice(x, s, t)",
    "two axes": "a = Add(i, one) e = Add(i, two) s = Concat<axis=0>(i, a) t = Concat<axis=0>(a, e) "
    "axes = Constant<value_ints=[1, -1]>() y = Slice(x, s, t, axes)",
    "an axis by constants as well": "e = Add(i, two) s = Concat<axis=0>(one, i) t = Concat<axis=0>(three, e) "
    "axes = Constant<value_ints=[0, 2]>() y = Slice(x, s, t, axes)",
    "backwards": "e = Sub(i, two) m = Constant<value_ints=[-1]>() a = Add(i, one) "
    "f = Add(e, one) y = Slice(x, a, f, two, m)",
    "every second": "e = Add(i, three) y = Slice(x, i, e, one, two)",
    "from behind": "s = Sub(i, one) y = Slice(x, s, i, two)",
    "a scalar": "k = Squeeze(i) n = Constant<value_int=2>() m = Add(k, n) z = Constant<value_ints=[0]>() "
    "s = Unsqueeze(k, z) e = Unsqueeze(m, z) y = Slice(x, s, e, two)",
    "multiples": "s = Mul(i, two) e = Add(s, two) y = Slice(x, s, e, two)",
    "other integers": "j = Cast<to=6>(i) k = Constant<value = int32[1] {2}>() e = Add(j, k) "
    "a = Constant<value = int32[1] {1}>() y = Slice(x, j, e, a)",
    "the difference is a shape": "e = Add(i, two) n = Sub(e, i) m = Constant<value_ints=[-1]>() "
    "t = Concat<axis=0>(n, m) y = Reshape(x, t)",
    "a range": "k = Squeeze(i) n = Constant<value_int=3>() d = Constant<value_int=1>() m = Add(k, n) "
    "r = Range(k, m, d) y = Gather<axis=2>(x, r)",
    "a range of even numbers": "k = Squeeze(i) n = Constant<value_int=4>() d = Constant<value_int=2>() "
    "m = Add(k, n) r = Range(k, m, d) y = Gather<axis=2>(x, r)",
    "a range downwards": "k = Squeeze(i) n = Constant<value_int=2>() d = Constant<value_int=-1>() "
    "m = Sub(k, n) a = Add(k, n) r = Range(a, k, d) y = Gather<axis=2>(x, r)",
}


def model(body: str) -> onnx.ModelProto:
    """A graph in ONNX's own text form."""
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> '
        f"g (float[4,5,6] x, int64[1] i) => (float[a] y) {{ {CONSTANTS} {body} }}"
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_window_at_run_time_is_gathered(graph: str) -> None:
    proto = model(GRAPHS[graph])
    module = tpumlir.load_onnx(proto)
    assert check_model(proto).passed
    bmodel = module.lower("F32").compile()
    (name,) = (spec.name for spec in module.inputs if spec.name != "x")
    for start in (1, 2):
        want = run_onnx(load(proto), {"x": X, "i": np.array([start])})["y"]
        inputs = {"x": X, name: np.array([start], np.int32)}
        np.testing.assert_array_equal(tpumlir.ModuleInterpreter(module).run(inputs)["y"], want)
        np.testing.assert_array_equal(bmodel.run(inputs)["y"], want)


def test_a_window_from_the_end() -> None:
    proto = model(GRAPHS["from behind"])
    module = tpumlir.load_onnx(proto)
    want = run_onnx(load(proto), {"x": X, "i": np.array([-2])})["y"]
    inputs = {"x": X, "i": np.array([-2], np.int32)}
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(module).run(inputs)["y"], want)
    np.testing.assert_array_equal(module.lower("F32").compile().run(inputs)["y"], want)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("y = Slice(x, one, i, one)", r"its end \(i\)"),
        ("e = Constant<value_ints=[99]>() y = Slice(x, i, e, one)", r"its start \(i\)"),
        ("e = Mul(i, two) y = Slice(x, i, e, one)", r"its start \(i\)"),
        ("e = Abs(i) y = Slice(x, i, e, one)", r"its start \(i\)"),
    ],
)
def test_a_length_at_run_time_is_refused_with_a_remedy(body: str, what: str) -> None:
    proto = model(body)
    with pytest.raises(tpumlir.UnsupportedError, match=rf"y: Slice .*{what}.*--fix_input i=VALUE"):
        tpumlir.load_onnx(proto)
    assert [refusal.node for refusal in check_model(proto).refusals] == ["y"]


def test_a_window_that_is_never_there_is_an_error() -> None:
    body = "n = Constant<value_ints=[7]>() z = Constant<value_ints=[0]>() e = Add(i, n) y = Slice(x, i, e, z)"
    with pytest.raises(tpumlir.OnnxImportError, match="expected at most 4 of axis 0, got 7"):
        tpumlir.load_onnx(model(body))
