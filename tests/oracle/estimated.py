"""Child process: random commands by our cycle model and by the vendor's; prints one JSON line per kind.

Usage: estimated.py FOLDER COUNT SEED
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oracle import cases, cycle_cases
from oracle.estimates import Estimator
from tpumlir._core import isa

# What the vendor's library has no estimate of ends the process: halves in MM, F32 in MM2 ...
_PRECISIONS = {"sMM": (0, 2), "sMM2": (0, 1, 5), "sLIN": (1, 2, 5), "sSFU": (1, 2, 5)}


def compare(estimator: Estimator, instruction: str, fields: dict[str, int]) -> tuple[int, int]:
    """Return our cycles and the vendor's."""
    data = isa.encode(instruction, {"cmd_id": 1, "cmd_id_en": 1, **fields})
    (command,) = isa.decode("gdma" if "DMA" in instruction else "tiu", data)
    return isa.cost(command).cycles, estimator.cycles(instruction, command.fields)


def _kinds(count: int, seed: int) -> Iterator[tuple[str, list[tuple[str, dict[str, int]]]]]:
    for index, (kind, make) in enumerate(cycle_cases.KINDS.items()):
        rng = np.random.default_rng([seed, index])
        yield kind, [make(rng) for _ in range(count)]
    for index, (family, rows) in enumerate(cases.FAMILIES.items()):
        rng = np.random.default_rng([seed, 1000 + index])
        commands = []
        for i in range(count):
            case = rows[i % len(rows)][2](rng)
            allowed = _PRECISIONS.get(case.instruction)
            dtype = case.fields.get("res0_prec" if case.instruction == "sLIN" else "opd0_prec", 0)
            if case.instruction != "sSYS" and (allowed is None or dtype in allowed):
                commands.append((case.instruction, case.fields))
        yield f"legal {family}", commands


def rows(folder: str, count: str, seed: str) -> Iterator[dict[str, object]]:
    """Yield how the commands of each kind compare."""
    estimator = Estimator(Path(folder))
    for kind, commands in _kinds(int(count), int(seed)):
        equal, worst, first = 0, 0.0, ""
        for instruction, fields in commands:
            ours, theirs = compare(estimator, instruction, fields)
            equal += ours == theirs
            error = abs(ours - theirs) / max(theirs, 1)
            if error > worst:
                worst, first = error, f"{instruction}: got {ours}, want {theirs}: {fields}"
        yield {"kind": kind, "cases": len(commands), "equal": equal, "worst": worst, "first": first}


if __name__ == "__main__":
    for line in rows(*sys.argv[1:]):
        sys.stderr.write(json.dumps(line) + "\n")  # the library prints to stdout
        sys.stderr.flush()
