"""Planted faults are reached by a break on the first difference, at the operation that they are of."""

from __future__ import annotations

import pytest

from faults import FAULTS, Fault, built
from tpumlir.debugger import Options, Session


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_first_difference_is_at_the_fault(fault: Fault) -> None:
    final, _, inputs = built(fault.subject)
    planted = fault.planted()
    session = Session(planted.model, inputs, options=Options(module=final))
    session.break_difference()
    stop = session.run()
    while stop.reason == "fault" and "race" in stop.message:  # these are told in any case, and passed
        stop = session.cont()
    assert [point.text for point in stop.breakpoints] == ["first difference"]
    assert f"by {planted.op} @ {planted.node}: " in stop.message
    assert (session.where().op, session.where().node) == (planted.op, planted.node)
