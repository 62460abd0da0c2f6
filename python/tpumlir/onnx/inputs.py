"""Which inputs of a file are read at run time, and which are constants: given, by default, or fixed.

``fixed`` gives an input a value for good; an input with an initializer has one already, unless the test input
or ``runtime`` names it. What stays is an input of the module.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir import npz
from tpumlir.data.inputs import load_inputs
from tpumlir.data.preprocess import NATURAL_TYPES, Pictures
from tpumlir.data.record import BY_FLAG, INPUTS, as_declared, digest, empty_outputs, listed, tell_overruled
from tpumlir.data.sources import load_npy, read_pictures
from tpumlir.data.types import is_float
from tpumlir.errors import Diagnostic, InputError, unknown_name
from tpumlir.onnx.load import OnnxModel, TensorInfo
from tpumlir.onnx.options import FixedInputs, ImportOptions, InputShapes
from tpumlir.onnx.shapes import in_order, resolve_input_shapes
from tpumlir.precision.formats import PRECISIONS
from tpumlir.tensors import TensorSpec, check_inputs, random_inputs

if TYPE_CHECKING:
    from tpumlir.data.sources import Named
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a model: ``model.inputs`` but for the ``fixed`` are read at run time.

    ``fixed`` are those that the user gave a value; ``model.defaults`` keep that of the file. ``usual`` holds
    the file's values of those that could have kept it, but are read at run time. ``shapes`` are those that
    the user, the test input or such a value gives.
    """

    model: OnnxModel
    shapes: dict[str, Sequence[int]]
    fixed: dict[str, Array] = field(default_factory=dict)
    usual: dict[str, Array] = field(default_factory=dict)

    @property
    def default(self) -> list[str]:
        """The inputs that keep the value of the file; before IR version 4 all weights are listed as such."""
        return [info.name for info in self.model.defaults] if self.model.original.ir_version >= 4 else []

    @property
    def runtime(self) -> list[TensorInfo]:
        """The inputs that are read at run time."""
        return [info for info in self.model.inputs if info.name not in self.fixed]

    def record(self, module: Module) -> None:
        """Let ``module`` remember the inputs that it does not have, and the types that it does not know.

        So that files with inputs of the model fit the module too. Of constants a digest is kept: another
        value is refused then.
        """
        kept = {spec.name for spec in module.inputs}
        record: dict[str, dict[str, str]] = {}
        for info in self.model.inputs:
            if info.name in self.fixed:
                record[info.name] = {"value": digest(self.fixed[info.name]), "by": BY_FLAG}
            elif info.name not in kept:  # without elements, or no node that is left reads it
                record[info.name] = {}
            elif info.dtype.name not in NATURAL_TYPES.values():
                record[info.name] = {"type": info.dtype.name}
        for name in self.default:
            record[name] = {"value": digest(self.model.initializer(name))}
        if record:
            module.core.set_attribute(INPUTS, json.dumps(record, sort_keys=True))

    def summary(self, module: Module) -> dict[str, Any]:
        """Which inputs are read at run time and which are constants, in JSON's types."""
        kept = {spec.name for spec in module.inputs}
        return {
            "runtime": [spec.name for spec in module.inputs],
            "fixed": list(self.fixed),
            "default": self.default,
            "unused": [info.name for info in self.runtime if info.name not in kept],
        }

    def lines(self, module: Module) -> list[str]:
        """The summary in words; nothing if every input of the file is simply read at run time."""
        parts = []
        if self.usual:
            parts.append(f"read at run time, though the file has values: {listed(list(self.usual))}")
        if self.fixed:
            parts.append(f"constant by --fix_input: {listed(list(self.fixed))}")
        if self.default:
            names = listed(self.default)
            parts.append(f"constant as in the file (--runtime_inputs changes it): {names}")
        unused = self.summary(module)["unused"]
        if unused:
            parts.append(f"not read: {listed(unused)}")
        lines = [f"inputs {part}" for part in parts]
        empty = [f"{name} {list(value.shape)}" for name, value in empty_outputs(module).items()]
        return [*lines, f"outputs without elements, which are left out: {listed(empty)}"] if empty else lines


