"""What a deploy in INT8 is given between Top and Tpu: a calibration, and a table that meets a target."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tpumlir.accuracy.search import TRIALS, QuantizeResult, quantize
from tpumlir.accuracy.target import Target
from tpumlir.calibration.calibrate import calibrate
from tpumlir.errors import AccuracyError, InputError
from tpumlir.precision.formats import PRECISIONS
from tpumlir.road.steps import Step, silent

if TYPE_CHECKING:
    from tpumlir.calibration.dataset import Given
    from tpumlir.ir.module import Module
    from tpumlir.road.options import DeployOptions


@dataclass(frozen=True)
class SearchOptions:
    """The samples that calibrate, and with a ``target`` the search for what must not be INT8."""

    dataset: Given | None = None
    data_list: str | os.PathLike[str] | None = None
    input_num: int = 0
    target: str | Target | None = None
    held_back: int = 0
    trials: int = TRIALS
    allow_nonfinite: bool = False
    equalize: bool | None = None
    rounding: bool | None = None
    bias_correction: bool | None = None
    clipping: bool | None = None

    @property
    def changes_weights(self) -> bool:
        """Whether a way to a better module is asked for that makes other constants of it."""
        return bool(self.equalize or self.rounding or self.bias_correction)

    def check(self, target: DeployOptions) -> None:
        """Raises: InputError: a precision that needs no samples, or two tables for one thing."""
        mode = PRECISIONS.get(target.quantize.upper())
        if mode is None or not mode.needs_calibration:
            raise InputError(f"a dataset calibrates INT8: expected --quantize INT8, got {target.quantize}")
        if self.dataset is None and self.data_list is None:
            raise InputError("a target needs samples: --dataset DIR or --data_list FILE")
        if self.target is None and target.calibration_table is not None:
            raise InputError("expected --dataset or --calibration_table, got both (both need a --target)")
        if self.target is not None and target.quantize_table is not None:
            raise InputError("expected --target, which makes the table, or --quantize_table, got both")
        if self.target is None and (self.changes_weights or self.clipping):
            raise InputError(
                "equalisation, chosen thresholds and rounding and bias correction are judged by a target: "
                "expected --target"
            )
        if isinstance(self.target, str):
            Target.parse(self.target)


def with_tables(
    module: Module, target: DeployOptions, search: SearchOptions, *, step: Step = silent
) -> tuple[DeployOptions, QuantizeResult | None]:
    """``target`` with the tables that INT8 needs, and what the search found if there was one.

    Raises: AccuracyError: no table meets the target. InputError, CalibrationError: samples that do not fit.
    """
    data_list = None if search.data_list is None else str(search.data_list)
    if search.target is None:
        with step("calibrate"):
            table = calibrate(
                module, search.dataset, data_list=data_list, input_num=search.input_num,
                allow_nonfinite=search.allow_nonfinite,
            )  # fmt: skip
        return replace(target, calibration_table=table), None
    with step("search precisions"):
        found = quantize(
            module, search.dataset, target=search.target, calibration_table=target.calibration_table,
            data_list=data_list, input_num=search.input_num, held_back=search.held_back, trials=search.trials,
            chip=target.chip, allow_nonfinite=search.allow_nonfinite, equalize=search.equalize,
            clipping=search.clipping, rounding=search.rounding, bias_correction=search.bias_correction,
        )  # fmt: skip
    if not found.met:
        raise AccuracyError(
            f"no table of {len(found.points)} meets the target {found.target.text}: the nearest has "
            f"{found.best.score:.6g} on {found.judged} (a lower --target, or --quantize F16)",
            score=found.best.score,
        )
    return replace(target, quantize_table=found.table, calibration_table=found.calibration), found
