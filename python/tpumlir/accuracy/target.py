"""Targets: how near the outputs of a quantised model must be to those of the float model.

A score is one number over all samples, the greater the better. ``cos``, ``euclid`` and ``snr`` are those of
``tpumlir.compare``, of the worst output of the worst sample; a metric is a function of the user's.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir._core.compare import Similarity, similarity
from tpumlir.errors import InputError

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
Metric = Callable[[Sequence[Outputs], Sequence[Outputs]], float]

FORMS = "cos=0.99, snr=20, euclid=0.9 or metric=module:function>=0.8"
KEPT = 0.99
"""A metric without a bound must reach this part of what the float model itself reaches."""


def _cosine(s: Similarity) -> float:
    if s.aa == 0 or s.bb == 0:
        return 1.0 if s.aa == s.bb else 0.0
    # Through the difference: 1 - cos of nearly equal tensors keeps its digits.
    a, b = math.sqrt(s.aa), math.sqrt(s.bb)
    return 1.0 - max(0.0, (s.dd / (a * b) - (a / b + b / a - 2)) / 2)


def _euclid(s: Similarity) -> float:
    middle = s.aa + 2 * s.ab + s.bb
    if middle <= 0:
        return 1.0 if s.dd == 0 else -math.inf
    return 1.0 - 2 * math.sqrt(s.dd / middle)


def _snr(s: Similarity) -> float:
    if s.dd == 0:
        return math.inf
    return 10 * math.log10(s.bb / s.dd) if s.bb else -math.inf


_OF_TENSORS: Mapping[str, Callable[[Similarity], float]] = {"cos": _cosine, "snr": _snr, "euclid": _euclid}


@dataclass(frozen=True)
class Target:
    """What is asked for: ``kind`` cos, snr, euclid or metric, and the least score that will do."""

    kind: str
    least: float | None  # None: KEPT of the float model's own score
    text: str
    function: Metric | None = None

    @staticmethod
    def parse(text: str) -> Target:
        """Read ``kind=value``. Raises: InputError: another text, a metric that cannot be imported."""
        kind, equals, value = text.strip().partition("=")
        kind = kind.strip().lower()
        if not equals or kind not in {*_OF_TENSORS, "metric"}:
            raise InputError(f"expected a target such as {FORMS}, got {text!r}")
        if kind == "metric":
            return _metric(value.strip(), text)
        least = _number(value)
        if least is None:
            raise InputError(f"expected a number as the target {kind}, such as {FORMS}, got {value!r}")
        if kind != "snr" and not 0 < least <= 1:
            raise InputError(f"expected a target {kind} above 0 and at most 1, got {value.strip()}")
        return Target(kind, least, f"{kind}={value.strip()}")

    def over(self, references: Sequence[Outputs]) -> Target:
        """The target with its bound: that of a metric may follow from the float model's own score."""
        if self.least is not None:
            return self
        own = self._call(references, references)
        return Target(self.kind, own - (1 - KEPT) * abs(own), self.text, self.function)

    @property
    def by_sample(self) -> bool:
        """Whether the score of several samples is the least of theirs."""
        return self.function is None

    @property
    def most(self) -> float:
        """The score of equal outputs."""
        return 1.0 if self.kind in {"cos", "euclid"} else math.inf

    def score(self, outputs: Sequence[Outputs], references: Sequence[Outputs]) -> float:
        """The score of ``outputs``, one mapping per sample; what is not finite scores -inf.

        Raises: InputError: a metric that fails or gives no number.
        """
        if self.function is not None:
            return self._call(outputs, references)
        measure = _OF_TENSORS[self.kind]
        worst = math.inf
        for got, want in zip(outputs, references, strict=True):
            for name in judged(want):
                seen = similarity(_floats(got[name]), _floats(want[name]))
                worst = min(worst, -math.inf if seen.strange else measure(seen))
        return worst

    def is_met(self, score: float) -> bool:
        """Whether a score will do."""
        assert self.least is not None, "over() comes first"
        return score >= self.least

    def loss(self, score: float) -> float:
        """A score as a loss for charts: how far it is from that of equal outputs."""
        return 1.0 - score if self.kind in {"cos", "euclid"} else -score

    def _call(self, outputs: Sequence[Outputs], references: Sequence[Outputs]) -> float:
        assert self.function is not None
        name = self.text.partition("=")[2]
        try:
            score = float(self.function(outputs, references))
        except Exception as error:  # whatever the user's function raises
            raise InputError(f"metric {name}: {type(error).__name__}: {error}") from error
        if math.isnan(score):
            return -math.inf
        return score


def judged(outputs: Outputs) -> list[str]:
    """The outputs that are compared: the floats; integers only where there is nothing else."""
    filled = [name for name, value in outputs.items() if value.size]
    return [name for name in filled if outputs[name].dtype.kind == "f"] or filled


def _floats(value: Array) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value, np.float32)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _metric(value: str, text: str) -> Target:
    path, _, bound = value.partition(">=")
    least = _number(bound) if bound else None
    if bound and least is None:
        raise InputError(f"expected a number behind >= of a metric, got {bound!r}")
    module, colon, function = path.strip().partition(":")
    if not (module and colon and function):
        raise InputError(f"expected metric=module:function or metric=module:function>=0.8, got {text!r}")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # a module may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"metric {path}: expected a module {module!r} that can be imported, got {reason}"
        ) from None
    for part in function.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise InputError(f"metric {path}: expected a function {function!r} in {module!r}, got none")
    return Target("metric", least, f"metric={value}", found)
