"""A part of a module that runs by itself, with its data: as values and as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tpumlir import npz
from tpumlir.errors import Diagnostic, InputError
from tpumlir.files import all_or_none
from tpumlir.ir.module import Module
from tpumlir.tensors import check_inputs

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Reproducer:
    """A module with inputs for it and what its outputs should be."""

    module: Module
    inputs: dict[str, Array]
    outputs: dict[str, Array]

    @staticmethod
    def of(module: Module, reference: Mapping[str, Array]) -> Reproducer:
        """``module``, a cut, with its inputs and outputs out of ``reference``.

        Raises: InputError: a tensor that the reference lacks, or that has another shape there.
        """
        inputs = check_inputs(reference, module.inputs)
        wrong: list[Diagnostic] = []
        for spec in module.outputs:
            if spec.name not in reference:
                wrong.append(Diagnostic("expected a reference for this output, got none", spec.name))
            elif reference[spec.name].shape != spec.shape:
                got = list(reference[spec.name].shape)
                wrong.append(
                    Diagnostic(f"expected a reference of shape {list(spec.shape)}, got {got}", spec.name)
                )
        if wrong:
            raise InputError(*wrong)
        return Reproducer(module, inputs, {spec.name: reference[spec.name] for spec in module.outputs})


@dataclass(frozen=True)
class CutFiles:
    """Where a reproducer lies: the module (its weights beside it), its inputs, the values of its outputs."""

    mlir: Path
    inputs: Path = field(init=False)
    outputs: Path = field(init=False)

    def __post_init__(self) -> None:
        for kind in ("inputs", "outputs"):
            object.__setattr__(self, kind, self.mlir.with_name(f"{self.mlir.stem}_{kind}.npz"))

    def save(self, reproducer: Reproducer) -> None:
        """Write all files, or none. Raises: OSError."""
        with all_or_none():
            reproducer.module.save(self.mlir)
            npz.save(self.inputs, reproducer.inputs)
            npz.save(self.outputs, reproducer.outputs)
