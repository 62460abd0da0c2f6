"""Places of tensors in the debug info: written, read, damaged, and what they say."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults import Subject, built
from tpumlir import bmodel
from tpumlir._core import device, isa
from tpumlir.bmodel import DebugEntry, DebugInfo, container
from tpumlir.bmodel.debug import debug_path
from tpumlir.bmodel.places import Home, Place

SUBJECTS = [Subject(precision, opt) for precision in ("F32", "F16", "INT8") for opt in (2, 0)]


def place(**changes: Any) -> Place:
    one = Place(
        0, "tiu", 1, 1, "y", "tpu.Op", "Op_1", "y", 3, 0, "local", 64, "f32", (2, 70, 3, 5), (32, 16, 5, 1),
        7, (1050, 15, 5, 1), False, None, 0, (3, 70, 3, 5),
    )  # fmt: skip
    return replace(one, **changes)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_places_survive_the_file(subject: Subject, tmp_path: Path) -> None:
    made = built(subject).bmodel
    path = tmp_path / "net.bmodel"
    bmodel.write(path, made)
    read = bmodel.read(path).debug
    assert list(read.places) == list(made.debug.places)
    assert read.tensors == made.debug.tensors
    assert read.entries() == made.debug.entries()
    assert list(read.order()) == list(made.debug.order())
    assert len(read.places) == len(read.tables.rows) > 0


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_places_are_the_same_each_time(subject: Subject) -> None:
    made = built(subject)
    assert made.final.compile().debug.tables == made.bmodel.debug.tables


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_each_place_names_commands_of_its_operation(subject: Subject) -> None:
    debug = built(subject).bmodel.debug
    for one in debug.places:
        for command in range(one.first, one.command + 1):
            entry = debug.find(one.group, one.engine, command)
            assert entry is not None
            if command == one.command:
                assert (entry.op, entry.node, entry.tensor) == (one.op, one.node, one.result)
        assert one.is_whole or one.elements <= 64 * np.prod(one.shape)


def test_a_group_names_every_slice() -> None:
    debug = built(Subject("F32", 2)).bmodel.debug
    slices = {p.slice for p in debug.places if p.op == "tpu.Sub" and p.kind == "computed"}
    assert len(slices) > 1
    rows = sorted(
        (p.begin // 20 % 24, p.size[2]) for p in debug.places if p.op == "tpu.Sub" and p.kind == "computed"
    )
    assert sum(size for _, size in rows) == 24  # all rows, each once


def test_commands_stand_in_the_order_they_were_made_in() -> None:
    """A load comes before the computation that waits for it."""
    model = built(Subject("F32", 2)).bmodel
    order = {key: number for number, key in enumerate(model.debug.order())}
    assert len(order) == len(model.debug)
    for group, streams in enumerate(model.groups):
        for engine, other, data in (("tiu", "gdma", streams.tiu), ("gdma", "tiu", streams.gdma)):
            for command in isa.decode(engine, data):
                if not command.is_end and command.dependency:
                    assert order[group, other, command.dependency] < order[group, engine, command.id]


# --- reading ---------------------------------------------------------------------------


def test_pieces_of_lanes_are_read() -> None:
    machine = device.Machine(1 << 20)
    one = place()
    want = np.arange(one.elements, dtype=np.float32).reshape(one.size)
    for n, c, h, w in np.ndindex(*one.size):
        at = one.address + 4 * (n * 32 + c // 64 * 16 + h * 5 + w)
        machine.lmem(c % 64)[at : at + 4] = np.frombuffer(want[n, c, h, w].tobytes(), np.uint8)
    np.testing.assert_array_equal(one.read(machine), want)


def test_every_lane_is_read() -> None:
    machine = device.Machine(1 << 20)
    one = place(size=(1, 64, 1, 3), stride=(0, 0, 0, 1), tensor_stride=(0, 0, 0, 1), every_lane=True)
    for lane in range(64):
        machine.lmem(lane)[64:76] = np.frombuffer(np.array([1, 2, lane == 5], np.float32).tobytes(), np.uint8)
    got = one.read(machine)
    assert got.shape == (1, 64, 1, 3)
    assert got[0, 5, 0].tolist() == [1, 2, 1]
    assert got[0, :, 0, 2].sum() == 1


def test_pieces_of_global_memory_are_read() -> None:
    base = isa.GLOBAL_MEMORY[0]
    machine = device.Machine(1 << 20)
    whole = np.arange(3 * 70 * 15, dtype=np.float32)
    machine.write(base + 256, whole)
    one = place(memory="global", engine="gdma", address=base + 256 + 7 * 4, stride=(1050, 15, 5, 1))
    np.testing.assert_array_equal(one.read(machine), one.of(whole))
    np.testing.assert_array_equal(one.read(machine), whole[one.indices()])
    home = Home("y", "f32", (3, 70, 15), None, 0, base + 256)
    np.testing.assert_array_equal(home.read(machine), whole.reshape(3, 70, 15))


def test_bfloat16_are_numbers() -> None:
    machine = device.Machine(1 << 20)
    one = place(dtype="bf16", size=(1, 1, 1, 2), stride=(0, 0, 0, 1), tensor_stride=(0, 0, 0, 1))
    machine.lmem(0)[64:68] = np.frombuffer(np.array([0x3FC0, 0xC040], np.uint16).tobytes(), np.uint8)
    assert one.read(machine).tolist() == [[[[1.5, -3.0]]]]


def test_a_piece_goes_back_to_where_it_came_from() -> None:
    one, whole = place(), np.zeros((3, 70, 3, 5), np.float32)
    one.put(whole, np.ones(one.size, np.float32))
    assert whole.sum() == one.elements
    assert (one.of(whole) == 1).all()
    with pytest.raises(ValueError, match="at least"):
        one.of(np.zeros(100, np.float32))


def test_quantised_numbers() -> None:
    home = Home("y", "u8", (3,), 0.5, 10, None)
    assert home.numbers(np.array([0, 10, 255], np.uint8)).tolist() == [-5.0, 0.0, 122.5]
    assert home.stored(np.array([-5.0, 0.0, 122.5], np.float32)).tolist() == [0, 10, 255]
    assert home.stored(np.array([np.nan, np.inf, -np.inf], np.float32)).max() > 255
    with pytest.raises(ValueError, match="no place"):
        home.read(device.Machine(1 << 20))


# --- files -----------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "net.bmodel"
    bmodel.write(path, built(Subject("F32", 2)).bmodel)
    return path


def test_files_of_version_1_are_read(written: Path) -> None:
    digest = container.read_container(written).digest.hex()
    document = {
        "format": "tpumlir bmodel debug", "version": 1, "bmodel_sha256": digest,
        "sources": [["tpu.Op", "node"]], "commands": [[0, "gdma", 1, 3, 0], [0, "tiu", 1, 2, 0]],
    }  # fmt: skip
    debug_path(written).write_text(json.dumps(document))
    debug = bmodel.read(written).debug
    assert len(debug) == 5
    assert debug.find(0, "tiu", 2) == DebugEntry("tiu", 2, "tpu.Op", "node")
    assert debug.find(0, "tiu", 3) is None
    assert list(debug.places) == []
    assert dict(debug.tensors) == {}


def test_the_file_is_of_a_sensible_size(written: Path) -> None:
    """Less than 80 bytes for each command and place."""
    debug = bmodel.read(written).debug
    assert debug_path(written).stat().st_size < 1500 + 80 * (len(debug) + len(debug.places))


def _damaged(value: Any, rng: random.Random) -> Any:
    """The document with one number, list or text of it changed."""
    if isinstance(value, list) and value:
        index = rng.randrange(len(value))
        if rng.random() < 0.15:
            return value[:index] + value[index + 1 :]
        return [*value[:index], _damaged(value[index], rng), *value[index + 1 :]]
    return rng.choice([-1, 0, 1, 65, 1 << 20, 1 << 50, 1.5, "x", None, [], {}, True, float("inf")])


@pytest.mark.parametrize("part", ["sources", "commands", "tensors", "layouts", "places"])
def test_damaged_tables_are_nothing_or_places_that_can_be_read(part: str, written: Path) -> None:
    rng = random.Random(part)
    document = json.loads(debug_path(written).read_text())
    for _ in range(60):
        debug_path(written).write_text(json.dumps(document | {part: _damaged(document[part], rng)}))
        model = bmodel.read(written)
        machine = model.load(built(Subject("F32", 2)).inputs)
        for one in model.debug.places:
            assert one.indices().max() < np.prod(one.shape)
            if one.memory == "local":
                one.read(machine)
        assert model.debug.entries() is not None
        assert model.debug.tensors is not None


def test_entries_make_an_info_and_back() -> None:
    entries = [DebugEntry("tiu", i, f"op{i // 3}", "n") for i in (1, 2, 3, 4, 7)] + [
        DebugEntry("gdma", 2, "a", "")
    ]
    debug = DebugInfo(entries)
    assert debug.entries() == sorted(entries, key=lambda e: (e.group, e.engine, e.command))
    assert len(debug) == 6
    assert debug.find(0, "tiu", 5) is None
