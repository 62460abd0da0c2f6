"""Constant folding agrees with ONNX Runtime, integers to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import onnx
from onnx import helper
from tpumlir.errors import OnnxImportError
from tpumlir.onnx import fold
from tpumlir.onnx.load import NodeInfo

I = np.array  # noqa: E741
INTS = I([-7, -6, 5, 8, 2**53 + 1])
DIVISORS = I([2, -4, -2, 3, 7])
GRID = np.arange(24).reshape(2, 3, 4)
REAL = np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 4)

CASES: list[tuple[str, list[Any], dict[str, Any], int]] = [
    *(
        (op, [INTS, DIVISORS], {}, 17)
        for op in ("Add", "Sub", "Mul", "Div", "Equal", "Greater", "Less", "Mod")
    ),
    ("Mod", [INTS, DIVISORS], {"fmod": 1}, 17),
    ("Div", [REAL, I([2.5], "f4")], {}, 17),
    ("Reshape", [GRID, I([0, -1])], {}, 17),
    ("Squeeze", [GRID[:1], I([0])], {}, 17),
    ("Squeeze", [GRID[:1]], {"axes": [0]}, 11),
    ("Unsqueeze", [GRID, I([0, -1])], {}, 17),
    ("Unsqueeze", [GRID], {"axes": [1]}, 11),
    ("Transpose", [GRID], {}, 17),
    ("Transpose", [GRID], {"perm": [2, 0, 1]}, 17),
    ("Concat", [GRID, GRID], {"axis": -2}, 17),
    ("Slice", [GRID, I([1]), I([2**62]), I([2])], {}, 17),
    ("Slice", [GRID, I([-1]), I([-(2**62)]), I([2]), I([-2])], {}, 17),
    ("Slice", [GRID], {"starts": [0, 1], "ends": [1, -1]}, 9),
    ("Gather", [GRID, I([-1, 0])], {"axis": 1}, 17),
    ("Gather", [GRID, np.int64(-1)], {}, 17),
    ("Expand", [GRID, I([3, 1, 1, 1])], {}, 17),
    ("Tile", [GRID, I([1, 2, 1])], {}, 17),
    ("Flatten", [GRID], {"axis": 2}, 17),
    ("Shape", [GRID], {"start": -2}, 17),
    ("Size", [GRID], {}, 17),
    ("Range", [np.int64(1), np.int64(9), np.int64(3)], {}, 17),
    ("Range", [np.float32(0), np.float32(1), np.float32(0.3)], {}, 17),
    ("ConstantOfShape", [I([2, 3])], {}, 17),
    ("Cast", [REAL], {"to": onnx.TensorProto.INT64}, 17),
    ("Cast", [INTS], {"to": onnx.TensorProto.FLOAT}, 17),
    ("Cast", [REAL], {"to": onnx.TensorProto.FLOAT16}, 17),
    ("Cast", [REAL], {"to": onnx.TensorProto.BOOL}, 17),
    ("ReduceProd", [GRID + 1], {"axes": [2]}, 17),
    ("ReduceMax", [GRID], {"keepdims": 0}, 17),
    ("ReduceSum", [GRID, I([1])], {}, 17),
    ("Where", [GRID > 3, GRID, -GRID], {}, 17),
    ("Max", [INTS, DIVISORS], {}, 17),
    ("Neg", [INTS], {}, 17),
    ("Floor", [REAL], {}, 17),
    ("Not", [GRID > 3], {}, 17),
    ("And", [GRID > 3, GRID < 9], {}, 17),
    ("CumSum", [GRID, np.int64(1)], {"exclusive": 1, "reverse": 1}, 17),
    ("Softmax", [REAL], {}, 17),
]


def info(op: str, inputs: list[Any], attributes: dict[str, Any], outputs: int = 1) -> NodeInfo:
    names = [f"i{k}" for k in range(len(inputs))]
    proto = helper.make_node(op, names, [f"o{k}" for k in range(outputs)], name="n", **attributes)
    values = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    values = {k: list(v) if not isinstance(v, (int, float, bytes)) else v for k, v in values.items()}
    return NodeInfo(op, "", "n", tuple(names), tuple(proto.output), values, proto)


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_folding_agrees_with_onnxruntime(case: tuple[str, list[Any], dict[str, Any], int]) -> None:
    op, inputs, attributes, opset = case
    node = info(op, inputs, attributes)
    arrays = [np.asarray(value) for value in inputs]
    (got,) = fold.evaluate(node, arrays, opset)
    (want,) = fold._onnxruntime(node, arrays, opset)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def test_split_of_a_constant() -> None:
    parts = fold.evaluate(info("Split", [0, 0], {"axis": 2}, outputs=2), [GRID, I([1, 3])], 17)
    np.testing.assert_array_equal(parts[0], GRID[..., :1])
    np.testing.assert_array_equal(parts[1], GRID[..., 1:])


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        ("Div", [INTS, I([0])]),
        ("Reshape", [GRID, I([7, -1])]),
        ("Gather", [GRID, I([2])]),
        ("Add", [GRID, I([1, 2, 3])]),
        ("Slice", [GRID, I([0]), I([1]), I([0]), I([0])]),
    ],
    ids=["zero_division", "reshape", "index", "broadcast", "zero_step"],
)
def test_what_cannot_be_folded_names_the_node(op: str, inputs: list[Any]) -> None:
    with pytest.raises(OnnxImportError, match=f"^n: {op} of constants") as caught:
        fold.evaluate(info(op, inputs, {}), inputs, 17)
    assert "\n" not in str(caught.value)
