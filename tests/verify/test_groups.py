"""Programs in several command groups: all is seen, and faults are found, in whichever group they are."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from command_groups import split, split_at
from faults import FAULTS, MIXED, Fault, Subject, built, swapped_operands
from tpumlir import bmodel
from tpumlir.bmodel import BModel, DebugInfo
from tpumlir.bmodel.places import PlaceTables
from tpumlir.cli.main import main
from tpumlir.verify import Reference, verify

SUBJECTS = [Subject(precision, opt) for precision in ("F32", "F16", "INT8") for opt in (2, 0)]


def reference(subject: Subject) -> Reference:
    made = built(subject)
    return Reference.of(made.final, made.inputs)


@pytest.mark.parametrize("parts", [2, 5, 17])
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_a_right_program_passes(subject: Subject, parts: int) -> None:
    whole = built(subject).bmodel
    model = split(whole, parts)
    assert len(model.groups) == parts
    found = verify(model, reference(subject))
    assert found.passed, found.findings
    assert (found.read, found.places) == (len(whole.debug.places), len(whole.debug.places))
    assert found.ran == found.commands == len(whole.debug) + 2 * parts  # with their ends
    assert all(row.seen == row.elements for row in found.tensors)


@pytest.mark.parametrize("subject", [Subject("F32", 2), Subject("F16", 0)], ids=str)
def test_every_command_may_begin_a_group(subject: Subject) -> None:
    """The second one has it alone, and what is made by both of its neighbours is seen at its end."""
    whole = built(subject).bmodel
    known = reference(subject)
    for at in range(1, len(whole.debug) - 1, 7):
        found = verify(split_at(whole, [at, at + 1]), known)
        assert found.passed, (at, found.findings)
        assert found.read == found.places


# Where a group begins no command needs to wait: in MIXED the only wait would be there.
@pytest.mark.parametrize("fault", [f for f in FAULTS if f.subject.precision != MIXED][::2], ids=str)
def test_a_fault_is_found_in_its_group(fault: Fault) -> None:
    model = split(built(fault.subject).bmodel, 3)
    broken = fault.plant(model)
    found = verify(broken.model, reference(fault.subject))
    assert found.first is not None
    assert (found.first.op, found.first.node) == (broken.op, broken.node), found.findings
    assert found.causes == [found.first], found.causes
    if broken.keys:
        assert (found.first.group, found.first.engine) == broken.keys[0][:2]


def later(model: BModel) -> BModel:
    """The model with a fault in its last group but one."""
    broken = swapped_operands(model)
    assert broken.keys[0][0] > 0
    return broken.model


def test_a_file_tells_the_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject = Subject("F32", 2)
    path = tmp_path / "net.bmodel"
    bmodel.write(path, later(split(built(subject).bmodel, 4)))
    built(subject).final.save(tmp_path / "net_final.mlir")
    assert main(["verify", str(path)]) == 1
    out = capsys.readouterr().out
    found = re.search(r"first: tpu.Sub, node n_sub4 \(line (\d+) of the Tpu text\): group ", out)
    assert found
    text = (tmp_path / "net_final.mlir").read_text().splitlines()
    assert '"tpu.Sub"' in text[int(found[1]) - 1]
    assert "wrong values" in out


@pytest.mark.parametrize("subject", [Subject("F32", 2), Subject("INT8", 2)], ids=str)
def test_what_is_noted_at_the_start_of_a_group_was_made_before_it(subject: Subject) -> None:
    """Of an engine that has not begun in it, although the operation is that of the commands before."""
    whole = built(subject).bmodel
    known = reference(subject)
    order = {key[1:]: number for number, key in enumerate(whole.debug.order())}
    made = [(i, p) for i, p in enumerate(whole.debug.places) if p.kind == "computed" and p.reads]
    assert made
    for number, place in made[::4]:
        model = split_at(whole, [order["tiu", place.command] + 1])
        tables = model.debug.tables
        rows = [list(row) for row in tables.rows]
        rows[number][:4] = [1, 0, 1, 0]
        tables = PlaceTables(tables.tensors, tables.layouts, rows)
        debug = DebugInfo.of(model.debug.sources, model.debug.commands, tables)
        found = verify(dataclasses.replace(model, debug=debug), known)
        assert found.passed, (place, found.findings)
        assert found.read == found.places
