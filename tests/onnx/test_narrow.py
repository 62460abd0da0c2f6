"""Weights of 4-bit integers and 8-bit floats: brought back to float at import, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.road.check import check_model

Array = np.ndarray[Any, np.dtype[Any]]
RNG = np.random.default_rng(5)
TYPES = ("INT4", "UINT4", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "INT8", "UINT8")


def stored(name: str, code: int, values: Array) -> onnx.TensorProto:
    """``values`` rounded to a type."""
    return helper.make_tensor(name, code, values.shape, values.ravel().tolist())


def weights(code: int, shape: Sequence[int]) -> Array:
    """Numbers over the range of a type."""
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(code)).name
    if kind.startswith("float"):
        return np.asarray(RNG.standard_normal(shape) * 50, np.float32)
    low, high = {"int4": (-8, 8), "uint4": (0, 16), "int8": (-128, 128), "uint8": (0, 256)}[kind]
    return RNG.integers(low, high, shape)


def model(nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto], opset: int = 21) -> Any:
    """Nodes that make w of constants, and y = x * w."""
    graph = helper.make_graph(
        [*nodes, helper.make_node("Mul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [6, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def assert_exact(proto: onnx.ModelProto) -> tpumlir.Module:
    """Top gives the bits that ONNX itself gives; returns the module."""
    x = RNG.standard_normal((6, 8)).astype(np.float32)
    (want,) = ReferenceEvaluator(proto).run(None, {"x": x})
    module = tpumlir.load_onnx(proto)
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(module).run({"x": x})["y"], want)
    assert check_model(proto).passed
    return module


# Shape of scale and zero point, axis and block.
GRAINS = {
    "tensor": ((), 1, 0),
    "one": ((1,), 1, 0),
    "rows": ((6,), 0, 0),
    "columns": ((8,), 1, 0),
    "columns from the end": ((8,), -1, 0),
    "blocks of rows": ((2, 8), 0, 3),
    "blocks of columns": ((6, 2), -1, 4),
    "blocks of which the last is short": ((6, 3), 1, 3),
}


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("zero", [False, True], ids=["", "zero"])
def test_weights_are_dequantised_at_import(kind: str, grain: str, zero: bool) -> None:
    code, (shape, axis, block) = TensorProto.DataType.Value(kind), GRAINS[grain]
    constants = [
        stored("q", code, weights(code, (6, 8))),
        numpy_helper.from_array(np.asarray(RNG.uniform(0.01, 0.3, shape), np.float32), "s"),
    ]
    if zero:
        zeros = np.zeros(shape, np.float32) if kind.startswith("FLOAT") else weights(code, shape)
        constants.append(stored("z", code, np.asarray(zeros)))
    node = helper.make_node(
        "DequantizeLinear", ["q", "s", "z"][: len(constants)], ["w"], axis=axis, block_size=block
    )
    module = assert_exact(model([node], constants))
    assert [op.kind for op in module.ops() if op.kind != "top.Input"].count("top.Mul") == 1


@pytest.mark.parametrize("kind", TYPES)
def test_weights_move_before_they_are_dequantised(kind: str) -> None:
    code = TensorProto.DataType.Value(kind)
    nodes = [
        helper.make_node("Transpose", ["q"], ["t"]),
        helper.make_node("Reshape", ["t", "shape"], ["r"]),
        helper.make_node("Slice", ["r", "from", "to"], ["u"]),
        helper.make_node("DequantizeLinear", ["u", "s"], ["w"]),
    ]
    constants = [
        stored("q", code, weights(code, (9, 8))),
        numpy_helper.from_array(np.array(0.25, np.float32), "s"),
        numpy_helper.from_array(np.array([9, 8]), "shape"),
        numpy_helper.from_array(np.array([3]), "from"),
        numpy_helper.from_array(np.array([9]), "to"),
    ]
    assert_exact(model(nodes, constants))


@pytest.mark.parametrize("kind", TYPES)
def test_weights_are_cast_at_import(kind: str) -> None:
    code = TensorProto.DataType.Value(kind)
    node = helper.make_node("Cast", ["q"], ["w"], to=TensorProto.FLOAT)
    assert_exact(model([node], [stored("q", code, weights(code, (6, 8)))]))


@pytest.mark.parametrize("kind", [*TYPES, "FLOAT4E2M1"])
def test_constants_are_rounded_to_a_type_and_back(kind: str) -> None:
    code = TensorProto.DataType.Value(kind)
    values = np.concatenate([RNG.standard_normal((5, 8)) * 3, [[0, 0.5, 1.5, 2.5, 5, 6, 7, -1]]])
    nodes = [
        helper.make_node("Cast", ["v"], ["q"], to=code),
        helper.make_node("Cast", ["q"], ["w"], to=TensorProto.FLOAT),
    ]
    opset = 23 if kind == "FLOAT4E2M1" else 21
    if kind.startswith("U"):
        values = np.abs(values)
    assert_exact(model(nodes, [numpy_helper.from_array(values.astype(np.float32), "v")], opset))


@pytest.mark.parametrize("kind", TYPES)
def test_a_constant_is_quantised_and_back(kind: str) -> None:
    code = TensorProto.DataType.Value(kind)
    nodes = [
        helper.make_node("QuantizeLinear", ["v", "s", "z"], ["q"], axis=0),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
    ]
    constants = [
        numpy_helper.from_array(np.asarray(RNG.standard_normal((6, 8)), np.float32), "v"),
        numpy_helper.from_array(np.asarray(RNG.uniform(0.05, 0.3, 6), np.float32), "s"),
        stored("z", code, np.zeros(6) if kind.startswith(("F", "I")) else np.full(6, 7)),
    ]
    assert_exact(model(nodes, constants))


@pytest.mark.parametrize("kind", TYPES)
def test_rows_of_a_table_are_dequantised_at_run_time(kind: str) -> None:
    """An embedding: which rows are read is not known at import."""
    code = TensorProto.DataType.Value(kind)
    constants = [
        stored("q", code, weights(code, (10, 8))),
        numpy_helper.from_array(np.array(0.125, np.float32), "s"),
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["q", "i"], ["g"]),
            helper.make_node("DequantizeLinear", ["g", "s"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("i", TensorProto.INT64, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 8])],
        constants,
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (want,) = ReferenceEvaluator(proto).run(None, {"i": np.array([7, 0, 9])})
    module = tpumlir.load_onnx(proto)
    inputs = {"i": np.array([7, 0, 9], np.int32)}
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(module).run(inputs)["y"], want)
    np.testing.assert_array_equal(module.lower("F32").compile().run(inputs)["y"], want)


def test_scales_of_a_shape_that_does_not_fit_are_an_error() -> None:
    constants = [
        stored("q", TensorProto.INT4, weights(TensorProto.INT4, (6, 8))),
        numpy_helper.from_array(np.ones((2, 8), np.float32), "s"),
    ]
    node = helper.make_node("DequantizeLinear", ["q", "s"], ["w"], name="back", axis=0, block_size=2)
    with pytest.raises(tpumlir.OnnxImportError, match=r"back: DequantizeLinear .*blocks of 2, got \[2, 8\]"):
        tpumlir.load_onnx(model([node], constants))
