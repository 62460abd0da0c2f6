"""What a user may say of a deploy and of the validations, for every caller the same."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tpumlir.errors import InputError

if TYPE_CHECKING:
    from tpumlir.calibration.table import CalibrationTable
    from tpumlir.compare import ElementBound, Tolerance
    from tpumlir.data.inputs import TestInput
    from tpumlir.ir.module import Narrow
    from tpumlir.precision.policy import RangePolicy
    from tpumlir.precision.table import QuantizeTable


@dataclass(frozen=True)
class DeployOptions:
    """What is made of a Top module: the chip, the precision, what becomes of values beyond it.

    ``quantize_table`` (a mapping or a file) gives single tensors another precision. ``ranges`` says what
    happens if a half precision does not hold the values; without it that is an error. ``opt`` is the effort
    of the search for layer groups, 1 to 3; 0 looks for none. INT8 needs ``calibration_table``, a table of
    ``tpumlir.calibrate`` or its file. ``fuse_preprocess``: inputs that pictures fill are frames of bytes, in
    ``customization_format``. ``quant_input`` and ``quant_output``: inputs and outputs in the type of the
    operations at them, by name (a text: by position from 1 on, "1,3"), or True for all that can.
    """

    quantize: str = "F32"
    quantize_table: QuantizeTable | str | os.PathLike[str] | None = None
    ranges: RangePolicy | None = None
    chip: str = "bm1684x"
    name: str | None = None
    opt: int = 2
    calibration_table: CalibrationTable | str | os.PathLike[str] | None = None
    fuse_preprocess: bool = False
    customization_format: str | None = None
    quant_input: Narrow | str = False
    quant_output: Narrow | str = False


@dataclass(frozen=True)
class JudgeOptions:
    """What stages are run with, and how they are judged.

    ``test_input`` None stands for random numbers. Without ``tolerance`` and ``element_bound`` the precision
    decides. ``correctness`` is the tolerance of the bmodel alone. With ``locate`` a bmodel that deviates is
    searched for the operation that does. Nothing is run without ``validate``.
    """

    test_input: TestInput = None
    allow_nonfinite: bool = False
    tolerance: Tolerance | None = None
    correctness: Tolerance | None = None
    element_bound: ElementBound | None = None
    excepts: Collection[str] = ()
    validate: bool = True
    locate: bool = False

    def __post_init__(self) -> None:
        """Raises: InputError: what a command line has, a text, where Python has an object."""
        for name in ("tolerance", "correctness"):
            if isinstance(value := getattr(self, name), (str, float, list, tuple)):
                raise InputError(f"{name}: expected a Tolerance such as Tolerance(0.99, 0.9), got {value!r}")
        if isinstance(self.excepts, str):
            raise InputError(f"excepts: expected a list of names, such as [{self.excepts!r}], got a text")
