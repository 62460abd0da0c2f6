"""Files with several stages: each is judged by its own module, faults of one are no faults of the others."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from faults import Planted, filter_order, swapped_operands, with_coeff, wrong_constant
from group_cases import Net
from quantized import calibrated
from tpumlir import bmodel, npz
from tpumlir.bmodel import BModel
from tpumlir.cli.main import main
from tpumlir.verify import Reference, Verification, verify

Array = npt.NDArray[Any]
HEIGHTS = (24, 40, 12)
PRECISIONS = ("F32", "F16", "INT8")


class Stage(NamedTuple):
    """A shape of the network, compiled."""

    final: tpumlir.Module
    inputs: dict[str, Array]


def _top(height: int) -> tuple[tpumlir.Module, dict[str, Array]]:
    g = Net()
    x = g.x(1, 8, 1, 20)  # the numbers that are drawn next are those of every height
    g.data[x] = np.random.default_rng(height).standard_normal((1, 8, height, 20)).astype(np.float32)
    g.inputs[x] = g.data[x].shape
    a = g.op("Relu", g.conv(x, 8, 12, 3))
    b = g.conv(a, 12, 12, 3)
    c = g.op("Sub", a, g.op("Sigmoid", b))
    return tpumlir.load_onnx(g.proto([g.op("Add", g.conv(c, 12, 12, 1), a)])), g.data


@cache
def stages(precision: str) -> tuple[Stage, ...]:
    """Three heights of an image, with the weights and the ranges of the first."""
    table = None
    if precision == "INT8":
        top, inputs = _top(HEIGHTS[0])
        table = calibrated(top, [inputs])
    made = []
    for height in HEIGHTS:
        top, inputs = _top(height)
        made.append(Stage(top.lower(precision, calibration_table=table).finalize(), inputs))
    return tuple(made)


@cache
def whole(precision: str) -> BModel:
    """All of them in one bmodel."""
    return bmodel.join(
        [dataclasses.replace(stage.final.compile(), name="net") for stage in stages(precision)]
    )


def judged(model: BModel, precision: str, stage: int) -> Verification:
    made = stages(precision)[stage]
    return verify(model, Reference.of(made.final, made.inputs))


@pytest.mark.parametrize("stage", range(len(HEIGHTS)))
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_right_stage_passes(precision: str, stage: int) -> None:
    """Its constants lie where they are shared, not where its own module says."""
    model = whole(precision)
    assert len({id(one.coeff) for one in model.stages}) < len(HEIGHTS)
    found = judged(model.only(stage=stage), precision, stage)
    assert found.passed, found.findings
    assert found.read == found.places
    assert all(row.seen == row.elements for row in found.tensors)


@pytest.mark.parametrize("plant", [wrong_constant, filter_order], ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("stage", range(len(HEIGHTS)))
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_wrong_constant_is_found_by_each_stage(precision: str, stage: int, plant: Any) -> None:
    broken: Planted = plant(whole(precision).only(stage=stage))
    found = judged(broken.model, precision, stage)
    assert found.first is not None
    assert (found.first.op, found.first.node) == (broken.op, broken.node)
    assert found.causes == [found.first], found.causes
    assert found.first.kind == "wrong constant"


@pytest.mark.parametrize("stage", range(len(HEIGHTS)))
def test_what_another_stage_reads_is_not_blamed(stage: int) -> None:
    """Bytes that no command of this stage reads may be anything."""
    model = whole("F32").only(stage=stage)
    module = stages("F32")[stage]
    read = np.zeros(len(model.coeff), bool)
    from tpumlir._core import isa

    for group in model.groups:
        for command in isa.decode("gdma", group.gdma):
            for _, _, address, size in isa.global_accesses(command):
                begin = address - model.coeff_addr
                if 0 <= begin < read.size:
                    assert size is not None
                    read[begin : begin + size] = True

    def spoil(coeff: npt.NDArray[np.uint8]) -> None:
        coeff[~read] ^= 0x55

    found = verify(with_coeff(model, spoil), Reference.of(module.final, module.inputs))
    assert found.passed, found.findings


@pytest.mark.parametrize("stage", range(len(HEIGHTS)))
def test_a_wrong_command_is_of_one_stage(stage: int) -> None:
    model = whole("F16")
    broken = swapped_operands(model.only(stage=stage))
    parts = [broken.model if i == stage else one for i, one in enumerate(model.stages)]
    for number, part in enumerate(parts):
        found = judged(part, "F16", number)
        assert found.passed == (number != stage)
        if found.first:
            assert (found.first.op, found.first.node) == (broken.op, broken.node)


# --- as files ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with two networks, the first of three stages with a fault in the second, and the modules."""
    monkeypatch.chdir(tmp_path)
    model = whole("F32")
    other = dataclasses.replace(stages("F16")[0].final.compile(), name="other")
    first, second, third = model.stages
    joined = bmodel.join([first, swapped_operands(second).model, third, other])
    bmodel.write(tmp_path / "all.bmodel", joined)
    for number, made in enumerate(stages("F32")):
        made.final.save(tmp_path / f"all_stage{number}_final.mlir")
        npz.save(tmp_path / f"in{number}.npz", made.inputs)
    stages("F16")[0].final.save(tmp_path / "other_final.mlir")
    return tmp_path


COMMANDS = [
    (["--net", "net", "--stage", "0", "--input", "in0.npz"], 0, "passed"),
    (["--net", "net", "--stage", "1", "--input", "in1.npz"], 1, "FAILED: wrong values by tpu.Sub"),
    (["--net", "net", "--stage", "2", "--input", "in2.npz"], 0, "passed"),
    (["--net", "net", "--stage", "2"], 0, "passed"),
    (["--net", "other", "--mlir", "other_final.mlir", "--input", "in0.npz"], 0, "passed"),
    (["--net", "other", "--stage", "0", "--mlir", "other_final.mlir"], 0, "passed"),
]


@pytest.mark.parametrize(("words", "code", "text"), COMMANDS, ids=[" ".join(row[0]) for row in COMMANDS])
def test_the_command_judges_the_chosen_stage(
    folder: Path, words: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder
    assert main(["verify", "all.bmodel", *words]) == code
    assert text in capsys.readouterr().out
    assert main(["verify", "all.bmodel", *words, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["passed"] == (code == 0)


FAILURES = [
    (["--net", "net"], "expected one stage, got 3 of network net (choose with --net and --stage"),
    (["--net", "other", "--stage", "1"], "expected one stage, got 0 of network other stage 1"),
    (["--net", "others", "--stage", "0"], "others: expected the name of a network"),
    (["--net", "net", "--stage", "1", "--input", "in0.npz"], "x0: expected shape [1, 8, 40, 20], got"),
    (["--net", "net", "--stage", "0", "--mlir", "all_stage1_final.mlir"],
     "x0: expected shape [1, 8, 24, 20], got [1, 8, 40, 20]"),
    (["--net", "other", "--stage", "0"], "expected the module that it was compiled from"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "text"), FAILURES, ids=[" ".join(row[0]) for row in FAILURES])
def test_what_does_not_fit_is_one_line(
    folder: Path, words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder
    assert main(["verify", "all.bmodel", *words]) == 1
    errors = capsys.readouterr().err
    assert text in errors
    assert errors.count("\n") == 1
