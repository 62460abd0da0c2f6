"""Equalisation, rounding and bias correction as a search uses them: tried, judged, kept or not.

What is kept must be better twice: in the target's score on the held-back samples, and in the mean signal to
noise ratio over those and the calibrating ones. Few samples are held back, and one of them alone would take a
gain for granted that the others do not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir.accuracy.equalize import equalized
from tpumlir.accuracy.target import Target
from tpumlir.accuracy.tune import Tuned, tuned
from tpumlir.calibration.calibrate import Options, measure
from tpumlir.calibration.dataset import Sample
from tpumlir.calibration.table import CalibrationTable
from tpumlir.errors import InputError
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
Values = Mapping[str, Array]

_MOST_JUDGES = 8
_LOUDEST = 100.0  # dB that count of a sample, so that one without an error does not hide the others


@dataclass(frozen=True)
class Switches:
    """Of each way whether it is used; None: if it helps."""

    equalize: bool | None = None
    rounding: bool | None = None
    bias_correction: bool | None = None

    def check(self, *, is_calibrated: bool) -> None:
        """Raises: InputError: thresholds that were given for a module that would be another."""
        if self.equalize and is_calibrated:
            raise InputError(
                "equalisation changes the ranges that thresholds are for: expected no calibration table with "
                "it (leave out --calibration_table or --equalize)"
            )


OFF = Switches(equalize=False, rounding=False, bias_correction=False)


@dataclass(frozen=True)
class Judged:
    """How a plain module does: the target's score on held-back samples, the mean dB over all that judge."""

    score: float
    snr: float

    def beats(self, other: Judged) -> bool:
        """Whether it is better in both."""
        return self.score > other.score and self.snr > other.snr


@dataclass(frozen=True)
class Improvement:
    """What one way brought to the module with all in integers, and whether it was kept."""

    name: str
    before: Judged
    after: Judged
    kept: bool
    changed: int  # products
    skipped: Mapping[str, str]  # why not, by product

    def to_json(self) -> dict[str, object]:
        """What reports show."""
        numbers = {
            f"{what}_{when}": value if math.isfinite(value) else str(value)
            for when, judged in (("before", self.before), ("after", self.after))
            for what, value in (("score", judged.score), ("snr", judged.snr))
        }
        return {
            "name": self.name, "kept": self.kept, "changed": self.changed, **numbers,
            "skipped": dict(self.skipped),
        }  # fmt: skip

    def text(self, kind: str) -> str:
        """In one line."""
        return (
            f"{self.name}: {kind} {self.before.score:.5g} -> {self.after.score:.5g}, "
            f"{self.before.snr:.1f} -> {self.after.snr:.1f} dB, {self.changed} products; "
            f"{'kept' if self.kept else 'not kept'}"
        )


@dataclass
class Plain:
    """A module with its thresholds, and what becomes of it with all in integers."""

    module: Module
    table: CalibrationTable
    lowered: Module


class Improver:
    """Tries one way after the other on a plain module; ``lower`` makes one of a Top module and thresholds."""

    def __init__(  # noqa: PLR0913 - what the search has
        self, target: Target, samples: Sequence[Sample], read: Callable[[Sample], dict[str, Array]],
        held: Sequence[tuple[Values, Values]], lower: Callable[[Module, CalibrationTable], Module],
        step: Callable[[str], None], *, allow_nonfinite: bool,
    ) -> None:  # fmt: skip
        self.target, self.samples, self.lower, self.step = target, samples, lower, step
        self.allow = allow_nonfinite
        self.held = held
        self.read = read
        self.found: list[Improvement] = []

    def run(self, plain: Plain, method: str, switches: Switches) -> Plain:
        """The plain module with what helps; ``found`` tells what was tried. ``method`` makes thresholds."""
        if switches == OFF:
            return plain
        stride = max(1, math.ceil(len(self.samples) / _MOST_JUDGES))
        self.inputs = [self.read(sample) for sample in self.samples[::stride]]
        interpreter = ModuleInterpreter(plain.module)
        self.wanted = [interpreter.run(values, allow_nan=self.allow) for values in self.inputs]
        best, judged = plain, self.judge(plain.lowered)
        if switches.equalize is not False and method:
            best, judged = self._equalize(best, judged, method, force=bool(switches.equalize))
        if switches.rounding is not False:
            trial = tuned(best.module, best.lowered, self.inputs, bias=False, rounding=True)
            kept = self._tune("rounding", best, judged, trial, trial.rounded, force=bool(switches.rounding))
            best, judged = kept or (best, judged)
        if switches.bias_correction is not False:
            trial = tuned(best.module, best.lowered, self.inputs, bias=True, rounding=False)
            force = bool(switches.bias_correction)
            kept = self._tune("bias correction", best, judged, trial, trial.corrected, force=force)
            best, judged = kept or (best, judged)
        return best

    def judge(self, lowered: Module) -> Judged:
        """Run a module on the samples that judge."""
        interpreter = ModuleInterpreter(lowered)
        got = [interpreter.run(values, allow_nan=True) for values, _ in self.held]
        score = self.target.score(got, [wanted for _, wanted in self.held])
        got += [interpreter.run(values, allow_nan=True) for values in self.inputs]
        wanted = [wanted for _, wanted in self.held] + self.wanted
        snr = Target.parse("snr=1")
        ratios = [
            min(snr.score([one], [want]), _LOUDEST) for one, want in zip(got, wanted, strict=True)
        ]  # fmt: skip
        return Judged(score, sum(ratios) / len(ratios))

    def _equalize(self, plain: Plain, judged: Judged, method: str, *, force: bool) -> tuple[Plain, Judged]:
        trial = equalized(plain.module, self.inputs)
        if not trial:
            return plain, self._note("equalisation", judged, judged, 0, trial.skipped, kept=False)
        self._expect_equal(trial.module)
        seen = measure(trial.module, self.samples, Options(allow_nonfinite=self.allow))
        table = seen.table(method)
        lowered = self.lower(trial.module, table)
        after = self.judge(lowered)
        kept = force or after.beats(judged)
        self._note("equalisation", judged, after, len(trial.links), trial.skipped, kept=kept)
        return (Plain(trial.module, table, lowered), after) if kept else (plain, judged)

    def _expect_equal(self, module: Module) -> None:
        """The function is the same; if it ever were not, nothing here may hide that."""
        got = ModuleInterpreter(module).run(self.inputs[0], allow_nan=self.allow)
        for name, wanted in self.wanted[0].items():
            if not np.allclose(got[name], wanted, rtol=1e-5, atol=1e-6, equal_nan=True):
                raise InputError(
                    f"equalisation changed the output {name}, which it must not: leave it out with "
                    "--equalize off, and report this model"
                )

    def _tune(
        self, name: str, plain: Plain, judged: Judged, trial: Tuned, changed: int, *, force: bool
    ) -> tuple[Plain, Judged] | None:
        if not changed:
            self._note(name, judged, judged, 0, trial.skipped, kept=False)
            return None
        module = plain.module.clone()
        module.int8 = trial.weights
        lowered = self.lower(module, plain.table)
        after = self.judge(lowered)
        kept = force or after.beats(judged)
        self._note(name, judged, after, changed, trial.skipped, kept=kept)
        return (Plain(module, plain.table, lowered), after) if kept else None

    def _note(
        self,
        name: str,
        before: Judged,
        after: Judged,
        changed: int,
        skipped: Mapping[str, str],
        *,
        kept: bool,
    ) -> Judged:
        self.found.append(Improvement(name, before, after, kept, changed, skipped))
        self.step(self.found[-1].text(self.target.kind))
        return after
