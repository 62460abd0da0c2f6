"""Which method's table makes the best INT8 module: each is lowered and run, and its outputs are judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.calibration import methods
from tpumlir.calibration.calibrate import Calibration, Progress
from tpumlir.calibration.dataset import Sample
from tpumlir.calibration.table import CalibrationTable
from tpumlir.data.record import recorded_pictures
from tpumlir.errors import InputError
from tpumlir.ir.interpreter import ModuleInterpreter

if TYPE_CHECKING:
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
Score = Callable[[Array, Array], float]


@dataclass(frozen=True)
class Trial:
    """How near outputs of INT8 with one method are to those of F32: of the worst output of each sample."""

    method: str
    mean: float
    worst: float


@dataclass(frozen=True)
class Found:
    """The best table, and what each method reached, the best first."""

    table: CalibrationTable
    trials: list[Trial]

    @property
    def method(self) -> str:
        """The best method."""
        return self.trials[0].method


def cosine(got: Array, want: Array) -> float:
    """The cosine of two tensors; 1 if both are 0 throughout."""
    from tpumlir._core.compare import similarity

    seen = similarity(got, want)
    if not seen.aa or not seen.bb:
        return 1.0 if seen.aa == seen.bb else 0.0
    return seen.ab / math.sqrt(seen.aa * seen.bb)


def snr(got: Array, want: Array) -> float:
    """Signal over noise in dB, 100 at most: equal tensors would make every mean infinite."""
    from tpumlir._core.compare import similarity

    seen = similarity(got, want)
    if not seen.dd:
        return 100.0
    return min(10 * math.log10(seen.bb / seen.dd), 100.0) if seen.bb else -100.0


BENCHMARKS: dict[str, Score] = {"cos": cosine, "snr": snr}


def search(
    module: Module,
    seen: Calibration,
    samples: Sequence[Sample],
    benchmark: str = "cos",
    progress: Progress | None = None,
) -> Found:
    """Try every method on ``samples`` and take the one with the best mean; of equals the default.

    Raises: InputError: no samples, an unknown benchmark. UnsupportedError: what INT8 does not have.
    """
    if benchmark not in BENCHMARKS:
        raise InputError(f"expected a benchmark of {', '.join(BENCHMARKS)}, got {benchmark!r}")
    if not samples:
        raise InputError("expected samples, got none")
    nonfinite = seen.options.allow_nonfinite
    pictures = recorded_pictures(module)
    inputs = [sample.read(module, pictures, allow_nonfinite=nonfinite) for sample in samples]
    run = ModuleInterpreter(module)
    wanted = [run.run(values, allow_nan=nonfinite) for values in inputs]
    names = [methods.DEFAULT, *(name for name in methods.METHODS if name != methods.DEFAULT)]
    tables = {name: seen.table(name) for name in names}
    trials = []
    for place, name in enumerate(names, 1):
        lowered = ModuleInterpreter(module.lower("INT8", calibration_table=tables[name]))
        scores = [
            _worst(lowered.run(values, allow_nan=nonfinite), want, BENCHMARKS[benchmark])
            for values, want in zip(inputs, wanted, strict=True)
        ]
        trials.append(Trial(name, sum(scores) / len(scores), min(scores)))
        if progress:
            progress(place, len(names))
    trials.sort(key=lambda trial: -trial.mean)  # stable: the default is the first of equals
    best = tables[trials[0].method]
    how = f"the best of {len(trials)} by {benchmark} of the outputs of INT8 on {len(samples)} samples"
    comments = (*best.comments[:-1], f"{best.comments[-1]}, {how}")
    return Found(CalibrationTable(best.rows, comments), trials)


def _worst(got: Mapping[str, Array], want: Mapping[str, Array], score: Score) -> float:
    """The score of the output that is off most."""
    return min(
        score(np.ascontiguousarray(got[name], np.float32), np.ascontiguousarray(value, np.float32))
        for name, value in want.items()
    )
