"""Tensors of more than four axes as tensors of four: the same values, whoever reads them in which shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Nodes = list[onnx.NodeProto]


def _node(kind: str, operands: list[str], result: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, operands, [result], name=f"n_{result}", **attributes)


def _modulated(o: int, i: int, *, transposed: bool = False) -> tuple[Nodes, dict[str, Any], dict[str, Any]]:
    """A filter that the network scales and brings to length one, as StyleGAN2 does."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((1, o, i, 3, 3)).astype(np.float32),
        "axes": np.array([2, 3, 4]),
        "small": np.array(1e-8, np.float32),
        "one": np.array(1, np.float32),
        "five": np.array([1, 1, i, 1, 1]),
        "filter": np.array([i, o, 3, 3] if transposed else [o, i, 3, 3]),
    }
    nodes = [
        _node("Reshape", ["s", "five"], "s5"),
        _node("Mul", ["w", "s5"], "m"),
        _node("Mul", ["m", "m"], "m2"),
        _node("ReduceSum", ["m2", "axes"], "sum", keepdims=1),
        _node("Add", ["sum", "small"], "e"),
        _node("Sqrt", ["e"], "root"),
        _node("Div", ["one", "root"], "d"),
        _node("Mul", ["m", "d"], "n"),
    ]
    last = "n"
    if transposed:
        nodes.append(_node("Transpose", ["n"], "t", perm=[0, 2, 1, 3, 4]))
        last = "t"
    nodes.append(_node("Reshape", [last, "filter"], "f"))
    if transposed:
        nodes.append(_node("ConvTranspose", ["x", "f"], "y", strides=[2, 2]))
    else:
        nodes.append(_node("Conv", ["x", "f"], "y", pads=[1] * 4))
    return nodes, {"x": (1, i, 6, 5), "s": (1, i)}, constants


def _of(
    nodes: Nodes, shape: tuple[int, ...], **constants: Any
) -> tuple[Nodes, dict[str, Any], dict[str, Any]]:
    return nodes, {"x": shape}, {key: np.asarray(value) for key, value in constants.items()}


# Nodes, shapes of inputs, constants; the outputs are y and what else is named so.
CASES: dict[str, tuple[Nodes, dict[str, Any], dict[str, Any]]] = {
    "modulated": _modulated(70, 9),
    "modulated_transposed": _modulated(9, 70, transposed=True),
    "zeros_between": _of(
        [
            _node("Reshape", ["x", "six"], "r"), _node("Pad", ["r", "pads"], "p"),
            _node("Reshape", ["p", "four"], "y"),
        ],
        (2, 3, 5, 7), six=[2, 3, 5, 1, 7, 1], pads=[0] * 6 + [0, 0, 0, 1, 0, 2], four=[2, 3, 10, 21],
    ),
    "border_of_numbers": _of(
        [_node("Pad", ["x", "pads", "value"], "y")], (1, 2, 3, 2, 2),
        pads=[0, 1, 0, 2, 0, 0, 0, 3, 0, 1], value=np.float32(1.5),
    ),
    # Axes of extent 1 between one that is repeated and one that is not.
    "repeated_beside_one": _of(
        [_node("Mul", ["x", "w"], "y")], (3, 4, 3, 1, 5, 3),
        w=np.arange(20, dtype=np.float32).reshape(1, 4, 1, 1, 5, 1),
    ),
    "repeated_behind_ones": _of(
        [_node("Sub", ["w", "x"], "y")], (1, 3, 1, 4, 1, 3),
        w=np.arange(12, dtype=np.float32).reshape(1, 1, 1, 4, 1, 3),
    ),
    "reduced_without_axes": _of(
        [_node("Mul", ["x", "x"], "a"), _node("ReduceMean", ["a", "axes"], "y", keepdims=0)],
        (2, 5, 6, 3, 3), axes=[3, 4],
    ),
    "reduced_in_front": _of([_node("ReduceSum", ["x", "axes"], "y")], (2, 5, 6, 3, 3), axes=[0, 1]),
    "greatest": _of([_node("ReduceMax", ["x", "axes"], "y")], (1, 66, 6, 3, 2), axes=[2, 3, 4]),
    "undone_permute": _of(
        [
            _node("Transpose", ["x"], "a", perm=[0, 2, 1, 3, 4]), _node("Reshape", ["a", "four"], "b"),
            _node("Transpose", ["b"], "y", perm=[1, 0, 2, 3]),
        ],
        (1, 5, 6, 3, 3), four=[6, 5, 3, 3],
    ),
    "permutes_that_do_not_undo_each_other": _of(
        [
            _node("Transpose", ["x"], "a", perm=[0, 2, 1, 3, 4]), _node("Reshape", ["a", "four"], "b"),
            _node("Transpose", ["b"], "y", perm=[1, 0, 3, 2]),
        ],
        (1, 5, 6, 3, 2), four=[6, 5, 3, 2],
    ),
    "axes_cut_anew": _of(
        [
            _node("Transpose", ["x"], "a", perm=[1, 0]), _node("Reshape", ["a", "four"], "b"),
            _node("Transpose", ["b"], "y", perm=[2, 3, 0, 1]),
        ],
        (12, 10), four=[2, 5, 4, 3],
    ),
    "axes_cut_across": _of(
        [
            _node("Transpose", ["x"], "a", perm=[1, 0]), _node("Reshape", ["a", "three"], "b"),
            _node("Transpose", ["b"], "y", perm=[1, 0, 2]),
        ],
        (6, 10), three=[4, 5, 3],
    ),
    "read_in_both_shapes": _of(
        [
            _node("Mul", ["x", "scale"], "a"), _node("Sigmoid", ["a"], "y"),
            _node("Transpose", ["a"], "y2", perm=[4, 0, 3, 1, 2]), _node("Add", ["a", "row"], "y3"),
        ],
        (1, 7, 8, 3, 3), scale=np.full((7, 1, 1, 1), 2, np.float32), row=np.arange(3, dtype=np.float32),
    ),
    "broadcast_in_the_middle": _of(
        [_node("Add", ["x", "mid"], "y")], (2, 3, 4, 5, 2), mid=np.float32(np.arange(15).reshape(3, 1, 5, 1)),
    ),
    "nothing_to_join": _of(
        [_node("Add", ["x", "mid"], "y")], (2, 3, 4, 5, 2), mid=np.ones((2, 1, 4, 1, 2), np.float32) * [1, 2],
    ),
    "long_axes_behind": _of([_node("Add", ["x", "x"], "a"), _node("Softmax", ["a"], "y")], (1, 2, 3, 20, 21)),
}  # fmt: skip


