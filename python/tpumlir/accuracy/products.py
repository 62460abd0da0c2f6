"""Convolutions and products whose weights are constants, all as matrices: rows of weights times columns.

A row holds what one output channel multiplies with, in the order of the input channels of its group and of
the taps; a column is what lies under them at one place of the result. Groups stand in front of both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

KINDS = ("top.Conv", "top.Deconv", "top.MatMul")
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Product:
    """One of them; ``rows`` and ``columns`` give its matrices."""

    op: OpInfo
    source: str
    weight: str
    bias: str  # empty: none
    groups: int
    shape: tuple[int, ...]  # of the weight
    source_shape: tuple[int, ...]
    result_shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of its result."""
        return self.op.name

    @property
    def is_matrix(self) -> bool:
        """Whether it is a product of matrices: its channels are those of the last axis."""
        return self.op.kind == "top.MatMul"

    @property
    def channels(self) -> int:
        """Of the result."""
        return self.result_shape[-1 if self.is_matrix else 1]

    @property
    def inputs(self) -> int:
        """Channels that are read."""
        return self.source_shape[-1 if self.is_matrix else 1]

    @property
    def depth(self) -> int:
        """How many products one sum has."""
        return math.prod(self.shape) // self.channels

    @property
    def places(self) -> int:
        """How many columns there are."""
        return math.prod(self.result_shape) // self.channels

    def rows(self, weight: Array) -> Array:
        """[groups, output channels of a group, depth] of the weight."""
        if self.is_matrix:
            matrix = weight if self.op.attrs.get("right_transpose") else weight.T
            return matrix[np.newaxis]
        # Of a transposed convolution the constant is [oc / group, ic, kernel...].
        if self.op.kind == "top.Deconv":
            outputs, inputs, *taps = weight.shape
            apart = weight.reshape(outputs, self.groups, inputs // self.groups, *taps)
            return np.moveaxis(apart, 1, 0).reshape(self.groups, outputs, -1)
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)

    def weight_of(self, rows: Array) -> F32:
        """The weight that has these rows."""
        if self.is_matrix:
            matrix = rows[0] if self.op.attrs.get("right_transpose") else rows[0].T
            whole = matrix.reshape(self.shape)
        elif self.op.kind == "top.Deconv":
            outputs, inputs, *taps = self.shape
            apart = rows.reshape(self.groups, outputs, inputs // self.groups, *taps)
            whole = np.moveaxis(apart, 0, 1).reshape(self.shape)
        else:
            whole = rows.reshape(self.shape)
        return np.ascontiguousarray(whole, np.float32)

    def columns(self, value: Array, most: int) -> F32:
        """[places, groups, depth] of the input: at most ``most`` places, spread over the result."""
        chosen = spread(self.places, most)
        if self.is_matrix:
            return value.reshape(-1, 1, value.shape[-1])[chosen].astype(np.float32)
        batch, channels, *extents = value.shape
        shape = self.result_shape[2:]
        at, *where = np.unravel_index(chosen, (batch, *shape))
        flat = np.zeros((len(chosen), 1), np.int64)
        inside = np.ones((len(chosen), 1), bool)
        for axis, (extent, place) in enumerate(zip(extents, where, strict=True)):
            index, valid = self._under(axis, place.astype(np.int64))
            valid &= (index >= 0) & (index < extent)
            index = np.clip(index, 0, extent - 1)
            flat = (flat[:, :, np.newaxis] * extent + index[:, np.newaxis]).reshape(len(chosen), -1)
            inside = (inside[:, :, np.newaxis] & valid[:, np.newaxis]).reshape(len(chosen), -1)
        planes = value.reshape(batch, channels, -1)
        taken = planes[at[:, np.newaxis], :, flat] * inside[:, :, np.newaxis]  # [places, taps, channels]
        return np.moveaxis(taken, 1, 2).reshape(len(chosen), self.groups, -1).astype(np.float32)

    def _under(self, axis: int, place: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Where along an axis the taps at places of the result read, and whether there is an element."""
        attrs, rank = self.op.attrs, len(self.result_shape) - 2
        taps = np.arange(attrs["kernel_shape"][axis]) * (attrs.get("dilations") or [1] * rank)[axis]
        stride, pad = attrs["strides"][axis], attrs["pads"][axis]
        if self.op.kind == "top.Deconv":
            index = place[:, np.newaxis] + pad - taps
            return index // stride, index % stride == 0
        index = place[:, np.newaxis] * stride - pad + taps
        return index, np.ones(index.shape, bool)


def products_of(module: Module) -> tuple[list[Product], dict[str, str]]:
    """The products of a Top module in its order, and why the others are none, by name."""
    ops = module.ops()
    constants = {op.name: tuple(op.results[0].shape or ()) for op in ops if op.kind == "top.Weight"}
    shapes = {result.name: tuple(result.shape or ()) for op in ops for result in op.results}
    found: list[Product] = []
    others: dict[str, str] = {}
    for op in ops:
        if op.kind not in KINDS:
            continue
        source, weight, bias = (*op.operands, "")[:3]
        if weight not in constants:
            others[op.name] = "its filter is computed"
        elif source in constants:
            others[op.name] = "its input is a constant"
        elif bias and bias not in constants:
            others[op.name] = "its bias is computed"
        elif reason := _odd(op, constants[weight], constants.get(bias, ()), shapes):
            others[op.name] = reason
        else:
            groups = 1 if op.kind == "top.MatMul" else int(op.attrs.get("group", 1))
            found.append(
                Product(op, source, weight, bias, groups, constants[weight], shapes[source], shapes[op.name])
            )
    return found, others


def single_readers(module: Module) -> set[str]:
    """The constants that one operation reads, once: changing them changes nothing else."""
    counts = Counter(name for op in module.ops() for name in op.operands)
    return {op.name for op in module.ops() if op.kind == "top.Weight" and counts[op.name] == 1}


def _odd(op: OpInfo, weight: Sequence[int], bias: Sequence[int], shapes: dict[str, tuple[int, ...]]) -> str:
    """Why a product has no rows and columns here; empty if it has."""
    if op.kind != "top.MatMul":
        return "its pads follow from its shape" if op.attrs.get("auto_pad") not in {None, "NOTSET"} else ""
    result = shapes[op.name]
    if len(weight) != 2:
        return "its matrix is not one of two axes"
    if op.attrs.get("left_transpose") or op.attrs.get("output_transpose"):
        return "it reads or writes transposed"
    if bias and math.prod(bias) != (result[-1] if result else 1):
        return "its bias is not one number for each column"
    return ""


def spread(count: int, most: int) -> Ints:
    """At most ``most`` of ``count`` places, the same everywhere, without a period that rows could share."""
    if count <= most:
        return np.arange(count)
    places = np.floor(np.modf((np.arange(most) + 0.5) * _GOLDEN)[0] * count).astype(np.int64)
    return np.unique(places)
