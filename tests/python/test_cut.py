"""Cuts of modules: what is in them, what they compute, and which ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tpumlir
from branching import INPUTS, top_module
from onnx import TensorProto, helper
from tpumlir import npz
from tpumlir.ir import cut
from tpumlir.road.reproducer import CutFiles, Reproducer

TOP = top_module()
STAGES = {
    "top": TOP,
    "tpu": TOP.lower(),
    "final": TOP.lower().finalize(),
    "f16": TOP.lower("F16"),
    "bf16 final": TOP.lower("BF16").finalize(),
}
# One unit in the last place: a sum may be rounded the other way.
UNITS = {"f16": 2.0**-10, "bf16 final": 2.0**-7}
VALUES = {
    stage: INPUTS | tpumlir.ModuleInterpreter(module).run(INPUTS, all_tensors=True)
    for stage, module in STAGES.items()
}


def names(module: tpumlir.Module) -> tuple[list[str], list[str]]:
    return [spec.name for spec in module.inputs], [spec.name for spec in module.outputs]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    [
        (lambda m: cut.between(m, ["x"], ["a"]), ["x"], ["a"]),
        (lambda m: cut.between(m, ["a", "side"], ["y", "z"]), ["a", "side"], ["y", "z"]),
        (lambda m: cut.between(m, ["m", "e"], ["y"]), ["m", "e"], ["y"]),
        (lambda m: cut.between(m, ["a"], ["q"]), ["a"], ["q"]),
        (lambda m: cut.backwards(m, ["y"], 1), ["e", "m"], ["y"]),
        (lambda m: cut.backwards(m, ["y"], 2), ["side", "a"], ["y"]),
        (lambda m: cut.backwards(m, ["y"], 99), ["x", "side"], ["y"]),
        (lambda m: cut.backwards(m, ["y"], 99, inputs=["a"]), ["side", "a"], ["y"]),
        (lambda m: cut.forwards(m, ["a"], 1), ["side", "a"], ["e", "m", "p", "q"]),
        (lambda m: cut.forwards(m, ["a"], 2), ["side", "a"], ["y", "z"]),
        (lambda m: cut.forwards(m, ["p"], 3), ["p", "q"], ["z"]),
        (lambda m: cut.forwards(m, ["x"], 2, outputs=["e"]), ["x"], ["e"]),
        # `a` is given although `x` leads to it: what computes it stays out.
        (lambda m: cut.forwards(m, ["x", "a"], 1, outputs=["e"]), ["a"], ["e"]),
    ],
    ids=[
        "io model input", "io both outputs", "io order kept", "io one of two results", "bt 1", "bt 2",
        "bt all", "bt bounded", "ft 1", "ft 2", "ft past the end", "ft to a name", "ft given twice",
    ],
)  # fmt: skip
def test_a_cut_runs_and_computes_what_the_whole_does(
    stage: str, make: Callable[[tpumlir.Module], tpumlir.Module], inputs: list[str], outputs: list[str]
) -> None:
    part = make(STAGES[stage])
    assert names(part) == (inputs, outputs)
    want = Reproducer.of(part, VALUES[stage])
    got = tpumlir.ModuleInterpreter(part).run(want.inputs)
    for name in outputs:
        unit = UNITS.get(stage, 1e-6)
        np.testing.assert_allclose(got[name], want.outputs[name], rtol=unit, atol=unit / 16)


@pytest.mark.parametrize("lower", [False, True])
def test_a_cut_at_an_index_has_the_index(lower: bool) -> None:
    """Arg has a second result, of greatest numbers, which is absent here and has no name."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("ArgMax", ["r"], ["i"], axis=1),
        helper.make_node("Add", ["i", "i"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 5])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT64, [2, 1])]
    graph = helper.make_graph(nodes, "g", infos, outputs)
    module = tpumlir.load_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    module = module.lower() if lower else module
    assert all(module.tensor_names())
    part = cut.between(module, ["r"], ["i"])
    x = np.array([[1, 0, 3, 2, 3], [0, 0, 0, 5, 4]], np.float32)
    np.testing.assert_array_equal(tpumlir.ModuleInterpreter(part).run({"r": x})["i"], [[2], [3]])


def test_a_cut_has_only_the_weights_it_reads() -> None:
    assert "w" in cut.between(TOP, ["x"], ["a"]).weights
    assert cut.between(TOP, ["a"], ["e"]).weights == {}
    assert "w" in TOP.weights


