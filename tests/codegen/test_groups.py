"""Groups of operations give what the operations alone give, however they are cut.

Small graphs, each compiled without groups, with the groups that the search finds, and with groups in many
cuts that it would not choose. The simulated chip runs all of them with the race detector on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import grouping
import tpumlir
from group_cases import CASES, Case
from grouping import Span
from harness import DEVICE_TOLERANCES, PRECISIONS, Precision
from tpumlir._core import isa
from tpumlir.compare import compare

Array = npt.NDArray[Any]


CUTS = [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (2, 2), (1, 5), (3, 4), (1, 7), (2, 9), (1, 13)]


@dataclass(frozen=True)
class Built:
    """A case in a precision: the modules, and what the chip computes without groups."""

    tpu: tpumlir.Module
    ungrouped: tpumlir.Module
    inputs: dict[str, Array]
    want: dict[str, Array]

    def run(self, final: tpumlir.Module) -> dict[str, Array]:
        """What the simulated chip computes."""
        return final.compile().run(self.inputs, detect_races=True)


@cache
def built(case: Case, precision: Precision) -> Built:
    tpu, inputs = case.lowered(precision)
    ungrouped = tpu.finalize(opt=0)
    return Built(tpu, ungrouped, inputs, ungrouped.compile().run(inputs, detect_races=True))


def agrees(
    got: Mapping[str, Array], want: Mapping[str, Array], case: Case, precision: Precision, label: str
) -> None:
    """Equal bit for bit where the order of sums is the same, else close."""
    if case.exact and precision == "F32":
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value, err_msg=f"{label}: {name}")
        return
    verdict = compare(got, want, tolerance=DEVICE_TOLERANCES[precision], label=label)
    assert verdict.passed, verdict


table = pytest.mark.parametrize("case", CASES, ids=str)
precisions = pytest.mark.parametrize("precision", PRECISIONS)


@precisions
@table
def test_the_search_finds_groups_that_change_nothing(case: Case, precision: Precision) -> None:
    made = built(case, precision)
    final = made.tpu.finalize()
    groups = grouping.groups(final)
    wanted = Counter(case.together)
    assert not wanted or any(wanted <= Counter(group) for group in groups), f"no {case.together} in {groups}"
    agrees(made.run(final), made.want, case, precision, str(groups))


@precisions
@table
def test_agrees_with_the_interpreter(case: Case, precision: Precision) -> None:
    made = built(case, precision)
    want = tpumlir.ModuleInterpreter(made.tpu).run(made.inputs)
    verdict = compare(made.run(made.tpu.finalize()), want, tolerance=DEVICE_TOLERANCES[precision])
    assert verdict.passed, verdict


@precisions
@table
def test_every_cut_gives_the_same(case: Case, precision: Precision) -> None:
    made = built(case, precision)
    tried = 0
    for span in grouping.spans(made.tpu.finalize()):
        first: dict[str, Array] = {}
        for n, h in CUTS:
            final = grouping.forced(made.ungrouped, [replace(span, n=n, h=h)])
            if final is None:
                continue
            tried += 1
            got = made.run(final)
            agrees(got, made.want, case, precision, f"{span} as {n} x {h}")
            # However the group is cut, it adds in one order.
            for name, value in (first or got).items():
                np.testing.assert_array_equal(got[name], value, err_msg=f"{span} as {n} x {h}: {name}")
            first = first or got
    assert tried


@precisions
@pytest.mark.parametrize(
    "name",
    ["row_recurrence", "recurrence", "heads_batch", "heads_cross", "heads_masked_batch", "squeezed_even"],
)
def test_a_moved_border_makes_way_for_groups(name: str, precision: Precision) -> None:
    """Joining and moving once stops at up to twice the time of these."""

    def cycles(level: int) -> int:
        model = built(case, precision).tpu.finalize(opt=level).compile()
        return isa.profile([(group.tiu, group.gdma) for group in model.groups]).cycles

    (case,) = (one for one in CASES if one.name == name)
    assert cycles(2) <= cycles(3)


@precisions
@table
def test_any_run_of_operations_may_be_a_group(case: Case, precision: Precision) -> None:
    made = built(case, precision)
    rng = np.random.default_rng(len(case.name))
    count = len(grouping.kinds(made.ungrouped))
    for _ in range(20):
        begin, end = sorted(rng.choice(count + 1, 2, replace=False))
        n, h = CUTS[rng.integers(len(CUTS))]
        span = Span(int(begin), int(end), n, h)
        final = grouping.forced(made.ungrouped, [span])
        if final is not None:
            agrees(made.run(final), made.want, case, precision, str(span))
