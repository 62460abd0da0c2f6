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

from tpumlir.accuracy.noise import Blame, Edge, Noise
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
        touching: dict[str, list[Edge]] = defaultdict(list)
        for edge in blame.edges:
            for end in {edge.producer, edge.reader} - {None}:
                touching[end or ""].append(edge)
        floats: set[str] = set()

        def gain(moved: set[str]) -> float:
            both = floats | moved
            edges = {id(edge): edge for key in moved for edge in touching[key]}
            return math.fsum(e.share for e in edges.values() if _gone(e, both) and not _gone(e, floats))

        def rated(moved: set[str]) -> tuple[int, float]:
            cost = self.cycles(floats, moved)
            return (0, cost) if cost <= 0 else (1, -gain(moved) / cost)

        place = {key: i for i, key in enumerate(self.keys)}
        seeds = [
            (key, *more)
            for key in self.keys
            for more in ((), sorted(self.readers[key], key=place.__getitem__),
                         sorted(self.producers[key], key=place.__getitem__))
        ]  # fmt: skip
        seeds = list(dict.fromkeys(seeds))
        near: dict[str, set[int]] = defaultdict(set)
        for i, seed in enumerate(seeds):
            for key in seed:
                near[key].add(i)
        heap: list[tuple[tuple[int, float], int, int]] = []
        versions = [0] * len(seeds)

        def push(i: int) -> None:
            moved = self.with_followers(seeds[i]) - floats
            if moved:
                heapq.heappush(heap, (rated(moved), i, versions[i]))

        for i in range(len(seeds)):
            push(i)
        moves: list[set[str]] = []
        while heap:
            rating, i, version = heapq.heappop(heap)
            moved = self.with_followers(seeds[i]) - floats
            if version != versions[i] or not moved:
                continue
            if rated(moved) > rating:  # it was better when it was rated
                versions[i] += 1
                push(i)
                continue
            moves.append(moved)
            floats |= moved
            around = {key for one in moved for key in (one, *self.readers[one], *self.producers[one])}
            for other in sorted({j for key in around for j in near[key]}):
                versions[other] += 1
                push(other)
        return moves

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


def _gone(edge: Edge, floats: Collection[str]) -> bool:
    return (edge.producer is None or edge.producer in floats) and (
        edge.reader is None or edge.reader in floats
    )