def choose_inputs(
    model: OnnxModel, options: ImportOptions, *, given: Mapping[str, Any] | None = None
) -> Inputs:
    """Tell the inputs of run time from constants.

    ``given`` is the test input: what it names is an input of run time. Raises: InputError: a name that the
    model does not have, a value that does not fit. OnnxImportError: shapes for other inputs.
    """
    given, runtime = given or {}, options.runtime_inputs
    known = {info.name: info for info in (*model.inputs, *model.defaults)}
    texts = _by_name(options.fixed_inputs, known)
    wrong = [
        unknown_name("model input", name, known)
        for name in dict.fromkeys([*texts, *runtime, *given])
        if name not in known
    ]
    wrong += [
        Diagnostic("expected a fixed value or an input of run time, got both", name)
        for name in texts
        if name in runtime
    ]
    if wrong:
        raise InputError(*wrong)
    named = [info.name for info in model.defaults if info.name in {*runtime, *given} - {*texts}]
    usual = {name: model.initializer(name) for name in named}
    model = model.at_run_time({*named, *texts})
    shapes = _named(options.input_shapes, model.inputs, texts)
    values = {name: _value(known[name], value, shapes.get(name)) for name, value in texts.items()}
    tell_overruled([n for n, v in values.items() if n in given and not _same(v, np.asarray(given[n]))])
    for info in model.inputs:
        is_open = info.shape is None or None in info.shape
        if info.name in shapes or info.name in values or not is_open:
            continue
        if info.name in given:
            shapes[info.name] = np.shape(given[info.name])
        elif info.name in usual:
            shapes[info.name] = usual[info.name].shape
    return Inputs(model, {n: s for n, s in shapes.items() if n not in values}, values, usual)


def read_feeds(
    chosen: Inputs,
    shapes: Mapping[str, tuple[int, ...]],
    test_input: Any,
    named: Named | None,
    pictures: Pictures | None = None,
    *,
    allow_nonfinite: bool = False,
) -> dict[str, Array]:
    """Values for all inputs of the file in the types that it declares, the constants of ``chosen`` included.

    ``shapes`` are those of the inputs that count; where others have no value, they get zeros. ``named``
    is what ``test_input`` holds if it has names. Raises: InputError: all that does not fit.
    """
    infos = [info for info in chosen.runtime if info.name in shapes]
    specs = onnx_specs(infos, shapes)
    declared = {info.name: info.shape for info in infos}
    given: Mapping[str, Any] = named.arrays if named else {}
    if named:
        tensors = read_pictures(named.pictures, specs, pictures or Pictures())
        values = check_inputs(
            {**chosen.usual, **given, **tensors}, specs, allow_nan=allow_nonfinite, declared=declared
        )
    elif test_input is None:
        values = random_inputs(specs)
        for name, value in chosen.usual.items():
            if name in values and value.shape == values[name].shape:
                values[name] = value
    else:
        values = load_inputs(test_input, specs, pictures, allow_nan=allow_nonfinite, declared=declared)
    feeds = {info.name: as_declared(values[info.name], info.name, info.dtype) for info in infos}
    for info in chosen.model.inputs:
        if info.name in chosen.fixed:
            feeds[info.name] = chosen.fixed[info.name]
        elif info.name not in feeds:
            feeds[info.name] = _unread(info, chosen.shapes.get(info.name), given.get(info.name))
    return feeds


def onnx_specs(infos: Sequence[TensorInfo], shapes: Mapping[str, tuple[int, ...]]) -> list[TensorSpec]:
    """Inputs of an ONNX file, in its types, under ``shapes``."""
    return [TensorSpec(info.name, shapes[info.name], _kind(info.dtype)) for info in infos]


def _kind(dtype: np.dtype[Any]) -> str:
    kinds = {row.onnx_type: row.storage for row in PRECISIONS.values()} | {"float64": "f64", "bool": "bool"}
    if dtype.name in kinds:
        return kinds[dtype.name]
    if dtype.kind not in "iu":
        return "f32"  # floats of 8 bits and less
    return f"{'ui' if dtype.kind == 'u' else 'i'}{8 * dtype.itemsize}"


def _unread(info: TensorInfo, shape: Sequence[int] | None, given: Array | None) -> Array:
    """A value for an input that nothing reads, or that has no element: ONNX Runtime asks for every one."""
    if given is not None:
        return np.asarray(given).astype(info.dtype)
    shape = shape if shape is not None else [extent or 1 for extent in info.shape or ()]
    if info.shape is None and not shape:
        raise InputError(Diagnostic("expected a known rank for an input that is cut off", info.name))
    return np.zeros(shape, info.dtype)


