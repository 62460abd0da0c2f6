"""Which operation the error of the outputs comes from: shares that add up to what was measured.

The walk is against the order of the module. What arrives at a channel of a tensor is split: the operation
keeps the part that its isolated error has in the accumulated one, and hands the rest to its operands, each
channel in proportion to the noise that it brings: through a filter by the squares of its weights, in a sum by
the noise, elsewhere by the noise relative to the operand. No further run is needed.

A rounded tensor is in nobody's hands alone: its error goes only when neither the operation that computes it
nor the one that reads it is in integers. Hence the shares lie on edges (``Edge``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.accuracy.noise import F64, Noise, Tensor
from tpumlir.ir.graph import results

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo

# Its operands are added as they are, so their errors count absolutely, not relative to each of them.
_SUMS = {"tpu.Add", "tpu.Sub", "tpu.Concat"}


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


def blame(noise: Noise) -> Blame:
    """The errors of the operations that ran, and the shares of the outputs' error."""
    noise.complete()
    flows = _Flows(noise)
    for op in reversed(noise.ops):
        flows.visit(op)
    owned: dict[str, float] = defaultdict(float)
    for edge in flows.edges:
        # A table speaks of operations: the one that computes a tensor stands for it.
        if key := edge.producer or edge.reader:
            owned[key] += edge.share
    total = math.fsum(owned.values()) or 1.0
    found: dict[str, OpError] = {}
    for depth, op in enumerate(noise.ops):
        key = noise.key_of(op)
        names = [name for name in results(op) if noise.tensors[name].count]
        if key is None or not names or (key in found and key not in names):
            continue
        worst = max((noise.tensors[name] for name in names), key=lambda tensor: tensor.relative)
        integer = any(noise.tensors[name].is_quantized for name in names)
        found[key] = OpError(
            key, op.kind, op.node, "INT8" if integer else worst.info.dtype.upper(),
            math.sqrt(noise.isolated(op)), math.sqrt(worst.relative), owned[key] / total, depth,
        )  # fmt: skip
    return Blame(list(found.values()), flows.edges)


class _Flows:
    """What of the outputs' error arrives at the channels of each tensor, by the operation that reads it."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.edges: list[Edge] = []
        self.arriving: dict[str, dict[str | None, F64]] = defaultdict(dict)
        errors = {name: noise.tensors[name].relative for name in noise.outputs if name in noise.tensors}
        total = math.fsum(errors.values())
        for name, error in errors.items():
            share = error / total if total else 1 / len(errors)
            self._arrive(name, None, share * _parts_of(noise.tensors[name].noise))

    def visit(self, op: OpInfo) -> None:
        """Keep the own part of an operation and hand the rest to its operands."""
        key = self.noise.key_of(op)
        passes = key is None or op.moves_data
        keeps = passes and self.noise.keeps_grid(op)
        for name in results(op):
            arriving = self.arriving.pop(name, {})
            if not arriving:
                continue
            tensor = self.noise.tensors[name]
            integer = tensor.is_quantized
            zeros = np.zeros(len(tensor.signal))
            rounding, weights = self.noise.parts(op, name) if integer and not keeps else (zeros, zeros)
            own = rounding + weights
            shares = self._shares(op, name)
            whole = np.maximum(tensor.noise, own)
            kept = np.divide(own, whole, out=np.zeros(len(own)), where=whole > 0)
            if not shares and integer and tensor.signal.any():
                kept = np.ones(len(own))
            of_rounding = np.divide(rounding, own, out=np.ones(len(own)), where=own > 0)
            for reader, share in arriving.items():
                mine = share * kept
                if integer and mine.any():
                    self.edges.append(Edge(key, reader, float(mine @ of_rounding)))
                    if key is not None and weights.any():
                        self.edges.append(Edge(key, None, float(mine @ (1 - of_rounding))))
                # What only moves, and casts, hand on who reads; integers of others this operation reads.
                seen = reader if passes else key if integer else None
                for source, part in self._handed(share - mine, shares).items():
                    self._arrive(source, seen, part)

    def _arrive(self, name: str, reader: str | None, share: F64) -> None:
        known = self.arriving[name].get(reader)
        self.arriving[name][reader] = share if known is None else known + share

    @staticmethod
    def _handed(rest: F64, shares: Mapping[str, F64]) -> dict[str, F64]:
        """Each operand's part: a matrix says it by both channels, a vector by the operand's alone."""
        return {name: rest @ part if part.ndim == 2 else rest.sum() * part for name, part in shares.items()}

    def _shares(self, op: OpInfo, result: str) -> dict[str, F64]:
        """What of the noise at each channel of the result is that of each channel of the operands."""
        noise = self.noise
        names = [name for name in noise.graph.sources(op) if noise.tensors[name].noise.any()]
        if not names:
            return {}
        tensor = noise.tensors[result]
        gains = noise.gains(op, result) if names[0] == noise.graph.sources(op)[0] else None
        if gains is not None:
            brought = gains * noise.tensors[names[0]].noise
            return {names[0]: _by_rows(brought, _parts_of(noise.tensors[names[0]].noise))}
        if op.kind == "tpu.Concat" and (cut := self._pieces(op, tensor)):
            return cut
        sources = {name: noise.tensors[name] for name in names}
        return _elementwise(op.kind in _SUMS, tensor, sources)

    def _pieces(self, op: OpInfo, tensor: Tensor) -> dict[str, F64]:
        """Of a Concat of channels: each operand's place in the result."""
        operands = [name for name in op.operands if name]
        sources = self.noise.graph.sources(op)
        lengths = [len(self.noise.tensors[name].signal) for name in sources]
        if operands != sources or sum(lengths) != len(tensor.signal):
            return {}
        whole = np.eye(len(tensor.signal))
        cuts = np.cumsum([0, *lengths])
        return {name: whole[:, cuts[i] : cuts[i + 1]] for i, name in enumerate(sources)}


def _elementwise(adds: bool, tensor: Tensor, sources: Mapping[str, Tensor]) -> dict[str, F64]:
    """Channel by channel where all have the channels of the result, otherwise as a whole."""
    totals = {
        name: float(source.noise.sum()) if adds else source.relative for name, source in sources.items()
    }
    total = math.fsum(totals.values())
    if not total:
        return {}
    alike = all(
        len(source.signal) == len(tensor.signal) and _place(source) == _place(tensor)
        for source in sources.values()
    )
    if not alike:
        return {name: totals[name] / total * _parts_of(source.noise) for name, source in sources.items()}
    rated = {
        name: source.noise
        if adds
        else np.divide(source.noise, source.signal, out=np.zeros(len(source.noise)), where=source.signal > 0)
        for name, source in sources.items()
    }
    sums = sum(rated.values(), np.zeros(len(tensor.signal)))
    return {
        name: np.diag(np.divide(part, sums, out=np.full(len(sums), totals[name] / total), where=sums > 0))
        for name, part in rated.items()
    }


def _place(tensor: Tensor) -> tuple[int, bool]:
    rank = len(tensor.info.shape or ())
    return rank, tensor.axis == rank - 1


def _parts_of(noise: F64) -> F64:
    """The part of each channel in the noise of all."""
    total = noise.sum()
    return noise / total if total else np.full(len(noise), 1 / max(len(noise), 1))


def _by_rows(brought: F64, otherwise: F64) -> F64:
    """Each row as parts of its sum."""
    sums = brought.sum(axis=1, keepdims=True)
    return np.where(sums > 0, brought / np.where(sums > 0, sums, 1), otherwise)
