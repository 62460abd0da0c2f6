"""The samples that judge a quantised module: those held back, and as many that calibrate.

Thresholds are made to fit the samples that calibrate, so those held back must judge; but they are few, and by
chance easy. So the target must be met by each sample that is held back, and either by each of the others too
or by the mean of all less its uncertainty (a lower bound of confidence): then another input meets it on
average, and one odd sample that calibrates does not make floats of everything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tpumlir.accuracy.target import Target
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
Values = Mapping[str, Array]

MOST = 8
"""Samples of each kind that judge, at most."""
_CONFIDENT = (
    3.078,
    1.886,
    1.638,
    1.533,
    1.476,
    1.440,
    1.415,
    1.397,
    1.383,
    1.372,
    1.363,
    1.356,
    1.350,
    1.345,
)
"""Student's t of 90 % on one side, for 2, 3 and so on samples; beyond, that of 16."""
_CONFIDENT_OF_MANY = 1.341
_LOUDEST = 40.0  # dB that count of a sample: where nothing is wrong, less of it does not outweigh the others
_QUIETEST = -20.0
_SNR = Target("snr", 0.0, "snr=0")


@dataclass(frozen=True)
class Judged:
    """How a module does: the target's score over all that judge, the dB of each, those held back first."""

    score: float
    ratios: tuple[float, ...]
    held: int
    decides: bool = False  # whether the score does and not the dB: a metric of the user's

    @property
    def snr(self) -> float:
        """The mean dB over all that judge."""
        return sum(self.ratios) / len(self.ratios)

    @property
    def held_snr(self) -> float:
        """The same over those held back."""
        return sum(self.ratios[: self.held]) / self.held

    def beats(self, other: Judged) -> bool:
        """Whether it is better on all and no worse on the held-back; better by a metric of the user's too."""
        scores = not self.decides or self.score > other.score
        return scores and self.snr > other.snr and self.held_snr >= other.held_snr


class Judges:
    """Runs modules on the samples and compares with what the float module makes of them."""

    def __init__(
        self, module: Module, target: Target, held: Sequence[Values], others: Sequence[Values],
        *, allow_nonfinite: bool,
    ) -> None:  # fmt: skip
        self.inputs = [*held, *others]
        self.held, self.others = len(held), len(others)
        interpreter = ModuleInterpreter(module)
        self.references = [interpreter.run(values, allow_nan=allow_nonfinite) for values in self.inputs]
        self.target = target.over(self.references)
        self._order = list(range(len(self.inputs)))  # what fails soonest comes first

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def calibrating(self) -> list[Values]:
        """Those that calibrate too; if one sample does it all, that."""
        return self.inputs[self.first :]

    @property
    def first(self) -> int:
        """The place of the first of them."""
        return self.held if self.others else 0

    @property
    def text(self) -> str:
        """Who judges."""
        held = f"{self.held} held-back"
        both = f"{held} and {self.others} calibrating" if self.others else held
        return f"{both} sample{'s' * (len(self) != 1)}"

    def judge(self, lowered: Module) -> Judged:
        """Run a module on all of them."""
        outputs = self._outputs(lowered)
        if self.target.by_sample:
            scores = self._scores(outputs)
            self._order.sort(key=lambda i: (i >= self.held, scores[i]))
        return self._judged(outputs)

    def better(self, lowered: Module, than: Judged, gain: float) -> Judged | None:
        """How a module does if its mean dB are ``gain`` more; the harder half of the samples comes first."""
        interpreter = ModuleInterpreter(lowered)
        outputs: dict[int, Values] = {}
        ratios: dict[int, float] = {}
        for i in self._order:
            outputs[i] = self._output(interpreter, i)
            ratios[i] = self._ratio(i, outputs[i])
            if len(ratios) == (len(self) + 1) // 2 and sum(ratios.values()) <= sum(
                than.ratios[j] for j in ratios
            ):
                return None
        if sum(ratios.values()) < sum(than.ratios) + gain * len(self):
            return None
        return self._judged([outputs[i] for i in range(len(self))])

    def score(self, lowered: Module) -> tuple[float, bool]:
        """The score, and whether all samples were run: what cannot be met any more is settled."""
        if not self.target.by_sample:
            return self.target.score(self._outputs(lowered), self.references), True
        interpreter = ModuleInterpreter(lowered)
        seen: dict[int, float] = {}
        for place, i in enumerate(self._order):
            seen[i] = self.target.score([self._output(interpreter, i)], [self.references[i]])
            if self.target.is_met(seen[i]):
                continue
            # The rest is at best without an error.
            most = [seen.get(j, self.target.most) for j in range(len(self))]
            if i < self.held or not self.target.is_met(sum(most) / len(most)):
                # The next candidate is likely to fail where this one does.
                self._order.insert(0 if i < self.held else self.held, self._order.pop(place))
                return min(seen.values()), len(seen) == len(self)
        return self._overall([seen[i] for i in range(len(self))]), True

    def _overall(self, scores: Sequence[float]) -> float:
        """One score of those of all samples."""
        return min(*scores[: self.held], max(min(scores), lower_bound(scores)))

    def _scores(self, outputs: Sequence[Values]) -> list[float]:
        return [self.target.score([got], [want]) for got, want in zip(outputs, self.references, strict=True)]

    def _judged(self, outputs: Sequence[Values]) -> Judged:
        ratios = tuple(self._ratio(i, got) for i, got in enumerate(outputs))
        by_sample = self.target.by_sample
        score = (
            self._overall(self._scores(outputs)) if by_sample else self.target.score(outputs, self.references)
        )
        return Judged(score, ratios, self.held, decides=not by_sample)

    def _ratio(self, i: int, got: Values) -> float:
        return min(max(_SNR.score([got], [self.references[i]]), _QUIETEST), _LOUDEST)

    def _outputs(self, lowered: Module) -> list[Values]:
        interpreter = ModuleInterpreter(lowered)
        return [self._output(interpreter, i) for i in range(len(self))]

    def _output(self, interpreter: ModuleInterpreter, i: int) -> Values:
        got = interpreter.run(self.inputs[i], allow_nan=True)
        return {name: got[name] for name in self.references[i]}


def lower_bound(scores: Sequence[float]) -> float:
    """What the mean score of many inputs exceeds with a confidence of 90 %, as these samples tell."""
    count = len(scores)
    if count < 2 or not all(map(math.isfinite, scores)):
        return min(scores)
    mean = math.fsum(scores) / count
    spread = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (count - 1))
    quantile = _CONFIDENT[count - 2] if count - 2 < len(_CONFIDENT) else _CONFIDENT_OF_MANY
    return mean - quantile * spread / math.sqrt(count)
