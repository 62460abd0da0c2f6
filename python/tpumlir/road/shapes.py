"""Several shapes of one model: each goes the whole road, and their bmodels become stages of one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from tpumlir.bmodel import join
from tpumlir.data.inputs import holds_picture, named_of
from tpumlir.data.sources import load_npy, parts_of
from tpumlir.errors import InputError
from tpumlir.onnx.inputs import choose_inputs
from tpumlir.onnx.load import load
from tpumlir.onnx.options import ImportOptions, InputShapes
from tpumlir.road.single import Compiled, compile_model
from tpumlir.road.steps import Step, silent

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel
    from tpumlir.compare import Comparison
    from tpumlir.data.inputs import TestInput
    from tpumlir.road.divergence import Finding
    from tpumlir.road.options import DeployOptions, JudgeOptions
    from tpumlir.road.quantize import SearchOptions

SeveralShapes = Sequence[InputShapes]
"""Static shapes of the inputs, once for each stage."""


@dataclass
class CompiledShapes(Compiled):
    """The road of each shape; ``top`` and ``deployed`` are those of the first."""

    shapes: list[Compiled] = field(default_factory=list)
    whole: BModel | None = None

    @property
    def stages(self) -> list[Compiled]:
        """What became of each shape, in order."""
        return self.shapes

    @property
    def divergences(self) -> list[Finding]:
        """Where failed validations first go wrong, shape by shape."""
        return [finding for one in self.shapes for finding in one.divergences]

    @property
    def validations(self) -> list[Comparison]:
        """The validations of all shapes in order; the labels tell which."""
        return [
            replace(verdict, label=f"{verdict.label}, {shapes_of(one.bmodel)}")
            for one in self.shapes
            for verdict in one.validations
        ]

    @property
    def bmodel(self) -> BModel:
        """The result, with a stage for each shape."""
        assert self.whole is not None
        return self.whole


def are_several(shapes: InputShapes | SeveralShapes | None) -> TypeGuard[SeveralShapes]:
    """Whether these are shapes for several stages: each of them a mapping, or a list of lists."""

    def is_list(value: object) -> bool:
        return isinstance(value, Sequence) and not isinstance(value, str)

    if not is_list(shapes) or not shapes:
        return False
    assert isinstance(shapes, Sequence)
    return all(
        isinstance(one, Mapping) or (is_list(one) and len(one) > 0 and is_list(one[0])) for one in shapes
    )


def shapes_of(bmodel: BModel) -> str:
    """The shapes of a stage's inputs in words."""
    return " ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in bmodel.inputs) or "no inputs"


def compile_shapes(  # noqa: PLR0913 - what compile_onnx has, in groups
    source: str | os.PathLike[str] | Any,
    shapes: SeveralShapes,
    model: ImportOptions,
    target: DeployOptions,
    judge: JudgeOptions,
    test_inputs: Sequence[TestInput] = (),
    *,
    not_inference: bool = False,
    search: SearchOptions | None = None,
    step: Step = silent,
) -> CompiledShapes:
    """ONNX -> one bmodel with a stage for each of ``shapes``, each validated like a model of its own.

    ``test_inputs`` are as many as ``shapes``, or one for the stage that it fits; pictures fit all. Samples of
    a ``search`` have the first shape, and what is found for it holds for all; so does what --auto_mixed
    keeps in F32. Raises: as ``compile_model``; InputError: a shape twice, inputs that fit none.
    """
    if len(shapes) < 1:
        raise InputError("expected shapes for at least one stage, got none")
    if search:
        if search.changes_weights:
            raise InputError(
                "weights that are changed for one shape are not shared with others: expected one shape with "
                "--equalize on, --round optimized or --bias_correction on"
            )
        search = replace(search, equalize=False, rounding=False, bias_correction=False)
    inputs = _inputs_of(source, shapes, model, test_inputs)
    done: list[Compiled] = []
    for one, test_input in zip(shapes, inputs, strict=True):
        result = compile_model(
            source, replace(model, input_shapes=one), target, replace(judge, test_input=test_input),
            not_inference=not_inference, search=None if done else search, step=step,
        )  # fmt: skip
        if any(_same(result.bmodel, other.bmodel) for other in done):
            raise InputError(
                f"expected different shapes, got {shapes_of(result.bmodel)} twice (--input_shapes)"
            )
        done.append(result)
        target = result.target or target
        if result.deployed.auto_table:
            target = replace(target, quantize_table=result.deployed.auto_table.table)
    with step("share weights"):
        whole = join([result.bmodel for result in done])
    first = done[0]
    notes = list(dict.fromkeys(note for result in done for note in result.top.notes))
    return CompiledShapes(
        replace(first.top, notes=notes), first.deployed, first.search, first.target, done, whole
    )


def _same(one: BModel, other: BModel) -> bool:
    return [(t.name, t.shape) for t in one.inputs] == [(t.name, t.shape) for t in other.inputs]


def _inputs_of(
    source: Any, shapes: SeveralShapes, model: ImportOptions, given: Sequence[TestInput]
) -> list[TestInput]:
    """The test input of each stage. Raises: InputError: too many, or one that fits none."""
    if len(given) == len(shapes):
        return list(given)
    if not given:
        return [None] * len(shapes)
    if len(given) > 1:
        raise InputError(
            f"expected a test input for each of {len(shapes)} shapes, or one for the shape that it fits, got "
            f"{len(given)}"
        )
    (only,) = given
    if only is None or holds_picture(only):
        return [only] * len(shapes)
    found: list[TestInput] = [only if fits else None for fits in _fitting(source, shapes, model, only)]
    if not any(test_input is not None for test_input in found):
        told = "; ".join(str(one if isinstance(one, Mapping) else [list(s) for s in one]) for one in shapes)
        raise InputError(f"expected a test input of one of the shapes {told}, got another")
    return found


def _fitting(
    source: Any, shapes: SeveralShapes, model: ImportOptions, test_input: TestInput
) -> Iterator[bool]:
    """For each of the shapes whether the arrays of ``test_input`` have them."""
    named = named_of(test_input)
    loaded = load(source)
    for one in shapes:
        chosen = choose_inputs(
            loaded, replace(model, input_shapes=one), given=named.arrays if named else None
        )
        if named:
            arrays = named.arrays
        else:
            assert test_input is not None
            assert not isinstance(test_input, Mapping)
            arrays = {
                info.name: load_npy(Path(path))
                for info, path in zip(chosen.runtime, parts_of(test_input), strict=False)
            }
        yield all(
            np.shape(value) == tuple(chosen.shapes[name])
            for name, value in arrays.items()
            if name in chosen.shapes
        )
