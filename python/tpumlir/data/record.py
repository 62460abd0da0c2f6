"""What a module remembers of the ONNX file that it was made of, so that data for the file fit the module too.

Of its inputs: their types, how pictures become them, and those that are constants now. Read from attributes,
of modules of ``tpumlir.ir`` and of the extension alike.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tpumlir.data.preprocess import NATURAL_TYPES, Pictures, Preprocess
from tpumlir.data.types import is_float, numpy_type
from tpumlir.errors import Diagnostic, InputError, Note, unknown_name

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo

Array = npt.NDArray[Any]

BY_FLAG = "--fix_input"
_NO_NUMBERS = "cUSOMm"  # kinds of numpy: complex numbers, texts, objects, times
INPUTS = "module.onnx_inputs"
"""The inputs of the file that the module does not have, or does not know the type of, as JSON."""
EMPTY_OUTPUTS = "module.empty_outputs"
"""The outputs of the file that a module does not have, for they have no elements, as JSON."""


class Tensor(Protocol):
    """Name and element type of an input."""

    @property
    def name(self) -> str:
        """The ONNX name."""

    @property
    def dtype(self) -> str:
        """The element type as MLIR spells it."""


class Module(Protocol):
    """What is read of a module here."""

    @property
    def inputs(self) -> Sequence[Tensor]:
        """The inputs, in order."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes ``module.*``."""

    def ops(self) -> list[OpInfo]:
        """Every operation in order."""


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def digest(value: Array) -> str:
    """The same for values that are equal as numbers and in shape."""
    plain = np.asarray(value, np.float64, order="C") + 0.0  # one zero, whatever its sign
    return f"{list(np.shape(value))}:{hashlib.sha256(plain.tobytes()).hexdigest()[:16]}"


def recorded(module: Module) -> dict[str, dict[str, str]]:
    """What the file says of its inputs, by name: ``type``, or the digest ``value`` of a constant."""
    text = module.attributes.get(INPUTS)
    return json.loads(text) if isinstance(text, str) else {}


def record_without_fixed(
    record: Mapping[str, Mapping[str, str]], given: Mapping[str, Array]
) -> dict[str, dict[str, str]]:
    """``record`` for a validation, where a value for what ``--fix_input`` fixed is told, not refused."""
    fixed = [name for name, entry in record.items() if entry.get("by") == BY_FLAG and name in given]
    tell_overruled([name for name in fixed if digest(given[name]) != record[name]["value"]])
    return {name: {} if name in fixed else dict(entry) for name, entry in record.items()}


def tell_overruled(names: Sequence[str]) -> None:
    """A Note on fixed inputs whose other value in the test input is not used."""
    if names:
        text = f"constant by --fix_input, the other value in the test input is not used: {listed(names)}"
        warnings.warn(text, Note, stacklevel=3)


def recorded_inputs(
    record: Mapping[str, Mapping[str, str]], kept: Sequence[str], given: Mapping[str, Array]
) -> dict[str, Array]:
    """``given`` for the inputs ``kept`` of a module or bmodel, rounded as the file of ``record`` has them.

    Raises: InputError: a name that neither it nor the file has, another value for a constant.
    """
    wrong = [unknown_name("model input", n, kept) for n in given if n not in kept and n not in record]
    for name, entry in record.items():
        if name in given and "value" in entry and digest(given[name]) != entry["value"]:
            wrong.append(
                Diagnostic(
                    "expected the value that this file was made with, for it is a constant there, got "
                    "another one (import the model again, with --runtime_inputs or without --fix_input)",
                    name,
                )
            )
    if wrong:
        raise InputError(*wrong)
    return {
        name: _rounded(np.asarray(value), name, _dtype(record[name]["type"]))
        if "type" in record.get(name, {})
        else value
        for name, value in given.items()
        if name in kept
    }


def recorded_others(module: Module) -> dict[str, str]:
    """The inputs of the file that ``module`` does not have: a digest of the value, or nothing."""
    kept = {spec.name for spec in module.inputs}
    return {n: entry.get("value", "") for n, entry in recorded(module).items() if n not in kept}


def recorded_types(module: Module) -> dict[str, str]:
    """The types that the file gives the inputs of ``module``."""
    record = recorded(module)
    # The bytes of a frame, which is no type of a file; halves are those of a deploy.
    kinds = {**NATURAL_TYPES, "ui8": "uint8", "f16": "float32", "bf16": "float32"}
    natural = {spec.name: kinds.get(spec.dtype, spec.dtype) for spec in module.inputs}
    for op in module.ops():
        if op.kind == "top.Input" and op.results[0].scales:
            natural[op.results[0].name] = "float32"
    return {name: record.get(name, {}).get("type", kind) for name, kind in natural.items()}


def _rounded(value: Array, name: str, dtype: np.dtype[Any]) -> Array:
    """``value`` as the input holds it, in a type that numpy and modules know."""
    declared = as_declared(value, name, dtype)
    return declared if dtype.kind in "iub" else declared.astype(np.float32)


def _dtype(name: str) -> np.dtype[Any]:
    """The numpy type of a name, those that numpy does not have itself included."""
    import onnx

    found = {
        dtype.name: dtype
        for code in onnx.TensorProto.DataType.values()
        if (dtype := numpy_type(code)) is not None
    }
    return found[name]


def as_declared(value: Array, name: str, dtype: np.dtype[Any]) -> Array:
    """``value`` in the type of the input. Raises: InputError: no numbers, or such that it does not hold."""
    if value.dtype.kind in _NO_NUMBERS:
        raise InputError(Diagnostic(f"expected numbers of type {dtype}, got {value.dtype}", name))
    with np.errstate(all="ignore"):
        result = value.astype(dtype)
        if is_float(dtype):
            lost = np.isinf(result.astype(np.float64)) & np.isfinite(value)
        else:
            lost = result != value
    if lost.any():
        raise InputError(Diagnostic(f"expected values that {dtype} holds, got {value[lost].flat[0]}", name))
    return result


def empty_outputs(module: Module) -> dict[str, Array]:
    """The outputs of the file without elements, which no module computes."""
    text = module.attributes.get(EMPTY_OUTPUTS)
    types = {"f32": np.float32, "i32": np.int32}
    entries = json.loads(text) if isinstance(text, str) else {}
    return {name: np.empty(shape, types[kind]) for name, (shape, kind) in entries.items()}


def recorded_pictures(module: Module, given: Mapping[str, Any] | None = None) -> Pictures:
    """How pictures become the inputs of ``module``, as its ``top.Input`` record it.

    ``given`` are fields of Preprocess that a caller chose, for inputs that record none.
    """
    types = recorded_types(module)
    recorded: dict[str, Preprocess] = {}
    for op in module.ops():
        name = op.results[0].name if op.kind == "top.Input" else ""
        preprocess = Preprocess.from_attributes(op.attrs, types[name]) if name else None
        if preprocess and op.results[0].dtype != "ui8":  # a word of TPU-MLIR's about what is not fused yet
            preprocess = replace(preprocess, customization_format=None)
        if preprocess:
            recorded[name] = preprocess
    return Pictures(recorded, types, given or {})