def _by_name(fixed: FixedInputs | None, known: Collection[str]) -> dict[str, Any]:
    """The values, or their texts, by the names of inputs. A name may hold an equals sign."""
    if fixed is None:
        return {}
    if isinstance(fixed, Mapping):
        return dict(fixed)
    texts: dict[str, Any] = {}
    for text in [fixed] if isinstance(fixed, str) else fixed:
        cuts = [i for i, c in enumerate(text) if c == "="]
        if not cuts or not cuts[0]:
            raise InputError(f"expected NAME=VALUE, got {text!r}")
        cut = next((i for i in reversed(cuts) if text[:i] in known), cuts[0])
        if text[:cut] in texts:
            raise InputError(Diagnostic("expected one value for a fixed input, got two", text[:cut]))
        texts[text[:cut]] = text[cut + 1 :]
    return texts


def _named(
    given: InputShapes | None, infos: Sequence[TensorInfo], fixed: Collection[str]
) -> dict[str, Sequence[int]]:
    """Shapes by name; a list is for all inputs, or for those that are not fixed."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    names = [info.name for info in infos]
    given = in_order(given, len(names))
    if len(given) != len(names):
        names = [name for name in names if name not in fixed]
    if len(given) != len(names):
        resolve_input_shapes([info for info in infos if info.name in names], given)  # says what is wrong
    return dict(zip(names, given, strict=True))


# --- one value ------------------------------------------------------------------------


def _value(info: TensorInfo, value: Any, shape: Sequence[int] | None) -> Array:
    """The constant that takes the place of an input."""
    array = np.asarray(_read(info.name, value) if isinstance(value, (str, Path)) else value)
    if array.dtype.kind not in "fiub" and not is_float(array.dtype):
        raise InputError(Diagnostic(f"expected numbers as its value, got {value!r}", info.name))
    array = _shaped(info, array, shape)
    return as_declared(array, info.name, info.dtype)


def _shaped(info: TensorInfo, array: Array, shape: Sequence[int] | None) -> Array:
    """``array`` in the shape that is wanted: a single number fills it."""
    wanted: Sequence[int | None] | None = shape if shape is not None else info.shape
    if array.ndim == 0 and wanted is not None and None not in wanted:
        return np.full([int(extent or 0) for extent in wanted], array)
    if array.ndim == 0 and wanted is not None and len(wanted):
        # A batch that nobody gives is 1, as everywhere.
        extents = [1 if i == 0 and extent is None else extent for i, extent in enumerate(wanted)]
        if None not in extents:
            return np.full([int(extent or 0) for extent in extents], array)
    fits = wanted is None or (
        len(wanted) == array.ndim and all(w in {None, g} for w, g in zip(wanted, array.shape, strict=True))
    )
    if not fits:
        declared = [extent if extent is not None else "?" for extent in wanted or ()]
        text = ", ".join(map(str, declared))
        raise InputError(
            Diagnostic(f"expected a value of shape [{text}], got {list(array.shape)}", info.name)
        )
    return array


def _read(name: str, value: str | Path) -> Array:
    """The array that a text stands for: a number, a list, or a file."""
    text = str(value).strip()
    suffix = Path(text).suffix
    if suffix == ".npy":
        return load_npy(Path(text))
    if suffix == ".npz":
        arrays = npz.load(text)
        if name not in arrays and len(arrays) != 1:
            raise InputError(unknown_name(f"tensor in {text}", name, arrays))
        return np.asarray(arrays.get(name, next(iter(arrays.values()))))
    try:
        # JSON knows true, false, numbers, lists, NaN and Infinity.
        parsed = json.loads(_JSON.get(text.lower(), text))
        array = np.asarray(parsed)
    except (ValueError, RecursionError):
        raise InputError(
            Diagnostic(
                f"expected a number, true, false, a list such as [1,2], or an npz or npy file, got {text!r}",
                name,
            )
        ) from None
    if array.dtype.kind not in "fiub":
        raise InputError(Diagnostic(f"expected numbers or truth values, got {text!r}", name))
    return array


_JSON = {
    "true": "true",
    "false": "false",
    "nan": "NaN",
    "inf": "Infinity",
    "+inf": "Infinity",
    "-inf": "-Infinity",
}


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True)
