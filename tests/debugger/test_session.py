"""Sessions: where they stop, what they see there, and the way back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tpumlir
from bmodel import program
from debugger.net import Net
from onnx import TensorProto, helper
from tpumlir import bmodel
from tpumlir._core import isa
from tpumlir.bmodel.debug import debug_path
from tpumlir.compare import F32_TOLERANCE, compare_tensor
from tpumlir.debugger import Options, Session
from tpumlir.debugger.memory import View, place_ranges, read_ranges
from tpumlir.debugger.program import UNITS, Unit
from tpumlir.errors import InputError


def plain(tmp_path: Path, **add_fields: int) -> Session:
    """The program of one addition, without debug info."""
    path = tmp_path / "add.bmodel"
    bmodel.write(path, program.spec(groups=(program.group(**add_fields),)))
    return Session(path, {"x": program.x_values()})


# --- running ---------------------------------------------------------------------------


def test_a_run_gives_what_the_bmodel_gives(f32: Net) -> None:
    session = f32.session()
    assert session.run().reason == "end"
    want = bmodel.read(f32.bmodel).run(f32.inputs)["y"]
    np.testing.assert_array_equal(session.tensor("y").values, want)


@pytest.mark.parametrize("unit", UNITS)
def test_steps_forward_and_back_meet_the_same_places(f32: Net, unit: Unit) -> None:
    session = f32.session()
    forward = [session.position]
    while session.step(unit).reason == "step":
        forward.append(session.position)
    assert session.position == session.total
    backward = []
    while session.position:
        session.back(unit)
        backward.append(session.position)
    assert backward[::-1] == forward
    assert forward == session.program.begins(unit).tolist()


def test_units_contain_one_another(f32: Net) -> None:
    begins = {unit: set(f32.session().program.begins(unit).tolist()) for unit in UNITS}
    assert begins["slice"] < begins["op"] < begins["command"]
    assert begins["node"] == begins["op"]  # each node is one operation here


def test_several_steps_are_one_after_another(f32: Net) -> None:
    session, other = f32.session(), f32.session()
    session.step("op", 5)
    for _ in range(5):
        other.step("op")
    assert session.position == other.position
    session.back("op", 3)
    for _ in range(3):
        other.back("op")
    assert session.position == other.position


def test_going_back_restores_memory(f32: Net) -> None:
    session = f32.session()
    states = {}
    for at in (0, 7, 31, 60, session.total):
        session.goto(at)
        states[at] = (session.machine.lmem(3).tobytes(), session.machine.read(*_ctx(session)))
    for at in (31, 0, 60, 7, session.total):
        session.goto(at)
        assert (session.machine.lmem(3).tobytes(), session.machine.read(*_ctx(session))) == states[at]


def _ctx(session: Session) -> tuple[int, int]:
    begin, end = session.model.ctx_range
    return begin, end - begin


def test_finish_makes_the_result(f32: Net) -> None:
    session = f32.session()
    session.break_op("MatMul")
    session.run()
    assert not session.tensor("y").known.any()
    session.finish()
    assert session.compare("y").passed


# --- breakpoints ----------------------------------------------------------------------------


def stops(session: Session) -> list[int]:
    """All positions where a run stops."""
    found = []
    stop = session.run()
    while stop.breakpoints:
        found.append(stop.position)
        stop = session.cont()
    assert stop.reason == "end"
    return found


def test_a_command_is_not_run_yet_where_a_breakpoint_stops(f32: Net) -> None:
    session = f32.session()
    session.break_command("tiu", 4)
    stop = session.run()
    assert str(session.where().command) == "tiu:4"
    assert stop.breakpoints[0].hits == 1
    assert session.cont().reason == "end"


def test_an_operation_stops_at_each_slice(f32: Net) -> None:
    session = f32.session()
    session.break_node("Conv_c")
    found = [session.where(at) for at in stops(session)]
    assert [where.slice for where in found] == [0, 1, 2, 3]
    assert {where.tensor for where in found} == {"c"}
    kinds = f32.session()
    kinds.break_op("Conv2D")
    assert {kinds.where(at).tensor for at in stops(kinds)} == {"b", "c"}
    pattern = f32.session()
    pattern.break_node("Conv_*")
    assert stops(pattern) == [where.position for where in found]


def test_groups_and_slices(f32: Net) -> None:
    session = f32.session()
    session.break_group(0)
    assert stops(session) == [0]
    session.delete()
    session.break_slice(2, 0)
    (at,) = stops(session)
    assert (session.where(at).layer_group, session.where(at).slice) == (0, 2)
    assert session.where(at - 1).slice != 2
    with pytest.raises(InputError, match="layer group of 0"):
        session.break_group(9)
    with pytest.raises(InputError, match="slice of 0 to 3, got 4"):
        session.break_slice(4)


def test_a_tensor_stops_when_a_piece_is_there(f32: Net) -> None:
    session = f32.session()
    session.break_tensor("c")
    known = []
    stop = session.run()
    while stop.breakpoints:
        found = session.tensor("c")
        known.append(int(found.known.sum()))
        assert compare_tensor("c", found.values[found.known], f32.reference["c"][found.known]).passed
        stop = session.cont()
    assert known == sorted(known)
    assert known[-1] == f32.reference["c"].size


def test_an_address_stops_before_whoever_touches_it(f32: Net) -> None:
    session = f32.session()
    address = session.model.inputs[0].address
    session.break_address(address, 4, "read")
    for _ in range(2):  # the second time it is known what commands touch
        found = stops(session)
        assert [session.where(at).name for at in found] == ["dma.tensor"]
        assert session.where(found[0]).slice == 0
    session.delete()
    session.break_address(address, 4, "write")
    assert stops(session) == []
    # A store: before it the output is not there yet.
    output = session.model.outputs[0].address
    session.delete()
    session.break_address(output, 1, "write")
    session.run()
    assert session.machine.read(output, 20) == bytes(20)
    session.step()
    assert session.compare("y").passed


def test_watch_stops_behind_what_changes_bytes(f32: Net) -> None:
    session = f32.session()
    output = session.model.outputs[0].address
    session.watch(output, 20)
    stop = session.run()
    assert stop.reason == "watch"
    assert stop.message.startswith("20 bytes changed, the first at ")
    assert session.compare("y").passed
    session.back()
    assert session.cont().reason == "watch"  # it sees the same again


def test_temporary_disabled_and_deleted_breakpoints(f32: Net) -> None:
    session = f32.session()
    once = session.break_node("Conv_c", temporary=True)
    assert len(stops(session)) == 1
    assert once.number not in session.breakpoints
    point = session.break_node("Conv_c")
    session.enable(point.number, on=False)
    assert stops(session) == []
    session.enable(point.number)
    assert len(stops(session)) == 4
    session.delete(point.number)
    with pytest.raises(InputError, match=r"number of a breakpoint \(none\), got 2"):
        session.delete(point.number)


def test_back_to_the_last_breakpoint(f32: Net) -> None:
    session = f32.session()
    point = session.break_node("Conv_c")
    found = stops(session)
    for at in found[::-1]:
        assert session.reverse_continue().position == at == session.position
    assert session.reverse_continue().position == 0
    assert point.hits == 4


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_no_difference_where_there_is_none(precision: str, request: pytest.FixtureRequest) -> None:
    session = request.getfixturevalue(precision).session()
    session.break_difference()
    session.break_nonfinite()
    assert stops(session) == []


@pytest.mark.parametrize("name", ["b", "c", "d", "e", "y"])
def test_the_first_difference_is_at_its_operation(f32: Net, name: str) -> None:
    wrong = f32.reference[name].copy()
    wrong.flat[wrong.size // 2] += 0.5
    session = Session(f32.bmodel, f32.inputs, f32.reference | {name: wrong})
    session.break_difference()
    stop = session.run()
    assert stop.message.startswith(f"{name}, slice ")
    assert session.where(session.position - 1).tensor == name


def test_the_first_nan_is_where_it_is_made(f32: Net) -> None:
    x = f32.inputs["x"].copy()
    x[0, 1, 90, 600] = np.nan
    session = Session(f32.bmodel, {"x": x}, options=Options(allow_nan=True))
    session.break_nonfinite()
    found = stops(session)
    assert session.where(found[1] - 1).slice == 3  # rows 72 to 95
    assert [session.where(at - 1).node for at in found if at][1:3] == ["Relu_b", "Conv_c"]


def test_nan_without_names_is_found_in_what_commands_write(tmp_path: Path) -> None:
    session = plain(tmp_path)
    x = program.x_values()
    x[0, 69, 5, 5] = np.inf
    session = Session(session.model, {"x": x})
    session.break_nonfinite()
    stop = session.run()
    assert session.where(stop.position - 1).name == "dma.tensor"
    assert "1 infinities" in stop.message
    session.cont()
    assert session.where(session.position - 1).name == "arith.add"


def test_a_race_stops_and_can_be_passed(tmp_path: Path) -> None:
    session = plain(tmp_path, cmd_id_dep=1)  # the addition does not wait for the addends
    stop = session.run()
    assert stop.reason == "fault"
    assert "race" in stop.message
    assert session.cont().reason == "end"


def test_a_fault_is_a_stop_with_the_way_back(tmp_path: Path) -> None:
    # The reader refuses such a file, so the commands are put into a bmodel that has been read.
    model = replace(plain(tmp_path).model, groups=(program.group(cmd_id_dep=9),))
    session = Session(model, {"x": program.x_values()})
    stop = session.run()
    assert (stop.reason, stop.position) == ("fault", 2)
    assert "expected the gdma engine to finish command 9" in stop.message
    assert session.back().position == 1


def test_ctrl_c_stops_the_program_not_the_session(f32: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    session = f32.session()
    point = session.break_nonfinite()
    seen: list[int] = []

    def interrupted(position: int) -> str | None:
        seen.append(position)
        if position == 20:
            raise KeyboardInterrupt
        return None

    monkeypatch.setattr(point, "check", interrupted)
    stop = session.run()
    assert (stop.reason, stop.position) == ("interrupted", 20)
    assert session.back("op").position < 20
    monkeypatch.setattr(point, "check", seen.append)
    assert session.cont().reason == "end"


# --- looking --------------------------------------------------------------------------------------


def test_what_is_shown_of_a_tensor_is_never_stale(f32: Net) -> None:
    session = f32.session()
    seen = set()
    while session.step().reason == "step":
        for name in session.comparable():
            assert session.compare(name).passed, (session.position, name)
            seen.add(name)
    assert seen == set(f32.reference)


def test_a_piece_that_is_overwritten_is_gone(f32: Net) -> None:
    session = f32.session()
    session.run()
    pieces = session.pieces("b")
    over = [(piece, piece.overwritten) for piece in pieces if piece.overwritten is not None]
    assert over
    for piece, by in over:
        assert session.trace[by].writes.overlaps(place_ranges(piece.place))
        assert by >= piece.since


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_view_reads_what_a_place_reads(precision: str, request: pytest.FixtureRequest) -> None:
    session = request.getfixturevalue(precision).session()
    seen = 0
    for position, places in sorted(session.program.ready.items()):
        session.goto(position)
        for place in places:
            if place.every_lane:
                continue
            base = isa.LOCAL_MEMORY[0] if place.memory == "local" else 0
            view = View.of(base + place.address, place.size, place.dtype, strides=place.stride)
            np.testing.assert_array_equal(view.read(session.machine), place.read(session.machine))
            held = {a: len(data) for a, data in read_ranges(session.machine, place_ranges(place))}
            assert held == {a: len(data) for a, data in read_ranges(session.machine, view.ranges())}
            assert sum(held.values()) >= place.read(session.machine).size
            seen += 1
    assert seen > 20


LAYOUTS: list[tuple[tuple[int, ...], str, int]] = [
    ((2, 70, 3, 5), "aligned", 0),
    ((2, 70, 3, 5), "compact", 0),
    ((1, 100, 4, 4), "aligned", 7),
    ((3, 65, 1, 9), "compact", 63),
    ((5, 6), "aligned", 2),
]


@pytest.mark.parametrize(("shape", "layout", "lane"), LAYOUTS)
def test_layouts_of_the_lanes(tmp_path: Path, shape: tuple[int, ...], layout: str, lane: int) -> None:
    session = plain(tmp_path)
    four = (1,) * (4 - len(shape)) + shape
    n, c, h, w = four
    values = np.random.default_rng(5).standard_normal(four).astype(np.float32)
    step = h * w if layout == "compact" else -(-h * w // 16) * 16
    rows = -(-(lane + c) // 64)
    for i in range(n):
        for j in range(c):
            at = 0x100 + 4 * step * (i * rows + (lane + j) // 64)
            raw = values[i, j].tobytes()
            session.machine.lmem((lane + j) % 64)[at : at + len(raw)] = np.frombuffer(raw, np.uint8)
    address = isa.LOCAL_MEMORY[0] + lane * isa.LANE_BYTES + 0x100
    np.testing.assert_array_equal(session.memory(address, shape, "f32", layout), values.reshape(shape))


def test_types_and_strides_in_global_memory(tmp_path: Path) -> None:
    session = plain(tmp_path)
    raw = np.arange(64, dtype=np.uint8)
    session.machine.write(program.Y, raw)
    every: dict[str, Any] = {"i8": raw.view(np.int8), "u16": raw.view(np.uint16), "f16": raw.view(np.float16)}
    for dtype, want in every.items():
        np.testing.assert_array_equal(session.memory(program.Y, want.shape, dtype), want)
    bf16 = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(session.memory(program.Y, (32,), "bf16"), bf16)
    got = session.memory(program.Y, (2, 3), "u8", strides=(0, 0, 10, 2))
    np.testing.assert_array_equal(got, [[0, 2, 4], [10, 12, 14]])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"dtype": "f8"}, "element type of f32"),
    ({"shape": (0, 3)}, "extents of at least 1"),
    ({"address": isa.LOCAL_MEMORY[0], "shape": (1, 1, 1, 1, 1)}, "at most 4 dimensions"),
    ({"address": isa.LOCAL_MEMORY[0], "layout": "dense"}, "aligned or compact"),
    ({"layout": "aligned"}, "dense, or strides"),
    ({"address": isa.LOCAL_MEMORY[0] + 0x3FFF0, "shape": (64,)}, "within the 0x40000 bytes of a lane"),
    ({"address": 0x9FFFFFFF}, "within one memory"),
    ({"strides": (1, 2)}, "4 strides"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[text for _, text in WRONG])
def test_views_that_make_no_sense(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"address": program.Y, "shape": (4,), "dtype": "f32"} | changes
    with pytest.raises(InputError, match=message):
        plain(tmp_path).memory(**arguments)


def test_touched_is_known_before_and_after(f32: Net) -> None:
    session = f32.session()
    before = session.touched(40)
    assert session.position == 0
    session.goto(41)
    assert session.touched(40) is before
    fresh = f32.session()
    fresh.goto(41)
    for a, b in zip(fresh.touched(40), before, strict=True):
        assert a.lines() == b.lines()


def test_the_writer_of_a_byte(f32: Net) -> None:
    session = f32.session()
    output = session.model.outputs[0].address
    assert session.writer(output) is None
    session.run()
    at = session.writer(output)
    assert at is not None
    assert str(session.where(at).command).startswith("gdma:")
    assert session.where(at).tensor == "y"


def test_where_has_the_line_of_the_text(f32: Net) -> None:
    session = f32.session()
    session.break_node("Sigmoid_d")
    session.run()
    where = session.where()
    assert where.text.startswith("%")
    assert '"tpu.Active"' in where.text
    assert '"tpu.Active"' in f32.final.read_text().splitlines()[where.line - 1]


def test_lines_and_groups_are_known_without_the_module(f32: Net, tmp_path: Path) -> None:
    alone = tmp_path / "alone.bmodel"
    shutil.copy(f32.bmodel, alone)
    shutil.copy(debug_path(f32.bmodel), debug_path(alone))
    with_text, session = f32.session(), Session(alone, f32.inputs)
    assert session.text is None
    for at in range(session.total):
        assert session.where(at) == with_text.where(at)
    assert session.where(0).layer_group == 0
    assert session.break_group(0).positions is not None
    session.break_slice(2, 0)


def test_debug_info_of_before_has_lines_by_number_only(f32: Net, tmp_path: Path) -> None:
    old = tmp_path / "old.bmodel"
    shutil.copy(f32.bmodel, old)
    document = json.loads(debug_path(f32.bmodel).read_text())
    texts = document.pop("texts")
    debug_path(old).write_text(json.dumps(document))
    session = Session(old, f32.inputs)
    where = session.where(0)
    assert (where.text, where.layer_group) == ("", -1)
    assert where.line > 0
    with pytest.raises(InputError, match="to know the layer groups, got no module"):
        session.break_group(0)
    debug_path(old).write_text(json.dumps(document | {"texts": texts[1:]}))  # damaged: as if there were none
    assert not Session(old, f32.inputs).where(0).op


def test_a_program_without_groups_says_so(tmp_path: Path) -> None:
    node = helper.make_node("ArgMax", ["x"], ["y"], name="alone", axis=1)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [1, 1])
    graph = helper.make_graph([node], "net", [x], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "net.bmodel"
    bmodel.write(path, tpumlir.load_onnx(proto).lower("F32").compile())
    session = Session(path, {"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(InputError, match="got a program without groups"):
        session.break_group(0)


def test_a_text_of_another_build_is_refused_or_left_alone(f32: Net, tmp_path: Path) -> None:
    other = tmp_path / "other.mlir"
    other.write_text("\n\n" + f32.final.read_text())
    with pytest.raises(InputError, match="not the text that this bmodel was made of"):
        f32.session(tpu_text=other)


# --- comparing --------------------------------------------------------------------------------------


def test_compare_needs_something_to_compare(f32: Net) -> None:
    session = f32.session()
    with pytest.raises(InputError, match="none of it at this position"):
        session.compare("y")
    with pytest.raises(InputError, match="tensor of the reference"):
        session.compare("nope")
    bare = Session(f32.bmodel, f32.inputs)
    with pytest.raises(InputError, match="expected a reference"):
        bare.break_difference()
    strange = Session(f32.bmodel, f32.inputs, {"z": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="tensors of this program in the reference, got z"):
        strange.break_difference()


def test_the_tolerance_is_that_of_the_deploy_or_given(f32: Net) -> None:
    near = {"y": f32.reference["y"] * np.float32(1.003)}
    session = Session(f32.bmodel, f32.inputs, near)
    session.run()
    assert not session.compare("y").passed
    options = Options(tolerance=F32_TOLERANCE.__class__(0.99, 0.99), bound=None)
    loose = Session(f32.bmodel, f32.inputs, near, options)
    loose.run()
    assert loose.compare("y").cosine == pytest.approx(1)


def test_without_debug_info_commands_are_all_there_is(tmp_path: Path) -> None:
    session = plain(tmp_path)
    assert session.next().position == 1
    assert session.finish().position == 2
    assert session.tensor("x").is_whole
    with pytest.raises(InputError, match=r"no debug info \(add.bmodel.json\)"):
        session.break_node("Add_3")
    session.break_command("tiu", 1)
    session.goto(0)
    session.cont()
    assert session.where().name == "arith.add"
    session.cont()
    np.testing.assert_array_equal(session.tensor("y").values, program.expected(program.x_values()))
