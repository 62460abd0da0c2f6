"""Named tensors of models: what they are declared to be, values that fit them, values drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tpumlir._core.precision import FLOAT_TYPES
from tpumlir.errors import Diagnostic, InputError, unknown_name
from tpumlir.extents import advice_on_file, advice_on_program

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: its ONNX name, static shape and data type ("f32", "i32", ...)."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The numpy type that holds it; tensors of half precision are held as float32."""
        if self.dtype in FLOAT_TYPES:
            return np.dtype(np.float32)
        if self.dtype in {"f64", "bool"}:  # inputs of ONNX files only
            return np.dtype(np.float64 if self.dtype == "f64" else np.bool_)
        sign = "u" if self.dtype.startswith("u") else ""
        return np.dtype(f"{sign}int{self.dtype.lstrip('uis')}")


def check_inputs(
    inputs: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    *,
    allow_nan: bool = False,
    declared: Mapping[str, Sequence[int | None] | None] | None = None,
    exact: bool = False,
) -> dict[str, Array]:
    """The inputs that ``specs`` ask for, converted where nothing is lost; further tensors are left out.

    ``declared`` are the shapes in the ONNX file, if the inputs are those of one. With ``exact`` nothing is
    converted and no further tensor taken; only NaN is no number then.
    Raises: InputError: all that is wrong: missing names, shapes, values that do not fit the type, NaN and
    infinity unless ``allow_nan``.
    """
    if not isinstance(inputs, Mapping):
        like = f"{{{specs[0].name!r}: array}}" if specs else "{}"
        raise InputError(f"expected inputs by name, such as {like}, got {type(inputs).__name__}")
    checked: dict[str, Array] = {}
    names = [spec.name for spec in specs]
    wrong = [unknown_name("model input", name, names) for name in inputs if exact and name not in names]
    for spec in specs:
        if spec.name not in inputs:
            got = ", ".join(map(str, inputs)) or "nothing"
            wrong.append(Diagnostic(f"expected an input of this name, got {got}", spec.name))
            continue
        value = np.asarray(inputs[spec.name])
        problem = _shape_problem(value, spec, (declared or {}).get(spec.name)) or (
            _exact_problem(value, spec, allow_nan=allow_nan)
            if exact
            else _problem(value, spec, allow_nan=allow_nan)
        )
        if problem:
            wrong.append(Diagnostic(problem, spec.name))
        else:
            checked[spec.name] = np.ascontiguousarray(value, spec.numpy_dtype).reshape(spec.shape)
    if wrong:
        raise InputError(*wrong, tensor=wrong[0].node)
    return checked


def _shape_problem(value: Array, spec: TensorSpec, declared: Sequence[int | None] | None) -> str | None:
    if value.shape == spec.shape:
        return None
    advice = advice_on_file(declared, value.shape) or advice_on_program(spec.shape, value.shape)
    return f"expected shape {list(spec.shape)}, got {list(value.shape)}{advice}"


def _exact_problem(value: Array, spec: TensorSpec, *, allow_nan: bool) -> str | None:
    if value.dtype != spec.numpy_dtype:
        return f"expected element type {spec.numpy_dtype}, got {value.dtype}"
    if not allow_nan and value.dtype.kind == "f" and np.isnan(value).any():
        return f"expected numbers, got NaN ({int(np.isnan(value).sum())} of {value.size})"
    return None


def _problem(value: Array, spec: TensorSpec, *, allow_nan: bool) -> str | None:
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
