"""One operation, or all from one on, run on tensors that are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from branching import INPUTS, top_module
from onnx import TensorProto, helper, numpy_helper
from tpumlir._core.ir import GraphBuilder
from tpumlir.errors import InputError
from tpumlir.ir import cut

Array = npt.NDArray[Any]
RNG = np.random.default_rng(5)

TOP = top_module()
STAGES = {
    "top": TOP,
    "tpu": TOP.lower(),
    "final": TOP.lower().finalize(),
    "f16": TOP.lower("F16"),
    "bf16 final": TOP.lower("BF16").finalize(),
}
UNITS = {"f16": 2.0**-9, "bf16 final": 2.0**-6}


@pytest.mark.parametrize("stage", STAGES)
def test_every_operation_makes_of_its_inputs_what_it_made_in_the_whole(stage: str) -> None:
    interpreter = tpumlir.ModuleInterpreter(STAGES[stage])
    values = INPUTS | interpreter.run(INPUTS, all_tensors=True)
    for name in ("a", "e", "m", "y", "p", "z"):
        for result, value in interpreter.invoke_at(name, values).items():
            np.testing.assert_allclose(
                value, values[result], rtol=UNITS.get(stage, 1e-5), atol=UNITS.get(stage, 1e-5)
            )
    together = interpreter.invoke_each(values)
    assert {"a", "e", "m", "y", "p", "q", "z"} <= set(together)
    for result, value in together.items():
        np.testing.assert_allclose(
            value, values[result], rtol=UNITS.get(stage, 1e-5), atol=UNITS.get(stage, 1e-5)
        )


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_given_is_what_is_read(stage: str) -> None:
    interpreter = tpumlir.ModuleInterpreter(STAGES[stage])
    a = np.full((1, 4, 6, 6), 0.5, np.float32)
    (e,) = interpreter.invoke_at("e", {"a": a}).values()
    np.testing.assert_allclose(e, np.exp(a), rtol=UNITS.get(stage, 1e-6))
    # By the name of the ONNX node too, and with what it reads computed on the way.
    sub = interpreter.invoke_at("sub", {"a": a})
    np.testing.assert_array_equal(sub["z"], np.zeros((1, 2, 6, 6)))
    # What is given for its own result is not read.
    (again,) = interpreter.invoke_at("e", {"a": a, "e": a}).values()
    np.testing.assert_array_equal(again, e)


def test_an_operation_with_several_results_gives_all_of_them() -> None:
    graph = GraphBuilder("net")
    x = graph.input("x", (2, 5))
    values, places = graph.op(
        "top.TopK", [x], {"axis": 1, "K": 3, "largest": True, "sorted": True}, names=["v", "i"]
    )
    interpreter = tpumlir.ModuleInterpreter(tpumlir.Module(graph.finish([values, places])))
    given = np.array([[1, 5, 2, 4, 3], [9, 8, 7, 6, 5]], np.float32)
    for name in ("v", "i"):
        found = interpreter.invoke_at(name, {"x": given})
        assert list(found) == ["v", "i"]
        np.testing.assert_array_equal(found["i"], [[1, 3, 4], [0, 1, 2]])


def test_a_node_that_became_several_operations_runs_whole() -> None:
    a = RNG.standard_normal((1, 4, 6, 6)).astype(np.float32)
    found = tpumlir.ModuleInterpreter(TOP).invoke_at("parts", {"a": a})
    assert list(found) == ["p", "q"]
    np.testing.assert_array_equal(found["q"], a[:, 2:])
    assert list(tpumlir.ModuleInterpreter(TOP).invoke_at("q", {"a": a})) == ["q"]


@pytest.mark.parametrize("stage", STAGES)
def test_from_one_on_everything_behind_it_is_computed(stage: str) -> None:
    interpreter = tpumlir.ModuleInterpreter(STAGES[stage])
    values = INPUTS | interpreter.run(INPUTS, all_tensors=True)
    close: dict[str, Any] = {"rtol": UNITS.get(stage, 1e-5), "atol": 4 * UNITS.get(stage, 1e-5)}
    outputs = interpreter.invoke_from("a", values)
    assert set(outputs) == {"y", "z"}
    for name, value in outputs.items():
        np.testing.assert_allclose(value, values[name], **close)
    # Only what depends on it: m comes from what is given, whatever e becomes.
    wrong = values | {"m": np.zeros_like(values["m"])}
    found = interpreter.invoke_from("e", wrong)
    assert list(found) == ["y"]
    np.testing.assert_allclose(found["y"], values["e"], **close)
    # The stale result of what is computed anew is not read.
    stale = values | {"e": np.zeros_like(values["e"]), "y": np.zeros_like(values["y"])}
    everything = interpreter.invoke_from("e", stale, all_tensors=True)
    np.testing.assert_allclose(everything["e"], values["e"], **close)
    np.testing.assert_allclose(everything["y"], values["y"], **close)
    assert {"a", "p", "z"}.isdisjoint(everything)


def test_where_nothing_behind_it_is_an_output() -> None:
    graph = GraphBuilder("net")
    x = graph.input("x", (2, 5))
    (e,) = graph.op("top.Exp", [x], names=["e"])
    (r,) = graph.op("top.Relu", [x], names=["r"])
    graph.op("top.Abs", [r], names=["nobody"])
    interpreter = tpumlir.ModuleInterpreter(tpumlir.Module(graph.finish([e])))
    found = interpreter.invoke_from("r", {"x": np.full((2, 5), -3, np.float32)})
    assert list(found) == ["nobody"]
    np.testing.assert_array_equal(found["nobody"], np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("nonsense", {}, "nonsense: expected the name of a tensor or node of the module"),
        ("x", INPUTS, "x: expected a tensor that an operation computes, got a model input"),
        ("w", INPUTS, "w: expected a tensor that an operation computes, got a constant"),
        ("m", {"a": INPUTS["x"]}, "side: expected an input of this name"),
        ("e", {"a": INPUTS["x"][..., :2]}, "a: expected shape"),
        ("e", {"a": INPUTS["x"].astype(str)}, "a: expected numbers"),
    ],
)
def test_what_is_refused(name: str, values: dict[str, Array], message: str) -> None:
    interpreter = tpumlir.ModuleInterpreter(TOP)
    with pytest.raises(InputError, match=message):
        interpreter.invoke_at(name, values)
    with pytest.raises(InputError, match=message):
        interpreter.invoke_from(name, values)


def test_nan_passes_and_is_seen() -> None:
    a = np.full((1, 4, 6, 6), np.nan, np.float32)
    (e,) = tpumlir.ModuleInterpreter(TOP).invoke_at("e", {"a": a}).values()
    assert np.isnan(e).all()


def int8_chain() -> tuple[tpumlir.Module, dict[str, Array]]:
    """Two convolutions with a Relu, wide enough for integers to pay."""
    inputs = {"x": RNG.standard_normal((1, 8, 28, 28)).astype(np.float32)}
    shapes = {"w0": (64, 8, 3, 3), "w1": (4, 64, 3, 3)}
    weights = [
        numpy_helper.from_array(
            (RNG.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32), name
        )
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["y"], pads=[1, 1, 1, 1]),
    ]
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs["x"].shape)]
    graph = helper.make_graph(
        nodes, "net", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], weights
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return tpumlir.load_onnx(proto, name="net"), inputs


@pytest.mark.parametrize("final", [False, True])
def test_integers_are_given_and_told_as_numbers(final: bool) -> None:
    top, inputs = int8_chain()
    with pytest.warns(tpumlir.errors.Note):
        table = tpumlir.calibrate(top, [inputs])
    module = top.lower("INT8", calibration_table=table)
    module = module.finalize() if final else module
    interpreter = tpumlir.ModuleInterpreter(module)
    values = inputs | interpreter.run(inputs, all_tensors=True)
    (scale,) = {op.results[0].scales[0] for op in module.ops() if op.name == "b"}
    found = interpreter.invoke_each(values)
    assert {"b", "y::int8", "y"} <= set(found)
    for name, value in found.items():
        np.testing.assert_array_equal(value, values[name])
    # Numbers between the steps are rounded to them.
    b = values["b"]
    (y,) = interpreter.invoke_at("y::int8", {"b": b + 0.3 * np.float32(scale)}).values()
    np.testing.assert_array_equal(y, values["y::int8"])


def test_a_cut_between_integers_runs_and_compiles() -> None:
    """It takes and gives floats, as one in half precision does."""
    top, inputs = int8_chain()
    with pytest.warns(tpumlir.errors.Note):
        table = tpumlir.calibrate(top, [inputs])
    module = top.lower("INT8", calibration_table=table)
    values = inputs | tpumlir.ModuleInterpreter(module).run(inputs, all_tensors=True)
    part = cut.between(module, ["b"], ["y::int8"])
    assert [(spec.name, spec.dtype) for spec in (*part.inputs, *part.outputs)] == [
        ("b", "f32"), ("y::int8", "f32"),
    ]  # fmt: skip
    got = tpumlir.ModuleInterpreter(part).run({"b": values["b"]})
    np.testing.assert_array_equal(got["y::int8"], values["y::int8"])
    on_chip = part.compile().run({"b": values["b"]})
    np.testing.assert_array_equal(on_chip["y::int8"], values["y::int8"])
    read = tpumlir.Module.parse(part.print(), part.weights)
    np.testing.assert_array_equal(
        tpumlir.ModuleInterpreter(read).run({"b": values["b"]})["y::int8"], values["y::int8"]
    )
