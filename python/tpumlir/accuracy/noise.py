"""Where the error of a quantised module comes from, out of one run of it beside the same module in F32.

What is measured: for each tensor its *accumulated* error, which is the difference to the float tensor, and
the error that rounding the float tensor to the integers' grid makes. What is estimated: the error that the
rounded weights of an operation add, from the mean squares of the channels of its input. The last two together
are the *isolated* error of an operation: what it adds where its input is right.

All of it is kept by channel: what rounding does to a channel of small numbers beside one of great ones does
not show in the tensor as a whole, but in what reads that channel. ``tpumlir.accuracy.blame`` makes shares of
it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.ir.graph import Graph, results
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.names import whole_of

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo, TensorInfo
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]

F64 = npt.NDArray[np.float64]

_LIMITS = {"i8": (-128, 127), "ui8": (0, 255), "i16": (-32768, 32767), "ui16": (0, 65535)}
_CAST_PARTS = {"::int8", "::f32", "::f16", "::bf16"}


@dataclass
class Tensor:
    """Sums over the elements of each channel of a tensor of the quantised module, over all samples."""

    info: TensorInfo
    axis: int  # of the channels
    signal: F64  # squares of the float tensor
    noise: F64  # squared differences
    rounding: F64  # squared differences of the float tensor to its rounded self
    count: int = 0

    @staticmethod
    def of(info: TensorInfo, is_row: bool) -> Tensor:
        """Nothing yet; of a tensor in rows the last axis has the channels."""
        shape = info.shape or ()
        axis = 1 if len(shape) > 2 and not (is_row and len(shape) == 3) else max(len(shape) - 1, 0)
        channels = shape[axis] if shape else 1
        return Tensor(info, axis, np.zeros(channels), np.zeros(channels), np.zeros(channels))

    @property
    def is_quantized(self) -> bool:
        """Whether it holds integers that stand for floats."""
        return bool(self.info.scales)

    @property
    def relative(self) -> float:
        """Noise over signal."""
        signal = float(self.signal.sum())
        return float(self.noise.sum()) / signal if signal else 0.0

    @property
    def power(self) -> F64:
        """The mean square of each channel."""
        return self.signal * (len(self.signal) / self.count) if self.count else np.zeros(len(self.signal))

    def add(self, want: Array, got: Array) -> None:
        """Take in the float tensor and the quantised one of a sample."""
        want, got = (self._rows(value) for value in (want, got))
        self.signal += _squares(want)
        self.noise += _squares(got - want)
        if self.is_quantized:
            self.rounding += _squares(rounded(want, self.info) - want)
        self.count += want.size

    def _rows(self, value: Array) -> Array:
        moved = np.moveaxis(value, self.axis, 0) if value.ndim else value
        return moved.reshape(len(self.signal), -1).astype(np.float32, copy=False)


class Noise:
    """Runs a quantised module beside the float one and adds up what differs."""

    def __init__(self, top: Module, quantized: Module) -> None:
        self.names = set(top.tensor_names())
        self.graph = Graph(quantized)
        self.ops = [op for op in self.graph.ops if op.kind != "top.Input"]
        self.weights = {op.name: op.results[0] for op in quantized.ops() if op.kind == "top.Weight"}
        self.outputs = [spec.name for spec in quantized.outputs]
        rows = {
            name
            for op in self.ops
            if op.kind == "tpu.MatMul"
            for name in (*op.operands, *results(op))
            if name
        }
        self.tensors = {
            result.name: Tensor.of(result, result.name in rows)
            for op in self.graph.ops
            for result in op.results
            if result.name
        }
        self.samples = 0
        self._stored = {name: value for name, value in quantized.weights.items() if name in self.weights}
        plain = top.lower("F32")
        self._exact = plain.weights
        self._float = ModuleInterpreter(plain)
        self._quantized = ModuleInterpreter(quantized)

    def add(self, sample: Mapping[str, Array]) -> None:
        """Run both modules on one sample."""
        wanted = dict(sample) | self._float.run(sample, all_tensors=True, allow_nan=True)
        got = dict(sample) | self._quantized.run(sample, all_tensors=True, allow_nan=True)
        for name, tensor in self.tensors.items():
            key, value = reference_name(name, wanted), got.get(name)
            want = None if key is None else wanted[key]
            if want is None or value is None or want.shape != value.shape or value.dtype.kind != "f":
                continue
            if want.size:
                tensor.add(want, value)
        self.samples += 1

    def key_of(self, op: OpInfo) -> str | None:
        """The name in a quantize table that stands for an operation; None for a cast, which has none."""
        if op.kind == "tpu.Cast" and (op.name not in self.names or self._is_of_precision(op)):
            return None
        return key_of(op.name, self.names)

    def _is_of_precision(self, op: OpInfo) -> bool:
        ends = [self.tensors[name] for name in (*self.graph.sources(op), *results(op))]
        return any(end.is_quantized for end in ends) or self.graph.is_precision_cast(op)

    def keeps_grid(self, op: OpInfo) -> bool:
        """Whether all that an operation reads and computes has one scale and zero point."""
        infos = [self.tensors[name].info for name in (*self.graph.sources(op), *results(op))]
        return len({(tuple(info.scales), tuple(info.zero_points)) for info in infos}) == 1

    def complete(self) -> None:
        """What has no float tensor beside it is taken to be as wrong as what it is made of."""
        for op in self.ops:
            sources = [self.tensors[name] for name in self.graph.sources(op)]
            worst = max(sources, key=lambda tensor: tensor.relative, default=None)
            for name in results(op):
                tensor = self.tensors[name]
                if tensor.count or worst is None:
                    continue
                for to, of in ((tensor.signal, worst.signal), (tensor.noise, worst.noise)):
                    to[:] = of if len(to) == len(of) else of.sum() / max(len(to), 1)

    def isolated(self, op: OpInfo) -> float:
        """The noise that an operation adds, relative to its result."""
        signal = sum(float(self.tensors[name].signal.sum()) for name in results(op))
        own = sum(float(part.sum()) for name in results(op) for part in self.parts(op, name))
        return own / signal if signal else 0.0

    def parts(self, op: OpInfo, result: str) -> tuple[F64, F64]:
        """The noise that rounding a result and rounding the weights add to each of its channels."""
        tensor = self.tensors[result]
        weights = np.zeros(len(tensor.signal))
        source = self._multiplied(op)
        for name in op.operands:
            info = self.weights.get(name)
            if info is None or info.axis is None or source is None or not tensor.count:
                continue
            errors = self._weight_errors(name, info)
            places = tensor.count / max(len(tensor.signal), 1)
            if errors is None or errors.shape[0] != len(weights) or not _fits(errors, source):
                # Unknown: each is off by up to half a step, evenly, and independent of the others.
                taps = math.prod(info.shape or ()) / len(info.scales)
                weights += places * taps * float(np.mean(np.square(info.scales))) / 12 * source.power.mean()
            else:
                weights += places * (_spread(errors, len(source.power)) @ source.power)
        if tensor.noise.any():
            weights = np.minimum(weights, tensor.noise)
        return (tensor.rounding if tensor.is_quantized else np.zeros(len(weights))), weights

    def gains(self, op: OpInfo, result: str) -> F64 | None:
        """Of a product with weights: the squares of those between each result and operand channel."""
        source = self._multiplied(op)
        for name in op.operands:
            info, stored = self.weights.get(name), self._stored.get(name)
            if info is None or stored is None or info.axis is None or source is None or stored.ndim < 2:
                continue
            moved = np.moveaxis(stored, info.axis, 0).astype(np.float64)
            moved *= np.asarray(info.scales).reshape(-1, *(1,) * (stored.ndim - 1))
            squares = np.square(moved).reshape(*moved.shape[:2], -1).sum(axis=2)
            if len(squares) == len(self.tensors[result].signal) and _fits(squares, source):
                return _spread(squares, len(source.signal))
        return None

    def _multiplied(self, op: OpInfo) -> Tensor | None:
        sources = self.graph.sources(op)
        return self.tensors[sources[0]] if sources else None

    def _weight_errors(self, name: str, info: TensorInfo) -> F64 | None:
        """The squared errors of rounded weights by output and input channel; None where that is unknown."""
        stored, exact, axis = self._stored.get(name), self._exact.get(whole_of(name)), info.axis
        if stored is None or exact is None or stored.shape != exact.shape or axis is None or stored.ndim < 2:
            return None
        scales = np.asarray(info.scales, np.float64).reshape(-1, *(1,) * (stored.ndim - 1))
        error = np.square(np.moveaxis(exact, axis, 0) - np.moveaxis(stored, axis, 0) * scales)
        sums: F64 = error.reshape(*error.shape[:2], -1).sum(axis=2)
        return sums


def key_of(name: str, names: set[str]) -> str:
    """The tensor of the Top module that a tensor of the lowered one is or is a part of."""
    while name not in names and (whole := whole_of(name)):
        name = whole
    return name


def stored_limits(info: TensorInfo) -> tuple[int, int]:
    """The least and the greatest integer that a quantised tensor stores."""
    return _LIMITS.get(info.dtype, (-128, 127))


def reference_name(name: str, known: Collection[str]) -> str | None:
    """The tensor of another precision beside ``name``; a cast has that of what it casts, others their own."""
    while name not in known and (whole := whole_of(name)) and name[len(whole) :] in _CAST_PARTS:
        name = whole
    return name if name in known else None


def _fits(weights: F64, source: Tensor) -> bool:
    """Whether the input channels of all groups together are those of the operand."""
    outputs, inputs = weights.shape
    channels = len(source.signal)
    return bool(inputs) and channels % inputs == 0 and outputs % (channels // inputs) == 0


def _spread(weights: F64, channels: int) -> F64:
    """Weights of groups among all input channels: output channels stand by groups."""
    outputs, inputs = weights.shape
    groups = channels // inputs
    if groups == 1:
        return weights
    whole = np.zeros((groups, outputs // groups, groups, inputs))
    for group, part in enumerate(weights.reshape(groups, outputs // groups, inputs)):
        whole[group, :, group] = part
    return whole.reshape(outputs, channels)


def _squares(rows: Array) -> F64:
    """The sum of squares of each row; what is not finite would hide everything else."""
    sums: F64 = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
    if not np.isfinite(sums).all():
        wide = np.where(np.isfinite(rows), rows, 0).astype(np.float64)
        sums = np.einsum("ij,ij->i", wide, wide)
    return sums


def rounded(values: Array, info: TensorInfo, axis: int = 0) -> Array:
    """The float numbers on the grid of a quantised tensor; its channels are those along ``axis``."""
    scale: Any = np.float32(info.scales[0])
    if len(info.scales) > 1:
        scale = np.asarray(info.scales, np.float32)
        scale = scale.reshape([-1 if place == axis else 1 for place in range(values.ndim)])
    zero = np.float32(info.zero_points[0])
    low, high = stored_limits(info)
    stored = np.clip(np.rint(values / scale) + zero, low, high)
    result: Array = (stored - zero) * scale
    return result
