"""What people pass to the Python API by habit is taken or refused in words; and what they see in a REPL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 12)


def proto() -> onnx.ModelProto:
    """Mul and Relu, with a free batch."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        "habits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 12])],
        [numpy_helper.from_array(np.arange(12, dtype=np.float32) + 1, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(
    "shapes",
    [
        [[2, 12]], ((2, 12),), [2, 12], (np.int64(2), 12), [np.array([2, 12])], np.array([[2, 12]]),
        {"x": [2, 12]}, {"x": np.array([2, 12])},
    ],
    ids=repr,
)  # fmt: skip
def test_shapes_of_any_kind(shapes: Any) -> None:
    (spec,) = tpumlir.load_onnx(proto(), input_shapes=shapes).inputs
    assert spec.shape == (2, 12)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"input_shapes": "[[2,12]]"}, "got the text"),
        ({"input_shapes": [[2, 12], [1]]}, "expected 1 input shapes"),
        ({"input_shapes": [[2.5, 12]]}, "x: expected a shape of whole numbers"),
        ({"input_shapes": {"x": ["N", 12]}}, "x: expected a shape of whole numbers"),
        ({"output_names": "m"}, r"output_names: expected a list of names, such as \['m'\], got a text"),
        ({"runtime_inputs": "w"}, r"runtime_inputs: expected a list of names, such as \['w'\]"),
    ],
    ids=repr,
)
def test_what_load_onnx_refuses(given: dict[str, Any], said: str) -> None:
    with pytest.raises(tpumlir.TpumlirError, match=said):
        tpumlir.load_onnx(proto(), **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tolerance": "0.9,0.9"}, r"tolerance: expected a Tolerance such as .*, got '0.9,0.9'"),
        ({"tolerance": (0.9, 0.9)}, r"tolerance: expected a Tolerance such as"),
        ({"excepts": "m"}, r"excepts: expected a list of names, such as \['m'\]"),
        ({"opt": 9}, "expected an effort opt of 1 to 3, or 0 for no layer groups, got 9"),
    ],
    ids=repr,
)
def test_what_compile_onnx_refuses(given: dict[str, Any], said: str) -> None:
    with pytest.raises(tpumlir.TpumlirError, match=said):
        tpumlir.compile_onnx(proto(), **given)


@pytest.mark.parametrize("inputs", [[X], X, None, "x"], ids=lambda value: type(value).__name__)
def test_inputs_without_names_are_refused(inputs: Any) -> None:
    top = tpumlir.load_onnx(proto(), input_shapes=[[1, 12]])
    bmodel = top.lower().compile()
    runs: list[Callable[[Any], object]] = [tpumlir.ModuleInterpreter(top).run, bmodel.run]
    for run in runs:
        with pytest.raises(tpumlir.InputError, match=r"expected inputs by name, such as \{'x': array\}, got"):
            run(inputs)


def test_a_bmodel_is_one_line_in_a_repl() -> None:
    bmodel = tpumlir.load_onnx(proto(), input_shapes=[[1, 12]]).lower("F16").compile()
    text = repr(bmodel)
    assert text.startswith("<tpumlir.BModel habits: x [1, 12] f32 -> y [1, 12] f32; ")
    assert f"{len(bmodel.coeff)} bytes of weights>" in text
    assert "\\x" not in repr(bmodel.groups)
