"""The road ONNX -> Top -> Tpu -> bmodel with its three validations, for the commands and for Python alike.

Each stage is compared with the one before it, tensor by tensor and by name:

1. Top against ONNX Runtime, which runs the user's file (see ``tpumlir.onnx.reference``);
2. Tpu against Top;
3. the bmodel on the simulated chip against Tpu.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.compare import (
    DEVICE_OPERATION_BOUNDS,
    DEVICE_TOLERANCES,
    TOLERANCES,
    Comparison,
    ElementBound,
    Tolerance,
    compare,
)
from tpumlir.data.preprocess import NATURAL_TYPES, Pictures, Preprocess, is_image
from tpumlir.data.sources import Named, parts_of, read_named, read_pictures
from tpumlir.errors import Diagnostic, InputError, Note, UnsupportedError
from tpumlir.ir.module import TOP_PASSES, Module, ModuleInterpreter
from tpumlir.onnx.reference import EVALUATOR, Reference, run_reference
from tpumlir.precision import table as qtable
from tpumlir.precision.table import MODES, QuantizeTable
from tpumlir.road import validate as judge
from tpumlir.road.run import check_inputs, load_inputs, random_inputs

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel
    from tpumlir.onnx.inputs import FixedInputs, Inputs
    from tpumlir.onnx.load import OnnxModel
    from tpumlir.onnx.shapes import InputShapes
    from tpumlir.precision.ranges import AutoTable, RangePolicy, Ranges
    from tpumlir.road.divergence import Finding

Array = npt.NDArray[Any]
Step = Callable[[str], AbstractContextManager[None]]
TestInput = str | Path | Sequence[str | Path] | Mapping[str, Array] | None

TPU_LABEL = "Tpu against Top"
BMODEL_LABEL = "bmodel against Tpu"


CHIPS = ("bm1684x",)


def check_target(quantize: str, chip: str) -> None:
    """Refuse at once what the lowering would refuse after the import. Raises: UnsupportedError."""
    if quantize.upper() not in MODES:
        raise UnsupportedError(
            f"expected a precision of {', '.join(MODES)}, got {quantize} (others are not supported yet)",
            precision=quantize,
        )
    if chip.lower() not in CHIPS:
        raise UnsupportedError(f"expected a chip of {', '.join(CHIPS)}, got {chip}")


def _silent(_name: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass
class Transformed:
    """A Top module, the inputs it was validated with, and all of its tensors."""

    module: Module
    inputs: dict[str, Array] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)
    validation: Comparison | None = None
    divergences: list[Finding] = field(default_factory=list)
    chosen: Inputs | None = None
    reference: str | None = None
    """Who computed the reference of the validation."""
    notes: list[str] = field(default_factory=list)
    """What the user must know beside the verdict."""


@dataclass
class Deployed:
    """What became of a Top module: Tpu module, module with addresses, bmodel, two validations."""

    tpu: Module
    final: Module
    bmodel: BModel
    validations: list[Comparison] = field(default_factory=list)
    divergences: list[Finding] = field(default_factory=list)
    ranges: Ranges | None = None
    auto_table: AutoTable | None = None


@dataclass
class Compiled:
    """The whole road."""

    top: Transformed
    deployed: Deployed

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
        """The result."""
        return self.deployed.bmodel


def transform(
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
    step: Step = _silent,
) -> Transformed:
    """ONNX -> Top, validated against ONNX Runtime with ``test_input`` (random numbers if None).

    ``fixed_inputs`` makes constants of inputs; ``runtime_inputs``, and those that ``test_input`` names, are
    read at run time though the file has values for them. ``allow_nonfinite`` takes NaN and infinities.
    The verdict is in ``validation``; a failed one raises nothing here.
    Raises: OnnxImportError, UnsupportedError, InputError.
    """
    from tpumlir.onnx.importer import import_onnx
    from tpumlir.onnx.inputs import choose_inputs, read_feeds
    from tpumlir.onnx.load import load

    if preprocess is None and _holds_picture(test_input):
        preprocess = Preprocess()
    told: list[Diagnostic] = []
    doubts: list[Diagnostic] = []
    with step("import"):
        named = _named(test_input)
        chosen = choose_inputs(
            load(source),
            input_shapes=input_shapes,
            fixed=fixed_inputs,
            runtime=runtime_inputs,
            given=named.arrays if named else None,
        )
        model = chosen.model
        module = Module(
            import_onnx(
                model, input_shapes=chosen.shapes, output_names=output_names, name=name,
                preprocess=preprocess, constants=chosen.fixed, notes=told, warnings=doubts,
            )
        )  # fmt: skip
        module.run_pipeline(TOP_PASSES)
        chosen.record(module)
    notes = [*(f"note: {note}" for note in told), *(f"warning: {doubt}" for doubt in doubts)]
    if not validate:
        _tell_unused(module, preprocess)
        return Transformed(module, chosen=chosen, notes=notes)
    shapes = {spec.name: spec.shape for spec in module.inputs}
    pictures = recorded_pictures(module, _chosen(preprocess))
    feeds = read_feeds(chosen, shapes, test_input, named, pictures, allow_nonfinite=allow_nonfinite)
    _tell_unused(module, preprocess)
    inputs = module_inputs(module, feeds, allow_nonfinite=allow_nonfinite)
    with step("run Top"):
        tensors = ModuleInterpreter(module).run(inputs, all_tensors=True, allow_nan=allow_nonfinite)
    tensors |= empty_outputs(module)
    # The model's own outputs are judged, whatever became of them in Top.
    outputs = list(dict.fromkeys(output_names or model.outputs))
    with step("run the reference"):
        names = [name for name in module.tensor_names() if name in model.computed_names]
        raw = run_reference(model, feeds, names, outputs=outputs)
        reference = in_types_of(tensors, raw.tensors)
    excepts = _known_excepts(excepts, tensors, reference)
    with step("compare"):
        # A tensor that Top fused away has no counterpart, one that it added has no reference; outputs have
        # both.
        verdict = judge.validate(
            module, inputs | tensors, inputs | reference, names=[*names, *outputs],
            precision=_precision_of(raw), tolerance=tolerance or TOLERANCES[_precision_of(raw)],
            bound=element_bound, excepts=excepts, label=f"Top against {raw.judge}", top="got",
        )  # fmt: skip
    if not verdict.passed:
        with step("judge the rounding of inputs"):
            notes += _input_roundings(model, feeds, outputs, raw, verdict.tolerance)
    found = _findings(module, verdict, tensors, inputs | reference, "top")
    return Transformed(module, inputs, tensors, verdict, found, chosen, raw.judge, notes)


def deploy(
    module: Module,
    *,
    quantize: str = "F32",
    quantize_table: QuantizeTable | str | os.PathLike[str] | None = None,
    ranges: RangePolicy | None = None,
    chip: str = "bm1684x",
    name: str | None = None,
    test_input: TestInput = None,
    allow_nonfinite: bool = False,
    reference: Mapping[str, Array] | None = None,
    tolerance: Tolerance | None = None,
    correctness: Tolerance | None = None,
    element_bound: ElementBound | None = None,
    excepts: Collection[str] = (),
    validate: bool = True,
    locate: bool = False,
    step: Step = _silent,
) -> Deployed:
    """Top -> Tpu -> bmodel in the precision ``quantize``, both validated.

    ``quantize_table`` (a mapping or a file, see ``tpumlir.precision.table``) gives single tensors another precision.
    ``ranges`` says what happens if a half precision does not hold the values; without it that is an error.
    ``reference`` holds tensors of Top for ``test_input``; without it Top is run here. Without ``tolerance``
    Tpu is judged by TOLERANCES and the bmodel by DEVICE_TOLERANCES of ``tpumlir.compare``; ``correctness`` is
    for the bmodel alone. ``element_bound`` takes the place of ELEMENT_BOUNDS, DEVICE_ELEMENT_BOUNDS and what
    ``tpumlir.road.validate`` knows of single operations. With ``locate`` a bmodel that deviates is searched for the
    operation that does.
    Raises: UnsupportedError, AllocationError, LegalityError, DeviceFault, InputError, ParseError,
    OutOfRangeError.
    """
    check_target(quantize, chip)
    state = str(module.attributes.get("module.state", ""))
    if not state.startswith("TOP"):
        raise InputError(f"expected a Top module, got one in state {state or 'none'}")
    table = qtable.resolve(quantize_table, module)
    measured, auto = _ranges(
        module, quantize, table, ranges, chip, test_input, validate, step, allow_nonfinite=allow_nonfinite
    )
    with step("lower to Tpu"):
        tpu = module.lower(
            quantize,
            chip=chip,
            quantize_table=auto.table if auto else table,
            plain_half=ranges is not None and ranges.plain_half,
        )
    if measured and not (ranges and ranges.ignore):
        from tpumlir.precision.ranges import refuse_excesses

        refuse_excesses(tpu, measured)
    with step("place"):
        final = tpu.finalize()
    with step("generate code"):
        bmodel = generate(final, name=name)
    if not validate:
        return Deployed(tpu, final, bmodel, ranges=measured, auto_table=auto)
    inputs = read_inputs(test_input, module, allow_nonfinite=allow_nonfinite, fixed_wins=True)
    if reference is None:
        with step("run Top"):
            reference = inputs | ModuleInterpreter(module).run(
                inputs, all_tensors=True, allow_nan=allow_nonfinite
            )
    with step("run Tpu"):
        # The inputs too: a reference that was made with other ones must not pass.
        tensors = inputs | ModuleInterpreter(tpu).run(inputs, all_tensors=True, allow_nan=allow_nonfinite)
    # Top's outputs are judged, whatever became of them.
    outputs = [spec.name for spec in module.outputs]
    least_precise = _least_precise(tpu)
    excepts = _known_excepts(excepts, tensors, reference)
    with step("compare"):
        operators = {*module.tensor_names(), *outputs}
        names = [
            name
            for name in tpu.tensor_names()
            if name in reference and (name in outputs or not judge.is_part(name, operators))
        ]
        second = judge.validate(
            module, tensors, reference, names=[*names, *outputs], precision=least_precise,
            tolerance=tolerance or TOLERANCES[least_precise], bound=element_bound, excepts=excepts,
            label=TPU_LABEL,
        )  # fmt: skip
    with step("run the bmodel"):
        # Races are looked for too: on the chip the two engines may be faster or slower than here.
        results = bmodel.run(
            {spec.name: inputs[spec.name] for spec in bmodel.inputs},
            allow_nan=allow_nonfinite,
            detect_races=True,
        )
    with step("compare"):

        def on_chip(expected: Mapping[str, Array]) -> Comparison:
            return judge.on_chip(
                module, inputs | results, expected, names=outputs, precision=least_precise,
                tolerance=correctness or tolerance or DEVICE_TOLERANCES[least_precise], bound=element_bound,
                excepts=excepts, label=BMODEL_LABEL,
            )  # fmt: skip

        third = on_chip(tensors)
        if not third.passed:
            failed = [result.name for result in third.failed]
            chosen = judge.with_choices_of_chip(tpu, final, failed, inputs, tensors, least_precise)
            third = third if chosen is tensors else on_chip(chosen)
    found = _findings(tpu, second, tensors, reference, "tpu")
    if locate and not third.passed:
        single = element_bound or DEVICE_OPERATION_BOUNDS[least_precise]
        found += _locate(final, third, tensors, single, step)
    return Deployed(tpu, final, bmodel, [second, third], found, measured, auto)


def compile_onnx(
    source: str | os.PathLike[str] | Any,
    *,
    quantize: str = "F32",
    quantize_table: QuantizeTable | str | os.PathLike[str] | None = None,
    ranges: RangePolicy | None = None,
    chip: str = "bm1684x",
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
    not_inference: bool = False,
    locate: bool = False,
    step: Step = _silent,
) -> Compiled:
    """ONNX -> bmodel in one call, every stage validated (with random inputs if there is no ``test_input``).

    The verdicts are in ``validations``; a failed one raises nothing here. ``quantize``, ``quantize_table``
    and ``tolerance`` are those of ``deploy``; Top is judged by F32_TOLERANCE unless ``tolerance`` is given,
    and not at all with ``not_inference``. Inputs are those of ``transform``.
    Raises: OnnxImportError, UnsupportedError, AllocationError, LegalityError, DeviceFault, InputError.
    """
    check_target(quantize, chip)
    top = transform(
        source, name=name, input_shapes=input_shapes, output_names=output_names, fixed_inputs=fixed_inputs,
        runtime_inputs=runtime_inputs, test_input=test_input, allow_nonfinite=allow_nonfinite,
        preprocess=preprocess, tolerance=tolerance, element_bound=element_bound, excepts=excepts,
        validate=not not_inference, step=step,
    )  # fmt: skip
    deployed = deploy(
        top.module, quantize=quantize, quantize_table=quantize_table, ranges=ranges, chip=chip, name=name,
        test_input=test_input if not_inference else top.inputs, allow_nonfinite=allow_nonfinite,
        reference=None if not_inference else top.inputs | top.tensors, tolerance=tolerance,
        element_bound=element_bound, excepts=excepts, locate=locate, step=step,
    )  # fmt: skip
    return Compiled(top, deployed)


def _ranges(
    module: Module,
    quantize: str,
    table: QuantizeTable,
    policy: RangePolicy | None,
    chip: str,
    test_input: TestInput,
    validate: bool,
    step: Step,
    *,
    allow_nonfinite: bool = False,
) -> tuple[Ranges | None, AutoTable | None]:
    """What the tensors of a half precision deploy reach, and the table made from it if that is wanted."""
    from tpumlir.precision.ranges import RangePolicy, auto_table, measure

    policy = policy or RangePolicy()
    is_half = {quantize.upper(), *table.values()} != {"F32"}
    if not is_half or not (validate or policy.auto_mixed):
        return None, None
    with step("measure ranges"):
        samples = read_samples(module, test_input, policy.cali_data, allow_nonfinite=allow_nonfinite)
        measured = measure(module, samples, chip=chip, allow_nonfinite=allow_nonfinite)
    if not policy.auto_mixed:
        return measured, None
    with step("choose precisions"):
        auto = auto_table(
            module, measured, quantize=quantize, table=table, margin=policy.margin, chip=chip,
            plain_half=policy.plain_half,
        )  # fmt: skip
    return measured, auto


_REFERENCES = {
    "top": "what ONNX Runtime computes with the original model",
    "tpu": "what the interpreter computes with the Top module",
    "bmodel": "what the interpreter computes with the Tpu module",
}


def _findings(
    module: Module, verdict: Comparison, got: Mapping[str, Array], want: Mapping[str, Array], stage: str
) -> list[Finding]:
    """Where a failed validation first goes wrong."""
    if verdict.passed:
        return []
    from tpumlir.road.divergence import Finding, find

    found = find(module, verdict, got, want)
    return (
        [Finding(found, module, want, verdict.tolerance, stage, _REFERENCES[stage], verdict.bound)]
        if found
        else []
    )


def _locate(
    final: Module, verdict: Comparison, tensors: Mapping[str, Array], bound: ElementBound, step: Step
) -> list[Finding]:
    """The operation whose bmodel deviates; a bmodel shows nothing but its outputs, so it is searched."""
    from tpumlir.road.divergence import Finding, find_on_chip

    failed = [result.name for result in verdict.failed]
    found = find_on_chip(final, tensors, failed, tolerance=verdict.tolerance, bound=bound, step=step)
    stage = "bmodel"
    return (
        [Finding(found, final, tensors, verdict.tolerance, stage, _REFERENCES[stage], bound)] if found else []
    )


def generate(module: Module, *, name: str | None = None) -> BModel:
    """Code for a Tpu module; one without addresses is finalized first.

    Raises: UnsupportedError: not a Tpu module. AllocationError, EncodeError: at the node that does not fit.
    """
    from tpumlir._core import codegen
    from tpumlir.bmodel import BModel, CommandGroup, DebugEntry, DebugInfo, TensorSpec
    from tpumlir.onnx.inputs import recorded_others

    state = str(module.attributes.get("module.state", ""))
    if state.startswith("TOP"):
        raise UnsupportedError("expected a Tpu module, got a Top module (call lower() first)")
    if state != "TPU_ADDRESSED":
        module = module.finalize()
    program = codegen.compile(module.core)

    pictures = recorded_pictures(module)

    def specs(tensors: Sequence[Any]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(t.name, t.dtype, tuple(t.shape), t.address, t.size) for t in tensors)

    def noted(spec: TensorSpec) -> TensorSpec:
        kind = pictures.types.get(spec.name, "")
        natural = kind == NATURAL_TYPES.get(spec.dtype)
        return replace(spec, onnx_type="" if natural else kind, preprocess=pictures.recorded.get(spec.name))

    return BModel(
        name=name or program.name,
        inputs=tuple(map(noted, specs(program.inputs))),
        outputs=specs(program.outputs),
        coeff=program.coeff,
        coeff_addr=program.coeff_addr,
        ctx_addr=program.ctx_addr,
        ctx_size=program.ctx_size,
        groups=tuple(CommandGroup(g.tiu, g.tiu_count, g.gdma, g.gdma_count) for g in program.groups),
        others=recorded_others(module),
        debug=DebugInfo(
            DebugEntry(engine, command, op, node, group) for engine, command, op, node, group in program.debug
        ),
    )


def write_bmodel(path: str | Path, bmodel: BModel) -> None:
    """Write a generated bmodel and its debug info; both appear whole or not at all. Raises: OSError."""
    from tpumlir.bmodel import write

    write(path, bmodel, debug=bmodel.debug.entries())


def read_inputs(
    test_input: TestInput,
    module: Module,
    pictures: Pictures | None = None,
    *,
    allow_nonfinite: bool = False,
    fixed_wins: bool = False,
) -> dict[str, Array]:
    """Checked inputs of ``module`` from arrays or files; random ones for None.

    Pictures become tensors as ``pictures`` say, by default as ``module`` records.

    What the file knew of its inputs holds for the module too: those that are constants now may be given the
    same value. With ``fixed_wins`` those that ``--fix_input`` made so may be given another one, which a Note
    tells is not used. Raises: InputError.
    """
    from tpumlir.onnx.inputs import record_without_fixed, recorded, recorded_inputs

    specs = module.inputs
    if test_input is None:
        return random_inputs(specs)
    pictures = pictures or recorded_pictures(module)
    named = _named(test_input)
    if named is None:
        assert not isinstance(test_input, Mapping)
        return load_inputs(test_input, specs, pictures, allow_nan=allow_nonfinite)
    record = recorded(module)
    if fixed_wins:
        record = record_without_fixed(record, named.arrays)
    arrays = recorded_inputs(record, [spec.name for spec in specs], named.arrays)
    arrays |= read_pictures(named.pictures, specs, pictures)
    return check_inputs(arrays, specs, allow_nan=allow_nonfinite)


def empty_outputs(module: Module) -> dict[str, Array]:
    """The outputs of the file without elements, which no module computes."""
    from tpumlir.onnx.importer import EMPTY_OUTPUTS

    text = module.attributes.get(EMPTY_OUTPUTS)
    types = {"f32": np.float32, "i32": np.int32}
    entries = json.loads(text) if isinstance(text, str) else {}
    return {name: np.empty(shape, types[kind]) for name, (shape, kind) in entries.items()}


def module_inputs(
    module: Module, feeds: Mapping[str, Array], *, allow_nonfinite: bool = False
) -> dict[str, Array]:
    """What ``module`` reads of values for the inputs of the file. Raises: InputError: what it cannot hold."""
    plain = {
        name: value if value.dtype.kind in "fiub" else value.astype(np.float32)
        for name, value in feeds.items()
    }
    return check_inputs(plain, module.inputs, allow_nan=allow_nonfinite)


def _named(test_input: TestInput) -> Named | None:
    """What a test input holds that has names: a mapping, an npz file, files with names."""
    if test_input is None:
        return None
    return Named(dict(test_input)) if isinstance(test_input, Mapping) else read_named(test_input)


def _precision_of(reference: Reference) -> str:
    """What Top is judged by: onnx's evaluator rounds every tensor to the type that the file gives it."""
    types = {value.dtype.name for value in reference.tensors.values()}
    if reference.judge == EVALUATOR and "bfloat16" in types:
        return "BF16"
    return "F16" if reference.judge == EVALUATOR and "float16" in types else "F32"


