"""Planted faults are found: the operation, its ONNX node, and nothing else is blamed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from faults import FAULTS, MIXED, PRECISIONS, Fault, Planted, Subject, built
from tpumlir import bmodel
from tpumlir.bmodel.places import Place
from tpumlir.verify import Reference, Verification, verify

SUBJECTS = list(dict.fromkeys(fault.subject for fault in FAULTS))
TEN = {
    "filter_order", "missing_wait", "shifted_result", "short_halo", "wrong_constant", "swapped_operands",
    "bad_cast", "wrong_table", "bad_stride", "overlapping_place",
}  # fmt: skip


@cache
def reference(subject: Subject) -> Reference:
    made = built(subject)
    return Reference.of(made.final, made.inputs)


@cache
def planted(fault: Fault) -> tuple[Planted, Verification]:
    broken = fault.planted()
    return broken, verify(broken.model, reference(fault.subject))


def test_all_ten_kinds_of_fault_are_planted() -> None:
    assert {fault.name for fault in FAULTS} >= TEN
    assert {subject.precision for subject in SUBJECTS} == {*PRECISIONS, MIXED}


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_without_a_fault_nothing_is_found(subject: Subject) -> None:
    found = verify(built(subject).bmodel, reference(subject))
    assert found.passed, found.findings
    assert not found.findings
    assert all(row.seen == row.elements for row in found.tensors)
    assert found.read == found.places


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_operation_with_the_fault_is_named(fault: Fault) -> None:
    broken, found = planted(fault)
    assert not found.passed
    first = found.first
    assert first is not None
    assert (first.op, first.node) == (broken.op, broken.node), found.findings
    assert found.causes == [first], found.causes
    assert not fault.kinds or first.kind in fault.kinds


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_command_with_the_fault_is_named(fault: Fault) -> None:
    """It is the command itself, or the last of those that make the piece."""
    broken, found = planted(fault)
    first = found.first
    assert first is not None
    if not broken.keys:
        assert first.kind == "wrong constant"
        return
    ((group, engine, command), *_) = broken.keys
    assert (first.group, first.engine) == (group, engine)
    assert first.command == command or any(
        _makes(place, group, engine, command) and place.command == first.command for place in found.pieces
    )


def _makes(place: Place, group: int, engine: str, command: int) -> bool:
    return (place.group, place.engine) == (group, engine) and place.first <= command <= place.command


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_consequences_come_behind_their_cause(fault: Fault) -> None:
    _, found = planted(fault)
    first = found.first
    assert first is not None
    assert all(one.position >= first.position for one in found.findings)
    assert [one.position for one in found.findings] == sorted(one.position for one in found.findings)


def test_a_broken_file_is_read_like_any_other(tmp_path: Path) -> None:
    fault = next(one for one in FAULTS if one.name == "swapped_operands")
    broken, found = planted(fault)
    path = tmp_path / "broken.bmodel"
    bmodel.write(path, broken.model)
    again = verify(bmodel.read(path), reference(fault.subject))
    assert again.findings == found.findings


def test_two_faults_are_two_causes() -> None:
    from faults import swapped_operands, wrong_constant

    subject = Subject("F32", 2)
    broken = swapped_operands(wrong_constant(built(subject).bmodel).model)
    found = verify(broken.model, reference(subject))
    assert {(one.op, one.kind) for one in found.causes} == {
        ("tpu.Conv2D", "wrong constant"), ("tpu.Sub", "wrong values"),
    }  # fmt: skip


def test_the_line_of_the_tpu_text_is_that_of_the_operation() -> None:
    subject = Subject("F32", 2)
    text = built(subject).final.print().splitlines()
    for source in built(subject).bmodel.debug.sources:
        assert f'"{source.op}"' in text[source.line - 1]
        location = text[source.line - 1].rpartition("loc(")[2].rstrip(")")
        assert any(line.startswith(f"{location} = ") and source.tensor in line for line in text)
