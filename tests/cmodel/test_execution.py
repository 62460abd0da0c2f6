"""Execution command by command: the order, steps, footprints, and the way back."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from cmodel import chip
from tpumlir._core.device import Execution, Machine
from tpumlir.errors import DeviceFault, InputError

X, Y = chip.DDR, chip.DDR + 4096
DDR_BYTES = 8192


def double(*, wait_for_load: int = 1) -> tuple[bytes, bytes]:
    """x from DDR, doubled in lane 0, to y."""
    return chip.group(
        [chip.add(0, dep=wait_for_load)],
        [chip.gdma_copy(X, chip.LMEM, 16), chip.gdma_copy(chip.LMEM, Y, 16, cmd_id=2, dep=1)],
    )


def redouble(times: int) -> tuple[bytes, bytes]:
    """x is doubled in place in DDR, again and again."""
    tiu = [chip.add(0, cmd_id=i + 1, dep=2 * i + 1) for i in range(times)]
    gdma = []
    for i in range(times):
        gdma.append(chip.gdma_copy(X, chip.LMEM, 16, cmd_id=2 * i + 1))
        gdma.append(chip.gdma_copy(chip.LMEM, X, 16, cmd_id=2 * i + 2, dep=i + 1))
    return chip.group(tiu, gdma)


def machine() -> Machine:
    m = chip.machine(DDR_BYTES)
    m.write(X, np.arange(16, dtype=np.float32))
    return m


def memory(m: Machine) -> tuple[bytes, bytes]:
    """All that the commands of these tests can change."""
    return m.read(chip.DDR, DDR_BYTES), m.read(chip.LMEM, 4096)


def test_the_order_is_known_before_the_first_command() -> None:
    m = machine()
    before = memory(m)
    execution = Execution(m, [double(), double()])
    rows = [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 2, 1], [0, 1, 2, 1], [0, 1, 3, 2]]
    assert execution.order.tolist() == rows + [[1, *row[1:]] for row in rows]
    assert (execution.total, execution.position, execution.next) == (10, 0, (0, "gdma", 1, 0))
    assert memory(m) == before


def test_steps_end_where_a_run_ends() -> None:
    ran, stepped = machine(), machine()
    ran.run([double(), redouble(3)])
    execution = Execution(stepped, [double(), redouble(3)])
    for position in range(execution.total):
        assert execution.position == position
        assert execution.step() == 1
    assert (execution.step(), execution.step(9), execution.next) == (0, 0, None)
    assert memory(stepped) == memory(ran)


def test_step_tells_how_many_were_left() -> None:
    execution = Execution(machine(), [double()])
    assert (execution.step(3), execution.step(9), execution.step(9)) == (3, 2, 0)


@pytest.mark.parametrize("history", [1, 1 << 12, 1 << 24], ids=["least", "some", "all"])
def test_back_to_every_position(history: int) -> None:
    m = machine()
    execution = Execution(m, [redouble(50), double(), redouble(10)], history=history)
    states = [memory(m)]
    while execution.step():
        states.append(memory(m))
    assert len(set(states)) > 100
    positions = np.random.default_rng(0).permutation(len(states))
    for position in positions.tolist():
        execution.seek(position)
        assert execution.position == position
        assert memory(m) == states[position]


def test_back_in_one_that_looks_for_races() -> None:
    late = double(wait_for_load=0)
    execution = Execution(machine(), [redouble(40), late], detect_races=True, history=1 << 20)
    for _ in range(2):
        with pytest.raises(DeviceFault, match="race"):
            execution.step(execution.total)
        # What races has run, so that it can be looked at, and passed.
        assert execution.order[execution.position - 1].tolist() == [1, 1, 1, 0]
        execution.seek(execution.total)
        execution.seek(7)


def test_without_history_it_only_goes_forward() -> None:
    execution = Execution(machine(), [double()])
    execution.seek(2)
    assert execution.position == 2
    with pytest.raises(InputError, match="at least 2 without a history"):
        execution.seek(1)


def test_a_position_beyond_the_end_is_an_error() -> None:
    execution = Execution(machine(), [double()], history=1)
    with pytest.raises(InputError, match="at most 5, got 6"):
        execution.seek(6)
    assert execution.position == 0


def test_a_deadlock_is_reached_behind_what_can_run() -> None:
    m = machine()
    execution = Execution(m, [double(), double(wait_for_load=9)])
    # The load of the second group still runs; its store waits for the addition.
    assert execution.total == 6
    for count in (9, 1):
        with pytest.raises(
            DeviceFault, match=r"group 1: tiu command 1 .*expected the gdma engine to finish command 9"
        ):
            execution.step(count)
    assert execution.position == 6
    assert np.frombuffer(m.read(Y, 64), np.float32)[1] == 2


def test_a_fault_leaves_the_machine_at_its_command() -> None:
    outside = chip.group(
        [], [chip.gdma_copy(X, Y, 16), chip.gdma_copy(X, chip.DDR + DDR_BYTES, 16, cmd_id=2)]
    )
    m = machine()
    execution = Execution(m, [outside], history=1, labels=lambda *key: f"copy @ {key}")
    for _ in range(2):
        with pytest.raises(DeviceFault, match=r"copy @ \(0, 'gdma', 2\): gdma command 2"):
            execution.step(9)
        assert execution.next == (0, "gdma", 2, 1)
    assert m.read(Y, 64) == m.read(X, 64)
    execution.seek(0)
    assert m.read(Y, 64) == bytes(64)


def test_footprints() -> None:
    m = machine()
    execution = Execution(m, [double()], history=1)
    lane = [[chip.LMEM, chip.LMEM + 64]]
    x, y = [[X, X + 64]], [[Y, Y + 64]]
    for expected in [(x, lane), (lane, lane), ([], []), (lane, y), ([], [])]:
        before = memory(m)
        assert tuple(rows.tolist() for rows in execution.footprint()) == expected
        assert memory(m) == before
        execution.step()
        assert tuple(rows.tolist() for rows in execution.touched()) == expected
    with pytest.raises(InputError, match="end of the commands"):
        execution.footprint()


def test_an_execution_keeps_its_machine_and_its_bytes() -> None:
    def made() -> Execution:
        return Execution(
            machine(), [(bytes(bytearray(tiu)), bytes(bytearray(gdma))) for tiu, gdma in [double()]]
        )

    execution = made()
    gc.collect()
    assert execution.step(9) == 5