def _input_roundings(
    model: OnnxModel,
    feeds: Mapping[str, Array],
    outputs: Sequence[str],
    reference: Reference,
    tolerance: Tolerance,
) -> list[str]:
    """The inputs whose rounding to F32 alone moves an output further than ``tolerance``."""
    notes = []
    for name, value in feeds.items():
        if value.dtype != np.float64:
            continue
        with np.errstate(all="ignore"):
            rounded = value.astype(np.float32).astype(np.float64)
        if np.array_equal(rounded, value, equal_nan=True):
            continue
        moved = run_reference(model, {**feeds, name: rounded}, outputs=outputs).tensors
        result = compare(moved, reference.tensors, names=outputs, tolerance=tolerance)
        if not result.passed and result.failed:
            worst = result.failed[0]
            notes.append(
                f"input {name}: rounding its float64 values to F32 costs more than the tolerance: output "
                f"{worst.name}: {worst.message} (subtract an offset, or split it, before the model)"
            )
    return notes


def _least_precise(tpu: Module) -> str:
    """The mode with the fewest digits that a tensor of ``tpu`` has."""
    types = {result.dtype for op in tpu.ops() for result in op.results}
    return next((mode for mode in ("BF16", "F16") if mode.lower() in types), "F32")


def read_samples(
    module: Module,
    test_input: TestInput,
    cali_data: Path | None = None,
    *,
    allow_nonfinite: bool = False,
) -> Iterator[dict[str, Array]]:
    """The test input, then every file of a folder (or the one file) ``cali_data``, in the order of names.

    Raises: InputError: a file that does not fit, an empty folder.
    """
    pictures = recorded_pictures(module)
    yield read_inputs(test_input, module, pictures, allow_nonfinite=allow_nonfinite, fixed_wins=True)
    if cali_data is None:
        return
    files = (
        sorted(path for path in cali_data.iterdir() if path.is_file()) if cali_data.is_dir() else [cali_data]
    )
    if not files:
        raise InputError(f"{cali_data}: expected files with inputs in this folder, got none")
    for path in files:
        yield read_inputs(path, module, pictures, allow_nonfinite=allow_nonfinite, fixed_wins=True)


