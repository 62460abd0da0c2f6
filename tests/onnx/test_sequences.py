"""Sequences of tensors whose lengths and positions are constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, parser
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from tpumlir.road.check import check_model

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 11.5

SPLIT = "n = Constant<value_int=2>() p = SplitToSequence<axis=2>(x, n)"
GRAPHS = {
    "equal parts": f"{SPLIT} i = Constant<value_int=1>() y = SequenceAt(p, i)",
    "the last part is smaller": """n = Constant<value_int=3>() p = SplitToSequence<axis=-1>(x, n)
        i = Constant<value_int=-1>() y = SequenceAt(p, i)""",
    "given parts": """n = Constant<value_ints=[1, 3]>() p = SplitToSequence<axis=2>(x, n)
        i = Constant<value_int=1>() y = SequenceAt(p, i)""",
    "single parts": """p = SplitToSequence<axis=1>(x) i = Constant<value_int=2>() y = SequenceAt(p, i)""",
    "single parts without the axis": """p = SplitToSequence<axis=1, keepdims=0>(x)
        i = Constant<value_int=-3>() y = SequenceAt(p, i)""",
    "joined along the axis": f"{SPLIT} y = ConcatFromSequence<axis=1>(p)",
    "joined along a new axis": f"{SPLIT} y = ConcatFromSequence<axis=-1, new_axis=1>(p)",
    "joined along a new first axis": f"{SPLIT} y = ConcatFromSequence<axis=0, new_axis=1>(p)",
    "one tensor joined": "s = SequenceConstruct(x) y = ConcatFromSequence<axis=0>(s)",
    "made, and taken apart": """a = Neg(x) s = SequenceConstruct(x, a, x)
        i = Constant<value_int=1>() y = SequenceAt(s, i)""",
    "of constants": """a = Constant<value_floats=[1.0, 2.0, 3.0, 4.0]>() s = SequenceConstruct(a, a)
        b = ConcatFromSequence<axis=0, new_axis=1>(s) c = ReduceSum<keepdims=0>(b) y = Mul(x, c)""",
    "one more at the end": f"""{SPLIT} q = SequenceInsert(p, x) i = Constant<value_int=-1>()
        y = SequenceAt(q, i)""",
    "one more in front": f"""{SPLIT} z = Constant<value_int=0>() q = SequenceInsert(p, x, z)
        y = SequenceAt(q, z)""",
    "one more before the last": f"""{SPLIT} m = Constant<value_int=-1>() q = SequenceInsert(p, x, m)
        i = Constant<value_int=1>() y = SequenceAt(q, i)""",
    "one less": f"{SPLIT} q = SequenceErase(p) y = ConcatFromSequence<axis=0>(q)",
    "the first one less": f"""{SPLIT} i = Constant<value_int=-2>() q = SequenceErase(p, i)
        y = ConcatFromSequence<axis=0>(q)""",
    "from nothing": """e = SequenceEmpty() q = SequenceInsert(e, x) r = SequenceInsert(q, x)
        y = ConcatFromSequence<axis=0>(r)""",
    "its length": f"{SPLIT} l = SequenceLength(p) f = Cast<to=1>(l) y = Mul(x, f)",
    "as a shape": f"""{SPLIT} l = SequenceLength(p) m = Constant<value_int=-1>()
        a = Constant<value_ints=[0]>()
        b = Unsqueeze(l, a) c = Unsqueeze(m, a) s = Concat<axis=0>(b, c) y = Reshape(x, s)""",
    "under another name": f"{SPLIT} q = Identity(p) y = ConcatFromSequence<axis=0>(q)",
    "for each tensor": f"""{SPLIT} q = SequenceMap<body = b (float[2,3,2] e) => (float[2,3,2] f) {{
        g = Neg(e) f = Exp(g) }}>(p) y = ConcatFromSequence<axis=2>(q)""",
    "for each tensor with another": f"""{SPLIT} k = Constant<value_float=2.5>()
        q = SequenceMap<body = b (float[2,3,2] e, float h) => (float[2,3,2] f) {{ f = Mul(e, h) }}>(p, k)
        y = ConcatFromSequence<axis=2>(q)""",
}  # fmt: skip


def model(body: str, output: str = "float[a,b,c] y") -> onnx.ModelProto:
    """A graph in ONNX's own text form on x [2, 3, 4]."""
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[2,3,4] x) => ({output}) {{ {body} }}'
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