def _model(name: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    nodes, inputs, constants = CASES[name]
    outputs = [result for node in nodes for result in node.output if result.startswith("y")]
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    rng = np.random.default_rng(1)
    values = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in inputs.items()}
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), values


@pytest.mark.parametrize("mode", ["F32", "F16", "INT8"])
@pytest.mark.parametrize("name", CASES)
def test_every_stage_agrees(name: str, mode: str) -> None:
    model, inputs = _model(name)
    top = tpumlir.load_onnx(model)
    table = tpumlir.calibrate(top, [inputs, inputs]) if mode == "INT8" else None
    for opt in (0, 2):
        deployed = tpumlir.deploy(top, quantize=mode, calibration_table=table, opt=opt, test_input=inputs)
        assert [verdict.summary() for verdict in deployed.validations if not verdict.passed] == []
        assert [spec.name for spec in deployed.tpu.outputs] == [spec.name for spec in top.outputs]


def _kinds(name: str) -> list[str]:
    return [op.kind for op in tpumlir.load_onnx(_model(name)[0]).lower("F32").ops()]


def test_a_filter_is_made_in_local_memory() -> None:
    """From the scale to the cast nothing goes through DDR."""
    model, _ = _model("modulated_transposed")
    final = tpumlir.load_onnx(model).lower("F16").finalize()
    chain = [op for op in final.ops() if op.name.startswith(("m::", "m2::", "sum::", "d::", "n::"))]
    groups = {str(op.attrs.get("tpu.group", "")) for op in chain}
    assert len(chain) >= 5
    assert len(groups) == 1
    assert groups != {""}


def test_permutes_that_undo_each_other_are_gone() -> None:
    assert "tpu.Permute" not in _kinds("undone_permute")
    assert "tpu.Permute" not in _kinds("axes_cut_anew")
    assert "tpu.Permute" not in _kinds("modulated_transposed")
    assert _kinds("permutes_that_do_not_undo_each_other").count("tpu.Permute") == 2
    assert _kinds("axes_cut_across").count("tpu.Permute") == 2


def test_what_lies_well_stays() -> None:
    assert "tpu.Reshape" not in _kinds("long_axes_behind")
    assert "tpu.Reshape" not in _kinds("nothing_to_join")
