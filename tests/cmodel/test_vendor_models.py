"""Bmodels of the vendor's compiler on our simulator: the outputs of the vendor's runtime, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tpumlir import bmodel


def test_vendor_models_give_the_vendor_outputs(samples: list[Path]) -> None:
    compared = 0
    for path in samples:
        recorded = path.with_suffix(".vendor_output.npz")
        if not recorded.exists():
            continue
        with np.load(path.parent / "input.npz") as given, np.load(recorded) as want:
            outputs = bmodel.read(path).run(dict(given), detect_races=True)
            for name, got in outputs.items():
                key = name if name in want.files else want.files[0]
                np.testing.assert_array_equal(
                    got.reshape(-1).view(np.uint8),
                    want[key].reshape(-1).view(np.uint8),
                    err_msg=f"{path} {name}",
                )
                compared += 1
    assert compared > 0
