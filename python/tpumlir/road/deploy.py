"""Top -> Tpu -> bmodel, validated twice: Tpu against Top, the bmodel on the simulated chip against Tpu."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tpumlir.bmodel.generate import generate
from tpumlir.compare import Comparison, ElementBound
from tpumlir.data.inputs import read_samples
from tpumlir.errors import CalibrationError, InputError, UnsupportedError
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.precision.formats import HALVES, MODES, PRECISIONS, least_precise
from tpumlir.precision.policy import RangePolicy
from tpumlir.precision.table import QuantizeTable, resolve
from tpumlir.road.fuse import Fusion
from tpumlir.road.steps import Step, known_excepts, silent
from tpumlir.road.validate import Criteria, is_part, on_chip, validate, with_choices_of_chip

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel
    from tpumlir.ir.module import Module, Narrow
    from tpumlir.precision.ranges import AutoTable, Ranges
    from tpumlir.road.divergence import Finding
    from tpumlir.road.options import DeployOptions, JudgeOptions
    from tpumlir.tensors import TensorSpec

Array = npt.NDArray[Any]

TPU_LABEL = "Tpu against Top"
BMODEL_LABEL = "bmodel against Tpu"

CHIPS = ("bm1684x",)


def check_target(target: DeployOptions) -> None:
    """Refuse at once what the lowering would refuse after the import. Raises: UnsupportedError."""
    if target.quantize.upper() not in MODES:
        raise UnsupportedError(
            f"expected a precision of {', '.join(MODES)}, got {target.quantize} "
            "(others are not supported yet)",
            precision=target.quantize,
        )
    if target.chip.lower() not in CHIPS:
        raise UnsupportedError(f"expected a chip of {', '.join(CHIPS)}, got {target.chip}")
    if target.opt not in range(4):
        raise UnsupportedError(
            f"expected an effort opt of 1 to 3, or 0 for no layer groups, got {target.opt}"
        )


def _check_calibration(module: Module, target: DeployOptions, table: QuantizeTable) -> None:
    """Integers need ranges, unless the model comes with its own. Raises: CalibrationError."""
    if any(op.kind == "top.QuantizeLinear" for op in module.ops()):
        return
    modes = {target.quantize.upper(), *(mode.upper() for mode in table.values())}
    if target.calibration_table is None and any(PRECISIONS[mode].needs_calibration for mode in modes):
        raise CalibrationError(
            "INT8 needs the ranges of the tensors: run_calibration NAME.mlir --dataset DIR -o TABLE, then "
            "--calibration_table TABLE"
        )


@dataclass
class Deployed:
    """What became of a Top module: Tpu module, module with addresses (``final``), bmodel, two validations.

    ``divergences`` say where failed validations first go wrong. ``ranges`` and ``auto_table`` are there where
    a half precision was measured.
    """

    tpu: Module
    final: Module
    bmodel: BModel
    validations: list[Comparison] = field(default_factory=list)
    divergences: list[Finding] = field(default_factory=list)
    ranges: Ranges | None = None
    auto_table: AutoTable | None = None


def deploy_module(
    module: Module,
    target: DeployOptions,
    judge: JudgeOptions,
    *,
    reference: Mapping[str, Array] | None = None,
    step: Step = silent,
) -> Deployed:
    """Top -> Tpu -> bmodel, both validated.

    ``reference`` holds tensors of Top for the test input; without it Top is run here. Without a tolerance
    both are judged by the stages of ``tpumlir.precision.formats``; an element bound takes the place of their
    bounds and of what ``tpumlir.road.validate`` knows of single operations. With fused preprocessing the
    test input is a picture or a frame, and Top reads what the host makes of it.
    Raises: UnsupportedError, AllocationError, LegalityError, DeviceFault, InputError, ParseError,
    OutOfRangeError.
    """
    check_target(target)
    state = str(module.attributes.get("module.state", ""))
    if not state.startswith("TOP"):
        raise InputError(
            f"expected a Top module, which model_transform writes, got one of state {state or 'unknown'}"
        )
    table = resolve(target.quantize_table, module)
    _check_calibration(module, target, table)
    ranges = target.ranges or RangePolicy()
    fusion, inputs, judge = _fused(module, target, judge)
    measured, auto = _ranges(module, target, table, judge, step)
    tpu, final, bmodel = _compiled(
        fusion.module, target, auto.table if auto else table, None if ranges.ignore else measured, step
    )
    if not judge.validate:
        return Deployed(tpu, final, bmodel, ranges=measured, auto_table=auto)
    inputs = inputs or fusion.read(judge)
    plain = fusion.without(inputs)
    if reference is None:
        with step("run Top"):
            reference = plain | ModuleInterpreter(module).run(
                plain, all_tensors=True, allow_nan=judge.allow_nonfinite
            )
    fusion.check_reference(reference, plain)
    with step("run Tpu"):
        # The inputs too: a reference that was made with other ones must not pass.
        tensors = inputs | ModuleInterpreter(tpu).run(
            inputs, all_tensors=True, allow_nan=judge.allow_nonfinite
        )
    seen = fusion.as_plain(tensors)
    # Top's outputs are judged, whatever became of them.
    outputs = [spec.name for spec in module.outputs]
    precision = least_precise(fusion.types(tpu))
    row = PRECISIONS[precision]
    excepts = known_excepts(judge.excepts, seen, reference)
    with step("compare"):
        operators = {*module.tensor_names(), *outputs}
        names = [
            name
            for name in tpu.tensor_names()
            if name in reference and (name in outputs or not is_part(name, operators))
        ]
        # Integers of 8 bits are judged as whole tensors: an element may be many steps off, clipped by its
        # threshold or behind others that are.
        criteria = Criteria(
            [*names, *outputs], precision, judge.tolerance or row.lowering.tolerance,
            judge.element_bound or (ElementBound.parse("inf") if row.needs_calibration else None), excepts,
            TPU_LABEL,
        )  # fmt: skip
        second = validate(module, seen, reference, criteria)
    with step("run the bmodel"):
        # Races are looked for too: on the chip the two engines may be faster or slower than here.
        results = bmodel.run_numbers(inputs, allow_nan=judge.allow_nonfinite, detect_races=True)
    with step("compare"):
        criteria = criteria._replace(
            names=outputs, label=BMODEL_LABEL,
            tolerance=judge.correctness or judge.tolerance or row.device.tolerance,
        )  # fmt: skip
        third = on_chip(module, plain | results, seen, criteria)
        if not third.passed:
            failed = [result.name for result in third.failed]
            chosen = with_choices_of_chip(tpu, final, failed, inputs, tensors, precision)
            if chosen is not tensors:
                third = on_chip(module, plain | results, fusion.as_plain(chosen), criteria)
    found: list[Finding] = []
    if not (second.passed and third.passed):
        from tpumlir.road.divergence import findings, findings_on_chip

        found = findings(tpu, second, tensors, fusion.as_fused(reference, inputs), "tpu")
        if judge.locate and not third.passed:
            single = judge.element_bound or row.device.operation
            found += findings_on_chip(final, third, tensors, single, step)
    return Deployed(tpu, final, bmodel, [second, third], found, measured, auto)


def _fused(
    module: Module, target: DeployOptions, judge: JudgeOptions
) -> tuple[Fusion, dict[str, Array], JudgeOptions]:
    """What is deployed, its inputs if they are frames, and the judge with what Top reads of them."""
    fusion = Fusion.of(module, target)
    auto_mixed = target.ranges is not None and target.ranges.auto_mixed
    if not fusion.pictures or not (judge.validate or auto_mixed):
        return fusion, {}, judge
    inputs = fusion.read(judge)
    return fusion, inputs, replace(judge, test_input=fusion.without(inputs))


def _compiled(
    module: Module, target: DeployOptions, table: QuantizeTable, measured: Ranges | None, step: Step
) -> tuple[Module, Module, BModel]:
    """The Tpu module, the one with addresses, and the bmodel; ``measured`` ranges must fit."""
    plain_half = target.ranges is not None and target.ranges.plain_half
    with step("lower to Tpu"):
        tpu = module.lower(
            target.quantize,
            chip=target.chip,
            quantize_table=table,
            plain_half=plain_half,
            calibration_table=target.calibration_table,
            quant_input=_chosen(target.quant_input, module.inputs, "input"),
            quant_output=_chosen(target.quant_output, module.outputs, "output"),
        )
    if measured:
        from tpumlir.precision.ranges import refuse_excesses

        refuse_excesses(tpu, measured)
    with step("place"):
        final = tpu.finalize(opt=target.opt)
    with step("generate code"):
        return tpu, final, generate(final.core, name=target.name)


def _chosen(given: Narrow | str, specs: Sequence[TensorSpec], what: str) -> Narrow:
    """Names for positions from 1 on. Raises: InputError: no such position."""
    if not isinstance(given, str):
        return given
    names = []
    for part in given.split(","):
        if not part.strip().isdecimal() or not 1 <= int(part) <= len(specs):
            listed = ", ".join(f"{i} ({spec.name})" for i, spec in enumerate(specs, 1))
            raise InputError(f"--quant_{what}_list: expected numbers of {what}s, {listed}, got {part!r}")
        names.append(specs[int(part) - 1].name)
    return names


def _ranges(
    module: Module, target: DeployOptions, table: QuantizeTable, judge: JudgeOptions, step: Step
) -> tuple[Ranges | None, AutoTable | None]:
    """What the tensors of a half precision deploy reach, and the table made from it if that is wanted."""
    policy = target.ranges or RangePolicy()
    is_half = not {target.quantize.upper(), *table.values()}.isdisjoint(HALVES)
    if not is_half or not (judge.validate or policy.auto_mixed):
        return None, None
    from tpumlir.precision.ranges import auto_table, measure

    with step("measure ranges"):
        samples = read_samples(
            module, judge.test_input, policy.cali_data, allow_nonfinite=judge.allow_nonfinite
        )
        measured = measure(module, samples, chip=target.chip, allow_nonfinite=judge.allow_nonfinite)
    if not policy.auto_mixed:
        return measured, None
    with step("choose precisions"):
        auto = auto_table(
            module, measured, policy, quantize=target.quantize, table=table, chip=target.chip
        )  # fmt: skip
    return measured, auto
