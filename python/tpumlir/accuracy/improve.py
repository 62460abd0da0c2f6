"""Equalisation, thresholds, rounding and bias correction as a search uses them: tried, judged, kept or not.

What is kept must be better twice: in the mean signal to noise ratio over all samples that judge, and over
those alone that were held back. Few samples are held back, and one of them alone would take a gain for
granted that the others do not have; the others were there when it was made. Thresholds are chosen by all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tpumlir.accuracy.blame import blame
from tpumlir.accuracy.clipping import Clipped, clipped
from tpumlir.accuracy.equalize import equalized
from tpumlir.accuracy.judges import Judged, Judges
from tpumlir.accuracy.noise import Noise
from tpumlir.accuracy.tune import Tuned, tuned
from tpumlir.calibration.calibrate import Options, measure
from tpumlir.calibration.dataset import Sample
from tpumlir.calibration.table import CalibrationTable
from tpumlir.errors import InputError
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module

METHODS = ("mse", "kl", "max", "percentile9999")
"""How thresholds are found; the one that does best is taken, and of single tensors what another says."""
CLIPPING = "thresholds"
_LOOKED_AT = 2  # samples that show where the error comes from


@dataclass(frozen=True)
class Switches:
    """Of each way whether it is used; None: if it helps."""

    equalize: bool | None = None
    rounding: bool | None = None
    bias_correction: bool | None = None
    clipping: bool | None = None

    def check(self, *, is_calibrated: bool) -> None:
        """Raises: InputError: thresholds that were given for a module that would be another."""
        if self.equalize and is_calibrated:
            raise InputError(
                "equalisation changes the ranges that thresholds are for: expected no calibration table with "
                "it (leave out --calibration_table or --equalize)"
            )
        if self.clipping and is_calibrated:
            raise InputError(
                "thresholds are given: expected no choice of others (leave out --calibration_table or --clip)"
            )


OFF = Switches(equalize=False, rounding=False, bias_correction=False, clipping=False)


@dataclass(frozen=True)
class Improvement:
    """What one way brought to the module with all in integers, and whether it was kept."""

    name: str
    before: Judged
    after: Judged
    kept: bool
    changed: int  # products, or tensors
    skipped: Mapping[str, str]  # why not, by product

    @property
    def of(self) -> str:
        """What was changed."""
        return "tensors" if self.name == CLIPPING else "products"

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
            f"{self.before.snr:.1f} -> {self.after.snr:.1f} dB, {self.changed} {self.of}; "
            f"{'kept' if self.kept else 'not kept'}"
        )


@dataclass
class Plain:
    """A module with its thresholds, and what becomes of it with all in integers."""

    module: Module
    table: CalibrationTable
    lowered: Module
    judged: Judged
    tables: Sequence[CalibrationTable] = ()  # of the other methods; none where thresholds were given


class Improver:
    """Tries one way after the other on a plain module; ``lower`` makes one of a Top module and thresholds."""

    def __init__(
        self, judges: Judges, samples: Sequence[Sample], lower: Callable[[Module, CalibrationTable], Module],
        step: Callable[[str], None], *, allow_nonfinite: bool,
    ) -> None:  # fmt: skip
        self.judges, self.samples, self.lower, self.step = judges, samples, lower, step
        self.allow = allow_nonfinite
        self.inputs = judges.calibrating
        self.found: list[Improvement] = []

    def run(self, plain: Plain, method: str, switches: Switches) -> Plain:
        """The plain module with what helps; ``found`` tells what was tried. ``method`` makes thresholds."""
        best = plain
        if switches.equalize is not False and method:
            best = self._equalize(best, method, force=bool(switches.equalize))
        if (
            switches.clipping is not False
            and best.tables
            and (
                switches.clipping
                or not self.judges.target.is_met(best.judged.score)  # else nothing is to be found
            )
        ):
            best = self._clip(best, force=bool(switches.clipping))
        if switches.rounding is not False:
            trial = tuned(best.module, best.lowered, self.inputs, bias=False, rounding=True)
            best = self._tune("rounding", best, trial, trial.rounded, force=bool(switches.rounding))
        if switches.bias_correction is not False:
            trial = tuned(best.module, best.lowered, self.inputs, bias=True, rounding=False)
            force = bool(switches.bias_correction)
            best = self._tune("bias correction", best, trial, trial.corrected, force=force)
        return best

    def _equalize(self, plain: Plain, method: str, *, force: bool) -> Plain:
        trial = equalized(plain.module, self.inputs)
        if not trial:
            return self._note("equalisation", plain, plain, 0, trial.skipped, kept=False)
        self._expect_equal(trial.module)
        seen = measure(trial.module, self.samples, Options(allow_nonfinite=self.allow))
        tables = {name: seen.table(name) for name in METHODS}
        if not plain.table.channel_ranges():
            tables = {name: table.without_channels() for name, table in tables.items()}
        table = tables[method]
        lowered = self.lower(trial.module, table)
        after = Plain(trial.module, table, lowered, self.judges.judge(lowered), tuple(tables.values()))
        return self._note("equalisation", plain, after, len(trial.links), trial.skipped, kept=force)

    def _clip(self, plain: Plain, *, force: bool) -> Plain:
        noise = Noise(plain.module, plain.lowered)
        for sample in self.inputs[:: max(1, len(self.inputs) // _LOOKED_AT)][:_LOOKED_AT]:
            noise.add(sample)
        errors = sorted(blame(noise).ops, key=lambda error: -error.share)
        start = Clipped(plain.table, plain.lowered, plain.judged)
        found = clipped(
            start, [error.tensor for error in errors if error.share > 0], plain.tables, self.judges,
            lambda table: self.lower(plain.module, table),
        )  # fmt: skip
        after = Plain(plain.module, found.table, found.lowered, found.judged, plain.tables)
        better = not found.judged.decides or found.judged.score >= plain.judged.score
        return self._note(
            CLIPPING, plain, after, found.changed, {}, kept=bool(found.changed) and (force or better)
        )

    def _expect_equal(self, module: Module) -> None:
        """The function is the same; if it ever were not, nothing here may hide that."""
        got = ModuleInterpreter(module).run(self.inputs[0], allow_nan=self.allow)
        for name, wanted in self.judges.references[self.judges.first].items():
            if not np.allclose(got[name], wanted, rtol=1e-5, atol=1e-6, equal_nan=True):
                raise InputError(
                    f"equalisation changed the output {name}, which it must not: leave it out with "
                    "--equalize off, and report this model"
                )

    def _tune(self, name: str, plain: Plain, trial: Tuned, changed: int, *, force: bool) -> Plain:
        if not changed:
            return self._note(name, plain, plain, 0, trial.skipped, kept=False)
        module = plain.module.clone()
        module.int8 = trial.weights
        lowered = self.lower(module, plain.table)
        after = Plain(module, plain.table, lowered, self.judges.judge(lowered), plain.tables)
        return self._note(name, plain, after, changed, trial.skipped, kept=force)

    def _note(
        self, name: str, before: Plain, after: Plain, changed: int, skipped: Mapping[str, str], *, kept: bool
    ) -> Plain:
        """Which of the two is kept; it is told."""
        kept = kept or after.judged.beats(before.judged)
        self.found.append(Improvement(name, before.judged, after.judged, kept, changed, skipped))
        self.step(self.found[-1].text(self.judges.target.kind))
        return after if kept else before
