"""``tpumlir reduce`` on all that models have: bodies, functions, types, several outputs, shapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
from onnx import TensorProto, helper, numpy_helper
from reducing import (
    ALPHA,
    F32,
    info,
    ints,
    ops,
    plant,
    reduced,
    run,
    save,
    save_chain,
    script,
    shows_again,
    weight,
)
from tpumlir import npz
from tpumlir.reduce import case


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- bodies and functions ------------------------------------------------------------


def body(name: str, op_type: str, source: str, extra: Sequence[Any] = (), inputs: Sequence[Any] = ()) -> Any:
    """A body that computes ``op_type`` between a Tanh and a Neg."""
    nodes = [
        *extra,
        helper.make_node("Tanh", [source], [f"{name}_t"]),
        helper.make_node(op_type, [f"{name}_t"], [f"{name}_l"], name=f"{name}_node"),
        helper.make_node("Neg", [f"{name}_l"], [f"{name}_e"]),
    ]
    return nodes, info(f"{name}_e", None), list(inputs)


def if_model() -> None:
    graphs = []
    for name, op_type in (("then", "LeakyRelu"), ("else", "Sigmoid")):
        nodes, out, _ = body(name, op_type, "a")
        graphs.append(helper.make_graph(nodes, name, [], [out]))
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("If", ["yes"], ["i"], then_branch=graphs[0], else_branch=graphs[1]),
        helper.make_node("Tanh", ["i"], ["y"]),
    ]
    yes = numpy_helper.from_array(np.array(True), "yes")
    save(nodes, [info("x", [2, 6])], [info("y", [2, 6])], [yes])


def loop_model() -> None:
    inputs = [info("i", [], TensorProto.INT64), info("go", [], TensorProto.BOOL), info("carried", [2, 6])]
    nodes, out, _ = body("loop", "LeakyRelu", "carried", [helper.make_node("Identity", ["go"], ["go_on"])])
    graph = helper.make_graph(nodes, "loop", inputs, [info("go_on", [], TensorProto.BOOL), out])
    save(
        [
            helper.make_node("Neg", ["x"], ["a"]),
            helper.make_node("Loop", ["turns", "", "a"], ["l"], body=graph),
            helper.make_node("Tanh", ["l"], ["y"]),
        ],
        [info("x", [2, 6])], [info("y", [2, 6])],
        [numpy_helper.from_array(np.array(3, np.int64), "turns")],
    )  # fmt: skip


def scan_model() -> None:
    nodes, out, _ = body("scan", "LeakyRelu", "row")
    graph = helper.make_graph(nodes, "scan", [info("row", [6])], [out])
    save(
        [
            helper.make_node("Neg", ["x"], ["a"]),
            helper.make_node("Scan", ["a"], ["l"], body=graph, num_scan_inputs=1),
            helper.make_node("Tanh", ["l"], ["y"]),
        ],
        [info("x", [2, 6])], [info("y", [2, 6])],
    )  # fmt: skip


def function_model() -> None:
    opsets = [helper.make_opsetid("", 17)]
    nodes, _, _ = body("f", "LeakyRelu", "given")
    function = helper.make_function("own", "Block", ["given"], ["f_e"], nodes, opsets)
    calls = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Block", ["a"], ["b"], domain="own", name="call"),
        helper.make_node("Tanh", ["b"], ["y"]),
    ]
    save(calls, [info("x", [2, 6])], [info("y", [2, 6])], functions=[function], domains=["own"])


@pytest.mark.parametrize("build", [if_model, loop_model, scan_model, function_model])
def test_bodies_and_functions_are_opened(build: Any) -> None:
    build()
    assert run("m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1") == 0
    assert ops() == ["LeakyRelu"]
    assert not reduced().functions
    assert shows_again()


def test_a_body_that_must_stay_gets_smaller() -> None:
    loop_model()
    text = """
        from tpumlir.onnx import importer

        outer = importer.unroll

        def bad(scope, info):
            if any(node.op_type == "LeakyRelu" for node in info.attributes["body"].node):
                raise KeyError("loop")
            return outer(scope, info)

        importer.unroll = bad
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "1") == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["Loop"]
    inner = [node.op_type for node in model.graph.node[0].attribute[0].g.node]
    assert "LeakyRelu" in inner
    assert "Neg" not in inner


def test_one_of_several_outputs_is_enough() -> None:
    save(
        [
            helper.make_node("Tanh", ["x"], ["a"]),
            helper.make_node("TopK", ["a", "k"], ["values", "places"], name="top"),
            helper.make_node("Exp", ["values"], ["y"]),
            helper.make_node("Cast", ["places"], ["p"], to=F32),
            helper.make_node("Sqrt", ["p"], ["z"]),
        ],
        [info("x", [3, 9])], [info("y", [3, 4]), info("z", [3, 4])], [ints("k", 4)],
    )  # fmt: skip
    text = """
        def smallest(node, convert):
            node.attributes = {**node.attributes, "largest": 0}
            return convert(node)

        wrap_converters("TopK", smallest)
    """
    assert run("m.onnx", "--fails-validation", *plant(text), "-j", "1") == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["TopK"]
    assert len(model.graph.output) == 1
    assert shows_again()


