"""A generator with computed filters, in every precision on the vendor's runtime: the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tpumlir
from harness import PRECISIONS, Precision
from oracle.runtime import run_bmodel
from tpumlir.bmodel import write
from tpumlir.ir import cut

# The vendor's simulator takes 50 ns for each product of halves, so minutes for the whole. Layers up to the
# image of 32 x 32 have every kind of operation that the others have.
LAST = "/Conv_2_output_0"


@pytest.mark.corpus
@pytest.mark.oracle
@pytest.mark.parametrize("precision", PRECISIONS)
def test_layers_with_computed_filters_give_the_same_bits(
    precision: Precision, corpus: Path, oracle: Path, tmp_path: Path
) -> None:
    whole = tpumlir.load_onnx(corpus / "stylegan2_256.onnx")
    part = cut.between(whole, ["z"], [LAST]).lower(quantize=precision)
    assert {op.kind for op in part.ops()} == {op.kind for op in whole.lower(quantize=precision).ops()}
    with np.load(corpus / "stylegan2_256.npz") as archive:
        inputs = {"z": archive["z"]}
    bmodel = part.compile()
    write(tmp_path / "part.bmodel", bmodel)
    ours = bmodel.run(inputs)[LAST]
    theirs = run_bmodel(oracle, tmp_path / "part.bmodel", inputs, seconds=600)[LAST]
    np.testing.assert_array_equal(theirs.view(np.uint32), ours.view(np.uint32))