def test_a_final_module_is_addressed_anew() -> None:
    final = STAGES["final"]
    part = cut.between(final, ["a"], ["e"])
    assert part.attributes["module.state"] == "TPU_ADDRESSED"
    assert part.attributes["module.neuron_size"] < final.attributes["module.neuron_size"]
    assert part.attributes["module.coeff_size"] == 0
    got = part.compile().run({"a": VALUES["final"]["a"]}, detect_races=True)
    np.testing.assert_allclose(got["e"], VALUES["final"]["e"], rtol=1e-5)


@pytest.mark.parametrize("stage", ["f16", "bf16 final"])
def test_a_part_in_half_precision_is_float32_outside(stage: str) -> None:
    part = cut.between(STAGES[stage], ["a"], ["e"])
    assert [spec.dtype for spec in (*part.inputs, *part.outputs)] == ["f32", "f32"]
    half = stage.removesuffix(" final")
    types = {op.name: op.results[0].dtype for op in part.ops()}
    assert types == {"a": "f32", f"a::{half}": half, f"e::{half}": half, "e": "f32"}
    got = part.compile().run({"a": VALUES[stage]["a"]}, detect_races=True)
    unit = UNITS[stage]
    np.testing.assert_allclose(got["e"], VALUES[stage]["e"], rtol=unit)


def test_an_output_that_is_a_reshaped_input_gets_memory_of_its_own() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Exp", ["x"], ["e"], name="exp"),
            helper.make_node("Flatten", ["e"], ["f"], name="flat"),
            helper.make_node("Exp", ["f"], ["y"], name="again"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    tpu = tpumlir.load_onnx(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    ).lower()
    bmodel = cut.between(tpu, ["e"], ["f"]).compile()
    assert bmodel.inputs[0].address != bmodel.outputs[0].address
    values = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    np.testing.assert_array_equal(bmodel.run({"e": values})["f"], values.reshape(1, 6))


def test_the_files_are_a_module_that_runs(tmp_path: Path) -> None:
    files = CutFiles(tmp_path / "part.mlir")
    files.save(Reproducer.of(cut.backwards(STAGES["tpu"], ["a"], 1), VALUES["tpu"]))
    assert {path.name for path in tmp_path.iterdir()} == {
        "part.mlir", "part_weight.npz", "part_inputs.npz", "part_outputs.npz",
    }  # fmt: skip
    got = tpumlir.ModuleInterpreter(tpumlir.Module.load(files.mlir)).run(npz.load(files.inputs))
    np.testing.assert_array_equal(got["a"], npz.load(files.outputs)["a"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cut.between(TOP, ["x"], ["yy"]), "yy: expected the name of a tensor"),
        (lambda: cut.between(TOP, ["sid"], ["y"]), "similar names: side"),
        (lambda: cut.between(TOP, ["w"], ["a"]), "w: expected the name of a tensor"),
        (lambda: cut.between(TOP, ["a"], ["y"]), "side: the outputs of the cut need this model input too"),
        (lambda: cut.between(TOP, ["x", "e"], ["z"]), "e: expected an input that an output of the cut needs"),
        (
            lambda: cut.between(TOP, ["a"], ["a", "e"]),
            "a: expected an input or an output of the cut, got both",
        ),
        (lambda: cut.between(TOP, ["x"], []), "expected at least one output"),
        (lambda: cut.backwards(TOP, ["y"], 0), "of at least 1, got 0"),
        (lambda: cut.forwards(TOP, ["y"], 1), "expected operations in the cut, got none"),
        (lambda: cut.forwards(TOP, ["x"], 1, outputs=["y"]), "y: expected an output at most 1"),
        (lambda: Reproducer.of(cut.between(TOP, ["x"], ["a"]), INPUTS), "a: expected a reference"),
        (lambda: Reproducer.of(cut.between(TOP, ["x"], ["a"]), {"a": VALUES["top"]["a"]}), "x: expected an"),
        (
            lambda: Reproducer.of(cut.between(TOP, ["x"], ["a"]), INPUTS | {"a": np.zeros(3)}),
            "a: expected a reference of shape [1, 4, 6, 6], got [3]",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(tpumlir.InputError) as caught:
        make()
    assert message in str(caught.value)


def test_the_core_refuses_what_does_not_hang_together() -> None:
    for inputs, outputs in ((["a"], ["y"]), (["x", "e"], ["z"]), (["a"], ["a"]), (["x"], ["none"])):
        with pytest.raises(tpumlir.VerifyError):
            TOP.core.cut(inputs, outputs)
