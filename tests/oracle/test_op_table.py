"""The smoke subset of the operator table on the vendor's runtime: the same bits as on our simulator.

One row per ONNX operator that reaches the chip: the one that gives most commands of those that the vendor's
simulator runs in a moment.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ops_table
from harness import OpCase
from oracle.runtime import run_bmodel
from tpumlir.bmodel import write

pytestmark = pytest.mark.oracle
# Elements of all operands of a row: above, the vendor's simulator takes seconds.
_SMALL = 20_000


def _elements(case: OpCase) -> int:
    return sum(int(np.prod(operand.shape)) for operand in case.operands)


def smoke_rows() -> list[OpCase]:
    """The largest small row of each operator, else its smallest one; rows with run-time operands first."""
    chosen = []
    for _, cases in sorted(ops_table.collect().items()):
        reaching = [
            case
            for case in cases
            # The vendor's runtime gives an input of rank 0 no memory (docs/bmodel.md).
            if "bmodel" in case.stages and case.inputs and all(x.ndim for x in case.inputs.values())
        ]
        if not reaching:
            continue
        small = [case for case in reaching if _elements(case) <= _SMALL]
        key = {case: (len(case.inputs), _elements(case)) for case in reaching}
        chosen.append(max(small, key=key.__getitem__) if small else min(reaching, key=_elements))
    return chosen


@pytest.mark.parametrize("case", smoke_rows(), ids=repr)
def test_vendor_runtime_gives_the_same_bits(case: OpCase, oracle: Path, tmp_path: Path) -> None:
    bmodel = case.tpu.compile()
    path = tmp_path / "case.bmodel"
    write(path, bmodel)
    inputs = {spec.name: case.inputs[spec.name].astype(spec.numpy_dtype) for spec in bmodel.inputs}
    ours = bmodel.run(inputs)
    theirs = run_bmodel(oracle, path, inputs)
    assert set(theirs) == set(ours)
    for name, value in ours.items():
        assert theirs[name].tobytes() == value.tobytes(), name
