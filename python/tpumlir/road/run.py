"""Run a file, whatever stage it is of, on inputs of files: ONNX, a module, or a bmodel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.data.inputs import check_frames, load_inputs, random_values, read_inputs
from tpumlir.data.preprocess import NATURAL_TYPES, Pictures, is_image
from tpumlir.data.record import recorded_inputs, recorded_pictures
from tpumlir.data.sources import Named, load_npy, parts_of, read_named, read_pictures
from tpumlir.precision.formats import PRECISIONS
from tpumlir.tensors import TensorSpec, check_inputs

if TYPE_CHECKING:
    from tpumlir.bmodel import BModel, PlacedTensor

Array = npt.NDArray[Any]


def run_file(  # noqa: PLR0913 - what model_runner has
    path: str | Path,
    source: str | None,
    *,
    all_tensors: bool = False,
    allow_nonfinite: bool = False,
    given: Mapping[str, Any] | None = None,
    out_fixed: bool = False,
    net: str | None = None,
    stage: int | None = None,
) -> dict[str, Array]:
    """Run an ONNX model, an MLIR module or a bmodel, told apart by the suffix, on the inputs of a file.

    What a bmodel stores as halves or quantised integers is numbers here, both ways; inputs may also be given
    as they are stored, and ``out_fixed`` leaves outputs so. Without ``source`` the inputs are random;
    ``allow_nonfinite`` takes NaN and infinities. ``given`` are fields of Preprocess for pictures, where the
    file records none. Of a bmodel with several stages ``net`` and ``stage`` choose one, or the shapes of the
    inputs do.
    Raises: TpumlirError: what the file or the inputs have wrong.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return _run_onnx_file(
            path, source, given or {}, all_tensors=all_tensors, allow_nonfinite=allow_nonfinite
        )
    if path.suffix == ".mlir":
        from tpumlir.ir.interpreter import ModuleInterpreter
        from tpumlir.ir.module import Module

        module = Module.load(path)
        pictures = recorded_pictures(module, given)
        inputs = read_inputs(source, module, pictures, allow_nonfinite=allow_nonfinite)
        return ModuleInterpreter(module).run(inputs, all_tensors=all_tensors, allow_nan=allow_nonfinite)
    from tpumlir import bmodel

    named = read_named(source) if source else None
    model = _stage(bmodel.read(path, net=net, stage=stage), source, named)
    inputs = input_numbers(model, source, allow_nonfinite=allow_nonfinite, given=given)
    if not out_fixed:
        return model.run_numbers(inputs, allow_nan=allow_nonfinite)
    return model.run({t.name: t.stored(inputs[t.name]) for t in model.inputs}, allow_nan=allow_nonfinite)


def input_numbers(
    model: BModel,
    source: str | None,
    *,
    allow_nonfinite: bool = False,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Array]:
    """The inputs of a bmodel out of a file, as numbers (see ``PlacedTensor.stored``); without one random.

    Raises: TpumlirError: as ``run_file``.
    """
    named = read_named(source) if source else None
    specs = [TensorSpec(t.name, t.shape, "f32" if t.is_quantized else t.dtype) for t in model.inputs]
    pictures = Pictures(
        {t.name: t.preprocess for t in model.inputs if t.preprocess},
        {t.name: _onnx_type(t) for t in model.inputs},
        given or {},
    )
    if source is None:
        return random_values(specs, pictures)
    if named:
        arrays = named.arrays | dict(_numbers_of_stored(model.inputs, named.arrays))
        check_frames(arrays, pictures)
        record = {name: {"value": value} if value else {} for name, value in model.others.items()}
        record |= {t.name: {"type": t.onnx_type} for t in model.inputs if t.onnx_type}
        own = recorded_inputs(record, [spec.name for spec in specs], arrays)
        own |= read_pictures(named.pictures, specs, pictures)
        return check_inputs(own, specs, allow_nan=allow_nonfinite)
    return load_inputs(source, specs, pictures, allow_nan=allow_nonfinite)


def _numbers_of_stored(
    tensors: Iterable[PlacedTensor], arrays: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    """What is given as the integers that the bmodel stores."""
    for tensor in tensors:
        value = arrays.get(tensor.name)
        if tensor.is_quantized and value is not None and value.dtype == tensor.numpy_dtype:
            yield tensor.name, tensor.numbers(value)


def _stage(model: BModel, source: str | None, named: Named | None) -> BModel:
    """The stage of a bmodel that the inputs of a file are for. Raises: BModelError: they do not tell it."""
    if len(model.stages) == 1:
        return model
    parts = parts_of(source) if source else []
    if not parts or any(map(is_image, parts)) or (named and named.pictures):
        return model.only()  # says what there is to choose from
    if named:
        known = {tensor.name for stage in model.stages for tensor in stage.inputs}
        return model.stage_of(
            {name: np.shape(value) for name, value in named.arrays.items() if name in known}
        )
    values = [load_npy(Path(part)) for part in parts]
    names = next(
        (names for stage in model.stages if len(names := [t.name for t in stage.inputs]) == len(values)), None
    )
    if names is None:
        return model.stages[0]  # whose inputs say how many files there should be
    return model.stage_of({name: value.shape for name, value in zip(names, values, strict=True)})


def _onnx_type(tensor: PlacedTensor) -> str:
    """The ONNX type of an input of a bmodel, as far as the file tells."""
    if tensor.scale != 1.0 or tensor.zero_point:
        return f"{tensor.dtype} with scale {tensor.scale:g} and zero point {tensor.zero_point}"
    names = NATURAL_TYPES | {row.storage: row.onnx_type for row in PRECISIONS.values()}
    return tensor.onnx_type or names.get(tensor.dtype) or _INTEGERS.get(tensor.dtype, tensor.dtype)


_INTEGERS = {f"{u}{bits}": f"{'u' * (u == 'u')}int{bits}" for u in "iu" for bits in (8, 16, 32)}


def _run_onnx_file(
    path: Path, source: str | None, preprocess: Mapping[str, Any], *, all_tensors: bool, allow_nonfinite: bool
) -> dict[str, Array]:
    from tpumlir.onnx.inputs import choose_inputs, read_feeds
    from tpumlir.onnx.load import load
    from tpumlir.onnx.options import ImportOptions
    from tpumlir.onnx.reference import run_onnx
    from tpumlir.onnx.shapes import resolve_input_shapes

    named = read_named(source) if source else None
    chosen = choose_inputs(load(path), ImportOptions(), given=named.arrays if named else None)
    shapes = resolve_input_shapes(chosen.model.inputs, chosen.shapes)
    pictures = Pictures(types={info.name: info.dtype.name for info in chosen.model.inputs}, given=preprocess)
    feeds = read_feeds(chosen, shapes, source, named, pictures, allow_nonfinite=allow_nonfinite)
    results = run_onnx(chosen.model, feeds, sorted(chosen.model.computed_names) if all_tensors else [])
    # Types that numpy does not have itself cannot be stored.
    return {
        name: value if value.dtype.kind in "fiub" else value.astype(np.float32)
        for name, value in results.items()
    }
