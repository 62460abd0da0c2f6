"""What it costs to move operations from integers to floats, and in which order it pays.

The cycles of each operation are those of two bmodels, one plain in integers and one in the half precision; a
cast costs what the casts of the first one cost for an element. Moved are single operations, or one with what
reads it or with what it reads: a lone float operation between integers needs two casts and keeps the error of
both tensors at its sides. This is an estimate for an order; what a table really costs is compiled.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tpumlir.accuracy.blame import Blame, Edge
from tpumlir.accuracy.noise import Noise
from tpumlir.ir.graph import results

if TYPE_CHECKING:
    from tpumlir.bmodel.profile import Profile

# What reads floats through a cast; everything else is in integers only if what it reads is.
_ENTRIES = {"tpu.Conv2D", "tpu.MatMul", "tpu.Deconv"}
_DEAR_CAST = 1 / 64  # cycles for an element, if the plain module has no cast to tell


@dataclass
class Border:
    """A tensor that needs a cast if who computes it and who reads it differ; None is a float for ever."""

    producer: str | None
    size: int
    readers: set[str | None] = field(default_factory=set)

    def casts(self, floats: Collection[str]) -> int:
        """How many casts it needs where the operations ``floats`` are floats."""
        is_float = self.producer is None or self.producer in floats
        return int(any((reader is None or reader in floats) != is_float for reader in self.readers))


class Costs:
    """The graph of the operations that are in integers in the plain module, with cycles and casts."""

    def __init__(self, noise: Noise, plain: Profile, half: Profile) -> None:
        self._noise = noise
        self.keys: list[str] = []  # in the order of the module
        kinds: dict[str, str] = {}
        nodes: dict[str, str] = {}
        for op in noise.ops:
            key = noise.key_of(op)
            if key is None or not any(noise.tensors[name].is_quantized for name in results(op)):
                continue
            if op.moves_data and noise.keeps_grid(op):
                continue
            if key not in kinds:
                self.keys.append(key)
            if kinds.get(key) not in _ENTRIES:
                kinds[key], nodes[key] = op.kind, op.node
        known = set(kinds)
        self.borders = self._borders(known)
        self.producers: dict[str, set[str]] = defaultdict(set)
        self.readers: dict[str, set[str]] = defaultdict(set)
        self._touching: dict[str, list[Border]] = defaultdict(list)
        self._follows: dict[str, set[str]] = defaultdict(set)
        for border in self.borders:
            ends = {border.producer, *border.readers} - {None}
            for end in sorted(end for end in ends if end):
                self._touching[end].append(border)
            for reader in border.readers:
                if reader is None or border.producer is None:
                    continue
                self.producers[reader].add(border.producer)
                self.readers[border.producer].add(reader)
                if kinds[reader] not in _ENTRIES:
                    self._follows[border.producer].add(reader)
        self.added = self._added(nodes, plain, half)
        casts = sum(row.sums.cycles for row in plain.ops if row.op == "tpu.Cast")
        sizes = sum(noise.tensors[op.name].count for op in noise.ops if op.kind == "tpu.Cast")
        self.per_element = casts * noise.samples / sizes if casts and sizes else _DEAR_CAST

    def with_followers(self, keys: Iterable[str]) -> set[str]:
        """``keys`` and what becomes a float with them."""
        found = set(keys)
        waiting = list(found)
        while waiting:
            for reader in self._follows.get(waiting.pop(), ()):
                if reader not in found:
                    found.add(reader)
                    waiting.append(reader)
        return found

    def cycles(self, floats: Collection[str], moved: Collection[str]) -> float:
        """The estimated cycles that it adds to make floats of ``moved`` besides ``floats``."""
        both = {*floats, *moved}
        new = [key for key in moved if key not in floats]
        borders = {id(border): border for key in new for border in self._touching[key]}
        casts = sum(b.size * (b.casts(both) - b.casts(floats)) for b in borders.values())
        return math.fsum(self.added[key] for key in new) + casts * self.per_element

    def order(self, blame: Blame) -> list[set[str]]:
        """Moves, each of operations that were integers before, the most error per cycle first."""
        return _Order(self, blame).moves()

    def _added(self, nodes: Mapping[str, str], plain: Profile, half: Profile) -> dict[str, float]:
        def by_node(profile: Profile) -> dict[str, float]:
            sums: dict[str, float] = defaultdict(float)
            for row in profile.ops:
                if row.op != "tpu.Cast":
                    sums[row.node] += row.sums.cycles
            return sums

        before, after = by_node(plain), by_node(half)
        shared: dict[str, int] = defaultdict(int)
        for node in nodes.values():
            shared[node] += 1
        return {key: (after[node] - before[node]) / shared[node] for key, node in nodes.items()}

    def _borders(self, known: set[str]) -> list[Border]:
        noise = self._noise
        readers: dict[str, set[str | None]] = defaultdict(set)
        for name in noise.outputs:
            readers[name].add(None)
        borders = []
        for op in reversed(noise.graph.ops):
            key = noise.key_of(op)
            through = key is None or (op.moves_data and key not in known)
            mine = key if key in known else None
            for name in noise.graph.sources(op):
                if through:
                    for result in results(op):
                        readers[name] |= readers[result]
                else:
                    readers[name].add(mine)
            if not through:
                borders += [
                    Border(mine, math.prod(result.shape or ()), readers[result.name])
                    for result in op.results
                    if result.name and readers[result.name]
                ]
        borders.reverse()
        return [border for border in borders if border.producer or border.readers - {None}]


class _Order:
    """The greedy exchange: every move is rated by what it gains for its cycles after those before it.

    A move beside one that was made is worth more than before, so it is rated again; the others can only have
    lost, which shows when they come to the front.
    """

    def __init__(self, costs: Costs, blame: Blame) -> None:
        self.costs = costs
        self.floats: set[str] = set()
        self.touching: dict[str, list[Edge]] = defaultdict(list)
        for edge in blame.edges:
            for end in dict.fromkeys((edge.producer, edge.reader)):
                if end:
                    self.touching[end].append(edge)
        place = {key: i for i, key in enumerate(costs.keys)}
        seeds = [
            (key, *sorted(more, key=place.__getitem__))
            for key in costs.keys
            for more in (set[str](), costs.readers[key], costs.producers[key])
        ]
        self.seeds = list(dict.fromkeys(seeds))
        self.near: dict[str, set[int]] = defaultdict(set)
        for i, seed in enumerate(self.seeds):
            for key in seed:
                self.near[key].add(i)
        self.versions = [0] * len(self.seeds)
        self.heap: list[tuple[tuple[int, float], int, int]] = []

    def moves(self) -> list[set[str]]:
        """All of them, until nothing is left in integers."""
        made: list[set[str]] = []
        for i in range(len(self.seeds)):
            self._push(i)
        while self.heap:
            rating, i, version = heapq.heappop(self.heap)
            moved = self._moved(i)
            if version != self.versions[i] or not moved:
                continue
            if self._rated(moved) > rating:  # it was better when it was rated
                self._again(i)
                continue
            made.append(moved)
            self.floats |= moved
            around = {
                key for one in moved for key in (one, *self.costs.readers[one], *self.costs.producers[one])
            }
            for other in sorted({j for key in around for j in self.near[key]}):
                self._again(other)
        return made

    def _moved(self, i: int) -> set[str]:
        return self.costs.with_followers(self.seeds[i]) - self.floats

    def _again(self, i: int) -> None:
        self.versions[i] += 1
        self._push(i)

    def _push(self, i: int) -> None:
        moved = self._moved(i)
        if moved:
            heapq.heappush(self.heap, (self._rated(moved), i, self.versions[i]))

    def _rated(self, moved: set[str]) -> tuple[int, float]:
        """What saves cycles comes first, then what takes the most error away for a cycle."""
        cost = self.costs.cycles(self.floats, moved)
        return (0, cost) if cost <= 0 else (1, -self._gain(moved) / cost)

    def _gain(self, moved: set[str]) -> float:
        both = self.floats | moved
        edges = {id(edge): edge for key in moved for edge in self.touching[key]}
        return math.fsum(
            edge.share for edge in edges.values() if _gone(edge, both) and not _gone(edge, self.floats)
        )


def _gone(edge: Edge, floats: Collection[str]) -> bool:
    return (edge.producer is None or edge.producer in floats) and (
        edge.reader is None or edge.reader in floats
    )
