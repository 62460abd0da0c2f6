"""What fuzzing found stays mended, and every reader takes a short series of damaged files.

`findings` holds the inputs, named <reader>-<what it was>. `make fuzz` looks for more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.targets import TARGETS, Target, generated

FINDINGS = sorted(path for path in (Path(__file__).parent / "findings").iterdir())
SERIES = 150


@pytest.mark.parametrize("path", FINDINGS, ids=[path.stem for path in FINDINGS])
def test_finding_is_refused_or_read(path: Path) -> None:
    TARGETS[path.name.partition("-")[0]].feed(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_seeds_are_read(target: Target) -> None:
    seeds = target.seeds()
    read = sum(target.feed(seed) for seed in seeds)
    # Of the files of tests/lit those that expect an error, and those of several modules, are none.
    assert read == len(seeds) if target.name not in ("top", "tpu") else read > len(seeds) // 2


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_a_short_series(target: Target) -> None:
    outcomes = [target.feed(generated(target, 1, number)) for number in range(SERIES)]
    # Were all of them refused (or none), the series would say nothing.
    assert 0 < sum(outcomes) < SERIES


def test_inputs_follow_from_their_number() -> None:
    for target in TARGETS.values():
        assert generated(target, 3, 7) == generated(target, 3, 7)
        assert len({generated(target, 3, number) for number in range(20)}) > 10
