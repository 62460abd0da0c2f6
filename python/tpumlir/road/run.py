"""Inputs for models (checked, read from files, or drawn at random) and the ONNX reference run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir.data.preprocess import NATURAL_TYPES, Pictures
from tpumlir.data.sources import Source, load_npy, read_by_position, read_named, read_pictures
from tpumlir.errors import Diagnostic, InputError, unknown_name
from tpumlir.extents import advice_on_file, advice_on_program
from tpumlir.ir.module import TensorSpec
from tpumlir.onnx.reference import run_onnx, session_options

if TYPE_CHECKING:
    from tpumlir.bmodel import TensorSpec as DeviceSpec
    from tpumlir.onnx.load import TensorInfo

Array = npt.NDArray[Any]

__all__ = [
    "check_inputs",
    "load_inputs",
    "load_npy",
    "onnx_specs",
    "random_inputs",
    "run_file",
    "run_onnx",
    "session_options",
]


def check_inputs(
    inputs: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    *,
    allow_nan: bool = False,
    declared: Mapping[str, Sequence[int | None] | None] | None = None,
) -> dict[str, Array]:
    """The inputs that ``specs`` ask for, converted where nothing is lost; further tensors are left out.

    ``declared`` are the shapes in the ONNX file, if the inputs are those of one.
    Raises: InputError: all that is wrong: missing names, shapes, values that do not fit the type, NaN and
    infinity unless ``allow_nan``.
    """
    checked: dict[str, Array] = {}
    wrong: list[Diagnostic] = []
    for spec in specs:
        if spec.name not in inputs:
            got = ", ".join(map(str, inputs)) or "nothing"
            wrong.append(Diagnostic(f"expected an input of this name, got {got}", spec.name))
            continue
        value = np.asarray(inputs[spec.name])
        problem = _problem(value, spec, (declared or {}).get(spec.name), allow_nan=allow_nan)
        if problem:
            wrong.append(Diagnostic(problem, spec.name))
        else:
            checked[spec.name] = np.ascontiguousarray(value, spec.numpy_dtype).reshape(spec.shape)
    if wrong:
        raise InputError(*wrong, tensor=wrong[0].node)
    return checked


def _problem(
    value: Array, spec: TensorSpec, declared: Sequence[int | None] | None, *, allow_nan: bool
) -> str | None:
    if value.shape != spec.shape:
        advice = advice_on_file(declared, value.shape) or advice_on_program(spec.shape, value.shape)
        return f"expected shape {list(spec.shape)}, got {list(value.shape)}{advice}"
    if value.dtype.kind not in "fiub":
        return f"expected numbers of type {spec.numpy_dtype}, got {value.dtype}"
    if value.dtype.kind == "f" and not allow_nan:
        # The sum of finite float32 values in float64 is finite; it is cheaper than a mask.
        with np.errstate(all="ignore"):
            total = float(np.sum(value, dtype=np.float64))
        if not np.isfinite(total) and not np.isfinite(value).all():
            nan, inf = int(np.isnan(value).sum()), int(np.isinf(value).sum())
            return (
                f"expected finite values, got {nan} NaN and {inf} infinities (--allow_nonfinite takes them)"
            )
    target = spec.numpy_dtype
    if value.dtype == target or (value.dtype.kind == "f" and target.kind == "f"):
        return _overflow(value, target) if value.dtype.itemsize > target.itemsize else None
    with np.errstate(invalid="ignore"):
        lost = value.astype(target) != value
    if lost.any():
        return f"expected values that {target} holds exactly, got {value[lost].flat[0]} ({value.dtype})"
    return None


def _overflow(value: Array, target: np.dtype[Any]) -> str | None:
    """What is wrong with floats that become infinite in a narrower type."""
    with np.errstate(over="ignore"):
        lost = np.isinf(value.astype(target)) & ~np.isinf(value)
    return f"expected values that {target} holds, got {value[lost].flat[0]}" if lost.any() else None


def check_names(given: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError for the names that no input has."""
    wrong = [unknown_name("model input", name, known) for name in given if name not in known]
    if wrong:
        raise InputError(*wrong)


def load_inputs(
    source: Source,
    specs: Sequence[TensorSpec],
    pictures: Pictures | None = None,
    *,
    allow_nan: bool = False,
    declared: Mapping[str, Sequence[int | None] | None] | None = None,
) -> dict[str, Array]:
    """Inputs from files; see ``tpumlir.data.sources`` for whose a file is, ``check_inputs`` for ``declared``.

    Raises: InputError: a file that is missing or does not fit the inputs.
    """
    pictures = pictures or Pictures()
    named = read_named(source)
    if named is None:
        arrays = read_by_position(source, specs, pictures)
    else:
        check_names([*named.arrays, *named.pictures], [spec.name for spec in specs])
        arrays = named.arrays | read_pictures(named.pictures, specs, pictures)
    return check_inputs(arrays, specs, allow_nan=allow_nan, declared=declared)


