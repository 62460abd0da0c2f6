"""If, Loop and Scan: what they come to when it is known which branch runs and how often."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper, parser
from tpumlir.onnx.importer import import_model
from tpumlir.onnx.inputs import choose_inputs
from tpumlir.onnx.load import load
from tpumlir.onnx.options import ImportOptions
from tpumlir.onnx.reference import run_onnx

X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)


def graph_of(text: str) -> onnx.GraphProto:
    """A graph in ONNX's own text form."""
    return parser.parse_graph(text)


def model(node: onnx.NodeProto, outputs: Sequence[str], constants: dict[str, Any] | None = None) -> Any:
    """``node`` on the run-time input x [2, 3]."""
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def assert_as_onnx(proto: onnx.ModelProto) -> tpumlir.Module:
    """Top gives what ONNX Runtime gives; returns the module."""
    module = tpumlir.load_onnx(proto)
    got = tpumlir.ModuleInterpreter(module).run({"x": X})
    for name, value in run_onnx(load(proto), {"x": X}).items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6)
    return module


THEN = "t () => (float[2,3] r) { r = Relu(x) }"
ELSE = "e () => (float[2,3] r) { h = Neg(x)  r = Exp(h) }"


@pytest.mark.parametrize("condition", [True, False])
def test_the_branch_that_runs_takes_the_place_of_if(condition: bool) -> None:
    node = helper.make_node(
        "If", ["c"], ["y"], name="choice", then_branch=graph_of(THEN), else_branch=graph_of(ELSE)
    )
    module = assert_as_onnx(model(node, ["y"], {"c": np.array(condition)}))
    assert [spec.name for spec in module.outputs] == ["y"]
    assert any(op.kind == "top.Relu" for op in module.ops()) == condition


def test_branches_may_only_pass_a_captured_tensor_on() -> None:
    identity = graph_of("t () => (float[2,3] r) { r = Identity(x) }")
    node = helper.make_node("If", ["c"], ["y"], then_branch=identity, else_branch=graph_of(ELSE))
    assert_as_onnx(model(node, ["y"], {"c": np.array(True)}))


BODY = """b (int64 i, bool c, float[2,3] s) => (bool d, float[2,3] t, float[2,3] o, float f) {
    d = Identity(c)
    f = Cast<to=1>(i)
    u = Mul(s, f)
    t = Add(u, x)
    o = Relu(t)
}"""


@pytest.mark.parametrize("trips", [1, 2, 5])
def test_loop_runs_its_body_once_for_each_trip(trips: int) -> None:
    node = helper.make_node("Loop", ["m", "", "x"], ["s", "o", "f"], body=graph_of(BODY))
    module = assert_as_onnx(model(node, ["s", "o", "f"], {"m": np.array(trips)}))
    assert [spec.shape for spec in module.outputs] == [(2, 3), (trips, 2, 3), (trips,)]


def test_loop_without_a_trip_passes_its_state_on() -> None:
    body = graph_of(BODY.replace(", float[2,3] o, float f)", ")"))
    for constants in ({"m": np.array(0), "c": np.array(True)}, {"m": np.array(9), "c": np.array(False)}):
        node = helper.make_node("Loop", ["m", "c", "x"], ["s"], body=body)
        assert_as_onnx(model(node, ["s"], constants))


def test_loop_ends_when_its_condition_fails() -> None:
    body = graph_of(
        """b (int64 i, bool c, float[2,3] s) => (bool d, float[2,3] t) {
            two = Constant<value_int=2>()
            d = Less(i, two)
            t = Add(s, x)
        }"""
    )
    node = helper.make_node("Loop", ["", "c", "x"], ["s"], body=body)
    assert_as_onnx(model(node, ["s"], {"c": np.array(True)}))


def test_scan_takes_slices_of_any_axis_in_either_direction() -> None:
    body = graph_of(
        """b (float[2] s, float[2] a) => (float[2] t, float[2] o) {
            h = Mul(s, a)
            t = Add(h, a)
            o = Sub(t, s)
        }"""
    )
    node = helper.make_node(
        "Scan", ["z", "x"], ["t", "o"], body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[1], scan_output_axes=[-1], scan_output_directions=[1],
    )  # fmt: skip
    assert_as_onnx(model(node, ["t", "o"], {"z": np.ones(2, np.float32)}))


