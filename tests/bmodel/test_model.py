"""Writing, reading and running bmodels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmodel import program
from tpumlir import bmodel
from tpumlir.bmodel import BModelSpec, PlacedTensor
from tpumlir.bmodel.debug import debug_path
from tpumlir.errors import BModelError, DeviceFault, InputError, LegalityError


@pytest.fixture
def add_model(tmp_path: Path) -> Path:
    """A bmodel of the small program, with its debug info."""
    return program.write_model(tmp_path / "add.bmodel")


def test_a_model_comes_back(add_model: Path) -> None:
    model = bmodel.read(add_model)
    written = program.spec()
    assert (model.name, model.coeff, model.coeff_addr) == (written.name, written.coeff, written.coeff_addr)
    assert (model.ctx_addr, model.ctx_size) == (written.ctx_addr, written.ctx_size)
    assert model.inputs == (dataclasses.replace(written.inputs[0], size=written.inputs[0].nbytes),)
    (ours,), (theirs,) = written.groups, model.groups
    assert (theirs.tiu_count, theirs.gdma_count) == (ours.tiu_count, ours.gdma_count)
    assert (theirs.tiu.rstrip(b"\0"), len(theirs.tiu) % 128) == (ours.tiu.rstrip(b"\0"), 0)
    assert (theirs.gdma.rstrip(b"\0"), len(theirs.gdma) % 128) == (ours.gdma.rstrip(b"\0"), 0)
    assert model.has_digest


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "m.bmodel", tmp_path / "b" / "m.bmodel"]
    for file in files:
        file.parent.mkdir()
        bmodel.write(file, program.spec(), debug=program.DEBUG)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert debug_path(files[0]).read_bytes() == debug_path(files[1]).read_bytes()


def test_a_read_model_writes_the_same_file(add_model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.bmodel"
    bmodel.write(again, bmodel.read(add_model))
    assert again.read_bytes() == add_model.read_bytes()
    assert debug_path(again).read_bytes() == debug_path(add_model).read_bytes()


def test_notes_on_inputs_come_back(tmp_path: Path) -> None:
    first, second = tmp_path / "noted.bmodel", tmp_path / "again.bmodel"
    bmodel.write(first, program.noted_spec())
    read = bmodel.read(first)
    (got,), (want,) = read.inputs, program.noted_spec().inputs
    assert (got.onnx_type, got.preprocess) == (want.onnx_type, want.preprocess)
    bmodel.write(second, read)
    assert first.read_bytes() == second.read_bytes()


def test_quantisation_of_a_tensor_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "q.bmodel"
    tensor = PlacedTensor("x", (4, 5), "i8", program.X, scale=0.25, zero_point=-3)
    bmodel.write(path, program.spec(inputs=(tensor,)))
    assert bmodel.read(path).inputs == (dataclasses.replace(tensor, size=20),)


def test_a_model_without_weights_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "m.bmodel"
    whole = program.spec(coeff=b"", ctx_addr=program.BASE, ctx_size=0x9000)
    bmodel.write(path, whole)
    model = bmodel.read(path)
    assert (model.coeff, model.ctx_range) == (b"", whole.ctx_range)


def test_the_model_runs(add_model: Path) -> None:
    model = bmodel.read(add_model)
    for x in (program.x_values(), -3 * program.x_values()):
        outputs = model.run({"x": x})
        assert list(outputs) == ["y"]
        np.testing.assert_array_equal(outputs["y"], program.expected(x))


def test_groups_run_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "two.bmodel"
    bmodel.write(path, program.spec(groups=(program.group(), program.group(tsk_eu_typ=3))))
    x = program.x_values()
    np.testing.assert_array_equal(bmodel.read(path).run({"x": x})["y"], x - program.weights()[:, None, None])


WRONG_INPUTS: list[tuple[str, dict[str, Any], str]] = [
    ("missing", {}, "x: expected an input of this name, got nothing"),
    ("misspelled", {"X": program.x_values()}, "x: expected an input of this name, got X"),
    ("unknown", {"x": program.x_values(), "z": np.zeros(1)}, r"z: expected the name of a model input, .*x"),
    (
        "shape",
        {"x": np.zeros((70, 6, 6), np.float32)},
        r"x: expected shape \[1, 70, 6, 6\], got \[70, 6, 6\]",
    ),
    ("dtype", {"x": np.zeros(program.SHAPE)}, "x: expected element type float32, got float64"),
    (
        "nan",
        {"x": np.full(program.SHAPE, np.nan, np.float32)},
        r"x: expected numbers, got NaN \(2520 of 2520\)",
    ),
]


@pytest.mark.parametrize(
    ("inputs", "message"), [row[1:] for row in WRONG_INPUTS], ids=[r[0] for r in WRONG_INPUTS]
)
def test_wrong_inputs_are_refused(add_model: Path, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bmodel.read(add_model).run(inputs)


def test_nan_passes_when_asked_for(add_model: Path) -> None:
    x = program.x_values()
    x[0, 3, 2, 1] = np.nan
    y = bmodel.read(add_model).run({"x": x}, allow_nan=True)["y"]
    assert np.argwhere(np.isnan(y)).tolist() == [[0, 3, 2, 1]]


def contradictions() -> list[tuple[str, BModelSpec, str]]:
    x, y = program.spec().inputs[0], program.spec().outputs[0]
    outside = dataclasses.replace(y, address=program.CTX + 0x8000)
    small = dataclasses.replace(x, size=10)
    return [
        ("output_outside", program.spec(outputs=(outside,)), "expected y inside the activations"),
        (
            "size_too_small",
            program.spec(inputs=(small,)),
            "expected x: at least 10080 bytes for its shape, got 10",
        ),
        ("weights_overlap", program.spec(coeff=bytes(0x2000)), "weights that end before the activations"),
        ("weights_outside", program.spec(coeff_addr=0x1000), "weights inside global memory"),
        ("no_group", program.spec(groups=()), "at least one command group, got none"),
        ("no_output", program.spec(outputs=()), "at least one output, got none"),
        ("names", program.spec(inputs=(x, x)), "inputs and outputs of different names"),
    ]


@pytest.mark.parametrize(
    ("spec", "message"), [row[1:] for row in contradictions()], ids=[row[0] for row in contradictions()]
)
def test_a_spec_that_contradicts_itself_is_not_written(
    tmp_path: Path, spec: BModelSpec, message: str
) -> None:
    with pytest.raises(BModelError, match=message):
        bmodel.write(tmp_path / "m.bmodel", spec)
    assert list(tmp_path.iterdir()) == []


def test_an_illegal_command_is_not_written_and_names_its_node(tmp_path: Path) -> None:
    spec = program.spec(groups=(program.group(res0_addr=0x4004),))
    with pytest.raises(LegalityError) as caught:
        bmodel.write(tmp_path / "m.bmodel", spec, debug=program.DEBUG)
    (diagnostic,) = caught.value.diagnostics
    assert caught.value.node == "Add_3"
    assert diagnostic.notes == ("from tpu.Add",)
    assert diagnostic.message == (
        "tiu command 0 (id 1, sAR arith.add): res0_addr: expected a multiple of 64, got 0x4004"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_command_count_is_refused(tmp_path: Path) -> None:
    group = dataclasses.replace(program.group(), tiu_count=3)
    with pytest.raises(LegalityError, match="tiu stream: expected 3 commands, got 2"):
        bmodel.write(tmp_path / "m.bmodel", program.spec(groups=(group,)))


def test_a_fault_names_operation_and_node(tmp_path: Path) -> None:
    # Legal by the rules, but no simulated arithmetic: an operation that nobody has verified.
    path = tmp_path / "m.bmodel"
    bmodel.write(path, program.spec(groups=(program.group(tsk_eu_typ=27),)), debug=program.DEBUG)
    with pytest.raises(DeviceFault, match=r"tpu\.Add @ Add_3") as caught:
        bmodel.read(path).run({"x": program.x_values()})
    assert (caught.value.node, caught.value.engine, caught.value.command) == ("Add_3", "tiu", 1)


def test_debug_info_is_read_back(add_model: Path) -> None:
    entries = bmodel.read(add_model).debug.entries()
    assert sorted(entries, key=str) == sorted(program.DEBUG, key=str)


def test_debug_info_of_another_build_is_not_used(add_model: Path) -> None:
    side = debug_path(add_model)
    document = json.loads(side.read_bytes())
    document["bmodel_sha256"] = "0" * 64
    side.write_text(json.dumps(document))
    assert len(bmodel.read(add_model).debug) == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"commands": 3}'], ids=["empty", "cut", "list", "no_digest"]
)
def test_damaged_debug_info_does_not_matter(add_model: Path, text: str) -> None:
    debug_path(add_model).write_text(text)
    model = bmodel.read(add_model)
    assert len(model.debug) == 0
    assert "y" in model.run({"x": program.x_values()})


def test_writing_without_debug_info_removes_the_old_one(add_model: Path) -> None:
    bmodel.write(add_model, program.spec())
    assert not debug_path(add_model).exists()


def test_vendor_models_are_read_and_rewritten(samples: list[Path], tmp_path: Path) -> None:
    for path in samples:
        model = bmodel.read(path)
        assert not model.has_digest
        bmodel.write(tmp_path / "m.bmodel", model)
        again = bmodel.read(tmp_path / "m.bmodel")
        assert again.groups == model.groups
        assert (again.coeff, again.inputs, again.outputs) == (model.coeff, model.inputs, model.outputs)


def test_vendor_models_give_the_recorded_outputs(samples: list[Path]) -> None:
    for path in samples:
        with (
            np.load(path.parent / "input.npz") as inputs,
            np.load(path.with_suffix(".vendor_output.npz")) as recorded,
        ):
            for name, value in bmodel.read(path).run(dict(inputs), detect_races=True).items():
                np.testing.assert_array_equal(value, recorded[name].reshape(value.shape), err_msg=str(path))


def test_infinities_pass_for_they_are_numbers_of_the_device(add_model: Path) -> None:
    x = program.x_values()
    x[0, 0, 0, 0] = np.inf
    assert np.isinf(bmodel.read(add_model).run({"x": x})["y"][0, 0, 0, 0])
