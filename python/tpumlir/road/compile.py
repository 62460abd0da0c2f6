"""The road ONNX -> Top -> Tpu -> bmodel with its three validations.

Each stage is compared with the one before it, tensor by tensor and by name: Top with ONNX Runtime, Tpu with
Top, the bmodel on the simulated chip with Tpu. The functions here take keywords, for users; commands give the
dataclasses of options themselves.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tpumlir.data.preprocess import Preprocess
from tpumlir.onnx.options import FixedInputs, ImportOptions, InputShapes
from tpumlir.road.deploy import Deployed, check_target, deploy_module
from tpumlir.road.fuse import Fusion
from tpumlir.road.options import DeployOptions, JudgeOptions
from tpumlir.road.quantize import SearchOptions, with_tables
from tpumlir.road.steps import Step, silent
from tpumlir.road.transform import Transformed, transform_model

if TYPE_CHECKING:
    from tpumlir.accuracy.search import QuantizeResult
    from tpumlir.bmodel import BModel
    from tpumlir.calibration.table import CalibrationTable
    from tpumlir.compare import Comparison, ElementBound, Tolerance
    from tpumlir.data.inputs import TestInput
    from tpumlir.ir.module import Module, Narrow
    from tpumlir.precision.policy import RangePolicy
    from tpumlir.precision.table import QuantizeTable
    from tpumlir.road.divergence import Finding

Array = npt.NDArray[Any]


@dataclass
class Compiled:
    """What ``compile_onnx`` made: Top, what the deploy made of it, and what a search for a table found."""

    top: Transformed
    deployed: Deployed
    search: QuantizeResult | None = None

    @property
    def divergences(self) -> list[Finding]:
        """Where failed validations first go wrong, in the order of the stages."""
        return self.top.divergences + self.deployed.divergences

    @property
    def validations(self) -> list[Comparison]:
        """The three validations in order."""
        first = [self.top.validation] if self.top.validation else []
        return first + self.deployed.validations

    @property
    def bmodel(self) -> BModel:
        """The bmodel, ready to run or to be written."""
        return self.deployed.bmodel


def compile_model(  # noqa: PLR0913 - what compile_onnx has, in groups
    source: str | os.PathLike[str] | Any,
    model: ImportOptions,
    target: DeployOptions,
    judge: JudgeOptions,
    *,
    not_inference: bool = False,
    search: SearchOptions | None = None,
    step: Step = silent,
) -> Compiled:
    """ONNX -> bmodel, every stage validated, Top not with ``not_inference``. Raises: as ``compile_onnx``."""
    check_target(target)
    if search:
        search.check(target)
    frames: dict[str, Array] = {}

    def prepared(module: Module) -> TestInput:
        """What the model reads of the frames that the bmodel will read."""
        fusion = Fusion.of(module, target)
        frames.update(fusion.read(judge))
        return fusion.without(frames)

    if target.fuse_preprocess and model.preprocess is None:
        model = replace(model, preprocess=Preprocess())
    top = transform_model(
        source, model, replace(judge, validate=not not_inference),
        prepare=prepared if target.fuse_preprocess else None, step=step,
    )  # fmt: skip
    found = None
    if search:
        target, found = with_tables(top.module, target, search, step=step)
    if not_inference:
        return Compiled(top, deploy_module(top.module, target, judge, step=step), found)
    judge = replace(judge, test_input=frames or top.inputs)
    deployed = deploy_module(top.module, target, judge, reference=top.inputs | top.tensors, step=step)
    return Compiled(top, deployed, found)


# --- the same with keywords --------------------------------------------------------


def transform(  # noqa: PLR0913 - the keywords of the API
    source: str | os.PathLike[str] | Any,
    *,
    name: str | None = None,
    input_shapes: InputShapes | None = None,
    output_names: Sequence[str] | None = None,
    fixed_inputs: FixedInputs | None = None,
    runtime_inputs: Collection[str] = (),
    test_input: TestInput = None,
    allow_nonfinite: bool = False,
    preprocess: Preprocess | None = None,
    tolerance: Tolerance | None = None,
    element_bound: ElementBound | None = None,
    excepts: Collection[str] = (),
    validate: bool = True,
    step: Step = silent,
) -> Transformed:
    """ONNX -> Top, validated against ONNX Runtime with ``test_input`` (random numbers if None).

    ``fixed_inputs`` makes constants of inputs; ``runtime_inputs``, and those that ``test_input`` names, are
    read at run time though the file has values for them. ``allow_nonfinite`` takes NaN and infinities.
    The verdict is in ``validation``; a failed one raises nothing here.
    Raises: OnnxImportError, UnsupportedError, InputError.
    """
    model = ImportOptions(name, input_shapes, output_names, fixed_inputs, runtime_inputs, preprocess)
    judge = JudgeOptions(
        test_input=test_input, allow_nonfinite=allow_nonfinite, tolerance=tolerance,
        element_bound=element_bound, excepts=excepts, validate=validate,
    )  # fmt: skip
    return transform_model(source, model, judge, step=step)


def deploy(  # noqa: PLR0913 - the keywords of the API
    module: Module,
    *,
    quantize: str = "F32",
    quantize_table: QuantizeTable | str | os.PathLike[str] | None = None,
    ranges: RangePolicy | None = None,
    chip: str = "bm1684x",
    name: str | None = None,
    opt: int = 2,
    calibration_table: CalibrationTable | str | os.PathLike[str] | None = None,
    fuse_preprocess: bool = False,
    customization_format: str | None = None,
    quant_input: Narrow = False,
    quant_output: Narrow = False,
    test_input: TestInput = None,
    allow_nonfinite: bool = False,
    reference: Mapping[str, Array] | None = None,
    tolerance: Tolerance | None = None,
    correctness: Tolerance | None = None,
    element_bound: ElementBound | None = None,
    excepts: Collection[str] = (),
    validate: bool = True,
    locate: bool = False,
    step: Step = silent,
) -> Deployed:
    """Top -> Tpu -> bmodel in the precision ``quantize``, both validated.

    ``quantize_table`` (a mapping or a file, see ``tpumlir.qtable``) gives single tensors another precision.
    ``ranges`` says what happens if a half precision does not hold the values; without it that is an error.
    ``opt`` is the effort of the search for layer groups, 1 to 3; 0 looks for none. INT8 needs
    ``calibration_table``, a table of ``tpumlir.calibrate`` or its file. With ``fuse_preprocess`` inputs that
    pictures fill are frames of bytes, in ``customization_format``. ``quant_input`` and ``quant_output``: of
    the inputs and outputs of these names (True: all that can) the bmodel has the type of the operations at
    them, without a cast. ``reference`` holds tensors of Top for
    ``test_input``; without it Top is run here. Without ``tolerance`` Tpu and the bmodel are judged by the
    stages of ``tpumlir.precision.formats``; ``correctness`` is for the bmodel
    alone. ``element_bound`` takes the place of their bounds and of what is known of single operations.
    With ``locate`` a bmodel that deviates is searched for the operation that does.
    Raises: UnsupportedError, AllocationError, LegalityError, DeviceFault, InputError, ParseError,
    OutOfRangeError.
    """
    target = DeployOptions(
        quantize, quantize_table, ranges, chip, name, opt, calibration_table, fuse_preprocess,
        customization_format, quant_input, quant_output,
    )  # fmt: skip
    judge = JudgeOptions(
        test_input, allow_nonfinite, tolerance, correctness, element_bound, excepts, validate, locate
    )
    return deploy_module(module, target, judge, reference=reference, step=step)


def compile_onnx(  # noqa: PLR0913 - the keywords of the API
    source: str | os.PathLike[str] | Any,
    *,
    quantize: str = "F32",
    quantize_table: QuantizeTable | str | os.PathLike[str] | None = None,
    ranges: RangePolicy | None = None,
    chip: str = "bm1684x",
    name: str | None = None,
    opt: int = 2,
    calibration_table: CalibrationTable | str | os.PathLike[str] | None = None,
    fuse_preprocess: bool = False,
    customization_format: str | None = None,
    quant_input: Narrow = False,
    quant_output: Narrow = False,
    search: SearchOptions | None = None,
    input_shapes: InputShapes | None = None,
    output_names: Sequence[str] | None = None,
    fixed_inputs: FixedInputs | None = None,
    runtime_inputs: Collection[str] = (),
    test_input: TestInput = None,
    allow_nonfinite: bool = False,
    preprocess: Preprocess | None = None,
    tolerance: Tolerance | None = None,
    element_bound: ElementBound | None = None,
    excepts: Collection[str] = (),
    not_inference: bool = False,
    locate: bool = False,
    step: Step = silent,
) -> Compiled:
    """ONNX -> bmodel in one call, every stage validated (with random inputs if there is no ``test_input``).

    The verdicts are in ``validations``; a failed one raises nothing here. ``quantize``, ``quantize_table``,
    ``fuse_preprocess``, ``customization_format``, ``quant_input``, ``quant_output`` and ``tolerance`` are
    those of ``deploy``; Top is judged by F32_TOLERANCE unless ``tolerance`` is given, and not at all with
    ``not_inference``. Inputs are those of ``transform``. With ``search`` INT8 is calibrated, and with its
    target the table is searched.
    Raises: OnnxImportError, UnsupportedError, AllocationError, LegalityError, DeviceFault, InputError.
    """
    model = ImportOptions(name, input_shapes, output_names, fixed_inputs, runtime_inputs, preprocess)
    target = DeployOptions(
        quantize, quantize_table, ranges, chip, name, opt, calibration_table, fuse_preprocess,
        customization_format, quant_input, quant_output,
    )  # fmt: skip
    judge = JudgeOptions(
        test_input=test_input, allow_nonfinite=allow_nonfinite, tolerance=tolerance,
        element_bound=element_bound, excepts=excepts, locate=locate,
    )  # fmt: skip
    return compile_model(source, model, target, judge, not_inference=not_inference, search=search, step=step)
