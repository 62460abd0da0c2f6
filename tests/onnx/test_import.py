"""The importer around the converters: names, shapes, cutting, folding, and what it says about bad models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.onnx.importer import import_onnx
from tpumlir.onnx.refusals import UnsupportedModelError
from tpumlir.onnx.registry import supported_ops
from tpumlir.road.compile import transform

F = TensorProto.FLOAT


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    kind: int = F,
) -> onnx.ModelProto:
    """A model of ``nodes`` whose outputs have no declared shape."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, F, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    """``node("Add", "a b", "c")``."""
    return helper.make_node(op, inputs.split(" "), outputs.split(), name=name, **attributes)


def kinds(module: tpumlir.Module) -> list[str]:
    """The operations, inputs and weights left out."""
    return [op.kind for op in module.ops() if op.kind not in {"top.Input", "top.Weight"}]


def load(proto: onnx.ModelProto, **options: Any) -> tpumlir.Module:
    return tpumlir.load_onnx(proto, optimize=False, **options)


# --- names ---------------------------------------------------------------------


def test_results_keep_tensor_names_and_nodes() -> None:
    module = load(model([node("Relu", "x", "t", "act"), node("Exp", "t", "y")], {"x": [2, 3]}, ["y"]))
    ops = {op.name: op for op in module.ops()}
    assert list(ops) == ["x", "t", "y"]
    assert ops["t"].node == "act"
    assert [s.name for s in module.inputs] == ["x"]
    assert [s.name for s in module.outputs] == ["y"]


def test_output_behind_identity_keeps_its_own_name() -> None:
    nodes = [node("Exp", "x", "t"), node("Identity", "t", "u"), node("Identity", "u", "y")]
    module = load(model(nodes, {"x": [2]}, ["y"]))
    assert kinds(module) == ["top.Exp"]
    assert [s.name for s in module.outputs] == ["y"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([node("Exp", "x", "t"), node("Identity", "t", "y"), node("Identity", "t", "z")], ["y", "z"]),
        ([node("Exp", "x", "y"), node("Identity", "y", "z")], ["y", "z"]),
        ([node("Identity", "x", "y")], ["y"]),
        ([node("Exp", "x", "y"), node("Add", "a a", "z")], ["y", "z"]),
    ],
    ids=["two_names", "output_and_copy", "input_is_output", "constant_output"],
)
def test_every_output_exists_under_its_name(nodes: list[onnx.NodeProto], outputs: list[str]) -> None:
    module = load(model(nodes, {"x": [2, 3]}, outputs, {"a": np.ones((2, 3), np.float32)}))
    assert [s.name for s in module.outputs] == outputs


def test_helper_names_never_collide() -> None:
    nodes = [node("Exp", "x", "y_t0"), node("Gemm", "y_t0 w", "y", transA=1)]
    module = load(model(nodes, {"x": [3, 2]}, ["y"], {"w": np.ones((3, 4), np.float32)}))
    names = [op.name for op in module.ops()]
    assert len(names) == len(set(names))


# --- what is imported ------------------------------------------------------------


def test_output_names_cut_the_graph() -> None:
    nodes = [node("Exp", "x", "t"), node("Log", "t", "y"), node("NoSuchOp", "y", "z")]
    module = load(model(nodes, {"x": [2]}, ["z"]), output_names=["t"])
    assert kinds(module) == ["top.Exp"]
    with pytest.raises(tpumlir.OnnxImportError, match="nope: expected the name of a tensor"):
        load(model(nodes, {"x": [2]}, ["z"]), output_names=["nope"])


@pytest.mark.parametrize("declared", [None, [2]], ids=["undeclared", "declared"])
def test_nodes_need_not_be_sorted(declared: list[int] | None) -> None:
    proto = model([node("Exp", "t", "y"), node("Relu", "x", "t")], {"x": [2]}, ["y"])
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", F, declared))
    assert kinds(load(proto)) == ["top.Relu", "top.Exp"]


def test_cycles_are_refused() -> None:
    proto = model([node("Add", "x b", "a"), node("Relu", "a", "b")], {"x": [2]}, ["b"])
    with pytest.raises(tpumlir.OnnxImportError, match="without cycles"):
        load(proto)


def test_shape_arithmetic_folds_away() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n zero1", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target", "y"),
    ]
    constants = {"zero": np.int64(0), "zero1": np.array([0]), "rest": np.array([-1])}
    module = load(model(nodes, {"x": [2, 3, 4]}, ["y"], constants))
    assert kinds(module) == ["top.Reshape"]
    assert module.outputs[0].shape == (2, 12)


def test_integers_above_2_to_the_24_stay_exact_in_folding() -> None:
    nodes = [node("Sub", "big one", "n"), node("Sub", "big n", "k"), node("Expand", "x k", "y")]
    constants = {"big": np.array([2**53 + 3]), "one": np.array([2])}
    module = load(model(nodes, {"x": [1]}, ["y"], constants))
    assert module.outputs[0].shape == (2,)


def test_a_weight_that_two_nodes_use_is_stored_once() -> None:
    nodes = [node("Add", "x a", "t"), node("Mul", "t a", "y")]
    module = load(model(nodes, {"x": [2]}, ["y"], {"a": np.ones(2, np.float32)}))
    assert sum(op.kind == "top.Weight" for op in module.ops()) == 1
    np.testing.assert_array_equal(module.weights["a"], np.ones(2, np.float32))


def test_local_functions_are_inlined() -> None:
    proto = model([helper.make_node("Twice", ["x"], ["y"], domain="mine")], {"x": [2]}, ["y"])
    body = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)]
    )
    proto.functions.append(body)
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    assert kinds(load(proto)) == ["top.Add"]


def test_external_data_is_read_from_beside_the_model(tmp_path: Path) -> None:
    data = np.arange(4096, dtype=np.float32)
    proto = model([node("Add", "x a", "y")], {"x": [4096]}, ["y"], {"a": data})
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="m.data", size_threshold=0)
    module = tpumlir.load_onnx(path, optimize=False)
    np.testing.assert_array_equal(module.weights["a"], data)
    # ONNX Runtime finds the data too, wherever the command runs.
    verdict = transform(path, test_input={"x": data}).validation
    assert verdict is not None
    assert verdict.passed
    (tmp_path / "m.data").unlink()
    with pytest.raises(tpumlir.OnnxImportError) as caught:
        tpumlir.load_onnx(path)
    assert "\n" not in str(caught.value)


# --- shapes ----------------------------------------------------------------------


def dynamic() -> onnx.ModelProto:
    return model([node("Relu", "x", "y")], {"x": ["N", 3, "H", "W"]}, ["y"])


@pytest.mark.parametrize("shapes", [[[2, 3, 8, 9]], {"x": (2, 3, 8, 9)}], ids=["in_order", "by_name"])
def test_input_shapes_fix_unknown_extents(shapes: Any) -> None:
    assert load(dynamic(), input_shapes=shapes).outputs[0].shape == (2, 3, 8, 9)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (None, r"x: expected a static shape, got x \[N, 3, H, W\] \(give --input_shapes\)"),
        ([[2, 4, 8, 9]], "expected a shape that fits"),
        ([[2, 3, 8]], "expected a shape that fits"),
        ([[2, 3, 0, 9]], "expected an output with elements"),
        ([[2, 3, 8, 9], [1]], "expected 1 input shapes"),
        ({"z": [1]}, "expected a shape for one of x"),
    ],
    ids=["none", "contradicts", "rank", "zero", "count", "name"],
)
def test_wrong_input_shapes_are_refused(shapes: Any, message: str) -> None:
    with pytest.raises(tpumlir.TpumlirError, match=message):
        load(dynamic(), input_shapes=shapes)


def test_an_unknown_batch_is_one() -> None:
    assert load(model([node("Relu", "x", "y")], {"x": ["N", 3]}, ["y"])).outputs[0].shape == (1, 3)


# --- refusals --------------------------------------------------------------------


def test_unsupported_nodes_are_reported_all_at_once() -> None:
    nodes = [
        node("NonZero", "x", "a", "find"),
        node("Exp", "x", "b"),
        node("RandomNormalLike", "b", "c", "noise"),
        node("NonZero", "c", "d", "find again"),
        node("Det", "x", "e"),
    ]
    with pytest.raises(UnsupportedModelError) as caught:
        import_onnx(model(nodes, {"x": [2, 2]}, ["a", "d", "e"]))
    error = caught.value
    assert {n.node for n in error.nodes} == {"find", "noise", "e"}
    assert error.counts() == {"NonZero": 1, "RandomNormalLike": 1, "Det": 1}
    assert all(n.opset == 17 for n in error.nodes)
    assert all(n.remedy for n in error.nodes)
    assert "make the noise a constant" in str(error)


def test_foreign_domains_are_reported() -> None:
    proto = model([helper.make_node("Thing", ["x"], ["y"], domain="com.example")], {"x": [2]}, ["y"])
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedModelError, match=r"com\.example"):
        import_onnx(proto)


def bad_models() -> list[tuple[str, onnx.ModelProto, str]]:
    """Models that are wrong, and a word of what must be said."""
    x = {"x": [2, 3, 8, 8]}
    w = np.zeros((4, 2, 3, 3), np.float32)
    return [
        ("opset_too_old", model([node("Relu", "x", "y")], x, ["y"], opset=6), "expected an opset from 7"),
        ("opset_too_new", model([node("Relu", "x", "y")], x, ["y"], opset=999), "export it again"),
        ("no_outputs", model([node("Relu", "x", "y")], x, []), "without a graph"),
        ("unknown_input", model([node("Relu", "z", "y")], x, ["y"]), "expected an input that exists"),
        ("wrong_channels", model([node("Conv", "x w", "y", "c")], x, ["y"], {"w": w}), "c: Conv: expected"),
        ("bad_perm", model([node("Transpose", "x", "y", perm=[0, 1])], x, ["y"]), "permutation"),
        ("bad_axis", model([node("Softmax", "x", "y", axis=4)], x, ["y"]), "axis"),
        ("bad_reshape", model([node("Reshape", "x s", "y")], x, ["y"], {"s": np.array([7, -1])}), "Reshape"),
        ("no_broadcast", model([node("Add", "x s", "y", "sum")], x, ["y"], {"s": np.zeros(5, "f4")}), "sum"),
        (
            "string_input",
            model([node("Identity", "x", "y")], x, ["y"], kind=TensorProto.STRING),
            "floats or integers",
        ),
    ]


BAD = bad_models()


@pytest.mark.parametrize(("proto", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_invalid_models_are_one_line(proto: onnx.ModelProto, message: str) -> None:
    with pytest.raises(tpumlir.TpumlirError, match=message) as caught:
        load(proto)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.9, -1], ids=str)
def test_truncated_files_are_one_line(keep: float, tmp_path: Path) -> None:
    proto = model([node("Add", "x a", "y")], {"x": [512]}, ["y"], {"a": np.ones(512, np.float32)})
    data = proto.SerializeToString()
    length = int(len(data) * keep) if 0 < keep < 1 else int(keep) % len(data)
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[:length])
    with pytest.raises(tpumlir.OnnxImportError) as caught:
        tpumlir.load_onnx(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(tpumlir.OnnxImportError, match="no such file"):
        tpumlir.load_onnx(tmp_path / "no.onnx")
    (tmp_path / "text.onnx").write_text("not a model at all\n" * 20)
    with pytest.raises(tpumlir.OnnxImportError, match="truncated file or another format"):
        tpumlir.load_onnx(tmp_path / "text.onnx")
    with pytest.raises(tpumlir.OnnxImportError, match="directory"):
        tpumlir.load_onnx(tmp_path)


def test_supported_ops_are_known_to_onnx_or_its_runtime() -> None:
    from onnxruntime.capi import _pybind_state

    from tpumlir.onnx import importer

    importer.load_converters()
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    known |= {
        f"{schema.domain}.{schema.name}" if schema.domain else schema.name
        for schema in _pybind_state.get_all_operator_schema()
    }
    assert set(supported_ops()) <= known


def test_every_converter_has_a_row() -> None:
    """A converter without a row in tests/ops is a guess."""
    tests = "\n".join(path.read_text() for path in (Path(__file__).parents[1] / "ops").glob("test_*.py"))
    untested = [op for op in supported_ops() if f'"{op.rpartition(".")[2]}"' not in tests]
    assert untested == []
