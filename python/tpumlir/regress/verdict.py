"""What was expected of a case, and what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tpumlir.compare import Tolerance
from tpumlir.regress.execute import STAGES, Outcome, Result
from tpumlir.regress.keys import EXPECTATIONS
from tpumlir.regress.suite import Case

Verdict = Literal["ok", "wrong", "fixed"]
"""As expected; not as expected; a known failure that passes."""
FORMAT = 1


@dataclass(frozen=True)
class Row:
    """A case with its outcome and the verdict; ``why`` says what is not as expected."""

    case: Case
    content: str
    result: Result
    verdict: Verdict
    why: str = ""
    cached: bool = False

    @property
    def outcome(self) -> Outcome:
        """What became of the case."""
        return self.result.outcome

    @property
    def ddr(self) -> int | None:
        """Bytes that the bmodel reads and writes in DDR."""
        return ddr_of(self.outcome)

    def to_json(self) -> dict[str, Any]:
        """What is the same whenever and wherever the case runs."""
        return {
            "id": self.case.id,
            "model": self.case.name,
            "quantize": self.case.quantize,
            "chip": self.case.chip,
            "content": self.content,
            "verdict": self.verdict,
            "why": self.why,
            **self.outcome,
        }


def ddr_of(outcome: Mapping[str, Any]) -> int | None:
    """Bytes read and written; None if no bmodel was made."""
    if "ddr_read" not in outcome:
        return None
    return int(outcome["ddr_read"]) + int(outcome["ddr_written"])


def judge(case: Case, content: str, result: Result, *, cached: bool = False) -> Row:
    """Compare an outcome with what the suite expects."""
    verdict, why = _verdict(case.expected, result.outcome)
    return Row(case, content, result, verdict, why, cached)


def _verdict(expected: Mapping[str, Any], outcome: Outcome) -> tuple[Verdict, str]:
    wanted = expected.get("expect", "pass")
    status, message = str(outcome["status"]), described(outcome)
    if status == "passed":
        if wanted != "pass":
            return "fixed", f"passes, but the suite expects {wanted!r}: change the suite"
        beyond = list(_limits(expected, outcome))
        return ("wrong", "; ".join(beyond)) if beyond else ("ok", "")
    if status != EXPECTATIONS[wanted]:
        return "wrong", message if wanted == "pass" else f"expected {wanted!r}, got {message}"
    reason = str(expected.get("reason", ""))
    if reason and reason not in message:
        return "wrong", f"expected {wanted!r} for the reason {reason!r}, got {message}"
    return "ok", ""


def described(outcome: Outcome) -> str:
    """A status other than passed in words."""
    node, message = outcome.get("node"), outcome.get("message")
    return ": ".join(str(part) for part in (outcome["status"], node, message) if part)


def _limits(expected: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """What is beyond the limits that the suite sets."""
    beyond = []
    for key, got in (("max_cycles", outcome["cycles"]), ("max_ddr", ddr_of(outcome))):
        if key in expected and got is not None and got > expected[key]:
            what = "cycles" if key == "max_cycles" else "bytes of DDR"
            beyond.append(f"expected at most {expected[key]:,} {what}, got {got:,}")
    if "min_similarity" in expected:
        least = Tolerance.parse(expected["min_similarity"])
        for stage in STAGES:
            cosine, euclid = outcome["similarity"][stage]
            if (cosine or 0.0) < least.cosine or (euclid or 0.0) < least.euclid:
                text = expected["min_similarity"]
                beyond.append(f"expected a similarity of at least {text} in {stage}, got {cosine},{euclid}")
    return beyond


def results_of(suite: str, versions: Mapping[str, str], rows: Sequence[Row]) -> dict[str, Any]:
    """The document of a run: the same bytes wherever and whenever it runs."""
    cases = [row.to_json() for row in sorted(rows, key=lambda row: row.case.id)]
    return {"format": FORMAT, "suite": suite, "compiler": dict(versions), "cases": cases}


def times_of(rows: Sequence[Row]) -> dict[str, Any]:
    """What the cases took, by id, for the document beside the results."""
    ordered = sorted(rows, key=lambda row: row.case.id)
    return {row.case.id: row.result.samples for row in ordered if row.result.samples}
