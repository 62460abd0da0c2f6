"""The error of every operation of a quantised module, isolated and accumulated."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tpumlir.accuracy.blame import OpError, blame
from tpumlir.accuracy.noise import Noise
from tpumlir.calibration.table import CalibrationTable
from tpumlir.errors import InputError
from tpumlir.ir.module import Module

Array = npt.NDArray[Any]


@dataclass
class Sensitivity:
    """What one run of a quantised module beside the float one told of its operations."""

    quantize: str
    samples: int
    ops: list[OpError]
    outputs: dict[str, float]  # the relative error of each

    def to_json(self) -> dict[str, object]:
        """What ``tpumlir sensitivity --json`` prints."""
        return {
            "quantize": self.quantize,
            "samples": self.samples,
            "outputs": self.outputs,
            "ops": [error.to_json() for error in self.ops],
        }


def sensitivity(
    mlir: Module | str | os.PathLike[str],
    samples: Mapping[str, Array] | Iterable[Mapping[str, Array]],
    *,
    quantize: str = "INT8",
    calibration_table: CalibrationTable | str | os.PathLike[str] | None = None,
    quantize_table: Mapping[str, str] | str | os.PathLike[str] | None = None,
    chip: str = "bm1684x",
) -> Sensitivity:
    """The errors of all operations of a Top module (or its file) lowered to ``quantize``.

    ``samples`` are inputs by name, one mapping or several; each is run once in F32 and once quantised.
    Raises: InputError: samples or tables that do not fit. CalibrationError: INT8 without a table that fits.
    """
    module = mlir if isinstance(mlir, Module) else Module.load(mlir)
    state = str(module.attributes.get("module.state", ""))
    if not state.startswith("TOP"):
        raise InputError(
            f"expected a Top module, which model_transform writes, got one of state {state or 'unknown'}"
        )
    lowered = module.lower(
        quantize, chip=chip, quantize_table=quantize_table, calibration_table=calibration_table
    )
    noise = Noise(module, lowered)
    for sample in [samples] if isinstance(samples, Mapping) else samples:
        noise.add(sample)
    if not noise.samples:
        raise InputError("expected at least one sample, got none")
    found = blame(noise)
    outputs = {name: noise.tensors[name].relative ** 0.5 for name in noise.outputs if name in noise.tensors}
    return Sensitivity(quantize.upper(), noise.samples, found.ops, outputs)
