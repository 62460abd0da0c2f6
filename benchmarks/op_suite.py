"""Write a folder of one-node models, a suite for `tpumlir regress`, from the rows of tests/ops.

    python benchmarks/op_suite.py FOLDER [--models 400]
    tpumlir regress FOLDER

Every row of the table of operators that all stages of F32, F16 and BF16 agree on is a model; the rows of all
operators come in turn until there are enough.
"""

from __future__ import annotations

import argparse
import re
import sys
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import harness
import ops_table
from tpumlir import npz
from tpumlir.files import atomic_write


def chosen(count: int) -> list[harness.OpCase]:
    """The first ``count`` rows, one of each operator after the other."""
    rows = [
        [case for case in cases if all("bmodel" in case.reaches(mode) for mode in harness.PRECISIONS)]
        for _, cases in sorted(ops_table.collect().items())
    ]
    turns = chain.from_iterable(zip_longest(*rows))
    return list(islice((case for case in turns if case is not None and is_usual(case)), count))


def is_usual(case: harness.OpCase) -> bool:
    """Whether a row has inputs, and takes none of them for a mistake (NaN, infinities)."""
    values = [*case.inputs.values()]
    return bool(values) and all(value.dtype.kind != "f" or np.isfinite(value).all() for value in values)


def main() -> int:
    """Write the folder; 1 if the table has too few rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=400)
    args = parser.parse_args()
    cases = chosen(args.models)
    args.folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases):
        name = f"{number:03}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', repr(case))[:80]}"
        with atomic_write(args.folder / f"{name}.onnx") as stream:
            stream.write(case.proto.SerializeToString())
        npz.save(args.folder / f"{name}.npz", case.inputs)
        case.forget()
    print(f"{len(cases)} models in {args.folder}")
    return 0 if len(cases) == args.models else 1


if __name__ == "__main__":
    sys.exit(main())
