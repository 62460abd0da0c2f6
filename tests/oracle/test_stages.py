"""Several shapes in one bmodel: each stage gives the bits of its own bmodel, here and on the vendor's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
from bmodel import program
from onnx import TensorProto, helper, numpy_helper
from oracle.runtime import RuntimeRefused, run_bmodel, run_stages
from tpumlir import bmodel
from tpumlir.bmodel import BModel, PlacedTensor, container
from tpumlir.road.compile import compile_onnx

pytestmark = pytest.mark.oracle
Array = npt.NDArray[Any]
DIM, HEADS, FEATURES = 128, 4, 32


def transformer(layers: int = 1) -> onnx.ModelProto:
    """Attention, layer norm and a perceptron, on sequences of any length."""
    rng = np.random.default_rng(0)
    weights: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def weight(*shape: int) -> str:
        value = rng.standard_normal(shape) / np.sqrt(shape[0] if len(shape) > 1 else 1)
        return constant(value.astype(np.float32))

    def constant(value: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value), f"w{len(weights)}"))
        return weights[-1].name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], f"n{len(nodes)}", **attributes))
        return name

    def linear(value: str, wide: int, out: int) -> str:
        return node("Add", node("MatMul", value, weight(wide, out)), weight(out))

    heads = constant(np.array([0, -1, HEADS, DIM // HEADS], np.int64))
    joined = constant(np.array([0, -1, DIM], np.int64))
    scale = constant(np.float32((DIM // HEADS) ** -0.5))
    x = linear("x", FEATURES, DIM)
    for _ in range(layers):
        normed = node("LayerNormalization", x, weight(DIM), weight(DIM))
        q, k, v = (
            node("Transpose", node("Reshape", linear(normed, DIM, DIM), heads), perm=perm)
            for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        seen = node("MatMul", node("Softmax", node("Mul", node("MatMul", q, k), scale), axis=-1), v)
        seen = node("Reshape", node("Transpose", seen, perm=[0, 2, 1, 3]), joined)
        x = node("Add", x, linear(seen, DIM, DIM))
        normed = node("LayerNormalization", x, weight(DIM), weight(DIM))
        x = node("Add", x, linear(node("Relu", linear(normed, DIM, 4 * DIM)), 4 * DIM, DIM))
    nodes.append(helper.make_node("Identity", [x], ["y"], "out"))
    graph = helper.make_graph(
        nodes,
        "transformer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "length", DIM])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def bits(outputs: Mapping[str, Array]) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in outputs.items()}


def check(
    oracle: Path, folder: Path, source: Any, shapes: Sequence[Sequence[int]], quantize: str, *, thorough: bool
) -> None:
    """Compile ``shapes`` together and alone; the stages give equal bits, and the file is hardly larger.

    Only a ``thorough`` check runs the single bmodels on the vendor's simulator, and each stage there twice.
    """

    def compiled(given: Any) -> BModel:
        return compile_onnx(
            source, input_shapes=given, quantize=quantize, name="m", not_inference=True
        ).bmodel

    path, single = folder / "all.bmodel", folder / "one.bmodel"
    bmodel.write(path, compiled([[shape] for shape in shapes]))
    whole = bmodel.read(path)
    rng = np.random.default_rng(7)
    runs, wanted, sizes = [], [], []
    for shape in shapes:
        bmodel.write(single, compiled([shape]))
        sizes.append(single.stat().st_size)
        alone = bmodel.read(single)
        inputs = {t.name: rng.standard_normal(t.shape).astype(t.numpy_dtype) for t in alone.inputs}
        runs.append(("m", inputs))
        wanted.append(bits(alone.run(inputs)))
        assert bits(whole.run(inputs)) == wanted[-1]
        if thorough:
            assert bits(run_bmodel(oracle, single, inputs)) == wanted[-1]
    if thorough:  # in an order in which the activations of a stage lie over those of another
        runs, wanted = [*runs, *runs[::-1]], [*wanted, *wanted[::-1]]
    assert path.stat().st_size <= 1.1 * max(sizes)
    assert list(map(bits, run_stages(oracle, path, runs))) == wanted


@pytest.mark.parametrize("quantize", ["F32", "F16"])
def test_three_sequence_lengths_of_a_transformer(oracle: Path, tmp_path: Path, quantize: str) -> None:
    shapes = [(1, length, FEATURES) for length in (5, 20, 12)]
    check(oracle, tmp_path, transformer(), shapes, quantize, thorough=True)


@pytest.mark.corpus
def test_three_widths_of_a_text_recogniser(oracle: Path, corpus: Path, tmp_path: Path) -> None:
    shapes = [(1, 3, 48, width) for width in (32, 64, 96)]
    check(oracle, tmp_path, corpus / "ppocrv4_rec.onnx", shapes, "F32", thorough=False)


# --- what the runtime does ------------------------------------------------------------


def stage(shape: tuple[int, ...], *, gap: int = 0, **changes: Any) -> BModel:
    """The small program on an input of another shape, its weights behind a gap."""
    spec = program.spec(
        inputs=(PlacedTensor("x", shape, "f32", program.X),),
        coeff=bytes(gap) + program.weights().tobytes(),
        groups=(program.group(at=program.BASE + gap, **changes),),
    )
    return BModel(**{key: getattr(spec, key) for key in type(spec).__dataclass_fields__})


def test_moved_weights_and_networks_run(oracle: Path, tmp_path: Path) -> None:
    flat = (1, 70, 36)
    path = tmp_path / "m.bmodel"
    stages = [
        stage(program.SHAPE, gap=512), stage(flat, tsk_eu_typ=3), replace(stage(flat), name="other"),
    ]  # fmt: skip
    bmodel.write(path, bmodel.join(stages))
    x = program.x_values()
    runs = [("add", {"x": x}), ("add", {"x": x.reshape(flat)}), ("other", {"x": x.reshape(flat)})]
    whole = bmodel.read(path)
    for (net, inputs), theirs in zip(runs, run_stages(oracle, path, runs), strict=True):
        assert bits(whole.run(inputs, net=net)) == bits(theirs)


@pytest.mark.parametrize("told", [True, False], ids=["room_for_all", "room_for_each"])
def test_the_area_of_activations_must_be_large_enough_from_the_first_stage_on(
    oracle: Path, tmp_path: Path, told: bool
) -> None:
    # With the sizes that each needs, the runtime leaves the area of the first stage for a larger one.
    path = tmp_path / "m.bmodel"
    small, large = stage(program.SHAPE), stage((1, 70, 36))
    bmodel.write(path, bmodel.join([small, replace(large, ctx_size=0x9000)]))
    if not told:
        file = container.read_container(path)
        file.model["net"][0]["parameter"][0]["ctx_sizes"] = [0x8000]
        blob = container.Blob()
        blob.add(bytes(file.blob))
        container.write_container(path, file.model, blob)
    x = program.x_values()
    try:
        (outputs,) = run_stages(oracle, path, [("add", {"x": x})])
        right = np.array_equal(outputs["y"], program.expected(x))
    except RuntimeRefused:
        right = False
    assert right == told


def test_weights_of_one_check_code_are_loaded_once(oracle: Path, tmp_path: Path) -> None:
    # Of two stages with different weights the second claims those of the first, and gets them.
    path = tmp_path / "m.bmodel"
    flat = (1, 70, 36)
    other = replace(stage(flat), coeff=(-program.weights()).tobytes())
    bmodel.write(path, bmodel.join([stage(program.SHAPE), other]))
    file = container.read_container(path)
    first, second = (table["coeff_mem"] for table in file.model["net"][0]["parameter"])
    assert first["binary_coeff"] != second["binary_coeff"]
    second["check_code"] = first["check_code"]
    blob = container.Blob()
    blob.add(bytes(file.blob))
    container.write_container(path, file.model, blob)
    x = program.x_values()
    (outputs,) = run_stages(oracle, path, [("add", {"x": x.reshape(flat)})])
    np.testing.assert_array_equal(outputs["y"], program.expected(x))


@pytest.mark.samples
def test_bmodels_of_the_vendor_are_combined(oracle: Path, samples: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "all.bmodel"
    stages = [replace(bmodel.read(sample), name=str(number)) for number, sample in enumerate(samples)]
    bmodel.write(path, bmodel.join(stages))
    whole = bmodel.read(path)
    runs: list[tuple[str, dict[str, Array]]] = []
    for one, sample in zip(stages, samples, strict=True):
        with np.load(sample.parent / "input.npz") as inputs:
            runs.append((one.name, dict(inputs)))
    for (net, given), theirs, sample in zip(runs, run_stages(oracle, path, runs), samples, strict=True):
        specs = whole.only(net).inputs
        ours = whole.run({t.name: given[t.name].astype(t.numpy_dtype) for t in specs}, net=net)
        with np.load(sample.with_suffix(".vendor_output.npz")) as recorded:
            for name, value in theirs.items():
                np.testing.assert_array_equal(value, recorded[name].reshape(value.shape), err_msg=net)
                np.testing.assert_array_equal(ours[name], value)
