"""Operations by themselves on right inputs: planted faults rank first, what only arrives is told apart."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.calibration.table import CalibrationTable, Row
from tpumlir.compare import Tolerance
from tpumlir.errors import InputError
from tpumlir.road.isolate import ACCUMULATED, BY_INPUTS, NO_REFERENCE, NOT_RUN, OFF, OK, Isolation, isolate
from tpumlir.road.isolate_page import page

Array = npt.NDArray[Any]
RNG = np.random.default_rng(3)
X = RNG.standard_normal((1, 4, 6, 6)).astype(np.float32)


def load(
    nodes: list[Any],
    inputs: Mapping[str, Array],
    outputs: list[str],
    weights: Mapping[str, Array] | None = None,
    **options: Any,
) -> tpumlir.Module:
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in inputs.items()
    ]
    graph = helper.make_graph(
        nodes, "net", infos, [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in outputs],
        [numpy_helper.from_array(v, n) for n, v in (weights or {}).items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return tpumlir.load_onnx(proto, name="net", **options)


def node(op: str, sources: str, targets: str, **attributes: Any) -> Any:
    return helper.make_node(
        op, sources.split(), targets.split(), name=f"node_{targets.split(maxsplit=1)[0]}", **attributes
    )


def tensors(module: tpumlir.Module, inputs: Mapping[str, Array]) -> dict[str, Array]:
    return {**inputs} | tpumlir.ModuleInterpreter(module).run(inputs, all_tensors=True, allow_nan=True)


def changed(module: tpumlir.Module, old: str, new: str) -> tpumlir.Module:
    """The module with a piece of its text changed."""
    text = module.print()
    assert text.count(old) == 1, text
    return tpumlir.Module.parse(text.replace(old, new), module.weights)


def verdicts(found: Isolation) -> dict[str, str]:
    return {op.tensor: op.verdict for op in found.ops}


def chain() -> tpumlir.Module:
    """x -> conv a -> leaky b -> tanh c -> conv d -> sigmoid y."""
    weights = {name: (RNG.standard_normal((4, 4, 3, 3)) / 4).astype(np.float32) for name in ("w", "v")}
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
        node("LeakyRelu", "a", "b", alpha=0.25),
        node("Tanh", "b", "c"),
        node("Conv", "c v", "d", pads=[1, 1, 1, 1]),
        node("Sigmoid", "d", "y"),
    ]
    return load(nodes, {"x": X}, ["y"], weights)


CHAIN = chain()
WANT = tensors(CHAIN, {"x": X})
STAGES = {
    "top": lambda module: module,
    "tpu": lambda module: module.lower(),
    "final": lambda module: module.lower().finalize(),
    "f16": lambda module: module.lower("F16"),
    "f16 final": lambda module: module.lower("F16").finalize(),
    "bf16": lambda module: module.lower("BF16"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_right_module_has_no_culprit(stage: str) -> None:
    found = isolate(STAGES[stage](CHAIN), WANT)
    assert found.passed
    assert found.culprits == []
    assert {verdict for name, verdict in verdicts(found).items() if "::" not in name} == {OK}
    assert found.notes == ()
    unit = {"f16": 2**-11, "f16 final": 2**-11, "bf16": 2**-8}.get(stage, 2**-20)
    for op in found.ops:
        if op.verdict == NO_REFERENCE:  # a part of a lowered convolution
            continue
        assert op.isolated is not None
        assert op.isolated <= 4 * unit, op
        assert op.want is not None
        assert op.got.low == pytest.approx(op.want.low, abs=0.05)
    assert found.outputs["y"] < 10 * unit


@pytest.mark.parametrize("stage", STAGES)
def test_the_planted_fault_ranks_first_and_its_readers_are_right(stage: str) -> None:
    wrong = changed(STAGES[stage](CHAIN), "alpha = 2.500000e-01", "alpha = 2.000000e+00")
    found = isolate(wrong, WANT)
    (culprit,) = found.culprits
    assert (culprit.tensor, culprit.node, culprit.verdict) == ("b", "node_b", OFF)
    assert found.by()[0] is culprit
    assert culprit.isolated is not None
    assert culprit.isolated > 0.5
    assert culprit.own == pytest.approx(culprit.isolated, abs=0.02)
    assert culprit.message.startswith("wrong values: ")
    rest = verdicts(found)
    assert {rest[name] for name in ("c", "d", "y")} == {ACCUMULATED}
    assert rest["a"] == OK
    for op in found.ops:
        if op.tensor in {"c", "d", "y"}:
            assert op.accumulated is not None
            assert op.isolated is not None
            assert op.accumulated > 10 * op.isolated
    assert not found.passed


def test_either_kind_of_reference_serves() -> None:
    """The tensors of the lowered module itself leave nothing but what storing them does."""
    tpu = CHAIN.lower("F16")
    found = isolate(tpu, tensors(tpu, {"x": X}))
    assert found.passed
    assert found.missing == ()
    assert all(op.isolated is not None and op.isolated < 1e-3 for op in found.ops)
    assert found.outputs == {"y": 0.0}


def test_f16_overflow_is_the_fault_of_what_computes_it() -> None:
    nodes = [
        node("Mul", "x k", "m"), node("ReduceSum", "m axes", "s", keepdims=1),
        node("Mul", "s t", "r"), node("Sqrt", "r", "y"),
    ]  # fmt: skip
    weights = {"k": np.float32(900), "t": np.float32(0.001), "axes": np.array([2, 3])}
    x = np.abs(RNG.standard_normal((1, 3, 16, 16))).astype(np.float32)
    module = load(nodes, {"x": x}, ["y"], weights)
    lowered = module.lower("F16", plain_half=True)
    found = isolate(lowered, tensors(module, {"x": x}))
    by_name = {op.tensor: op for op in found.ops}
    first = found.by()[0]
    assert first.tensor == "s"
    assert first.isolated == math.inf
    assert first.beyond == 1.0
    assert first.got.infinite == 3
    assert first.message.startswith("overflow: 3 of 3 elements are infinite")
    assert [op.tensor for op in found.culprits] == ["s"]
    reader = by_name["r"]
    assert (reader.verdict, reader.own, reader.worst_input) == (BY_INPUTS, 0.0, "s")
    assert reader.inputs == math.inf
    assert by_name["y"].verdict == ACCUMULATED
    assert by_name["m"].verdict == OK
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["culprits"] == ["s"]
    assert document["outputs"]["y"] == "inf"


def int8(module: tpumlir.Module, samples: list[dict[str, Array]], **thresholds: float) -> tpumlir.Module:
    with pytest.warns(tpumlir.errors.Note):
        table = tpumlir.calibrate(module, samples)
    rows = {
        name: row if name not in thresholds else Row(thresholds[name], -thresholds[name], thresholds[name])
        for name, row in table.rows.items()
    }
    return module.lower("INT8", calibration_table=CalibrationTable(rows))


def wide_chain() -> tuple[tpumlir.Module, dict[str, Array]]:
    """Convolutions that are wide enough for integers to pay."""
    x = RNG.standard_normal((1, 8, 28, 28)).astype(np.float32)
    shapes = {"w0": (64, 8, 3, 3), "w1": (64, 64, 3, 3), "w2": (64, 64, 3, 3), "w3": (4, 64, 3, 3)}
    weights = {
        name: (RNG.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }
    nodes = [
        node("Conv", f"{source} w{i}", target, pads=[1, 1, 1, 1])
        for i, (source, target) in enumerate((("x", "a"), ("a", "b"), ("b", "c"), ("c", "y")))
    ]
    return load(nodes, {"x": x}, ["y"], weights), {"x": x}


def test_a_bad_threshold_is_the_fault_of_what_stores_with_it() -> None:
    module, inputs = wide_chain()
    want = tensors(module, inputs)
    right = isolate(int8(module, [inputs]), want)
    assert right.culprits == []
    assert {op.precision for op in right.ops} == {"INT8", "F32"}
    assert all(op.isolated is None or op.isolated < 0.02 for op in right.ops)
    assert sum(op.isolated is None for op in right.ops) == len(right.missing)
    found = isolate(int8(module, [inputs], b=float(np.abs(want["b"]).max()) / 12), want)
    first = found.by()[0]
    assert (first.tensor, first.verdict) == ("b", OFF)
    assert first.beyond > 0.3
    assert "saturation" in first.message
    assert [op.tensor for op in found.culprits] == ["b"]
    by_name = {op.tensor: op for op in found.ops}
    assert by_name["c"].verdict == BY_INPUTS
    assert by_name["c"].worst_input == "b"
    assert by_name["y"].isolated is not None
    assert by_name["y"].isolated < 0.05
    # In real numbers, as the reference.
    assert 0.7 * want["a"].max() < by_name["a"].got.high <= want["a"].max()


@pytest.mark.parametrize("mode", ["F16", "BF16", "INT8"])
@pytest.mark.parametrize("final", [False, True])
def test_inputs_and_outputs_in_the_type_of_the_chip(mode: str, final: bool) -> None:
    """What storing the model input loses is a row of the input then."""
    module, inputs = wide_chain()
    table = None
    if mode == "INT8":
        with pytest.warns(tpumlir.errors.Note):
            table = tpumlir.calibrate(module, [inputs])
    lowered = module.lower(mode, calibration_table=table, quant_input=True, quant_output=True)
    lowered = lowered.finalize() if final else lowered
    want = tensors(module, inputs)
    found = isolate(lowered, want)
    assert found.passed, found.to_json()
    first = found.ops[0]
    assert (first.tensor, first.kind, first.precision) == ("x", "top.Input", mode)
    assert first.isolated is not None
    assert 0 < first.isolated < 0.02
    assert found.outputs["y"] < 0.05
    interpreter = tpumlir.ModuleInterpreter(lowered)
    got = interpreter.run(inputs, all_tensors=True)
    for name in ("a", "y"):
        np.testing.assert_array_equal(interpreter.invoke_at(name, inputs | got)[name], got[name])
    np.testing.assert_array_equal(interpreter.invoke_from("a", inputs)["y"], got["y"])


def test_a_wrong_number_in_int8_is_found() -> None:
    module, inputs = wide_chain()
    lowered = int8(module, [inputs])
    weights = {**lowered.weights}
    name = next(op.operands[1] for op in lowered.ops() if op.name == "b")
    weights[name] = np.roll(weights[name], 1, axis=1)  # the filter in another order
    found = isolate(tpumlir.Module.parse(lowered.print(), weights), tensors(module, inputs))
    assert [op.tensor for op in found.culprits] == ["b"]
    assert verdicts(found)["c"] == OK or verdicts(found)["c"] == ACCUMULATED


@pytest.mark.parametrize("mode", ["", "F32", "F16", "INT8"])
def test_a_model_with_scales_of_its_own(mode: str) -> None:
    """Integers of the file are integers, those that a lowering makes of its casts are numbers."""
    x = RNG.standard_normal((1, 16, 14, 14)).astype(np.float32)
    weights = {
        "s": np.float32(0.02), "z": np.int8(0),
        "w": (RNG.standard_normal((32, 16, 3, 3)) * 20).astype(np.int8),
        "ws": np.float32(0.01), "ys": np.float32(0.05),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "xq"), node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws z", "wd"), node("Conv", "xd wd", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c ys z", "cq"), node("DequantizeLinear", "cq ys z", "y"),
    ]  # fmt: skip
    module = load(nodes, {"x": x}, ["y"], weights)
    want = tensors(module, {"x": x})
    found = isolate(module.lower(mode) if mode else module, want)
    assert found.passed, found.to_json()
    assert found.culprits == []
    assert found.outputs["y"] < 0.01
    assert all(op.isolated is None or op.isolated < 2e-3 for op in found.ops)


def test_parts_without_a_reference_are_computed_on_the_way() -> None:
    weights = {"s": np.ones(8, np.float32), "b": np.zeros(8, np.float32)}
    x = RNG.standard_normal((2, 5, 8)).astype(np.float32)
    module = load(
        [node("LayerNormalization", "x s b", "n"), node("Tanh", "n", "y")], {"x": x}, ["y"], weights
    )
    lowered = module.lower("F16")
    parts = [name for name in lowered.tensor_names() if name.startswith("n::")]
    assert parts
    found = isolate(lowered, tensors(module, {"x": x}))
    assert set(parts) <= set(found.missing)
    rows = {op.tensor: op for op in found.ops}
    assert rows["n"].isolated is not None
    assert rows["n"].isolated < 2e-3
    assert set(rows["n"].through) & set(parts)
    assert {rows[name].verdict for name in parts} == {NO_REFERENCE}


def test_a_tensor_that_was_left_out_of_the_reference_is_computed() -> None:
    want = {name: value for name, value in WANT.items() if name != "b"}
    wrong = changed(CHAIN, "alpha = 2.500000e-01", "alpha = 2.000000e+00")
    found = isolate(wrong, want)
    assert found.missing == ("b",)
    (culprit,) = found.culprits
    assert (culprit.tensor, culprit.through) == ("c", ("b",))
    assert verdicts(found)["d"] == ACCUMULATED


def test_several_results_computed_filters_scalars_and_integers() -> None:
    """A row per operation; of several results that one which is off most."""
    inputs = {"x": X, "w": RNG.standard_normal((4, 4, 3, 3)).astype(np.float32), "k": np.float32(0.5)}
    nodes = [
        node("Conv", "x w", "f", pads=[1, 1, 1, 1]),
        node("Split", "f", "p q", axis=1),
        node("Mul", "q k", "r"),
        node("TopK", "r three", "v i", axis=3),
        node("ReduceMax", "v", "z", keepdims=0),
        node("Mul", "z k", "y"),
    ]
    module = load(nodes, inputs, ["y", "i", "p"], {"three": np.array([3])}, optimize=False)
    want = tensors(module, inputs)
    assert want["y"].shape == ()
    for lowered in (module, module.lower()):
        found = isolate(lowered, want)
        assert found.passed, found.to_json()
        assert found.outputs == {"y": pytest.approx(0, abs=1e-5), "i": 0.0, "p": pytest.approx(0, abs=1e-5)}
    wrong = dict(want)
    wrong["i"] = want["i"][..., ::-1].copy()
    found = isolate(module, wrong)
    (culprit,) = found.culprits
    assert (culprit.tensor, culprit.node) == ("i", "node_v")
    assert culprit.isolated is not None
    assert 0 < culprit.isolated < math.inf


def test_nan_of_the_reference_is_right_and_another_is_not() -> None:
    module = load([node("Sqrt", "x", "a"), node("Neg", "a", "b"), node("Exp", "b", "y")], {"x": X}, ["y"])
    want = tensors(module, {"x": X})  # roots of numbers below 0
    assert np.isnan(want["a"]).any()
    found = isolate(module.lower("F16"), want)
    assert found.passed
    row = next(op for op in found.ops if op.tensor == "a")
    assert row.got.nan == row.want.nan > 0  # type: ignore[union-attr]
    numbers = np.nan_to_num(want["b"])
    plain = dict(want) | {"b": numbers, "y": np.exp(numbers)}
    found = isolate(module, plain)
    assert [op.tensor for op in found.culprits] == ["b"]
    assert found.culprits[0].isolated == math.inf
    assert found.culprits[0].message.startswith("NaN: ")


def test_another_choice_among_rounded_keys_is_no_fault() -> None:
    """In F16 both keys are 1, and the first of equal ones is the greatest."""
    x = np.array([[0.0, 1.0, 1.0001, 0.5]], np.float32)
    nodes = [
        node("Mul", "x one", "k"),
        node("ArgMax", "k", "i", axis=1),
        node("TopK", "k two", "v j", axis=1),
    ]
    weights = {"one": np.float32(1.5), "two": np.array([2])}
    module = load(nodes, {"x": x}, ["i", "v", "j"], weights, optimize=False)
    want = tensors(module, {"x": x})
    assert want["i"] == 2
    found = isolate(module.lower("F16", plain_half=True), want)
    rows = {op.tensor: op for op in found.ops}
    assert found.culprits == []
    for name in ("i", "j"):
        assert rows[name].isolated != 0
        assert (rows[name].verdict, rows[name].own) == (BY_INPUTS, 0.0)
    assert found.passed
    # One that is wrong for any keys is one.
    wrong = want | {"i": np.array([[0]], np.int32)}
    assert [op.tensor for op in isolate(module, wrong).culprits] == ["i"]


def test_names_of_both_sides_meet() -> None:
    """What a cast makes has the reference of what it casts; a truth value is a number here."""
    nodes = [node("Greater", "x k", "g"), node("Where", "g x k", "y")]
    module = load(nodes, {"x": X}, ["y"], {"k": np.float32(0.25)})
    reference = {
        "x": X.astype(np.float64),
        "g": X > 0.25,
        "y": np.where(X > 0.25, X, 0.25).astype(np.float32),
    }
    for lowered in (module, module.lower(), module.lower("F16")):
        found = isolate(lowered, reference)
        assert found.passed, found.to_json()
        assert found.missing == ()


def test_an_operation_that_cannot_be_run_is_told_and_the_others_are_run() -> None:
    inputs = {"x": RNG.standard_normal((3, 4)).astype(np.float32), "i": np.array([0, 2], np.int32)}
    nodes = [node("Abs", "i", "j"), node("Gather", "x j", "g"), node("Tanh", "x", "t"), node("Neg", "g", "y")]
    module = load(nodes, inputs, ["y", "t"], optimize=False)
    want = tensors(module, inputs)
    found = isolate(module, want | {"j": np.array([0, 7], np.int32)})
    rows = {op.tensor: op for op in found.ops}
    assert rows["g"].verdict == NOT_RUN
    assert rows["g"].accumulated == 0.0
    assert "7" in rows["g"].message
    assert rows["t"].verdict == rows["y"].verdict == OK
    assert not found.passed


def test_a_whole_that_cannot_be_run_leaves_the_isolated_errors() -> None:
    inputs = {"x": RNG.standard_normal((3, 4)).astype(np.float32), "i": np.array([0, 7], np.int32)}
    module = load([node("Gather", "x i", "g"), node("Tanh", "g", "y")], inputs, ["y"], optimize=False)
    g = RNG.standard_normal((2, 4)).astype(np.float32)
    found = isolate(module, inputs | {"g": g, "y": np.tanh(g)})
    assert any("cannot be run" in note for note in found.notes)
    assert verdicts(found) == {"g": NOT_RUN, "y": OK}


def test_inputs_come_from_the_reference_or_are_given() -> None:
    without = {name: value for name, value in WANT.items() if name != "x"}
    with pytest.raises(InputError, match=r"^x: expected this model input in the reference, .* --test_input"):
        isolate(CHAIN, without)
    assert isolate(CHAIN, without, {"x": X}).passed
    with pytest.raises(InputError, match="x: expected shape"):
        isolate(CHAIN, without, {"x": X[..., :3]})


def test_a_reference_of_another_model_is_refused_and_single_tensors_are_told() -> None:
    with pytest.raises(InputError, match="none of its names"):
        isolate(CHAIN, {"x": X, "other": X})
    with pytest.raises(InputError, match="a: expected shape"):
        isolate(CHAIN, {"x": X, "a": X[..., :2]})
    found = isolate(CHAIN, WANT | {"c": WANT["c"][..., :3]})
    assert len(found.notes) == 1
    assert "c: expected shape [1, 4, 6, 6], got [1, 4, 6, 3]" in found.notes[0]
    assert found.missing == ("c",)


def test_a_tolerance_of_its_own() -> None:
    found = isolate(CHAIN.lower("BF16"), WANT, tolerance=Tolerance(1.0, 0.99999))
    assert not found.passed
    assert found.tolerance == Tolerance(1.0, 0.99999)
    assert isolate(CHAIN.lower("BF16"), WANT, tolerance=Tolerance(0.9, 0.5)).passed


def test_orders() -> None:
    found = isolate(changed(CHAIN, "alpha = 2.500000e-01", "alpha = 2.000000e+00"), WANT)
    assert [op.tensor for op in found.by("depth")] == ["a", "b", "c", "d", "y"]
    assert found.by("isolated")[0].tensor == "b"
    accumulated = [op.accumulated for op in found.by("accumulated")]
    assert accumulated == sorted(accumulated, reverse=True)  # type: ignore[type-var]


def test_a_thousand_operations_take_seconds() -> None:
    nodes = [node("Tanh" if i % 3 else "Sin", f"t{i}", f"t{i + 1}") for i in range(1000)]
    x = RNG.standard_normal((1, 16)).astype(np.float32)
    module = load(nodes, {"t0": x}, ["t1000"], optimize=False)
    want = tensors(module, {"t0": x})
    start = time.process_time()
    found = isolate(module.lower("F16"), want)
    assert time.process_time() - start < 15  # about one and a half on an idle machine
    assert len(found.ops) >= 1000
    assert found.culprits == []


def test_the_page_shows_what_is_infinite_too() -> None:
    module = load([node("Mul", "x k", "a"), node("Neg", "a", "y")], {"x": X}, ["y"], {"k": np.float32(1e6)})
    found = isolate(module.lower("F16", plain_half=True), tensors(module, {"x": X}))
    content = page(found, "net").decode()
    document = json.loads(content[content.index("const data = ") + 13 : content.rindex(";\nconst element")])
    assert [figure["title"] for figure in document["figures"]] == [
        "Errors by depth",
        "What the tensors reach",
    ]
    isolated = next(t for t in document["figures"][0]["traces"] if t["name"] == "isolated")
    assert all(0 < y < 1e6 for y in isolated["y"])
    assert document["tables"][0]["rows"][0][0] in {"a", "a::f16"}