def test_integers_are_cut_as_integers() -> None:
    save(
        [
            helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
            helper.make_node("Add", ["i", "one"], ["j"], name="sum"),
            helper.make_node("Gather", ["table", "j"], ["y"]),
        ],
        [info("x", [5], TensorProto.INT32)], [info("y", [5, 3])], [weight("table", 9, 3), ints("one", 1)],
    )  # fmt: skip
    npz.save("in.npz", {"x": np.arange(5, dtype=np.int32)})
    text = """
        def wrong(node, convert):
            return node.emit("top.Sub", node.operands())

        wrap_converters("Add", wrong)
    """
    given = ["--test_input", "in.npz", "-j", "1"]
    assert run("m.onnx", "--fails-validation", *plant(text), *given) == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["Add"]
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.INT64
    assert shows_again()


def test_two_nodes_that_fail_together_stay_together() -> None:
    save_chain()
    text = """
        from tpumlir.ir.module import Module

        lower = Module.lower

        def bad(self, *given, **options):
            nodes = {op.node for op in self.ops()}
            if {"conv0", "conv4"} <= nodes:
                raise IndexError("both")
            return lower(self, *given, **options)

        Module.lower = bad
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "2") == 0
    assert [node.name for node in reduced().graph.node] == ["conv0", "conv4"]


def test_extents_that_matter_stay() -> None:
    save_chain()
    text = """
        def wide(node, convert):
            if node.shape(0)[1] >= 5 and node.shape(0)[3] >= 3:
                node.attributes = {**node.attributes, "alpha": 0.5}
            return convert(node)

        wrap_converters("LeakyRelu", wide)
    """
    assert run("m.onnx", "--fails-validation", *plant(text), "-j", "1") == 0
    assert [d.dim_value for d in reduced().graph.input[0].type.tensor_type.shape.dim] == [1, 5, 1, 3]


def test_channels_of_a_convolution_shrink_together() -> None:
    save(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1] * 4),
            helper.make_node("Reshape", ["c", "s"], ["r"]),
            helper.make_node("Transpose", ["r"], ["y"], perm=[0, 2, 1]),
        ],
        [info("x", [2, 16, 8, 8])], [info("y", [2, 64, 16])],
        [weight("w", 16, 16, 3, 3), weight("b", 16), ints("s", 2, 16, 64)],
    )  # fmt: skip
    text = """
        def swapped(node, convert):
            node.attributes = {**node.attributes, "perm": [1, 0, 2]}
            return convert(node)

        from tpumlir.ir.module import Module

        lower = Module.lower

        def bad(self, *given, **options):
            kinds = {op.kind for op in self.ops()}
            if {"top.Conv", "top.Reshape", "top.Permute"} <= kinds:
                raise IndexError("both")
            return lower(self, *given, **options)

        Module.lower = bad
    """
    assert run("m.onnx", "--crashes", *plant(text), "-j", "1") == 0
    model = reduced()
    assert [node.op_type for node in model.graph.node] == ["Conv", "Reshape", "Transpose"]
    assert len(model.graph.node[0].input) == 2  # the bias is optional
    assert sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.name == "w") <= 9 * 4


# --- all the rest ----------------------------------------------------------------------


def leaky(source: str = "a", target: str = "b") -> Any:
    return helper.make_node("LeakyRelu", [source], [target])


def node(op_type: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op_type, list(inputs), list(outputs), **attributes)


def constant(name: str, values: Any, kind: Any = np.float32) -> Any:
    return numpy_helper.from_array(np.array(values, kind), name)


X, Y = info("x", [4, 6]), info("y", [4, 6])
HALF, BFLOAT = TensorProto.FLOAT16, TensorProto.BFLOAT16
MODELS: dict[str, dict[str, Any]] = {
    "sequence": {
        "nodes": [
            node("SplitToSequence", "x", "s", axis=0), node("SequenceAt", ["s", "i"], "a"), leaky(),
            node("SequenceAt", ["s", "j"], "c"), node("Concat", ["b", "c"], "y", axis=0),
        ],
        "outputs": [info("y", [2, 6])], "constants": [constant("i", 1, np.int64), constant("j", 2, np.int64)],
    },
    "float16": {
        "nodes": [node("Neg", "x", "a"), leaky(), node("Cast", "b", "y", to=F32)],
        "inputs": [info("x", [4, 6], HALF)],
    },
    "bfloat16_that_onnx_runtime_does_not_run": {
        "nodes": [node("Neg", "x", "a"), leaky(), node("Cast", "b", "y", to=F32)],
        "inputs": [info("x", [4, 6], BFLOAT)],
    },
    "lstm_with_absent_operands_and_results": {
        "nodes": [node("LSTM", ["x", "w", "r", "", "", "h"], "", "a", hidden_size=8), leaky("a", "y")],
        "inputs": [info("x", [5, 1, 8])], "outputs": [info("y", [1, 1, 8])],
        "constants": [weight("w", 1, 32, 8), weight("r", 1, 32, 8), constant("h", np.zeros((1, 1, 8)))],
    },
    "weights_are_inputs": {
        "nodes": [node("Mul", ["x", "w"], "a"), leaky(), node("Exp", "b", "y")],
        "inputs": [X, info("w", [4, 6])], "constants": [weight("w", 4, 6)], "opset": 9, "ir_version": 3,
    },
    "infinity_is_cut": {
        "nodes": [node("Add", ["x", "m"], "a"), leaky(), node("Softmax", "b", "y")],
        "constants": [constant("m", [-np.inf, 0, 0, 0, 0, 0])],
    },
    "unsorted": {"nodes": [node("Exp", "b", "y"), leaky(), node("Tanh", "x", "a")]},
    "dead_nodes": {
        "nodes": [node("Tanh", "x", "a"), node("NonZero", "a", "dead"), leaky(), node("Exp", "b", "y")]
    },
    "an_input_is_an_output": {"nodes": [leaky("x", "y")], "outputs": [Y, X]},
    "shapes_are_computed": {
        "nodes": [
            node("Shape", "x", "s"), node("Gather", ["s", "i"], "d"), node("Unsqueeze", ["d", "z"], "u"),
            node("Concat", ["u", "m"], "t", axis=0), node("Reshape", ["x", "t"], "a"), leaky(),
            node("Exp", "b", "y"),
        ],
        "inputs": [info("x", [4, 3, 2])],
        "constants": [constant("i", 0, np.int64), ints("z", 0), ints("m", -1)],
    },
    "scalars": {
        "nodes": [node("ReduceMin", "x", "a", keepdims=0), leaky(), node("Exp", "b", "y")],
        "outputs": [info("y", [])],
    },
    "odd_names": {
        "nodes": [node("Tanh", ["my x:0"], "a/b c"), leaky("a/b c", "b'\"$"), node("Exp", ["b'\"$"], "y;rm")],
        "inputs": [info("my x:0", [4, 6])], "outputs": [info("y;rm", [4, 6])],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_node_is_found_in(name: str) -> None:
    model = {"inputs": [X], "outputs": [Y], **MODELS[name]}
    save(**model)
    assert run("m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1") == 0
    assert ops() == ["LeakyRelu"]
    assert sum(value.size for value in npz.load("m_reduced/input.npz").values()) == 1
    assert shows_again()


def test_sequences_are_not_inputs() -> None:
    save(**{"inputs": [X], "outputs": [Y], **MODELS["sequence"]})
    assert run("m.onnx", *script('grep -q SequenceAt "$1" && grep -q Leaky "$1"'), "-j", "1") == 0
    assert ops() == ["SplitToSequence", "SequenceAt", "LeakyRelu"]


def test_inner_bodies_are_opened_too() -> None:
    def graph(name: str, *nodes: Any) -> Any:
        return helper.make_graph(list(nodes), name, [], [info(nodes[-1].output[0], None)])

    branches = {
        "then_branch": graph("deep", leaky("a", "l")),
        "else_branch": graph("no", node("Neg", "a", "n")),
    }
    deep = node("If", ["c"], "d", **branches)
    nodes = [
        node("Neg", "x", "a"), node("ReduceMax", "x", "m", keepdims=0), node("Less", ["m", "big"], "c"),
        node("If", ["c"], "y", then_branch=graph("t", deep, node("Tanh", "d", "dt")),
             else_branch=graph("e", node("Exp", "a", "ae"))),
    ]  # fmt: skip
    save(nodes, [X], [Y], [constant("big", 100)])
    assert run("m.onnx", "--fails-validation", *plant(ALPHA), "-j", "1") == 0
    assert ops() == ["LeakyRelu"]


def test_large_models_have_their_data_beside_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "LARGEST", 100)
    save_chain()
    proto = onnx.load("m.onnx")
    made = case.Case(proto, {"x": np.zeros((1, 8, 12, 12), np.float32)})
    made.save(folder / "large")
    assert (folder / "large" / "model.data").stat().st_size >= 5 * 8 * 8 * 9 * 4
    assert all(tensor.raw_data for tensor in proto.graph.initializer)
    assert onnx.load(folder / "large" / "model.onnx").graph.node == proto.graph.node
    assert all(tensor.data_location == tensor.DEFAULT for tensor in proto.graph.initializer)
