"""Where the error of a quantised module comes from, out of one run of it beside the same module in F32.

What is measured: for each tensor its *accumulated* error, which is the difference to the float tensor, and
the error that rounding the float tensor to the integers' grid makes. What is estimated: the error that the
rounded weights of an operation add, from the mean squares of the channels of its input. The last two together
are the *isolated* error of an operation: what it adds where its input is right.

Blame is what a part of the error of the outputs is called here. It walks from the outputs to the inputs: an
operation keeps the part that its isolated error has in its accumulated one, its operands get the rest, each
in proportion to its own error. So all shares add up to the error that was measured, and no further run is
needed. A rounded tensor is in nobody's hands alone: its error goes only when neither the operation that
computes it nor the one that reads it is in integers. Hence the shares lie on edges (``Edge``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.ir.graph import Graph, results, whole_of
from tpumlir.ir.interpreter import ModuleInterpreter

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo, TensorInfo
    from tpumlir.ir.module import Module

Array = npt.NDArray[Any]

_LIMITS = {"i8": (-128, 127), "ui8": (0, 255), "i16": (-32768, 32767), "ui16": (0, 65535)}
_CAST_PARTS = {"::int8", "::f32", "::f16", "::bf16"}
# Its operands are added as they are, so their errors count absolutely, not relative to each of them.
_SUMS = {"tpu.Add", "tpu.Sub", "tpu.Concat"}


@dataclass
class Tensor:
    """Sums over the elements of a tensor of the quantised module, over all samples."""

    info: TensorInfo
    signal: float = 0.0  # squares of the float tensor
    noise: float = 0.0  # squared differences
    rounding: float = 0.0  # squared differences of the float tensor to its rounded self
    count: int = 0

    @property
    def is_quantized(self) -> bool:
        """Whether it holds integers that stand for floats."""
        return bool(self.info.scales)

    @property
    def relative(self) -> float:
        """Noise over signal."""
        return self.noise / self.signal if self.signal else 0.0


@dataclass(frozen=True)
class OpError:
    """An operation of the Top module in the quantised one; errors are relative to the float tensor."""

    tensor: str  # the name a quantize table knows it by
    kind: str
    node: str
    precision: str
    isolated: float
    accumulated: float
    share: float  # of the error of the outputs, in [0, 1]
    depth: int  # its place in the module

    def to_json(self) -> dict[str, object]:
        """What reports show."""
        return dict(vars(self))


@dataclass(frozen=True)
class Edge:
    """A share of the outputs' error that goes when both ends are floats; an end None is one already."""

    producer: str | None
    reader: str | None
    share: float


@dataclass
class Blame:
    """The errors of all operations, and what the outputs' error is made of."""

    ops: list[OpError]
    edges: list[Edge] = field(repr=False)


