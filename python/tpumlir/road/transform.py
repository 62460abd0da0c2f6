"""ONNX -> Top, validated against ONNX Runtime on the user's file (see ``tpumlir.onnx.reference``)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.compare import Comparison, Tolerance, compare
from tpumlir.data.inputs import holds_picture, module_inputs, named_of
from tpumlir.data.preprocess import Preprocess
from tpumlir.data.record import empty_outputs, recorded_pictures
from tpumlir.data.sources import Named
from tpumlir.errors import Note
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import TOP_PASSES, Module
from tpumlir.onnx.importer import import_model
from tpumlir.onnx.inputs import Inputs, choose_inputs, read_feeds
from tpumlir.onnx.load import OnnxModel, load
from tpumlir.onnx.reference import EVALUATOR, Reference, run_reference
from tpumlir.precision.formats import FLOATS, PRECISIONS, least_precise
from tpumlir.road.steps import Step, known_excepts, silent
from tpumlir.road.validate import Criteria, validate

if TYPE_CHECKING:
    from tpumlir.data.inputs import TestInput
    from tpumlir.onnx.options import ImportOptions
    from tpumlir.road.divergence import Finding
    from tpumlir.road.options import JudgeOptions

Array = npt.NDArray[Any]


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


def transform_model(
    source: str | os.PathLike[str] | Any,
    model: ImportOptions,
    judge: JudgeOptions,
    *,
    prepare: Callable[[Module], TestInput] | None = None,
    step: Step = silent,
) -> Transformed:
    """ONNX -> Top, validated against ONNX Runtime.

    Inputs that the test input names are read at run time though the file has values for them. ``prepare``
    says what the module reads of the test input, if that is made for something else. The verdict is
    in ``validation``; a failed one raises nothing here.
    Raises: OnnxImportError, UnsupportedError, InputError.
    """
    if model.preprocess is None and holds_picture(judge.test_input):
        model = replace(model, preprocess=Preprocess())
    with step("import"):
        named = named_of(judge.test_input)
        chosen = choose_inputs(load(source), model, given=named.arrays if named else None)
        imported = import_model(chosen, model)
        module = Module(imported.module)
        module.run_pipeline(TOP_PASSES)
        chosen.record(module)
    notes = [f"note: {note}" for note in imported.notes]
    notes += [f"warning: {warning}" for warning in imported.warnings]
    if not judge.validate:
        _tell_unused(module, model.preprocess)
        return Transformed(module, chosen=chosen, notes=notes)
    shapes = {spec.name: spec.shape for spec in module.inputs}
    pictures = recorded_pictures(module, _chosen(model.preprocess))
    test_input = judge.test_input
    if prepare:
        test_input = prepare(module)
        prepared = named_of(test_input)
        named = Named({**(named.arrays if named else {}), **prepared.arrays}) if prepared else None
    feeds = read_feeds(chosen, shapes, test_input, named, pictures, allow_nonfinite=judge.allow_nonfinite)
    _tell_unused(module, model.preprocess)
    inputs = module_inputs(module, feeds, allow_nonfinite=judge.allow_nonfinite)
    with step("run Top"):
        tensors = ModuleInterpreter(module).run(inputs, all_tensors=True, allow_nan=judge.allow_nonfinite)
    tensors |= empty_outputs(module)
    # The model's own outputs are judged, whatever became of them in Top.
    outputs = list(dict.fromkeys(model.output_names or chosen.model.outputs))
    with step("run the reference"):
        names = [name for name in module.tensor_names() if name in chosen.model.computed_names]
        raw = run_reference(chosen.model, feeds, names, outputs=outputs)
        reference = in_types_of(tensors, raw.tensors)
        if raw.reason:
            notes.append(f"note: {raw.judge} is the reference: {raw.reason}")
    with step("compare"):
        # A tensor that Top fused away has no counterpart, one that it added has no reference; outputs have
        # both.
        precision = _precision_of(raw)
        criteria = Criteria(
            [*names, *outputs], precision, judge.tolerance or PRECISIONS[precision].lowering.tolerance,
            judge.element_bound,
            known_excepts(judge.excepts, tensors, reference), f"Top against {raw.judge}",
        )  # fmt: skip
        verdict = validate(module, inputs | tensors, inputs | reference, criteria, top="got")
    found: list[Finding] = []
    if not verdict.passed:
        from tpumlir.road.divergence import findings

        with step("judge the rounding of inputs"):
            notes += _input_roundings(chosen.model, feeds, outputs, raw, verdict.tolerance)
        found = findings(module, verdict, tensors, inputs | reference, "top")
    return Transformed(module, inputs, tensors, verdict, found, chosen, raw.judge, notes)


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


def _precision_of(reference: Reference) -> str:
    """What Top is judged by: onnx's evaluator rounds every tensor to the type that the file gives it."""
    types = {value.dtype.name for value in reference.tensors.values()}
    rounded = types if reference.judge == EVALUATOR else set()
    return least_precise(PRECISIONS[name].storage for name in FLOATS if PRECISIONS[name].onnx_type in rounded)


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
