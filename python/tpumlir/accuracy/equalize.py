"""Cross-layer equalisation: channels of small numbers grow, and who reads them takes it back.

Where a product writes channels that only products read, with nothing between them that a positive factor does
not pass through, channel c may be divided by s[c] in the weights that make it and multiplied by it in those
that read it. The factors are powers of two, so the float function stays what it was to the last bit; only
the one scale that all channels of a tensor share in INT8 fits them better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tpumlir.accuracy.products import Product, products_of, single_readers
from tpumlir.ir.graph import Graph
from tpumlir.ir.interpreter import ModuleInterpreter
from tpumlir.ir.module import Module

if TYPE_CHECKING:
    from tpumlir._core.ir import OpInfo

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

# f(s x) = s f(x) for s > 0, channel by channel.
_HOMOGENEOUS = {"top.Relu", "top.LeakyRelu", "top.PRelu", "top.MaxPool", "top.AvgPool", "top.AdaptiveAvgPool",
                "top.Upsample", "top.Interp"}  # fmt: skip
_POWERS = ((0.5, 0.5), (1.0, 0.0), (0.75, 0.25), (0.5, 0.0), (0.25, 0.25), (0.0, 0.5))
"""Of the range of a channel and of the weights that read it, in its factor."""
_GAIN = 0.95  # a change that leaves more of the expected noise than this is not worth it
_MOST_BITS = 24  # of a factor's exponent


@dataclass
class Link:
    """A product, what reads its channels, and the tensors between them."""

    producer: Product
    readers: list[Product] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Equalized:
    """The module with other weights; ``links`` says between which products, and the expected gain in dB."""

    module: Module
    links: dict[str, float]
    skipped: dict[str, str]  # why not, by the product

    def __bool__(self) -> bool:
        return bool(self.links)


def equalized(module: Module, samples: Sequence[Mapping[str, Array]]) -> Equalized:
    """A Top module of the same function whose channels suit INT8 better, from what they hold in samples."""
    links, skipped = links_of(module)
    if not links:
        return Equalized(module, {}, skipped)
    greatest, powers, least = _channels(module, links, samples)
    weights = dict(module.weights)
    gains: dict[str, float] = {}
    for link in links:
        name = link.producer.name
        ranges = np.max([greatest[tensor] for tensor in link.tensors], axis=0)
        signed = min(least[tensor] for tensor in link.tensors) < 0
        factors, left = _factors(link, weights, ranges, powers[name], signed=signed)
        if left > _GAIN:
            skipped[name] = "its channels are equal enough"
            continue
        _apply(link, weights, factors)
        for tensor in link.tensors:
            greatest[tensor] = greatest[tensor] / factors
        gains[name] = -10 * math.log10(left)
    return Equalized(Module.parse(module.print(), weights), gains, skipped)


def links_of(module: Module) -> tuple[list[Link], dict[str, str]]:
    """Where channels can be equalised, in the order of the module, and why elsewhere not."""
    products, skipped = products_of(module)
    graph, once = Graph(module), single_readers(module)
    by_name = {product.name: product for product in products}
    links = []
    for product in products:
        link = Link(product)
        reason = _follow(graph, by_name, link, product.name)
        parts = [product.weight, product.bias, *(reader.weight for reader in link.readers)]
        if not reason and not all(part in once for part in parts if part):
            reason = "its weights, or those behind it, are read twice"
        if reason:
            skipped[product.name] = reason
        else:
            links.append(link)
    return links, skipped


def _follow(graph: Graph, products: Mapping[str, Product], link: Link, tensor: str) -> str:
    """Walk on from ``tensor``; returns what is in the way."""
    if tensor in graph.outputs:
        return f"{tensor} is an output of the model"
    producer = graph.producers[tensor]
    if float(producer.attrs.get("relu_limit", -1.0)) > 0:
        return f"{tensor} has an upper bound"
    link.tensors.append(tensor)
    readers = graph.readers.get(tensor, [])
    if not readers:
        return f"nothing reads {tensor}"
    for op in readers:
        reader = products.get(op.name)
        if reader is not None:
            if reader.is_matrix != link.producer.is_matrix or op.operands.count(tensor) != 1:
                return f"{op.name} reads other axes"
            link.readers.append(reader)
        elif not _passes(op, tensor, link.producer):
            return f"{op.name} ({op.kind}) reads it"
        elif reason := _follow(graph, products, link, op.results[0].name):
            return reason
    return ""


def _passes(op: OpInfo, tensor: str, producer: Product) -> bool:
    """Whether factors of channels go through."""
    if op.kind not in _HOMOGENEOUS or op.operands[0] != tensor or len(op.results) != 1:
        return False
    shape, axis = op.results[0].shape or (), -1 if producer.is_matrix else 1
    return len(shape) == len(producer.result_shape) and shape[axis] == producer.channels


def _channels(
    module: Module, links: Sequence[Link], samples: Sequence[Mapping[str, Array]]
) -> tuple[dict[str, F64], dict[str, F64], dict[str, float]]:
    """The greatest magnitude of each channel, the mean square of what products read, the least number."""
    greatest: dict[str, F64] = {}
    powers: dict[str, F64] = {}
    least: dict[str, float] = {}
    names = list(dict.fromkeys(name for link in links for name in link.tensors))
    interpreter = ModuleInterpreter(module)
    for sample in samples:
        values = interpreter.run(sample, tensors=names, allow_nan=True)
        for link in links:
            for name in link.tensors:
                value = np.moveaxis(values[name], -1 if link.producer.is_matrix else 1, 0)
                rows = np.nan_to_num(value.reshape(len(value), -1), posinf=0, neginf=0)
                most = np.abs(rows).max(axis=1).astype(np.float64)
                greatest[name] = np.maximum(greatest.get(name, 0), most)
                least[name] = min(least.get(name, 0.0), float(rows.min()))
            mean = np.einsum("ij,ij->i", rows, rows).astype(np.float64) / (rows.shape[1] * len(samples))
            powers[link.producer.name] = powers.get(link.producer.name, 0) + mean
    return greatest, powers, least


def _factors(
    link: Link, weights: Mapping[str, Array], ranges: F64, power: F64, *, signed: bool
) -> tuple[F64, float]:
    """The factors of the least expected noise, and how much of it is left."""
    readers = [_by_channel(reader, weights[reader.weight]) for reader in link.readers]
    used = np.max([_used(matrix) for matrix in readers], axis=0)
    alive = (ranges > 0) & (used > 0)
    none = np.ones(len(ranges))
    if alive.sum() < 2:
        return none, 1.0
    before = _noise(readers, none, ranges, power, signed)
    best, least = none, before
    for of_range, of_weights in _POWERS:
        exponents = np.zeros(len(ranges))
        exponents[alive] = of_range * np.log2(ranges[alive]) - of_weights * np.log2(used[alive])
        exponents[alive] -= exponents[alive].max()
        factors = np.exp2(np.clip(np.rint(exponents), -_MOST_BITS, 0))
        noise = _noise(readers, factors, ranges, power, signed)
        if noise < least:
            best, least = factors, noise
    return best, least / before if before > 0 else 1.0


def _by_channel(reader: Product, weight: Array) -> F64:
    """[groups, output channels of a group, input channels of a group, taps]."""
    rows = reader.rows(weight).astype(np.float64)
    return rows.reshape(*rows.shape[:2], reader.inputs // reader.groups, -1)


def _used(matrix: F64) -> F64:
    """How far each input channel fills the scale of the rows that read it."""
    most = np.abs(matrix).max(axis=(2, 3), keepdims=True)
    parts = np.abs(matrix) / np.where(most > 0, most, 1)
    used: F64 = parts.max(axis=(1, 3)).reshape(-1)
    return used


def _noise(readers: Sequence[F64], factors: F64, ranges: F64, power: F64, signed: bool) -> float:
    """The expected noise of the products relative to their signal: rounded inputs and rounded weights."""
    step = float((ranges / factors).max()) / (127 if signed else 255)
    total = 0.0
    for matrix in readers:
        groups, _, inputs, taps = matrix.shape
        scale = factors.reshape(groups, 1, inputs, 1)
        mean = power.reshape(groups, 1, inputs, 1)
        scaled = matrix * scale
        steps = np.abs(scaled).max(axis=(2, 3), keepdims=True) / 127
        of_weights = float((steps**2 * (mean / scale**2)).sum()) * taps
        if inputs * taps == 1:  # one weight is its own scale
            of_weights = 0.0
        signal = float((matrix**2 * mean).sum())
        total += (step**2 * float((scaled**2).sum()) + of_weights) / (12 * signal) if signal > 0 else 0.0
    return total


def _apply(link: Link, weights: dict[str, Array], factors: F64) -> None:
    """Divide the rows that make the channels, multiply what reads them."""
    maker, scale = link.producer, factors.astype(np.float32)
    rows = maker.rows(weights[maker.weight])
    weights[maker.weight] = maker.weight_of(rows / scale.reshape(maker.groups, -1, 1))
    if maker.bias:
        bias = weights[maker.bias]
        weights[maker.bias] = np.ascontiguousarray(bias / scale.reshape(bias.shape), np.float32)
    for reader in link.readers:
        rows = reader.rows(weights[reader.weight])
        apart = rows.reshape(*rows.shape[:2], reader.inputs // reader.groups, -1)
        changed = apart * scale.reshape(reader.groups, 1, -1, 1)
        weights[reader.weight] = reader.weight_of(changed.reshape(rows.shape))
