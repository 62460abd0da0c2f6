"""Who judges a quantised module, and thresholds that are chosen by what they do to the outputs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tpumlir
from accuracy_models import easy, hard, module, samples
from tpumlir.accuracy.clipping import Clipped, clipped
from tpumlir.accuracy.improve import METHODS
from tpumlir.accuracy.judges import Judges, lower_bound
from tpumlir.accuracy.search import quantize
from tpumlir.accuracy.target import Target
from tpumlir.calibration.table import CalibrationTable


def judges(top: tpumlir.Module, target: str, held: int = 1, others: int = 3, seed: int = 0) -> Judges:
    given = samples(held + others, seed)
    return Judges(top, Target.parse(target), given[:held], given[held:], allow_nonfinite=False)


@pytest.mark.parametrize(
    ("scores", "bound"),
    [
        ((0.9,), 0.9),
        ((0.5, 0.5), 0.5),
        ((0.9, 1.0), 0.95 - 3.078 * math.sqrt(0.005) / math.sqrt(2)),
        ((1.0, 2.0, 3.0, 4.0), 2.5 - 1.638 * math.sqrt(5 / 3) / 2),
        ((1.0, -math.inf), -math.inf),
        (tuple(float(i % 2) for i in range(100)), 0.5 - 1.341 * math.sqrt(25 / 99) / 10),
    ],
)
def test_a_lower_bound_of_the_mean(scores: tuple[float, ...], bound: float) -> None:
    assert lower_bound(scores) == pytest.approx(bound, rel=1e-12)


class Numbers:
    """What scores are given as, for a target that reads them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Judges) -> None:
        self.runs = 0
        self.scores: list[float] = []
        monkeypatch.setattr(found, "_output", self.output)
        monkeypatch.setattr(Target, "score", lambda _self, got, _want: got[0])

    def output(self, _interpreter: Any, i: int) -> float:
        self.runs += 1
        return self.scores[i]


@pytest.mark.parametrize(
    ("scores", "met", "runs"),
    [
        ([0.95, 0.95, 0.95, 0.95], True, 4),
        ([0.85, 1.0, 1.0, 1.0], False, 1),  # a held-back sample that fails settles it
        ([1.0, 0.89, 0.99, 0.99], True, 4),  # one that calibrates does not, if the mean is safe
        ([0.91, 0.8, 0.95, 0.96], False, 4),  # it is above by chance
        ([0.91, 0.91, 0.91, 0.91], True, 4),
        ([0.95, 0.3, 1.0, 1.0], False, 2),  # no mean can reach it any more
        ([0.9, 0.9, 1.0, 1.0], True, 4),  # each meets it: how far they are apart does not matter
    ],
)
def test_what_a_target_is_met_by(
    scores: list[float], met: bool, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = module(easy())
    found = judges(top, "cos=0.9")
    lowered = top.lower("F32")
    numbers = Numbers(monkeypatch, found)
    numbers.scores = scores
    score, complete = found.score(lowered)
    assert (score >= 0.9, complete, numbers.runs) == (met, runs == 4, runs)


def test_samples_that_calibrate_judge_too() -> None:
    """One of them is what the others are not: its numbers are clipped, and nobody held back tells."""
    given = samples(4)
    result = quantize(module(easy()), given, target="cos=0.9", held_back=1)
    assert (result.calibrated, result.held) == (3, 1)
    assert result.judged == "1 held-back and 3 calibrating samples"
    assert "1 held-back and 3 calibrating samples" in result.comments()[0]
    assert result.to_json()["judged"] == result.judged
    alone = quantize(module(easy()), given[:1] * 2, target="cos=0.9")
    assert alone.judged == "1 held-back and 1 calibrating samples"


def start_of(top: tpumlir.Module, found: Judges, method: str) -> Clipped:
    table = tpumlir.calibrate(top, samples(4), method=method)
    lowered = top.lower("INT8", calibration_table=table)
    return Clipped(table, lowered, found.judge(lowered))


def test_a_threshold_is_chosen_by_what_reads_the_tensor() -> None:
    """The great channel of ``spoiled`` is hardly read: a scale for the others gives up on it."""
    top = module(hard(50.0))
    found = judges(top, "cos=0.9999")
    start = start_of(top, found, "max")
    row = start.table.rows["spoiled"]
    other = CalibrationTable({"spoiled": replace(row, threshold=row.threshold / 20)})
    trials: list[CalibrationTable] = []

    def lower(table: CalibrationTable) -> tpumlir.Module:
        trials.append(table)
        return top.lower("INT8", calibration_table=table)

    best = clipped(start, ["spoiled", "x"], [start.table, other], found, lower)
    assert best.judged.snr > start.judged.snr + 10
    assert best.table.rows["spoiled"].threshold == np.float32(row.threshold / 20)
    assert {name for name in best.table if best.table[name] != start.table[name]} <= {"spoiled", "x"}
    assert best.changed >= 1
    # The one of ``max`` is there already, and no scale ends beyond what there is.
    assert all(table.rows["spoiled"].threshold <= row.threshold for table in trials)
    few = clipped(start, ["spoiled", "x"], [start.table, other], found, lower, trials=0)
    assert few is start


def test_thresholds_that_do_no_better_are_left() -> None:
    top = module(easy())
    found = judges(top, "cos=0.9999")
    start = start_of(top, found, "mse")
    worse = CalibrationTable({"b": replace(start.table.rows["b"], threshold=1e-3)})
    best = clipped(
        start, ["b"], [worse], found, lambda table: top.lower("INT8", calibration_table=table), trials=1
    )
    assert best is start


def test_the_search_says_what_other_thresholds_brought() -> None:
    result = quantize(
        module(hard(50.0)), samples(4), target="cos=0.9999", trials=6,
        equalize=False, rounding=False, bias_correction=False,
    )  # fmt: skip
    (one,) = result.improvements
    assert one.name == "thresholds"
    assert one.kept
    assert one.after.snr > one.before.snr
    assert "tensors; kept" in one.text("cos")
    assert result.method in METHODS