def recorded_pictures(module: Module, given: Mapping[str, Any] | None = None) -> Pictures:
    """How pictures become the inputs of ``module``, as its ``top.Input`` record it.

    ``given`` are fields of Preprocess that a caller chose, for inputs that record none.
    """
    from tpumlir.onnx.inputs import recorded_types

    types = recorded_types(module)
    recorded: dict[str, Preprocess] = {}
    for op in module.ops():
        name = op.results[0].name if op.kind == "top.Input" else ""
        preprocess = Preprocess.from_attributes(op.attrs, types[name]) if name else None
        if preprocess:
            recorded[name] = preprocess
    return Pictures(recorded, types, given or {})


def _holds_picture(test_input: TestInput) -> bool:
    if test_input is None or isinstance(test_input, Mapping):
        return False
    return any(map(is_image, parts_of(test_input)))


def _tell_unused(module: Module, preprocess: Preprocess | None) -> None:
    """Warn if a preprocessing that somebody chose fits no input."""
    if preprocess in (None, Preprocess()):
        return
    pictures = recorded_pictures(module, _chosen(preprocess))
    if pictures.recorded:
        return
    reasons = {spec.name: pictures.of(spec.name).misfit(spec.shape) for spec in module.inputs}
    # The input that is most like a picture says best what is wrong.
    name = max(module.inputs, key=lambda spec: len(spec.shape) == 4).name if reasons else ""
    why = f" ({name}: {reasons[name]})" if reasons else ""
    warnings.warn(f"no input takes pictures as the flags say{why}", Note, stacklevel=3)


