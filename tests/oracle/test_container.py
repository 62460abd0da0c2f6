"""Bmodels that we wrote, on the vendor's runtime: same outputs, bit for bit, as on our simulator."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bmodel import program
from oracle.runtime import run_bmodel
from tpumlir import bmodel

pytestmark = pytest.mark.oracle


def test_our_program_runs(oracle: Path, tmp_path: Path) -> None:
    path = program.write_model(tmp_path / "add.bmodel")
    x = program.x_values()
    outputs = run_bmodel(oracle, path, {"x": x})
    np.testing.assert_array_equal(outputs["y"], program.expected(x))
    np.testing.assert_array_equal(outputs["y"], bmodel.read(path).run({"x": x})["y"])


def test_notes_on_inputs_do_not_disturb_the_runtime(oracle: Path, tmp_path: Path) -> None:
    path = tmp_path / "noted.bmodel"
    bmodel.write(path, program.noted_spec())
    assert bmodel.read(path).inputs[0].preprocess
    x = program.x_values()
    np.testing.assert_array_equal(run_bmodel(oracle, path, {"x": x})["y"], program.expected(x))


def test_two_groups_run_one_after_another(oracle: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.bmodel"
    bmodel.write(path, program.spec(groups=(program.group(), program.group(tsk_eu_typ=3))))
    x = program.x_values()
    outputs = run_bmodel(oracle, path, {"x": x})
    np.testing.assert_array_equal(outputs["y"], bmodel.read(path).run({"x": x})["y"])


def test_several_inputs_and_outputs_keep_their_names(oracle: Path, tmp_path: Path) -> None:
    # The second output shows the input area itself: the runtime copies by name and address.
    path = tmp_path / "names.bmodel"
    y = program.spec().outputs[0]
    echo = dataclasses.replace(y, name="x copied/0", address=program.X)
    bmodel.write(path, program.spec(outputs=(echo, y)))
    x = program.x_values()
    outputs = run_bmodel(oracle, path, {"x": x})
    assert list(outputs) == ["x copied/0", "y"]
    np.testing.assert_array_equal(outputs["x copied/0"], x)


def test_rewritten_vendor_models_give_the_recorded_outputs(
    oracle: Path, samples: list[Path], tmp_path: Path
) -> None:
    for sample in samples:
        path = tmp_path / "again.bmodel"
        bmodel.write(path, bmodel.read(sample))
        with np.load(sample.parent / "input.npz") as inputs:
            outputs = run_bmodel(oracle, path, dict(inputs))
        with np.load(sample.with_suffix(".vendor_output.npz")) as recorded:
            for name, value in outputs.items():
                np.testing.assert_array_equal(value, recorded[name].reshape(value.shape), err_msg=str(sample))
