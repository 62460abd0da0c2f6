"""Profiles: sums by operation, node and kind; bars of the chart; the trace; what the vendor recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bmodel import program
from tpumlir import bmodel
from tpumlir.bmodel import DebugEntry, chart
from tpumlir.bmodel.profile import BOUNDS, Profile, Sums, node_of, profile


def add_program(tmp_path: Path, debug: tuple[DebugEntry, ...] = program.DEBUG) -> Profile:
    path = tmp_path / "add.bmodel"
    bmodel.write(path, program.spec(), debug=debug)
    return profile(bmodel.read(path))


def test_the_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    got = add_program(tmp_path)
    assert got.cycles > 0
    for rows in (got.ops, got.nodes, got.kinds):
        assert sum(row.sums.cycles for row in rows) == pytest.approx(got.cycles)
        assert sum(row.sums.tiu for row in rows) == got.commands.tiu_busy
        assert sum(row.sums.gdma for row in rows) == got.commands.gdma_busy
    assert got.total.cycles == pytest.approx(got.cycles)
    assert got.total.load + got.total.store == got.total.gdma
    # x and the addends come in, y goes out.
    assert got.total.read == 70 * 36 * 4 + 70 * 4
    assert got.total.written == 70 * 36 * 4
    assert got.total.commands == 4


def test_operations_have_their_names(tmp_path: Path) -> None:
    debug = (
        DebugEntry("gdma", 1, "tpu.Cast", "Add_3::wide"),
        DebugEntry("gdma", 2, "tpu.Add", "Add_3"),
        DebugEntry("tiu", 1, "tpu.Add", "Add_3"),
    )
    got = add_program(tmp_path, debug)
    assert {(row.op, row.node) for row in got.ops} == {
        ("tpu.Cast", "Add_3::wide"), ("tpu.Add", "Add_3"), ("", ""),
    }  # fmt: skip
    # The node has what was derived from it; the store, of which nothing is known, stays for itself.
    assert {row.node: row.sums.commands for row in got.nodes} == {"Add_3": 3, "": 1}
    assert [row.label for row in got.ops if not row.op] == ["(unknown)"]


def test_without_names_there_are_kinds_of_command(tmp_path: Path) -> None:
    got = add_program(tmp_path, ())
    assert (got.ops, got.nodes) == ([], [])
    assert {row.op for row in got.kinds} == {"arith.add", "dma.tensor"}


def test_names_cost_extra(tmp_path: Path) -> None:
    add_program(tmp_path)
    got = profile(bmodel.read(tmp_path / "add.bmodel"), names=False)
    assert got.ops == []
    assert got.cycles > 0


def test_node_of_a_derived_name() -> None:
    assert [node_of(name) for name in ("y", "y::sum", "y::sum::0", "")] == ["y", "y", "y", ""]


def sums(cycles: float, tiu: int, load: int, store: int) -> Sums:
    return Sums(1, cycles, tiu, load + store, load, store, 0, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("part", "bound", "wait"),
    [
        (sums(100, 100, 20, 30), "compute", 0),
        (sums(100, 20, 60, 40), "load", 0),
        (sums(100, 20, 40, 60), "store", 0),
        # One after the other: not even the busier engine is busy.
        (sums(100, 40, 30, 30), "wait", 40),
        (sums(100, 82, 30, 30), "compute", 18),
        # Under other operations for most of its time.
        (sums(50, 100, 0, 0), "compute", 0),
        (sums(0, 0, 0, 0), "", 0),
    ],
)
def test_what_binds(part: Sums, bound: str, wait: int) -> None:
    assert (part.bound, part.wait) == (bound, wait)


def test_the_summary_names_the_whole(tmp_path: Path) -> None:
    got = add_program(tmp_path)
    assert re.fullmatch(
        rf"estimated {got.cycles:,} cycles \(\S+ ms\), bound by ({'|'.join(BOUNDS)}): "
        r"TIU busy \d+%, GDMA busy \d+%, multipliers 0%",
        got.summary(),
    )


def test_the_trace_has_an_event_per_command(tmp_path: Path) -> None:
    got = add_program(tmp_path)
    document = json.loads(b"".join(chart.trace(got)))
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    assert [event["args"]["command"] for event in events] == ["arith.add"] + ["dma.tensor"] * 3
    add = next(event for event in events if event["args"]["command"] == "arith.add")
    assert (add["name"], add["tid"], add["args"]["op"]) == ("Add_3", 0, "tpu.Add")
    # Microseconds at 1 GHz.
    assert add["dur"] * 1000 == pytest.approx(add["args"]["cycles"])
    threads = {e["tid"]: e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"}
    assert threads == {0: "TIU", 1: "GDMA"}


def page_data(text: str) -> dict[str, object]:
    """The document that the script of a page reads."""
    found = re.search(r"^const data = (.*);$", text, re.MULTILINE)
    assert found
    document: dict[str, object] = json.loads(found[1])
    return document


def test_the_page_carries_its_data(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="needs plotly")
    nasty = "Add</script><b>&\"'é"
    debug = tuple(entry._replace(node=nasty) for entry in program.DEBUG)
    text = chart.page(add_program(tmp_path, debug)).decode()
    document = page_data(text)
    assert document["sources"] == [["tpu.Add", nasty]]
    assert nasty not in text
    assert text.count("</script>") == 2
    assert "src=" not in text.split("<script>")[0]
    bars = document["bars"]
    assert isinstance(bars, dict)
    assert sorted(bars["engine"]) == [0, 1, 1, 1]
    assert "Plotly.newPlot" in text


def test_many_commands_become_few_bars(tmp_path: Path) -> None:
    got = add_program(tmp_path)
    every = chart.bars(got)
    assert [bar.commands for bar in every] == [1] * 4
    few = chart.bars(got, limit=2)
    assert len(few) < 4
    # Nothing is lost.
    for column in ("busy", "commands", "read", "written"):
        assert sum(getattr(bar, column) for bar in few) == sum(getattr(bar, column) for bar in every)
    assert {bar.engine for bar in few} == {0, 1}


@pytest.mark.samples
def test_totals_are_those_that_the_vendor_recorded(samples: list[Path]) -> None:
    compared = 0
    for path in samples:
        record = path.with_suffix(".profile.txt")
        if not record.is_file():
            continue
        text = record.read_text(encoding="utf-8")
        total = re.search(r"^TCYC : (\d+)", text, re.MULTILINE)
        assert total
        got = profile(bmodel.read(path, legality=False))
        assert got.cycles == int(total[1]), path
        assert got.unknown == 0, path
        _compare_commands(got, text, path)
        compared += 1
    assert compared


def _compare_commands(got: Profile, text: str, path: Path) -> None:
    """Each line of the record: start, ids, cycles."""
    c = got.commands
    rows = zip(c.engine.tolist(), c.id.tolist(), c.start.tolist(), c.duration.tolist(), strict=True)
    ours = {(engine, command): (start, cycles) for engine, command, start, cycles in rows if cycles}
    lines = re.findall(r"\|(GDMA_\w+|\w+)\|s:(\d+)\|b:(\d+)\|g:(\d+)\|e:\d+\|t:(\d+)", text)
    assert lines
    for kind, start, tiu, gdma, cycles in lines:
        key = (1, int(gdma)) if kind.startswith("GDMA") else (0, int(tiu))
        assert ours[key] == (int(start), int(cycles)), (path, kind, key)