def _chosen(preprocess: Preprocess | None) -> dict[str, Any]:
    """The fields of ``preprocess``, but for the type, which is the input's."""
    names = (item.name for item in fields(Preprocess) if item.name != "onnx_type")
    return {name: getattr(preprocess, name) for name in names} if preprocess else {}


def _known_excepts(excepts: Collection[str], *sides: Mapping[str, Array]) -> list[str]:
    """``excepts``, each of which must name a tensor. Raises: InputError: a name that nothing has."""
    unknown = [name for name in excepts if not any(name in side for side in sides)]
    if unknown:
        raise InputError(*(Diagnostic("expected the name of a tensor to except", name) for name in unknown))
    return list(excepts)


def in_types_of(tensors: Mapping[str, Array], reference: Mapping[str, Array]) -> dict[str, Array]:
    """``reference`` in the types that ``tensors`` of a module have.

    Truth values become the numbers 0 and 1. Integers stay as they are, so that one that does not fit in 32
    bits differs; those without a sign are compared by their bits.
    """
    result = dict(reference)
    for name, value in reference.items():
        if name not in tensors or value.dtype.kind not in "biu":
            continue
        if tensors[name].dtype.kind == "f":
            result[name] = value.astype(np.float64)
        elif value.dtype.kind == "b" or value.dtype == np.uint32:
            result[name] = value.astype(np.int32)
    return result
