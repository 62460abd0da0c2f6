"""What a converter sees: one ONNX node, its operands (weights or run-time tensors) and its attributes.

A converter is a function marked ``@converts("Conv", since=1)``; of several for one operator the one with the
largest ``since`` that is not newer than the model's opset is taken, as ONNX versions its operators.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tpumlir.ir.names import part_of
from tpumlir.onnx.types import is_whole

if TYPE_CHECKING:
    from tpumlir._core.ir import Value
    from tpumlir.onnx.steps import StatedSteps

Array = npt.NDArray[Any]
DType = np.dtype[Any]
Attribute = bool | int | float | str | Sequence[int] | Sequence[float] | None
# What a converter makes of each output: a value, or an array if it is known (always if it has no elements).
Result: TypeAlias = "Value | Array"


@dataclass(frozen=True)
class TensorList:
    """A sequence of tensors, by their names."""

    names: tuple[str, ...]


Converter = Callable[["Node"], "Result | Sequence[Result]"]

_CONVERTERS: dict[str, list[tuple[int, Converter]]] = {}


class NotSupportedError(Exception):
    """Raised by a converter: this node is valid ONNX, but has no exact equivalent yet.

    Collected by the importer.
    """

    def __init__(self, reason: str, remedy: str = "", *, constants: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.constants = tuple(constants)
        """The tensors that decide a shape: the node may be supported if they are constant."""


class InvalidNodeError(Exception):
    """Raised by a converter: the node contradicts the ONNX specification."""


def converts(op_type: str, *, since: int) -> Callable[[Converter], Converter]:
    """Register a converter for ``op_type`` from opset ``since`` on.

    That of another domain than ONNX's own is called ``domain.op_type``.
    """

    def register(function: Converter) -> Converter:
        versions = _CONVERTERS.setdefault(op_type, [])
        assert all(version != since for version, _ in versions), f"{op_type} has two converters since {since}"
        versions.append((since, function))
        versions.sort(key=lambda entry: entry[0])
        return function

    return register


def find_converter(op_type: str, opset: int) -> Converter | None:
    """The converter for ``op_type`` in a model of ``opset``, or None."""
    found = None
    for since, function in _CONVERTERS.get(op_type, ()):
        if since <= opset:
            found = function
    return found


def wrap_converters(op_type: str, change: Callable[[Node, Converter], Result | Sequence[Result]]) -> None:
    """Let ``change`` take the place of the converters of an operator, and hand it the one that it replaces.

    For files of ``tpumlir reduce --import``: to try a mending, or to plant a fault.
    """
    if op_type not in _CONVERTERS:
        raise KeyError(f"{op_type}: there are no converters of this operator")

    def wrapped(convert: Converter) -> Converter:
        return lambda node: change(node, convert)

    _CONVERTERS[op_type] = [(since, wrapped(convert)) for since, convert in _CONVERTERS[op_type]]


def supported_ops() -> dict[str, list[int]]:
    """Each operator that is imported, with the opsets from which its converters hold."""
    return {op: [since for since, _ in versions] for op, versions in sorted(_CONVERTERS.items())}


class Emitter(Protocol):
    """What a node needs of the importer."""

    def emit(
        self,
        kind: str,
        operands: Sequence[Value],
        attrs: dict[str, Attribute],
        names: Sequence[str],
        node: str,
    ) -> list[Value]:
        """Emit one operation."""

    def weight(self, name: str, array: Array, source: str = "") -> Value:
        """The value of a constant, made of constant ``source``; one `top.Weight` per name."""

    def unique(self, stem: str) -> str:
        """A tensor name that nothing else has."""

    def none(self) -> Value:
        """The value of an absent operand."""

    def compose(
        self,
        label: str,
        result: str,
        op_type: str,
        operands: Sequence[str | Array],
        attributes: dict[str, Any],
    ) -> str:
        """Convert one more ONNX node on tensors and constants; returns the name of its result."""

    def compose_all(
        self,
        label: str,
        results: Sequence[str],
        op_type: str,
        operands: Sequence[str | Array],
        attributes: dict[str, Any],
        opset: int,
    ) -> None:
        """As ``compose``, a node of ``opset`` with as many results as there are names for them."""

    @property
    def steps(self) -> StatedSteps:
        """What the model says of the integers that its tensors were, or are."""

    def tensor(self, name: str) -> Value | Array:
        """The tensor called ``name``."""

    def sums(self, name: str) -> Array | None:
        """The integers of a small tensor as ``tpumlir.onnx.sums``; None for any other."""


@dataclass
class Node:
    """One node of the graph while it is converted.

    ``inputs`` holds, per operand, a Value (run-time tensor), an array (constant) or None (absent).
    """

    op_type: str
    name: str
    opset: int
    input_names: Sequence[str]
    inputs: Sequence[Value | Array | None]
    output_names: Sequence[str]  # "" for an output that nobody wants
    attributes: dict[str, Any]
    emitter: Emitter
    input_dtypes: Sequence[DType | None] = ()
    output_dtypes: Sequence[DType | None] = ()

    # --- element types: those of ONNX; Top has f32 and i32 only ----------------

    def dtype(self, index: int) -> DType:
        """The ONNX element type of operand ``index``, which must be given."""
        found = self.input_dtypes[index] if index < len(self.input_dtypes) else None
        return found or np.dtype(np.int32 if self.kind(index) == "i32" else np.float32)

    def output_dtype(self, index: int = 0) -> DType:
        """The ONNX element type of output ``index``; float32 where the schema does not say."""
        found = self.output_dtypes[index] if index < len(self.output_dtypes) else None
        return found or np.dtype(np.float32)

    def kind(self, index: int) -> Literal["f32", "i32"]:
        """What Top holds operand ``index`` in. A truth value may be either."""
        source = self._source(index)
        if isinstance(source, np.ndarray):
            return "i32" if is_whole(source.dtype) else "f32"
        return "i32" if source.dtype == "i32" else "f32"

    # --- operands: "operand i" is a tensor, whether it is constant or not ------

    def has(self, index: int) -> bool:
        """True if operand ``index`` is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def operand(self, index: int) -> Value:
        """Operand ``index`` as a value of the graph; a constant becomes a weight."""
        source = self._source(index)
        if isinstance(source, np.ndarray):
            return self.emitter.weight(self.input_names[index], source)
        return source

    def optional(self, index: int) -> Value:
        """Operand ``index``, or the `top.None` value."""
        return self.operand(index) if self.has(index) else self.emitter.none()

    def operands(self) -> list[Value]:
        """All operands; each must be given."""
        return [self.operand(i) for i in range(len(self.inputs))]

    def const(self, index: int) -> Array | None:
        """The array of operand ``index`` if it is constant, else None."""
        source = self.inputs[index] if index < len(self.inputs) else None
        return source if isinstance(source, np.ndarray) else None

    def known(self, index: int, what: str) -> Array | None:
        """The array of operand ``index`` or None if absent; it decides a shape, so it must be constant."""
        if not self.has(index):
            return None
        array = self.const(index)
        if array is None:
            raise NotSupportedError(
                f"{what} ({self.input_names[index]}) is computed at run time",
                "export the model with static shapes",
                constants=[self.input_names[index]],
            )
        return array

    def known_ints(self, index: int, what: str) -> list[int] | None:
        """Like ``known``, as a list of integers."""
        array = self.known(index, what)
        return None if array is None else [int(v) for v in array.reshape(-1)]

    def sums(self, index: int) -> Array | None:
        """The integers of operand ``index`` as sums, in a row; None if it has no such form."""
        found = self.emitter.sums(self.input_names[index]) if self.has(index) else None
        return None if found is None else found.reshape(-1)

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of operand ``index``."""
        return tuple(self._source(index).shape)

    def _source(self, index: int) -> Value | Array:
        source = self.inputs[index] if index < len(self.inputs) else None
        if source is None:
            raise InvalidNodeError(f"expected operand {index}, got none")
        return source

    def axis(self, value: int, rank: int) -> int:
        """``value`` as a non-negative axis of a tensor of ``rank``."""
        if not -rank <= value < rank:
            raise InvalidNodeError(f"expected an axis in [{-rank}, {rank - 1}], got {value}")
        return value + rank if value < 0 else value

    # --- attributes, with the defaults of the ONNX specification -----------------

    def _attribute(self, name: str, kind: type, default: Any) -> Any:
        value = self.attributes.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise InvalidNodeError(f"expected attribute {name} of another type, got {value!r}")
        return value

    def int(self, name: str, default: builtins.int) -> builtins.int:
        """An integer attribute."""
        return builtins.int(self._attribute(name, builtins.int, default))

    def float(self, name: str, default: builtins.float) -> builtins.float:
        """A float attribute: the float32 value that ONNX stores, widened exactly."""
        return builtins.float(np.float32(self._attribute(name, builtins.float, default)))

    def str(self, name: builtins.str, default: builtins.str) -> builtins.str:
        """A string attribute."""
        value: bytes = self._attribute(name, bytes, default.encode())
        return value.decode(errors="replace")

    def ints(self, name: builtins.str, default: Iterable[builtins.int]) -> list[builtins.int]:
        """A list of integers."""
        return [builtins.int(v) for v in self._attribute(name, list, default)]

    def floats(self, name: builtins.str) -> list[builtins.float]:
        """A list of floats that must be given."""
        values: list[builtins.float] = self._attribute(name, list, [])
        return [builtins.float(np.float32(v)) for v in values]

    def refuse(self, condition: bool, reason: builtins.str, remedy: builtins.str = "") -> None:
        """Say that the node is not supported if ``condition`` holds."""
        if condition:
            raise NotSupportedError(reason, remedy)

    def first_output_only(self) -> None:
        """Refuse a node whose optional further outputs are used."""
        for index, name in enumerate(self.output_names[1:], 1):
            self.refuse(
                bool(name), f"its output {index} ({name}) is used", "only the first output is computed"
            )

    # --- composition: operators that others make up ------------------------------

    def onnx(
        self,
        op_type: builtins.str,
        *operands: builtins.str | Array,
        into: builtins.str = "",
        **attributes: Any,
    ) -> builtins.str:
        """The name of what another ONNX operator makes of tensors, given by name, and constants.

        The operator has the form of opset 18. What has constant operands only is computed at once. ``into``
        is the output of this node that the result is.
        """
        result = into or self._part(op_type)
        return self.emitter.compose(self.name, result, op_type, operands, attributes)

    def onnx_all(
        self,
        op_type: builtins.str,
        *operands: builtins.str | Array,
        count: builtins.int,
        opset: builtins.int = 18,
        **attributes: Any,
    ) -> list[builtins.str]:
        """As ``onnx``, the names of the first ``count`` results of an operator in the form of ``opset``."""
        results = [self._part(op_type) for _ in range(count)]
        self.emitter.compose_all(self.name, results, op_type, operands, attributes, opset)
        return results

    def _part(self, op_type: builtins.str) -> builtins.str:
        first = next(name for name in self.output_names if name)
        return self.emitter.unique(part_of(first, op_type.lower()))

    def tensor(self, name: builtins.str) -> Result:
        """The tensor called ``name``: an operand or what ``onnx`` made."""
        return self.emitter.tensor(name)

    # --- emission ------------------------------------------------------------------

    def emit(self, kind: builtins.str, operands: Sequence[Value], **attrs: Attribute) -> Value:
        """Emit the operation whose result is the node's first output."""
        return self.emitter.emit(kind, operands, attrs, [self.output_names[0]], self.name)[0]

    def helper(
        self, kind: builtins.str, operands: Sequence[Value], suffix: builtins.str, **attrs: Attribute
    ) -> Value:
        """Emit an operation whose result has no ONNX tensor: it is named after the output and ``suffix``."""
        name = self.emitter.unique(part_of(self.output_names[0], suffix))
        return self.emitter.emit(kind, operands, attrs, [name], self.name)[0]

    def part(
        self,
        kind: builtins.str,
        operands: Sequence[Value],
        suffix: builtins.str | None,
        **attrs: Attribute,
    ) -> Value:
        """As ``helper``, or as ``emit`` if ``suffix`` is None."""
        if suffix is None:
            return self.emit(kind, operands, **attrs)
        return self.helper(kind, operands, suffix, **attrs)

    def weight(self, suffix: builtins.str, array: Array) -> Value:
        """A constant that the converter made, named after the output and ``suffix``."""
        return self.emitter.weight(self.emitter.unique(part_of(self.output_names[0], suffix)), array)

    def derived_weight(self, index: builtins.int, suffix: builtins.str, array: Array) -> Value:
        """A constant made from constant operand ``index``, named after it."""
        name = self.input_names[index]
        return self.emitter.weight(self.emitter.unique(part_of(name, suffix)), array, name)

    def reshape(
        self, value: Value, shape: Sequence[builtins.int], suffix: builtins.str | None = None
    ) -> Value:
        """``value`` in another shape; the node's output if ``suffix`` is None."""
        if suffix is None:
            return self.emit("top.Reshape", [value], shape=list(shape))
        if tuple(value.shape) == tuple(shape):
            return value
        return self.helper("top.Reshape", [value], suffix, shape=list(shape))
