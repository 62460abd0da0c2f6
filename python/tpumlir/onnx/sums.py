"""Small tensors of run-time integers as sums: what is known of numbers that are not known.

A decoder cuts row i from a table by a Slice from i to i + 1. Neither bound is a constant, but their
difference is, and with it the shape. Each element is kept as a constant plus multiples of elements of other
tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.data.types import DType
from tpumlir.onnx import fold
from tpumlir.onnx.load import NodeInfo

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

Array = npt.NDArray[Any]

_MOST = 64  # elements: bounds and shapes have as many as a tensor has axes
_WIDE = (np.dtype(np.int32), np.dtype(np.int64))


@dataclass(frozen=True)
class Sum:
    """``constant`` plus multiples of elements, each named by its tensor and its place."""

    constant: int
    terms: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """True if nothing of it is run-time."""
        return not self.terms

    def __add__(self, other: Sum) -> Sum:
        """The sum, without terms that cancel."""
        terms = dict(self.terms)
        for element, factor in other.terms.items():
            terms[element] = terms.get(element, 0) + factor
        return Sum(self.constant + other.constant, {e: f for e, f in terms.items() if f})

    def __neg__(self) -> Sum:
        return self.times(-1)

    def __sub__(self, other: Sum) -> Sum:
        return self + -other

    def times(self, factor: int) -> Sum:
        """The product with a constant."""
        return Sum(self.constant * factor, {e: f * factor for e, f in self.terms.items() if factor})


def constant_sums(values: Array) -> Array:
    """Constants as sums."""
    result = np.empty(values.shape, object)
    result.reshape(-1)[:] = [Sum(int(value)) for value in values.reshape(-1)]
    return result


class Sums:
    """The sums that the tensors of a graph are, as far as they are known."""

    def __init__(self) -> None:
        self._known: dict[str, Array] = {}

    def of(self, source: Value | Array | None, dtype: DType | None) -> Array | None:
        """An operand as an array of sums; None for what has no such form."""
        if source is None or int(np.prod(source.shape)) > _MOST:
            return None
        if isinstance(source, np.ndarray):
            return constant_sums(source) if source.dtype in _WIDE else None
        if source.name in self._known:
            return self._known[source.name]
        if dtype not in _WIDE:
            return None
        result = np.empty(tuple(source.shape), object)
        result.reshape(-1)[:] = [Sum(0, {(source.name, i): 1}) for i in range(result.size)]
        return result

    def evaluate(
        self,
        info: NodeInfo,
        inputs: Sequence[Value | Array | None],
        dtypes: Sequence[DType | None],
        result: DType | None,
        opset: int,
    ) -> Array | None:
        """The first output of a node of integers as an array of sums."""
        rule = _RULES.get(info.op_type)
        if rule is None or info.domain or result not in _WIDE:
            return None
        operands = [self.of(source, dtype) for source, dtype in zip(inputs, dtypes, strict=True)]
        if not operands or operands[0] is None:
            return None
        try:
            return rule(info, operands, inputs, opset)
        except (ValueError, IndexError, TypeError, KeyError, AttributeError):
            return None  # whatever is wrong with the node, its converter says it better

    def remember(self, name: str, found: Array) -> None:
        """The tensor of the module called ``name`` is ``found``."""
        self._known[name] = found


def values_of(found: Array, dtype: DType) -> Array | None:
    """The numbers, if all are constants."""
    if not all(element.known for element in found.reshape(-1)):
        return None
    return np.array([element.constant for element in found.reshape(-1)], dtype).reshape(found.shape)


# --- rules ----------------------------------------------------------------------------------

Inputs = Sequence["Value | Array | None"]
Rule = Callable[[NodeInfo, "list[Array | None]", Inputs, int], "Array | None"]


def _sum(info: NodeInfo, operands: list[Array | None], _inputs: Inputs, _opset: int) -> Array | None:
    a, b = operands
    if a is None or b is None:
        return None
    return np.asarray(a + b if info.op_type == "Add" else a - b, object)


def _product(_info: NodeInfo, operands: list[Array | None], _inputs: Inputs, _opset: int) -> Array | None:
    a, b = operands
    if a is None or b is None:
        return None
    for sums, factors in ((a, b), (b, a)):
        if all(factor.known for factor in factors.reshape(-1)):
            times = np.frompyfunc(lambda element, factor: element.times(factor.constant), 2, 1)
            return np.asarray(times(sums, factors), object)
    return None


def _negative(_info: NodeInfo, operands: list[Array | None], _inputs: Inputs, _opset: int) -> Array | None:
    return None if operands[0] is None else np.asarray(-operands[0], object)


def _same(_info: NodeInfo, operands: list[Array | None], _inputs: Inputs, _opset: int) -> Array | None:
    return operands[0]


def _joined(info: NodeInfo, operands: list[Array | None], _inputs: Inputs, _opset: int) -> Array | None:
    parts = [part for part in operands if part is not None]
    return np.concatenate(parts, info.attributes["axis"]) if len(parts) == len(operands) else None


def _moved(info: NodeInfo, operands: list[Array | None], inputs: Inputs, opset: int) -> Array | None:
    """The elements in other places: as for constants, with sums for numbers."""
    rest = [source if isinstance(source, np.ndarray) else None for source in inputs[1:]]
    if any(
        source is not None and constant is None for source, constant in zip(inputs[1:], rest, strict=True)
    ):
        return None
    moved = fold.evaluate_moving(info, [operands[0], *rest], opset)
    return None if moved is None else np.asarray(moved, object)


_MOVING = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Tile", "Gather", "Slice")
_RULES: dict[str, Rule] = {
    "Add": _sum,
    "Sub": _sum,
    "Mul": _product,
    "Neg": _negative,
    "Identity": _same,
    "Cast": _same,
    "Concat": _joined,
    **dict.fromkeys(_MOVING, _moved),
}
