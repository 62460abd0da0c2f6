"""Places for the nodes of a directed graph without circles: layers, few crossings, straight chains.

As Sugiyama has it, in four steps: each node gets a layer below all that it reads; an edge over several layers
is held by a place in each (one chain for all edges that leave a node, so a tensor that everybody reads does
not become a bundle); the order within layers follows the neighbours' mean, up and down in turns; and the
places minimise the squared distances to the neighbours under that order, which pooling adjacent violators
solves exactly, layer by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

_ORDERINGS = 12  # sweeps
_PLACINGS = 25
_CHAINED = 60_000  # places of long edges; beyond, edges go straight
_STRAIGHT = 8.0  # how much more a piece of a long edge wants to be straight


@dataclass(frozen=True)
class Layout:
    """The middle of each node, and the corners of each edge from the first to the last."""

    x: F64
    y: F64
    edges: list[list[tuple[float, float]]]


@dataclass
class _Layers:
    """Nodes and the places of long edges, which are numbered on from them."""

    layer: list[int]
    width: list[float]
    above: list[list[int]]
    below: list[list[int]]
    rows: list[list[int]]
    real: int

    def is_real(self, node: int) -> bool:
        return node < self.real


def lay_out(
    widths: Sequence[float],
    edges: Sequence[tuple[int, int]],
    *,
    gap: float = 24.0,
    height: float = 90.0,
) -> Layout:
    """Places for nodes of these widths; ``edges`` lead from lower to higher numbers.

    ``gap`` is what lies between two nodes of a layer, ``height`` between the middles of two layers.
    """
    if not widths:
        return Layout(np.zeros(0), np.zeros(0), [])
    plain = list(dict.fromkeys(edges))
    layers, routes = _layers(widths, plain)
    _order(layers)
    x = _place(layers, gap)
    y = np.array(layers.layer, np.float64) * height
    corners = {
        edge: [(float(x[node]), float(y[node])) for node in route]
        for edge, route in zip(plain, routes, strict=True)
    }
    return Layout(x[: layers.real], y[: layers.real], [corners[edge] for edge in edges])


# --- layers ------------------------------------------------------------------------


def _layers(widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> tuple[_Layers, list[list[int]]]:
    """Every node in its layer, and the way of each edge through the layers."""
    count = len(widths)
    layer = _depths(count, edges)
    made = _Layers(layer, list(widths), [[] for _ in widths], [[] for _ in widths], [], count)
    longest: dict[int, int] = {}
    for a, b in edges:
        longest[a] = max(longest.get(a, 0), layer[b] - layer[a] - 1)
    spans = sum(longest.values())
    chains: dict[int, list[int]] = {}
    routes = []
    for a, b in edges:
        steps = layer[b] - layer[a] - 1 if spans <= _CHAINED else 0
        chain = chains.setdefault(a, [a])
        while len(chain) <= steps:
            chain.append(_between(made, chain[-1]))
        route = chain[: steps + 1]
        made.below[route[-1]].append(b)
        made.above[b].append(route[-1])
        routes.append([*route, b])
    made.rows = [[] for _ in range(max(made.layer) + 1)]
    for node, row in enumerate(made.layer):
        made.rows[row].append(node)
    return made, routes


def _between(made: _Layers, last: int) -> int:
    """A place of a long edge, one layer below ``last``."""
    node = len(made.layer)
    made.layer.append(made.layer[last] + 1)
    made.width.append(0.0)
    made.above.append([last])
    made.below.append([])
    made.below[last].append(node)
    return node


def _depths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """As high as possible; what reads nothing stands right above the first that reads it."""
    layer = [0] * count
    below: list[list[int]] = [[] for _ in range(count)]
    reads = [False] * count
    for a, b in sorted(edges):
        below[a].append(b)
        reads[b] = True
    for node in range(count):
        for reader in below[node]:
            layer[reader] = max(layer[reader], layer[node] + 1)
    for node in range(count):
        if not reads[node] and below[node]:
            layer[node] = min(layer[reader] for reader in below[node]) - 1
    return layer


# --- order -------------------------------------------------------------------------


def _order(layers: _Layers) -> None:
    """Sort each row by where the neighbours are; the best of the sweeps is kept."""
    place = [0.0] * len(layers.layer)

    def number() -> None:
        for row in layers.rows:
            for i, node in enumerate(row):
                place[node] = float(i)

    number()
    best = [list(row) for row in layers.rows]
    least = _crossings(layers, place)
    for sweep in range(_ORDERINGS):
        if not least:
            break
        down = sweep % 2 == 0
        neighbours = layers.above if down else layers.below
        for row in layers.rows if down else reversed(layers.rows):
            row.sort(key=lambda node: _mean(neighbours[node], place))
            for i, node in enumerate(row):
                place[node] = float(i)
        crossings = _crossings(layers, place)
        if crossings < least:
            best, least = [list(row) for row in layers.rows], crossings
    layers.rows = best


def _mean(nodes: Sequence[int], place: Sequence[float]) -> float:
    return sum(place[node] for node in nodes) / len(nodes) if nodes else -1.0


def _crossings(layers: _Layers, place: Sequence[float]) -> int:
    """How many pairs of edges between neighbouring rows cross (inversions, counted by merging)."""
    total = 0
    for row in layers.rows:
        ends = [int(place[b]) for a in row for b in sorted(layers.below[a], key=lambda n: place[n])]
        total += _inversions(ends)
    return total


def _inversions(values: list[int]) -> int:
    """Pairs in the wrong order, with a binary indexed tree."""
    if len(values) < 2:
        return 0
    size = max(values) + 2
    tree = [0] * (size + 1)
    found = 0
    for seen, value in enumerate(values):
        smaller, i = 0, value + 1
        while i:
            smaller += tree[i]
            i -= i & -i
        found += seen - smaller
        i = value + 1
        while i <= size:
            tree[i] += 1
            i += i & -i
    return found


# --- places ------------------------------------------------------------------------


def _place(layers: _Layers, gap: float) -> F64:
    """Where each node is in its row."""
    x = np.zeros(len(layers.layer))
    rooms = []
    for row in layers.rows:
        room = [(layers.width[a] + layers.width[b]) / 2 + gap for a, b in pairwise(row)]
        offsets = [0.0]
        for value in room:
            offsets.append(offsets[-1] + value)
        rooms.append(offsets)
        for node, offset in zip(row, offsets, strict=True):
            x[node] = offset - offsets[-1] / 2
    for sweep in range(_PLACINGS):
        down = sweep % 2 == 0  # the last one too: what reads one node alone stands right below it
        order = range(len(layers.rows)) if down else range(len(layers.rows) - 1, -1, -1)
        for i in order:
            row, offsets = layers.rows[i], rooms[i]
            wanted, weights = [], []
            for node in row:
                where, weight = _wanted(layers, x, node, down)
                wanted.append(where)
                weights.append(weight)
            for node, value in zip(row, _pooled(wanted, weights, offsets), strict=True):
                x[node] = value
    return x - (x.min() if len(x) else 0.0)


def _wanted(layers: _Layers, x: F64, node: int, down: bool) -> tuple[float, float]:
    """Where a node would be by its neighbours, and how much that matters."""
    above, below = layers.above[node], layers.below[node]
    near = (above if down else below) or (below if down else above)
    if not near:
        return float(x[node]), 0.1
    total = weight = 0.0
    for other in near:
        each = _STRAIGHT if not (layers.is_real(node) or layers.is_real(other)) else 1.0
        total += each * float(x[other])
        weight += each
    return total / weight, weight


def _pooled(wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The places nearest to ``wanted`` by squares that lie at least as far apart as ``offsets``."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, many = want - offset, 1
        while pools and pools[-1][0] >= mean:
            other, mass, count = pools.pop()
            mean = (mean * weight + other * mass) / (weight + mass)
            weight += mass  # noqa: PLW2901 - the pool's
            many += count
        pools.append((mean, weight, many))
    found: list[float] = []
    for mean, _, many in pools:
        found += [mean + offsets[len(found) + i] for i in range(many)]
    return found
