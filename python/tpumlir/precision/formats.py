"""The registry of precisions: the rows of ``support/Precisions.h`` and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tpumlir._core import precision as core
from tpumlir.compare import ElementBound, Tolerance

if TYPE_CHECKING:
    from tpumlir._core.precision import PrecisionInfo, StageBounds


class Stage(NamedTuple):
    """How far a stage may be off the one before: norms, elements of one operation and of whole models."""

    tolerance: Tolerance
    operation: ElementBound
    model: ElementBound

    @staticmethod
    def of(bounds: StageBounds, unit: float) -> Stage:
        """From a row of the registry."""
        return Stage(
            Tolerance(bounds.cosine, bounds.euclid),
            ElementBound.units(bounds.operation_units, unit),
            ElementBound.units(bounds.model_units, unit),
        )


class Precision(NamedTuple):
    """What a deploy computes in."""

    name: str  # "F16", as commands and tables spell it
    storage: str  # "f16": what a tensor is in memory
    compute: str  # what an operation computes and sums in, before it rounds once to ``storage``
    needs_calibration: bool
    is_half: bool
    unit: float  # what rounding to nearest may change of a number
    largest: float  # the largest number that ``storage`` holds
    own: float  # relative error that an elementwise operation itself may have
    smallest: float  # below, numbers are zeros or have few digits
    lowering: Stage  # Tpu against Top
    device: Stage  # the bmodel against Tpu

    @property
    def rounds(self) -> bool:
        """Whether tensors are stored with fewer digits than operations compute with."""
        return self.storage != self.compute

    @property
    def onnx_type(self) -> str:
        """The name of the storage type in ONNX and numpy: "float16"."""
        if self.storage in core.FLOAT_TYPES:
            return self.storage.replace("f", "float")
        return self.storage.replace("i", "int")

    @staticmethod
    def of(row: PrecisionInfo) -> Precision:
        """From a row of the registry."""
        return Precision(
            row.name, row.storage, row.compute, row.needs_calibration, row.is_half, row.unit, row.largest,
            row.own_units * row.unit, row.smallest, Stage.of(row.lowering, row.unit),
            Stage.of(row.device, row.unit),
        )  # fmt: skip


PRECISIONS = MappingProxyType({row.name: Precision.of(row) for row in core.precisions()})
"""By name, the most precise first."""
MODES = tuple(PRECISIONS)
FLOATS = tuple(name for name, row in PRECISIONS.items() if not row.needs_calibration)
"""Those that a model alone can be compiled in."""
HALVES = tuple(name for name, row in PRECISIONS.items() if row.is_half)


def least_precise(dtypes: Iterable[str]) -> str:
    """The least precise mode that stores one of ``dtypes``; the most precise of all if none does."""
    found = {"i8" if dtype == "ui8" else dtype for dtype in dtypes}
    return next((row.name for row in reversed([*PRECISIONS.values()]) if row.storage in found), MODES[0])


def listed(names: Iterable[str] = MODES) -> str:
    """``names`` as a sentence has them, such as F32, F16 or BF16."""
    *head, last = names
    return f"{', '.join(head)} or {last}" if head else last
