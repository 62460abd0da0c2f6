"""Arithmetic on values of the graph, for converters that build an operator from simpler ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tpumlir.onnx.layout import slice_attributes, slice_operands
from tpumlir.onnx.registry import Attribute, Node

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


class Composer:
    """Emits the operations of one node; each tensor is named after the output and what it is."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def op(self, kind: str, operands: Sequence[Value], **attrs: Attribute) -> Value:
        """``top.<kind>``."""
        return self.node.helper(f"top.{kind}", operands, kind.lower(), **attrs)

    def _either(self, kind: str, a: Value, b: Value | float) -> Value:
        if isinstance(b, (int, float)):
            return self.op(f"{kind}Const", [a], const_val=float(b))
        return self.op(kind, [a, b])

    def add(self, a: Value, b: Value | float) -> Value:
        """``a + b``."""
        return self._either("Add", a, b)

    def mul(self, a: Value, b: Value | float) -> Value:
        """``a * b``."""
        return self._either("Mul", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """``a - b``."""
        return self.op("Sub", [a, b])

    def one_minus(self, a: Value) -> Value:
        """``1 - a``."""
        return self.op("SubConst", [a], const_val=1.0, is_reverse=True)

    def clip(self, a: Value, low: float, high: float) -> Value:
        """``a`` held in [low, high]."""
        return self.op("Clip", [a], min=float(low), max=float(high))

    def floor(self, a: Value) -> Value:
        """The greatest integer not above ``a``."""
        return self.op("Floor", [a])

    def mean(self, a: Value, axes: Sequence[int]) -> Value:
        """The mean over ``axes``, which stay as 1."""
        return self.op("Reduce", [a], axes=list(axes), keepdims=True, mode="ReduceMean")

    def to_integer(self, a: Value) -> Value:
        """Whole numbers as integers."""
        return self.op("Cast", [a], to="INT32")

    def reshape(self, a: Value, shape: Sequence[int]) -> Value:
        """``a`` in another shape."""
        return self.node.reshape(a, shape, "shape")

    def slice(self, a: Value, ranges: Sequence[range]) -> Value:
        """The elements in ``ranges``, one per axis, with positive steps."""
        if all(r == range(n) for r, n in zip(ranges, a.shape, strict=True)):
            return a
        return self.op("Slice", slice_operands(self.node, a), **slice_attributes(ranges))

    def pad(self, a: Value, before: Sequence[int], behind: Sequence[int], value: float = 0.0) -> Value:
        """``a`` with a border of ``value``."""
        return self.op("Pad", [a], paddings=[*before, *behind], val=value, mode="constant")

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        """``parts`` one after another."""
        return parts[0] if len(parts) == 1 else self.op("Concat", parts, axis=axis)
