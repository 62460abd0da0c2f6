"""Thresholds tensor by tensor: of what the methods say, what does best at the outputs.

A method judges a threshold by the tensor alone: how much rounding and clipping are off, all elements alike.
What reads the tensor may need its few great numbers or its many small ones. So where the error of the outputs
comes from, other thresholds are tried one tensor after the other, each by running the integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tpumlir.accuracy.judges import Judged, Judges
from tpumlir.calibration.table import CalibrationTable, Row
from tpumlir.ir.module import Module

TRIALS = 40
_FACTORS = (1.25, 0.8)  # besides what the methods say
_ALIKE = 0.04  # thresholds that differ by less are one
_GAIN = 0.02  # mean dB that are worth a change


@dataclass
class Clipped:
    """The thresholds with what was changed, and how all in integers does with them."""

    table: CalibrationTable
    lowered: Module
    judged: Judged
    changed: int = 0  # tensors


def clipped(
    start: Clipped,
    tensors: Sequence[str],
    others: Sequence[CalibrationTable],
    judges: Judges,
    lower: Callable[[CalibrationTable], Module],
    *,
    trials: int = TRIALS,
) -> Clipped:
    """What is better than ``start``, trying ``tensors`` in this order with the thresholds of ``others``."""
    best, seen = start, set[str]()
    for name in tensors:
        for end in _ends(start.table.rows, name, others):
            if trials <= 0:
                return best
            trials -= 1
            row = best.table.rows[name]
            rows = {**best.table.rows, name: replace(row, threshold=end)}
            table = CalibrationTable(rows, best.table.comments)
            lowered = lower(table)
            judged = judges.better(lowered, best.judged, _GAIN)
            if judged is not None:
                seen.add(name)
                best = Clipped(table, lowered, judged, len(seen))
    return best


def _ends(rows: Mapping[str, Row], name: str, others: Sequence[CalibrationTable]) -> Iterator[float]:
    """Thresholds to try for a tensor, each once."""
    if name not in rows:
        return
    row = rows[name]
    largest = max(abs(row.low), abs(row.high))
    used = [row.threshold]
    wanted = [table.rows[name].threshold for table in others if name in table.rows]
    for end in (*wanted, *(row.threshold * factor for factor in _FACTORS)):
        stored = float(np.float32(min(end, largest)))
        if stored > 0 and all(abs(stored / other - 1) >= _ALIKE for other in used):
            used.append(stored)
            yield stored
