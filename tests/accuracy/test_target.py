"""Targets: what they read, what they refuse, and the scores they give."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tpumlir.accuracy.target import Target, judged
from tpumlir.errors import InputError


def floats(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("text", "kind", "least"),
    [
        ("cos=0.99", "cos", 0.99),
        (" COS = 1 ", "cos", 1.0),
        ("snr=20", "snr", 20.0),
        ("snr=-3.5", "snr", -3.5),
        ("euclid=9e-1", "euclid", 0.9),
    ],
)
def test_read(text: str, kind: str, least: float) -> None:
    target = Target.parse(text)
    assert (target.kind, target.least) == (kind, least)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a target such as"),
        ("0.99", "expected a target such as"),
        ("cosine=0.99", "expected a target such as"),
        ("cos", "expected a target such as"),
        ("cos=", "expected a number as the target cos"),
        ("cos=high", "expected a number as the target cos"),
        ("cos=nan", "expected a number as the target cos"),
        ("snr=inf", "expected a number as the target snr"),
        ("cos=1.5", "above 0 and at most 1, got 1.5"),
        ("euclid=0", "above 0 and at most 1, got 0"),
        ("metric=", "metric=module:function"),
        ("metric=math", "metric=module:function"),
        ("metric=no_such_module_here:f", "expected a module 'no_such_module_here'"),
        ("metric=math:no_such", "expected a function 'no_such' in 'math'"),
        ("metric=math:pi", "expected a function 'pi' in 'math'"),
        ("metric=math:sqrt>=much", "expected a number behind >="),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Target.parse(text)
    assert "\n" not in str(caught.value)


def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_metric.py").write_text("raise RuntimeError('no data')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"failing_metric.*RuntimeError: no data"):
        Target.parse("metric=failing_metric:score")
    sys.modules.pop("failing_metric", None)


CASES = [
    ("cos", floats(1, 0), floats(1, 0), 1.0),
    ("cos", floats(1, 0), floats(0, 1), 0.0),
    ("cos", floats(-2, 0), floats(1, 0), -1.0),
    ("cos", floats(0, 0), floats(0, 0), 1.0),
    ("cos", floats(0, 0), floats(1, 0), 0.0),
    ("euclid", floats(1, 1), floats(1, 1), 1.0),
    ("euclid", floats(3), floats(1), 0.0),
    ("snr", floats(10, 0), floats(9, 0), 20 * math.log10(9)),
    ("snr", floats(1), floats(1), math.inf),
    ("snr", floats(1), floats(0), -math.inf),
    ("cos", floats(math.nan, 1), floats(1, 1), -math.inf),
    ("snr", floats(math.inf, 1), floats(1, 1), -math.inf),
]


@pytest.mark.parametrize(("kind", "got", "want", "score"), CASES)
def test_scores(kind: str, got: Any, want: Any, score: float) -> None:
    assert Target.parse(f"{kind}=1").score([{"y": got}], [{"y": want}]) == pytest.approx(score, abs=1e-7)


def test_the_worst_output_of_the_worst_sample_counts() -> None:
    want = [{"a": floats(1, 0), "b": floats(1, 0)}] * 2
    got = [want[0], {"a": floats(1, 0), "b": floats(1, 1)}]
    assert Target.parse("cos=1").score(got, want) == pytest.approx(math.sqrt(0.5))


def test_small_differences_keep_their_digits() -> None:
    rng = np.random.default_rng(0)
    want = rng.standard_normal(1000).astype(np.float32)
    got = (want * np.float32(1 + 1e-6)).astype(np.float32)
    assert 1 - Target.parse("cos=1").score([{"y": got}], [{"y": want}]) < 1e-12


def test_integers_count_only_alone() -> None:
    both = {"index": np.array([1, 2]), "y": floats(1, 2), "none": np.zeros((0, 3), np.float32)}
    assert judged(both) == ["y"]
    assert judged({"index": both["index"]}) == ["index"]


def metric(outputs: Any, references: Any) -> float:
    """The share of elements with the sign of the reference."""
    pairs = list(zip(outputs, references, strict=True))
    return float(np.mean([np.mean(np.sign(a["y"]) == np.sign(b["y"])) for a, b in pairs]))


def broken(_outputs: Any, _references: Any) -> float:
    raise KeyError("label")


def test_a_metric_sees_all_samples_at_once() -> None:
    target = Target.parse(f"metric={__name__}:metric>=0.8")
    want = [{"y": floats(1, -1)}, {"y": floats(1, 1)}]
    got = [{"y": floats(2, -1)}, {"y": floats(1, -1)}]
    assert target.score(got, want) == 0.75
    assert not target.is_met(0.75)
    assert target.is_met(0.8)
    assert not target.by_sample


def test_a_metric_without_a_bound_keeps_most_of_the_float_models_score() -> None:
    want = [{"y": floats(1, -1)}]
    target = Target.parse(f"metric={__name__}:metric")
    assert target.least is None
    assert target.over(want).least == pytest.approx(0.99)


def test_a_metric_that_fails_is_an_error_in_one_line() -> None:
    with pytest.raises(InputError, match=r"metric .*:broken>=1: KeyError: 'label'"):
        Target.parse(f"metric={__name__}:broken>=1").score([{"y": floats(1)}], [{"y": floats(1)}])
