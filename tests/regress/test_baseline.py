"""A run beside an earlier one: what counts as worse, and what is noise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regress import models
from regress.models import folder_of, run
from tpumlir.regress.baseline import Baseline, Change, compare_runs
from tpumlir.regress.execute import Result
from tpumlir.regress.suite import Case
from tpumlir.regress.verdict import judge, results_of

SIMILAR = {"top": [1.0, 1.0], "tpu": [0.9999, 0.99], "bmodel": [1.0, 1.0]}
PASSED: Mapping[str, Any] = {
    "status": "passed", "cycles": 1000, "ddr_read": 600, "ddr_written": 400,
    "similarity": SIMILAR,
}  # fmt: skip
FAILED: Mapping[str, Any] = {**PASSED, "status": "failed", "stage": "tpu", "node": "y", "message": "off"}


def changes(
    before: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    after: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    limits: Mapping[str, float] | None = None,
    content: str = "c",
    expected: Mapping[str, Any] | None = None,
) -> list[Change]:
    """What changed between two runs, each given as (outcome, samples) of the cases 0, 1, ..."""

    def rows(cases: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], content: str) -> list[Any]:
        return [
            judge(
                Case(f"{i}", "F32", "bm1684x", Path("m.onnx"), expected=expected or {}),
                content,
                Result(dict(outcome), {name: list(values) for name, values in samples.items()}),
            )
            for i, (outcome, samples) in enumerate(cases)
        ]

    first = rows(before, "c")
    cases = {case["id"]: case for case in results_of("s", {}, first)["cases"]}
    times = {row.case.id: row.result.samples for row in first}
    baseline = Baseline(Path("results.json"), {}, cases, times)
    return compare_runs(rows(after, content), baseline, limits or {}, whole=True)


def kinds(found: Sequence[Change]) -> list[tuple[str, str]]:
    return [(change.kind, change.what) for change in found]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {}, []),
        ({}, {"cycles": 1010}, []),
        ({}, {"cycles": 1011}, [("regression", "cycles")]),
        ({}, {"cycles": 989}, [("improvement", "cycles")]),
        ({"cycles": 0}, {"cycles": 1}, [("regression", "cycles")]),
        ({}, {"ddr_written": 411}, [("regression", "ddr")]),
        ({}, {"ddr_read": 500, "ddr_written": 500}, []),
        ({}, {"similarity": {**SIMILAR, "tpu": [0.9999, 0.986]}}, []),
        ({}, {"similarity": {**SIMILAR, "tpu": [0.9999, 0.984]}}, [("regression", "euclid of tpu")]),
        ({}, {"similarity": {**SIMILAR, "tpu": [0.99999, 0.99]}}, [("improvement", "cosine of tpu")]),
        ({}, {"similarity": {**SIMILAR, "top": [0.999992, 0.99992]}}, []),
        ({}, {"similarity": {**SIMILAR, "top": [0.99998, 1.0]}}, [("regression", "cosine of top")]),
        ({}, FAILED, [("regression", "verdict")]),
        (FAILED, FAILED, []),
        (FAILED, {**FAILED, "status": "crashed"}, [("note", "status")]),
        (FAILED, PASSED, [("improvement", "verdict")]),
        (FAILED, {**FAILED, "cycles": 2000}, [("regression", "cycles")]),
        (FAILED, {**FAILED, "similarity": {**SIMILAR, "tpu": [None, None]}},
         [("regression", "cosine of tpu"), ("regression", "euclid of tpu")]),
    ],
)  # fmt: skip
def test_what_is_exact(before: dict[str, Any], after: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert kinds(changes([({**PASSED, **before}, {})], [({**PASSED, **after}, {})])) == found


def test_limits_can_be_set() -> None:
    after = {**PASSED, "cycles": 1100, "ddr_read": 601}
    assert kinds(changes([(PASSED, {})], [(after, {})], {"cycles": 0.2, "ddr": 0.0})) == [
        ("regression", "ddr")
    ]


def test_costs_of_another_content_are_not_compared() -> None:
    found = changes(
        [(PASSED, {"compile": [1.0]})], [({**PASSED, "cycles": 9000}, {"compile": [9.0]})], content="d"
    )
    assert kinds(found) == [("note", "content")]
    found = changes([(PASSED, {})], [(FAILED, {})], content="d")
    assert kinds(found) == [("regression", "verdict"), ("note", "content")]


def test_cases_that_only_one_run_has() -> None:
    assert kinds(changes([], [(PASSED, {})])) == [("note", "verdict")]
    assert kinds(changes([], [(FAILED, {})])) == [("regression", "verdict")]
    (gone,) = changes([(PASSED, {})], [])
    assert (gone.kind, gone.text) == ("note", "is in the baseline and not in the suite")


def test_a_known_failure_that_passes_or_fails_otherwise() -> None:
    known = {"expect": "fail"}
    assert kinds(changes([(FAILED, {})], [(PASSED, {})], expected=known)) == []
    assert kinds(changes([(FAILED, {})], [({"status": "crashed"}, {})], expected=known)) == [
        ("regression", "verdict")
    ]  # fmt: skip


def times(median: float, spread: float = 0.0, count: int = 5) -> dict[str, list[float]]:
    return {"compile": [median * (1 + spread * (i - count // 2)) for i in range(count)]}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (times(1.0), times(1.2), []),  # below the part
        (times(1.0), times(1.3), [("regression", "compile")]),
        (times(1.3), times(1.0), [("improvement", "compile")]),
        (times(0.1), times(0.14), []),  # below what the clock resolves
        (times(1.0, 0.1), times(1.3, 0.1), []),  # within its own noise
        (times(1.0, 0.1), times(3.0, 0.1), [("regression", "compile")]),
        (times(1.0, 0.1), {"compile": [1.0, 1.0, 5.0]}, []),  # one slow repetition is none
        (times(1.0, count=1), times(1.3, count=1), []),  # nothing tells the noise: 49 %
        (times(1.0, count=1), times(1.5, count=1), [("regression", "compile")]),
        (times(0.2), times(0.3), [("regression", "compile")]),
        (times(0.2, count=1), times(0.4, count=1), []),  # an interruption may be that long
        ({}, times(9.0), []),
        (times(1.0), {}, []),
        (times(0.0), times(9.0), []),
    ],
)
def test_times(
    before: dict[str, list[float]], after: dict[str, list[float]], found: list[tuple[str, str]]
) -> None:
    assert kinds(changes([(PASSED, before)], [(PASSED, after)])) == found


def test_a_noisy_suite_raises_the_bound_of_its_cases() -> None:
    rng = np.random.default_rng(0)

    def runs(noise: float, slow: float) -> list[Change]:
        base = rng.uniform(0.5, 2.0, 40)
        now = base * np.exp(noise * rng.standard_normal(40))
        now[7] *= slow
        return changes(
            [(PASSED, {"compile": [float(t)]}) for t in base],
            [(PASSED, {"compile": [float(t)]}) for t in now],
        )

    assert runs(0.15, 1.0) == []
    assert [(change.kind, change.case) for change in runs(0.02, 1.6)] == [("regression", "7:F32")]
    assert not [change for change in runs(0.2, 1.6) if change.case != "7:F32"]


def test_the_whole_suite_may_be_slower() -> None:
    """No case stands out of the others, but all of them together do."""
    before = [(PASSED, times(0.1 + i / 100, count=1)) for i in range(30)]
    after = [(PASSED, times(1.3 * (0.1 + i / 100), count=1)) for i in range(30)]
    found = changes(before, after, {"compile": 0.2})
    assert ("regression", "") in [(change.kind, change.case) for change in found]
    (whole,) = [change for change in found if not change.case]
    assert whole.text.startswith("compile of all 30 cases")
    assert kinds(changes(before, before)) == []


def test_the_exit_code_is_that_of_the_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.write(tmp_path / "exp.onnx", "Exp")
    models.write(tmp_path / "strange.onnx", "NoSuchOp", domain="made.up")
    path = models.suite(tmp_path, '[[model]]\npath = "*.onnx"\nquantize = "BF16"\n')
    base = tmp_path / "base.json"
    assert run(path, "-o", base) == 1
    assert run(path, "--baseline", base) == 0  # it was wrong before
    assert "1 of 2 cases as expected, 1 not, no regressions" in capsys.readouterr().out
    document = json.loads(base.read_bytes())
    cycles = document["cases"][0]["cycles"]
    document["cases"][0]["cycles"] -= 20
    for case in document["cases"]:
        case["verdict"], case["status"] = "ok", "passed"
    base.write_text(json.dumps(document))
    junit = tmp_path / "junit.xml"
    assert run(path, "--baseline", base, "--threshold", "cycles=5%", "--junit", junit) == 1
    out = capsys.readouterr().out
    assert "2 regressions" in out
    assert f"{cycles - 20:,} -> {cycles:,} cycles (+" in out
    text = junit.read_text()
    assert f"{cycles - 20:,} -&gt; {cycles:,} cycles" in text
    assert 'failures="2"' in text
    assert run(path, "--baseline", base, "--filter", "exp", "--threshold", "cycles=50%") == 0
    capsys.readouterr()
    # What --json prints is a baseline too, times and all.
    run(path, "--json")
    base.write_text(capsys.readouterr().out)
    assert run(path, "--baseline", base) == 0
    assert Baseline.read(base).times["exp:BF16"]["cpu"]
    assert (folder_of(path) / "results.json").exists()
    # The suite has thresholds of its own, which the flags go before.
    path.write_text(f"[thresholds]\ncycles = '20%'\n{path.read_text()}")
    document["cases"] = document["cases"][:1]
    base.write_text(json.dumps(document))
    assert run(path, "--baseline", base, "--filter", "exp") == 0
    assert run(path, "--baseline", base, "--filter", "exp", "--threshold", "cycles=0") == 1
