"""Tensors without elements: they are constants, whatever they are computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import helper, numpy_helper

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def model(nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], **constants: Any) -> onnx.ModelProto:
    """A graph of ``nodes`` with the output y."""
    graph = helper.make_graph(
        nodes,
        "empty",
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def run(
    proto: onnx.ModelProto, shapes: dict[str, list[int]] | None = None, **inputs: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """The output y of Top."""
    return tpumlir.ModuleInterpreter(tpumlir.load_onnx(proto, input_shapes=shapes)).run(inputs)["y"]


@pytest.mark.parametrize(
    ("op", "want"),
    [
        ("ReduceSum", 0.0),
        ("ReduceProd", 1.0),
        ("ReduceMax", -np.inf),
        ("ReduceMin", np.inf),
        ("ReduceL1", 0.0),
        ("ReduceL2", 0.0),
        ("ReduceSumSquare", 0.0),
        ("ReduceLogSum", -np.inf),
        ("ReduceLogSumExp", -np.inf),
        ("ReduceMean", np.nan),
    ],
)
def test_reduction_of_nothing_is_its_neutral_element(op: str, want: float) -> None:
    shapes = {"x": [2, 0, 4]}
    proto = model([helper.make_node(op, ["x", "axes"], ["y"])], shapes, axes=[1])
    np.testing.assert_array_equal(run(proto, shapes), np.full((2, 1, 4), want, np.float32))


@pytest.mark.parametrize(("op", "want"), [("ReduceMax", False), ("ReduceMin", True)])
def test_extremum_of_no_truth_values(op: str, want: bool) -> None:
    nodes = [
        helper.make_node(op, ["nothing"], ["truth"], keepdims=0),
        helper.make_node("Cast", ["truth"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    proto = model(nodes, {}, nothing=np.empty(0, np.bool_))
    assert run(proto) == float(want)


EMPTY: dict[str, tuple[list[str], dict[str, Any]]] = {
    "Slice": (["x", "one", "one", "zero"], {}),
    "Gather": (["x", "none"], {}),
    "GatherElements": (["x", "no_rows"], {}),
    "GatherND": (["x", "no_rows"], {}),
    "Expand": (["row", "empty_shape"], {}),
    "Tile": (["x", "no_times"], {}),
    "Pad": (["x", "cut"], {}),
    "Compress": (["x", "never"], {"axis": 0}),
}


@pytest.mark.parametrize("op", EMPTY)
def test_empty_result_joins_as_nothing(op: str) -> None:
    operands, attributes = EMPTY[op]
    nodes = [
        helper.make_node(op, operands, ["empty"], **attributes),
        helper.make_node("Size", ["empty"], ["size"]),
        helper.make_node("Cast", ["size"], ["number"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Add", ["x", "number"], ["y"]),
    ]
    proto = model(
        nodes,
        {"x": [2, 3], "row": [1, 3]},
        one=[1],
        zero=[0],
        none=np.empty(0, np.int64),
        no_rows=np.empty((0, 2), np.int64),
        empty_shape=[0, 3],
        no_times=[0, 1],
        cut=[-1, 0, -1, 0],
        never=[False, False],
    )
    given = {"x": X, "row": X[:1]} if op == "Expand" else {"x": X}
    np.testing.assert_array_equal(run(proto, **given), X)


def test_empty_split_part_joins_as_nothing() -> None:
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["whole", "nothing"], axis=1),
        helper.make_node("Concat", ["nothing", "whole"], ["y"], axis=1),
    ]
    np.testing.assert_array_equal(run(model(nodes, {"x": [2, 3]}, sizes=[3, 0]), x=X), X)


def test_empty_output_is_refused_by_name() -> None:
    node = helper.make_node("Slice", ["x", "one", "one"], ["y"], name="cut_0")
    with pytest.raises(tpumlir.TpumlirError, match="expected an output with elements"):
        tpumlir.load_onnx(model([node], {"x": [2, 3]}, one=[1]))