def assert_as_onnx(proto: onnx.ModelProto, inputs: dict[str, Any] | None = None) -> None:
    """Top, Tpu and the bmodel give what ONNX Runtime gives, and check says so."""
    inputs = inputs or {"x": X}
    want = run_onnx(load(proto), inputs)["y"]
    module = tpumlir.load_onnx(proto)
    inputs = {name: np.asarray(v, np.int32 if v.dtype == bool else v.dtype) for name, v in inputs.items()}
    got = tpumlir.ModuleInterpreter(module).run(inputs)["y"]
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-6)
    chip = module.lower("F32").compile().run(inputs)["y"]
    np.testing.assert_allclose(chip, want, rtol=1e-5)
    assert check_model(proto).passed


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_sequence_is_a_list_of_tensors(graph: str) -> None:
    assert_as_onnx(model(GRAPHS[graph]))


def test_a_loop_fills_a_sequence() -> None:
    """As exporters write a list that grows in a loop."""
    proto = model("e = SequenceEmpty() m = Constant<value_int=3>() y = Neg(x)")
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    body = helper.make_graph(
        [
            helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x", "f"], ["v"]),
            helper.make_node("SequenceInsert", ["s", "v"], ["t"]),
            helper.make_node("Identity", ["c"], ["d"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_value_info("s", sequence),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []), helper.make_value_info("t", sequence)],
    )
    del proto.graph.node[-1]
    proto.graph.node.append(helper.make_node("Loop", ["m", "", "e"], ["r"], body=body))
    proto.graph.node.append(helper.make_node("ConcatFromSequence", ["r"], ["y"], axis=1))
    assert_as_onnx(proto)


@pytest.mark.parametrize("flag", [True, False])
def test_branches_give_sequences(flag: bool) -> None:
    """Of one length and one shape each: each tensor is selected."""
    proto = model("y = Neg(x)", "float[2,6,4] y")
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    graphs = [
        helper.make_graph(
            [helper.make_node(op, ["x"], ["a"]), helper.make_node("SequenceConstruct", ["a", "x"], ["s"])],
            "branch", [], [helper.make_value_info("s", sequence)],
        )
        for op in ("Exp", "Neg")
    ]  # fmt: skip
    proto.graph.node[0].CopyFrom(
        helper.make_node("If", ["c"], ["r"], then_branch=graphs[0], else_branch=graphs[1])
    )
    proto.graph.node.append(helper.make_node("ConcatFromSequence", ["r"], ["y"], axis=1))
    proto.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    assert_as_onnx(proto, {"x": X, "c": np.array(flag)})


def run_time_position(body: str) -> onnx.ModelProto:
    """A graph with an input i besides."""
    proto = model(body)
    proto.graph.input.append(helper.make_tensor_value_info("i", TensorProto.INT64, []))
    return proto


@pytest.mark.parametrize(
    ("body", "node"),
    [
        (f"{SPLIT} y = SequenceAt(p, i)", "y"),
        (f"{SPLIT} q = SequenceErase(p, i) y = ConcatFromSequence<axis=0>(q)", "q"),
        (f"{SPLIT} q = SequenceInsert(p, x, i) y = ConcatFromSequence<axis=0>(q)", "q"),
        ("p = SplitToSequence(x, i) y = ConcatFromSequence<axis=0>(p)", "p"),
    ],
)
def test_a_position_at_run_time_is_refused_with_a_remedy(body: str, node: str) -> None:
    proto = run_time_position(body)
    with pytest.raises(tpumlir.UnsupportedError, match=rf"{node}: Seq.*|{node}: Split.*") as caught:
        tpumlir.load_onnx(proto)
    assert "computed at run time (make it a constant: --fix_input i=VALUE" in str(caught.value)
    assert [refusal.node for refusal in check_model(proto).refusals] == [node]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"{SPLIT} i = Constant<value_int=2>() y = SequenceAt(p, i)", r"a position in \[-2, 1\], got 2"),
        ("s = Constant<value_ints=[1, 1]>() p = SplitToSequence(x, s) y = SequenceAt(p, s)", "one position"),
        ("s = Constant<value_ints=[1, 2]>() p = SplitToSequence(x, s) y = Neg(x)", None),
        ("e = SequenceEmpty() y = ConcatFromSequence<axis=0>(e)", "sequence with tensors"),
    ],
)  # fmt: skip
def test_a_sequence_that_has_no_such_tensor_is_an_error(body: str, reason: str | None) -> None:
    proto = model(body)
    if reason is None:  # nobody needs it
        tpumlir.load_onnx(proto)
        return
    with pytest.raises(tpumlir.OnnxImportError, match=reason):
        tpumlir.load_onnx(proto)


def test_a_sequence_is_no_output() -> None:
    proto = model(SPLIT)
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    proto.graph.output[0].CopyFrom(helper.make_value_info("p", sequence))
    with pytest.raises(tpumlir.UnsupportedError, match="p: expected a tensor as output, got a sequence"):
        tpumlir.load_onnx(proto)