def random_inputs(specs: Sequence[TensorSpec], *, seed: int = 0) -> dict[str, Array]:
    """Inputs for a validation without data: the same for the same seed.

    Floats are normal with deviation 1, which crosses zero and keeps exponentials in range; integers are 0 and
    1, which are legal as indices, masks and lengths alike.
    """
    rng = np.random.default_rng(seed)
    return {
        spec.name: rng.standard_normal(spec.shape, np.float32).astype(spec.numpy_dtype)
        if spec.numpy_dtype.kind == "f"
        else rng.integers(0, 2, spec.shape).astype(spec.numpy_dtype)
        for spec in specs
    }


def run_file(
    path: str | Path,
    source: str | None,
    *,
    all_tensors: bool = False,
    allow_nonfinite: bool = False,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Array]:
    """Run an ONNX model, an MLIR module or a bmodel, told apart by the suffix, on the inputs of a file.

    Without ``source`` the inputs are random; ``allow_nonfinite`` takes NaN and infinities. ``given``
    are fields of Preprocess for pictures, where the file records none.
    Raises: TpumlirError: what the file or the inputs have wrong.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return _run_onnx_file(
            path, source, given or {}, all_tensors=all_tensors, allow_nonfinite=allow_nonfinite
        )
    if path.suffix == ".mlir":
        from tpumlir.ir.module import Module, ModuleInterpreter
        from tpumlir.road.compile import read_inputs, recorded_pictures

        module = Module.load(path)
        pictures = recorded_pictures(module, given)
        inputs = read_inputs(source, module, pictures, allow_nonfinite=allow_nonfinite)
        return ModuleInterpreter(module).run(inputs, all_tensors=all_tensors, allow_nan=allow_nonfinite)
    from tpumlir import bmodel
    from tpumlir.onnx.inputs import recorded_inputs

    model = bmodel.read(path)
    specs = [TensorSpec(t.name, t.shape, t.dtype) for t in model.inputs]
    pictures = Pictures(
        {t.name: t.preprocess for t in model.inputs if t.preprocess},
        {t.name: _onnx_type(t) for t in model.inputs},
        given or {},
    )
    named = read_named(source) if source else None
    if source is None:
        inputs = random_inputs(specs)
    elif named:
        record = {name: {"value": value} if value else {} for name, value in model.others.items()}
        record |= {t.name: {"type": t.onnx_type} for t in model.inputs if t.onnx_type}
        own = recorded_inputs(record, [spec.name for spec in specs], named.arrays)
        own |= read_pictures(named.pictures, specs, pictures)
        inputs = check_inputs(own, specs, allow_nan=allow_nonfinite)
    else:
        inputs = load_inputs(source, specs, pictures, allow_nan=allow_nonfinite)
    stored = {t.name: _stored(inputs[t.name], t.dtype) for t in model.inputs}
    return model.run(stored, allow_nan=allow_nonfinite)


def _onnx_type(tensor: DeviceSpec) -> str:
    """The ONNX type of an input of a bmodel, as far as the file tells."""
    if tensor.scale != 1.0 or tensor.zero_point:
        return f"{tensor.dtype} with scale {tensor.scale:g} and zero point {tensor.zero_point}"
    names = NATURAL_TYPES | {"f16": "float16", "bf16": "bfloat16"}
    return tensor.onnx_type or names.get(tensor.dtype) or _INTEGERS.get(tensor.dtype, tensor.dtype)


_INTEGERS = {f"{u}{bits}": f"{'u' * (u == 'u')}int{bits}" for u in "iu" for bits in (8, 16, 32)}


def _stored(value: Array, dtype: str) -> Array:
    """The value as a bmodel stores it; modules and files have halves as float32."""
    if dtype == "bf16":
        return npz.to_bf16_bits(value)
    return value.astype(np.float16) if dtype == "f16" else value


def _run_onnx_file(
    path: Path, source: str | None, preprocess: Mapping[str, Any], *, all_tensors: bool, allow_nonfinite: bool
) -> dict[str, Array]:
    from tpumlir.onnx.inputs import choose_inputs, read_feeds
    from tpumlir.onnx.load import load
    from tpumlir.onnx.shapes import resolve_input_shapes

    named = read_named(source) if source else None
    chosen = choose_inputs(load(path), given=named.arrays if named else None)
    shapes = resolve_input_shapes(chosen.model.inputs, chosen.shapes)
    pictures = Pictures(types={info.name: info.dtype.name for info in chosen.model.inputs}, given=preprocess)
    feeds = read_feeds(chosen, shapes, source, named, pictures, allow_nonfinite=allow_nonfinite)
    results = run_onnx(chosen.model, feeds, sorted(chosen.model.computed_names) if all_tensors else [])
    # Types that numpy does not have itself cannot be stored.
    return {
        name: value if value.dtype.kind in "fiub" else value.astype(np.float32)
        for name, value in results.items()
    }


def onnx_specs(infos: Sequence[TensorInfo], shapes: Mapping[str, tuple[int, ...]]) -> list[TensorSpec]:
    """Inputs of an ONNX file, in its types, under ``shapes``."""
    return [TensorSpec(info.name, shapes[info.name], _kind(info.dtype)) for info in infos]


def _kind(dtype: np.dtype[Any]) -> str:
    kinds = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "bool": "bool"}
    if dtype.name in kinds:
        return kinds[dtype.name]
    if dtype.kind not in "iu":
        return "f32"  # floats of 8 bits and less
    return f"{'ui' if dtype.kind == 'u' else 'i'}{8 * dtype.itemsize}"
