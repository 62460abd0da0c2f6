"""The search for mixed precision on models whose answer is known."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tpumlir
from accuracy_models import easy, hard, module, samples
from tpumlir import CalibrationTable, qtable
from tpumlir.accuracy.page import depth_page, front, page, picture
from tpumlir.accuracy.search import QuantizeResult, quantize, split
from tpumlir.accuracy.sensitivity import sensitivity
from tpumlir.accuracy.target import Target
from tpumlir.errors import CalibrationError, InputError, Note
from tpumlir.ir.interpreter import ModuleInterpreter

PLAIN: dict[str, Any] = {"equalize": False, "rounding": False, "bias_correction": False, "clipping": False}
"""Tables alone: what equalisation and rounding bring is in test_improve.py."""


@pytest.fixture(scope="module")
def found() -> QuantizeResult:
    return quantize(module(hard()), samples(8), target="cos=0.999", **PLAIN)


def score(top: tpumlir.Module, result: QuantizeResult, inputs: dict[str, Any]) -> float:
    lowered = top.lower("INT8", quantize_table=result.table, calibration_table=result.calibration)
    got, want = ModuleInterpreter(lowered).run(inputs), ModuleInterpreter(top).run(inputs)
    return Target.parse("cos=1").score([got], [want])


def test_what_is_easy_stays_in_integers() -> None:
    result = quantize(module(easy()), samples(8), target="cos=0.99")
    assert result.met
    assert result.plain.is_met
    assert result.best.cycles is not None
    assert result.plain.cycles is not None
    assert result.best.cycles <= result.plain.cycles
    assert result.precisions["INT8"] >= 1


def test_the_target_is_met_also_on_other_inputs(found: QuantizeResult) -> None:
    assert not found.plain.is_met
    assert found.met
    assert found.best.score >= 0.999
    assert score(module(hard()), found, samples(1, seed=9)[0]) > 0.998


def test_the_spoiled_tensor_is_a_float_between_floats(found: QuantizeResult) -> None:
    """Whoever computes it and whoever reads it: one of both alone would still round it."""
    assert {"spoiled", "d2"} <= set(found.table)
    # And what has nothing to do with it is left in integers.
    assert not {"d3", "d4", "d5", "y"} & set(found.table)
    # Five convolutions, and what makes columns of the first one's windows: a Pad, three Slices and a Concat.
    assert found.precisions["INT8"] == 10


def test_it_costs_less_than_no_integers(found: QuantizeResult) -> None:
    assert found.best.cycles is not None
    assert found.half.cycles is not None
    assert found.best.cycles < found.half.cycles


def test_every_row_says_why(found: QuantizeResult, tmp_path: Path) -> None:
    path = tmp_path / "t_qtable"
    reasons = {row.tensor: row.comment for row in found.rows}
    assert list(reasons) == list(found.table)
    qtable.write(path, found.table, comments=found.comments(), reasons=reasons)
    assert qtable.read(path) == found.table
    lines = path.read_text().splitlines()
    for name, mode in found.table.items():
        place = lines.index(f"{name} {mode}")
        assert lines[place - 1].startswith("# ")
        assert "cycles" in lines[place - 1]
    assert "met with" in lines[0]


def test_the_cycles_are_those_of_the_deploy(found: QuantizeResult) -> None:
    from tpumlir.bmodel.profile import profile

    lowered = module(hard()).lower("INT8", quantize_table=found.table, calibration_table=found.calibration)
    assert profile(lowered.finalize().compile(), names=False).cycles == found.best.cycles


def test_the_same_again() -> None:
    first, second = (
        quantize(module(hard()), samples(4), target="snr=30", trials=12, **PLAIN) for _ in range(2)
    )
    assert first.table == second.table
    assert first.calibration.rows == second.calibration.rows
    assert [p.to_json() for p in first.points] == [p.to_json() for p in second.points]


def own_score(outputs: Any, references: Any) -> float:
    """Minus the greatest error of an element: 0 is the best there is."""
    errors = [np.abs(a["y"] - b["y"]).max() for a, b in zip(outputs, references, strict=True)]
    return -float(max(errors))


def test_an_impossible_target_gives_the_nearest_table() -> None:
    result = quantize(
        module(hard()), samples(4), target=f"metric={__name__}:own_score>=0.5", trials=10, **PLAIN
    )
    assert not result.met
    assert result.best.score == max(point.score for point in result.points)
    assert "NOT met" in result.comments()[0]
    # What a half loses was tried too, and nothing is nearer than no integers at all.
    assert set(result.table.values()) == {"F32"}


def test_f32_where_a_half_does_not_do() -> None:
    result = quantize(module(easy()), samples(6), target="snr=90")
    assert result.met
    assert set(result.table.values()) == {"F32"}


def test_one_sample_calibrates_and_judges_and_says_so() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = quantize(module(easy()), samples(1), target="cos=0.9")
    assert any("one sample only: it calibrates and judges" in str(note.message) for note in told)
    assert (result.calibrated, result.held) == (1, 1)
    assert result.met


@pytest.mark.parametrize(
    ("count", "held", "expected"),
    [(2, 0, 1), (3, 0, 1), (8, 0, 2), (8, 5, 5), (100, 0, 8), (9, 3, 3)],
)
def test_samples_are_split_without_overlap(count: int, held: int, expected: int) -> None:
    calibrating, judging = split(count, held)
    assert len(judging) == expected
    assert sorted(calibrating + judging) == list(range(count))


@pytest.mark.parametrize(("count", "held"), [(1, 1), (4, 4), (4, 9)])
def test_too_many_held_back(count: int, held: int) -> None:
    with pytest.raises(InputError, match="expected fewer held-back samples"):
        split(count, held)


def test_a_metric_of_the_users() -> None:
    result = quantize(module(hard()), samples(6), target=f"metric={__name__}:own_score>=-0.02", **PLAIN)
    assert result.met
    assert result.best.score >= -0.02
    assert not result.plain.is_met


def test_a_table_that_is_given_is_taken() -> None:
    top = module(easy())
    given = tpumlir.calibrate(top, samples(4), method="max")
    result = quantize(top, samples(4), calibration_table=given)
    assert result.calibration is given
    assert result.method == ""


def test_the_table_of_another_model_is_refused() -> None:
    given = table_for(module(hard()))
    with pytest.raises(CalibrationError, match="expected"):
        quantize(module(easy()), samples(4), calibration_table=given)


@pytest.mark.parametrize("given", [{"trials": 0}, {"held_back": -1}, {"target": "cos=2"}])
def test_bad_arguments(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        quantize(module(easy()), samples(4), **given)


def test_a_tpu_module_is_refused() -> None:
    with pytest.raises(InputError, match="expected a Top module"):
        quantize(module(easy()).lower("F32"), samples(4))


def test_few_trials_still_meet_the_target() -> None:
    result = quantize(module(hard()), samples(6), target="cos=0.999", trials=2, **PLAIN)
    assert result.met
    assert len(result.points) <= 3


def test_what_f16_does_not_hold_is_f32() -> None:
    """A float beside integers keeps the range rules of the deploy."""
    result = quantize(module(hard(large=1e6)), samples(6), target="cos=0.999", **PLAIN)
    assert result.met
    assert result.table["spoiled"] == "F32"


# --- sensitivities -------------------------------------------------------------------


def table_for(top: tpumlir.Module) -> CalibrationTable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)  # of tensors that lose what is small, which is the point
        return tpumlir.calibrate(top, samples(4), method="max")


def test_the_shares_add_up_and_blame_the_culprit() -> None:
    top = module(hard())
    seen = sensitivity(top, samples(2), calibration_table=table_for(top))
    assert sum(error.share for error in seen.ops) == pytest.approx(1)
    worst = max(seen.ops, key=lambda error: error.share)
    assert worst.tensor == "spoiled"
    assert worst.share > 0.8


def test_isolated_and_accumulated_errors() -> None:
    top = module(easy())
    seen = sensitivity(top, samples(2), calibration_table=table_for(top))
    by_name = {error.tensor: error for error in seen.ops}
    lowered = top.lower("INT8", calibration_table=table_for(top))
    inputs = samples(2)
    ends = [(ModuleInterpreter(m).run(s)["y"], s) for s in inputs for m in (top, lowered)]
    want = [value for value, _ in ends[::2]]
    got = [value for value, _ in ends[1::2]]
    noise = sum(float(((a - b) ** 2).sum()) for a, b in zip(got, want, strict=True))
    signal = sum(float((b**2).sum()) for b in want)
    assert by_name["y"].accumulated == pytest.approx((noise / signal) ** 0.5, rel=1e-3)
    assert seen.outputs["y"] == pytest.approx(by_name["y"].accumulated)
    for error in seen.ops:
        # An own error cannot be far above what has accumulated.
        assert 0 < error.isolated < 1.5 * error.accumulated


def test_floats_have_no_share() -> None:
    top = module(easy())
    names = {name for name in top.tensor_names() if name != "x"}
    seen = sensitivity(
        top, samples(1), calibration_table=table_for(top), quantize_table=dict.fromkeys(names, "F32")
    )
    assert seen.outputs["y"] == pytest.approx(0, abs=1e-5)
    assert all(error.precision == "F32" for error in seen.ops)


def test_f16_has_sensitivities_too() -> None:
    seen = sensitivity(module(easy()), samples(1), quantize="F16")
    assert {error.precision for error in seen.ops} == {"F16"}
    assert 0 < seen.outputs["y"] < 0.01


# --- pages -----------------------------------------------------------------------------


def test_the_front_is_what_nothing_beats(found: QuantizeResult) -> None:
    best = front(found.points)
    assert best
    assert [p.cycles for p in best] == sorted(p.cycles or 0 for p in best)
    assert [p.score for p in best] == sorted(p.score for p in best)


def test_pages_and_picture(found: QuantizeResult) -> None:
    text = page(found, "a<b>").decode()
    assert "Cycles against accuracy" in text
    assert "a<b>" not in text
    assert picture(found, "näme ✓").startswith(b"\x89PNG")
    top = module(easy())
    seen = sensitivity(top, samples(1), calibration_table=table_for(top))
    assert b"Errors by depth" in depth_page(seen, "m")


def test_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize(module(easy()), samples(4), target="cos=0.95", trials=4)