def flag_model(op: str) -> Any:
    """Control flow that an input decides."""
    attributes = (
        {"then_branch": graph_of(THEN), "else_branch": graph_of(ELSE)}
        if op == "If"
        else {"body": graph_of(BODY)}
    )
    inputs, outputs = (["c"], ["y"]) if op == "If" else (["m", "", "x"], ["y", "o", "f"])
    proto = model(helper.make_node(op, inputs, outputs, name="choice", **attributes), outputs)
    flag = ("c", TensorProto.BOOL) if op == "If" else ("m", TensorProto.INT64)
    proto.graph.input.append(helper.make_tensor_value_info(flag[0], flag[1], []))
    return proto


def test_how_often_a_loop_runs_must_be_known() -> None:
    wanted = r"choice: Loop .*its trip count.*--fix_input m=VALUE.*static control flow"
    with pytest.raises(tpumlir.UnsupportedError, match=wanted):
        tpumlir.load_onnx(flag_model("Loop"))


# Of an If that is decided at run time: the branches, each with a result r.
BRANCHES = {
    "floats": (THEN, ELSE),
    "what is not selected is no number": (
        "t () => (float[2,3] r) { h = Abs(x)  i = Neg(h)  r = Log(i) }",
        "e () => (float[2,3] r) { r = Reciprocal(x) }",
    ),
    "integers": (
        "t () => (int32[2,3] r) { r = Cast<to=6>(x) }",
        "e () => (int32[2,3] r) { k = Constant<value = int32 {16777217}>() i = Cast<to=6>(x) r = Add(i, k) }",
    ),
    "truth values": (
        "t () => (bool[2,3] r) { z = Constant<value_float=0.0>()  r = Less(x, z) }",
        "e () => (bool[2,3] r) { h = Cast<to=9>(x)  r = Not(h) }",
    ),
    "scalars": (
        "t () => (float r) { r = ReduceSum<keepdims=0>(x) }",
        "e () => (float r) { r = ReduceMax<keepdims=0>(x) }",
    ),
    "a constant and an input": (
        "t () => (float[2,3] r) { s = Constant<value_ints=[2, 3]>()  r = ConstantOfShape(s) }",
        "e () => (float[2,3] r) { r = Identity(x) }",
    ),
    "one tensor": (
        "t () => (float[2,3] r) { r = Identity(x) }",
        "e () => (float[2,3] r) { r = Identity(x) }",
    ),
    "a branch with a branch": (
        f"t () => (float[2,3] r) {{ r = If(c) <then_branch = {THEN}, else_branch = {ELSE}> }}",
        ELSE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("flag_shape", [(), (1,), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("branches", BRANCHES)
def test_a_branch_chosen_at_run_time_is_selected_exactly(branches: str, flag_shape: tuple[int, ...]) -> None:
    graphs = [graph_of(text) for text in BRANCHES[branches]]
    node = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=graphs[0], else_branch=graphs[1])
    proto = model(node, ["y"])
    proto.graph.output[0].CopyFrom(graphs[0].output[0])
    proto.graph.output[0].name = "y"
    proto.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, flag_shape))
    module = tpumlir.load_onnx(proto)
    bmodels = {precision: module.lower(precision).compile() for precision in ("F32", "F16", "BF16")}
    for flag in (True, False):
        inputs = {"x": X, "c": np.full(flag_shape, flag)}
        want = run_onnx(load(proto), inputs)["y"]
        inputs["c"] = inputs["c"].astype(np.int32)
        got = tpumlir.ModuleInterpreter(module).run(inputs)["y"]
        np.testing.assert_allclose(got, want, rtol=1e-6)
        for precision, bmodel in bmodels.items():
            tolerance = {"F32": 1e-5, "F16": 2e-3, "BF16": 2e-2}[precision] if want.dtype.kind == "f" else 0
            np.testing.assert_allclose(bmodel.run(inputs)["y"], want, rtol=tolerance)


def test_both_branches_are_told_of() -> None:
    options = ImportOptions()
    (note,) = import_model(choose_inputs(load(flag_model("If")), options), options).notes
    assert note.node == "choice"
    assert "both branches always run (1 and 2 nodes)" in note.message
    assert "--fix_input c=true" in note.message


def test_branches_that_do_not_agree_are_refused_with_a_remedy() -> None:
    for other, kind in (("float[3,2] r) { r = Transpose(x) }", "float32 [3, 2]"),
                        ("int32[2,3] r) { r = Cast<to=6>(x) }", "int32 [2, 3]")):  # fmt: skip
        proto = flag_model("If")
        branch = next(a for a in proto.graph.node[0].attribute if a.name == "else_branch")
        branch.g.CopyFrom(graph_of(f"e () => ({other}"))
        with pytest.raises(tpumlir.UnsupportedError) as caught:
            tpumlir.load_onnx(proto)
        assert f"y is float32 [2, 3] or {kind}" in str(caught.value)
        assert "--fix_input c=true" in str(caught.value)


# --- external data --------------------------------------------------------------------


def save_external(proto: Any, folder: Path, threshold: int = 0) -> Path:
    """The model with all of its data in a file beside it, those of subgraphs too."""
    path = folder / "model.onnx"
    onnx.save(
        proto, path, save_as_external_data=True, location="data.bin", size_threshold=threshold,
        convert_attribute=True,
    )  # fmt: skip
    return path


def weighted_if() -> Any:
    """Branches that own weights: stored, and as constants; one of them is a shape."""
    rng = np.random.default_rng(0)
    graphs = []
    for name in ("a", "b"):
        weights = numpy_helper.from_array(rng.standard_normal((3, 2000)).astype(np.float32), "w")
        bias = numpy_helper.from_array(rng.standard_normal((2000,)).astype(np.float32), "value")
        shape = numpy_helper.from_array(np.array([2, 10, -1]), "s")
        nodes = [
            helper.make_node("Constant", [], ["k"], value=bias),
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("Add", ["p", "k"], ["q"]),
            helper.make_node("Reshape", ["q", "s"], ["r"]),
        ]
        result = helper.make_tensor_value_info("r", TensorProto.FLOAT, [2, 10, 200])
        graphs.append(helper.make_graph(nodes, name, [], [result], [weights, shape]))
    node = helper.make_node("If", ["c"], ["y"], then_branch=graphs[0], else_branch=graphs[1])
    proto = model(node, ["y"])
    proto.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    return proto


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_weights_of_branches_lie_beside_the_model(
    link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the working directory is, even where another file has the name of theirs."""
    proto, store, elsewhere = weighted_if(), tmp_path / "store", tmp_path / "elsewhere"
    store.mkdir()
    elsewhere.mkdir()
    (elsewhere / "data.bin").write_bytes(b"\xff" * 200_000)
    path = save_external(copy.deepcopy(proto), store)
    if link:  # as download caches do it: the content has another name
        (store / "data.bin").rename(store / "5f3a")
        (store / "data.bin").symlink_to("5f3a")
    monkeypatch.chdir(elsewhere)
    for flag in (1, 0):
        inputs = {"x": X, "c": np.array(flag, np.int32)}
        got = tpumlir.ModuleInterpreter(tpumlir.load_onnx(path)).run(inputs)
        want = run_onnx(load(proto), {"x": X, "c": np.array(bool(flag))})
        # Sums are taken in another order on other CPUs.
        np.testing.assert_allclose(got["y"], want["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("location", ["/etc/hostname", "../data.bin", "missing.bin", ""])
def test_external_data_that_cannot_be_read_is_named(location: str, tmp_path: Path) -> None:
    path = save_external(weighted_if(), tmp_path)
    proto = onnx.load(path, load_external_data=False)
    weights = proto.graph.node[0].attribute[0].g.initializer[0]
    next(entry for entry in weights.external_data if entry.key == "location").value = location
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(
        tpumlir.OnnxImportError, match=r"w: expected readable tensor data, got: .*external data"
    ):
        tpumlir.load_onnx(path)


def test_external_data_that_is_too_short_is_named(tmp_path: Path) -> None:
    path = save_external(weighted_if(), tmp_path)
    (tmp_path / "data.bin").write_bytes(b"\0" * 1000)
    with pytest.raises(
        tpumlir.OnnxImportError, match=r"expected \d+ bytes .*data\.bin|data\.bin: expected \d+ bytes"
    ):
        tpumlir.load_onnx(path)


def test_weights_of_functions_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "value")
    body = [
        helper.make_node("Constant", [], ["k"], value=weights),
        helper.make_node("Add", ["a", "k"], ["b"]),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    proto = model(helper.make_node("Shift", ["x"], ["y"], domain="own"), ["y"])
    proto.opset_import.append(opsets[1])
    proto.functions.append(helper.make_function("own", "Shift", ["a"], ["b"], body, opsets))
    (tmp_path / "data.bin").write_bytes(weights.raw_data)
    tensor = proto.functions[0].node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="data.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    got = tpumlir.ModuleInterpreter(tpumlir.load_onnx(path)).run({"x": X})
    np.testing.assert_array_equal(got["y"], X + np.arange(6, dtype=np.float32).reshape(2, 3))


def test_loop_that_never_ends_is_refused() -> None:
    body = graph_of(BODY.replace(", float[2,3] o, float f)", ")"))
    node = helper.make_node("Loop", ["", "c", "x"], ["s"], name="forever", body=body)
    with pytest.raises(tpumlir.UnsupportedError, match=r"forever: Loop .*nodes"):
        tpumlir.load_onnx(model(node, ["s"], {"c": np.array(True)}))