class Noise:
    """Runs a quantised module beside the float one and adds up what differs."""

    def __init__(self, top: Module, quantized: Module) -> None:
        self.names = set(top.tensor_names())
        self.graph = Graph(quantized)
        self.ops = [op for op in self.graph.ops if op.kind != "top.Input"]
        self.weights = {op.name: op.results[0] for op in quantized.ops() if op.kind == "top.Weight"}
        self.outputs = [spec.name for spec in quantized.outputs]
        self.tensors = {
            result.name: Tensor(result) for op in self.graph.ops for result in op.results if result.name
        }
        self.samples = 0
        self._stored = {name: value for name, value in quantized.weights.items() if name in self.weights}
        # The mean squares of the channels of what weights multiply with.
        self._channels = {
            self.graph.sources(op)[0]: -1 if op.kind == "tpu.MatMul" else 1
            for op in self.ops
            if self.graph.sources(op) and any(n in self.weights and self.weights[n].axis is not None
                                              for n in op.operands)
        }  # fmt: skip
        self._powers: dict[str, npt.NDArray[np.float64]] = {}
        plain = top.lower("F32")
        self._exact = plain.weights
        self._float = ModuleInterpreter(plain)
        self._quantized = ModuleInterpreter(quantized)

    def add(self, sample: Mapping[str, Array]) -> None:
        """Run both modules on one sample."""
        wanted = dict(sample) | self._float.run(sample, all_tensors=True, allow_nan=True)
        got = dict(sample) | self._quantized.run(sample, all_tensors=True, allow_nan=True)
        for name, tensor in self.tensors.items():
            want = self._reference(name, wanted)
            value = got.get(name)
            if want is None or value is None or want.shape != value.shape or value.dtype.kind != "f":
                continue
            if name in self._channels:
                self._powers[name] = self._powers.get(name, 0.0) + _powers(want, self._channels[name])
            want = np.ravel(want).astype(np.float32, copy=False)
            tensor.signal += _squares(want)
            tensor.noise += _squares(np.ravel(value).astype(np.float32, copy=False) - want)
            tensor.count += want.size
            if tensor.is_quantized:
                tensor.rounding += _squares(_rounded(want, tensor.info) - want)
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

    def blame(self) -> Blame:
        """The errors of the operations so far, and the shares of the outputs' error."""
        for op in self.ops:
            self._inherit(op)
        flows = _Flows(self)
        for op in reversed(self.ops):
            flows.visit(op)
        owned: dict[str, float] = defaultdict(float)
        for edge in flows.edges:
            # A table speaks of operations: the one that computes a tensor stands for it.
            if key := edge.producer or edge.reader:
                owned[key] += edge.share
        total = math.fsum(owned.values()) or 1.0
        found: dict[str, OpError] = {}
        for depth, op in enumerate(self.ops):
            key = self.key_of(op)
            names = [name for name in results(op) if self.tensors[name].count]
            if key is None or not names:
                continue
            worst = max((self.tensors[name] for name in names), key=lambda tensor: tensor.relative)
            integer = any(self.tensors[name].is_quantized for name in names)
            if key not in found or key in names:
                found[key] = OpError(
                    key, op.kind, op.node, "INT8" if integer else worst.info.dtype.upper(),
                    math.sqrt(self.isolated(op)), math.sqrt(worst.relative), owned[key] / total, depth,
                )  # fmt: skip
        return Blame(list(found.values()), flows.edges)

    def _inherit(self, op: OpInfo) -> None:
        """What has no float tensor beside it is taken to be as wrong as what it is made of."""
        sources = [self.tensors[name] for name in self.graph.sources(op)]
        worst = max(sources, key=lambda tensor: tensor.relative, default=None)
        for name in results(op):
            tensor = self.tensors[name]
            if not tensor.count and worst is not None:
                tensor.signal, tensor.noise = worst.signal, worst.noise

    def isolated(self, op: OpInfo) -> float:
        """The noise that an operation adds, relative to its result."""
        return sum(self.parts(op))

    def parts(self, op: OpInfo) -> tuple[float, float]:
        """The noise that rounding the result and rounding the weights add, relative to the result."""
        rounding = weights = signal = 0.0
        for name in results(op):
            tensor = self.tensors[name]
            signal += tensor.signal
            rounding += tensor.rounding if tensor.is_quantized else 0.0
            weights += self._of_weights(op, tensor)
        return (rounding / signal, weights / signal) if signal else (0.0, 0.0)

    def _of_weights(self, op: OpInfo, result: Tensor) -> float:
        """The errors of the weights, each times the mean square of the inputs that it multiplies."""
        sources = self.graph.sources(op)
        noise = 0.0
        for name in op.operands:
            info = self.weights.get(name)
            if info is None or info.axis is None or not sources:
                continue
            source = self.tensors[sources[0]]
            powers = self._powers.get(sources[0])
            errors = self._weight_errors(name, info)
            if errors is None or powers is None or not powers.size:
                # Unknown: each is off by up to half a step, evenly, and independent of the others.
                taps = math.prod(info.shape or ()) / len(info.scales)
                mean = source.signal / source.count if source.count else 0.0
                noise += result.count * taps * float(np.mean(np.square(info.scales))) / 12 * mean
                continue
            outputs, inputs = errors.shape
            groups = len(powers) // inputs
            # Output channels stand by groups; each group reads its own part of the input channels.
            by_group = errors.reshape(groups, outputs // groups, inputs).sum(axis=1).reshape(-1)
            noise += result.count / outputs * float(by_group @ (powers / self.samples))
        return min(noise, result.noise) if result.noise else noise

    def _weight_errors(self, name: str, info: TensorInfo) -> npt.NDArray[np.float64] | None:
        """The squared errors of rounded weights by output and input channel; None where that is unknown."""
        stored = self._stored.get(name)
        exact = self._exact.get(whole_of(name))
        axis = info.axis
        if stored is None or exact is None or stored.shape != exact.shape or axis is None or stored.ndim < 2:
            return None
        scales = np.asarray(info.scales, np.float64)
        error: npt.NDArray[np.float64] = np.square(
            np.moveaxis(exact, axis, 0) - np.moveaxis(stored, axis, 0) * _column(scales, stored)
        )
        sums: npt.NDArray[np.float64] = error.reshape(*error.shape[:2], -1).sum(axis=2)
        return sums

    @staticmethod
    def _reference(name: str, wanted: Mapping[str, Array]) -> Array | None:
        """The float tensor of the same name; a cast has that of what it casts, other parts have their own."""
        while name not in wanted and (whole := whole_of(name)) and name[len(whole) :] in _CAST_PARTS:
            name = whole
        return wanted.get(name)


def key_of(name: str, names: set[str]) -> str:
    """The tensor of the Top module that a tensor of the lowered one is or is a part of."""
    while name not in names and (whole := whole_of(name)):
        name = whole
    return name


class _Flows:
    """The walk of the blame against the order of the module."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.edges: list[Edge] = []
        # What of the outputs' error arrives at a tensor, by the operation that reads it.
        self.arriving: dict[str, dict[str | None, float]] = defaultdict(lambda: defaultdict(float))
        errors = {name: noise.tensors[name].relative for name in noise.outputs if name in noise.tensors}
        total = math.fsum(errors.values())
        for name, error in errors.items():
            self.arriving[name][None] += error / total if total else 1 / len(errors)

    def visit(self, op: OpInfo) -> None:
        """Keep the own part of an operation and hand the rest to its operands."""
        arriving: dict[str | None, float] = defaultdict(float)
        for name in results(op):
            for reader, share in self.arriving.pop(name, {}).items():
                arriving[reader] += share
        noise = self.noise
        sources = [name for name in noise.graph.sources(op) if name in noise.tensors]
        key = noise.key_of(op)
        integer = any(noise.tensors[name].is_quantized for name in results(op))
        passes = key is None or op.moves_data
        keeps = passes and noise.keeps_grid(op)
        rounding, weights = noise.parts(op) if integer and not keeps else (0.0, 0.0)
        whole = max(sum(noise.tensors[name].noise for name in results(op)) / (self._signal(op) or 1.0),
                    rounding + weights)  # fmt: skip
        kept = (rounding + weights) / whole if whole else 0.0
        weighed = self._weighed(op, sources)
        if not weighed:
            kept = 1.0 if integer and self._signal(op) else kept
        for reader, share in arriving.items():
            if integer and kept:
                of_rounding = rounding / (rounding + weights) if rounding + weights else 1.0
                self.edges.append(Edge(key, reader, share * kept * of_rounding))
                if weights and key is not None:
                    self.edges.append(Edge(key, None, share * kept * (1 - of_rounding)))
            rest = share * (1 - kept)
            # What only moves, and casts, hand on who reads; integers of others are read by this operation.
            seen = reader if passes else key if integer else None
            for name, part in weighed.items():
                self.arriving[name][seen] += rest * part

    def _signal(self, op: OpInfo) -> float:
        return sum(self.noise.tensors[name].signal for name in results(op))

    def _weighed(self, op: OpInfo, sources: Iterable[str]) -> dict[str, float]:
        tensors = {name: self.noise.tensors[name] for name in sources}
        errors = {
            name: tensor.noise if op.kind in _SUMS else tensor.relative for name, tensor in tensors.items()
        }
        total = math.fsum(errors.values())
        return {name: error / total for name, error in errors.items() if error} if total else {}


def _powers(values: Array, axis: int) -> npt.NDArray[np.float64]:
    """The mean square of each channel."""
    if values.ndim < 2 or not values.size:
        return np.zeros(0)
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    result: npt.NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows, dtype=np.float64) / rows.shape[1]
    return result


def _column(scales: npt.NDArray[np.float64], like: Array) -> npt.NDArray[np.float64]:
    return scales.reshape(-1, *(1,) * (like.ndim - 1))


def _squares(values: Array) -> float:
    flat = np.ravel(values)
    # Infinite differences would hide everything else.
    total = float(np.dot(flat, flat))
    if math.isfinite(total):
        return total
    flat = flat[np.isfinite(flat)].astype(np.float64)
    return float(np.dot(flat, flat))


def _rounded(values: Array, info: TensorInfo) -> Array:
    """The float numbers on the grid of a quantised tensor."""
    scale, zero = np.float32(info.scales[0]), np.float32(info.zero_points[0])
    low, high = _LIMITS.get(info.dtype, (-128, 127))
    stored = np.clip(np.rint(values / scale) + zero, low, high)
    result: Array = (stored - zero) * scale
    return result
