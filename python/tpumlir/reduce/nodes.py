"""Fewer nodes: first those at which the fault was seen, then delta debugging.

A model can be cut anywhere, since the values of a run take the place of what is cut off. So not only may a
part be left out, as in the ddmin of Zeller and Hildebrandt (2002), but any part may also be the whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from tpumlir.reduce.graph import Source
from tpumlir.reduce.reducer import Candidate, Reducer

_RADII = 3


def cut_nodes(reducer: Reducer, source: Source, where: Sequence[str], region: Sequence[str]) -> bool:
    """Leave out nodes as long as the fault shows; ``where`` and ``region`` name those concerned."""
    everything = frozenset(range(len(source.nodes)))
    current = _first(reducer, _jumps(source, where, region, everything))
    current = current if current is not None else everything
    smaller = minimised(reducer, source, current)
    return smaller != everything


def _first(reducer: Reducer, candidates: Iterator[Candidate | None]) -> frozenset[int] | None:
    found = reducer.first(candidates)
    return None if found is None else frozenset(found.data)


def candidate(source: Source, nodes: Collection[int], current: frozenset[int], step: str) -> Candidate | None:
    """The model of ``nodes``, if it is less than that of ``current``."""
    found = source.cut(nodes)
    if found is None or len(found[0]) >= len(current):
        return None
    return Candidate(found[1], f"{step}: {len(found[0])} of {len(source.nodes)} nodes", found[0])


def _jumps(
    source: Source, where: Sequence[str], region: Sequence[str], current: frozenset[int]
) -> Iterator[Candidate | None]:
    """The nodes of ``where`` and what is near to them; all before them; all that depends on the inputs."""
    found = source.find(where)
    tried: set[frozenset[int]] = set()
    nearest = _around(source, found)
    alone = [{index} for index in found]
    inside = set(source.find(region))
    for around in (*alone, inside, *nearest, set(source.moving())):
        nodes = frozenset(around)
        if nodes and nodes not in tried:
            tried.add(nodes)
            yield candidate(source, nodes, current, "jump to the place of the fault")


def _around(source: Source, found: Sequence[int]) -> Iterator[set[int]]:
    if not found:
        return
    for seed in (found[:1], found):
        nodes = set(seed)
        for _ in range(_RADII):
            nodes |= {i for index in nodes for i in source.sources(index)}
            yield set(nodes)
            nodes |= {i for index in nodes for i in source.readers(index)}
            yield set(nodes)
    # The beginning of the model up to there.
    nodes, pending = set(found), list(found)
    while pending:
        for index in source.sources(pending.pop()):
            if index not in nodes:
                nodes.add(index)
                pending.append(index)
    yield nodes


def minimised(reducer: Reducer, source: Source, current: frozenset[int]) -> frozenset[int]:
    """Nodes of which none can be left out, beginning with ``current``."""
    parts = 2
    while len(current) > 1:
        pieces = _split(sorted(current), parts)
        found = reducer.first(_choices(source, pieces, current))
        if found is not None:
            smaller, whole = found.data
            current, parts = smaller, 2 if whole else max(parts - 1, 2)
        elif parts < len(current):
            parts = min(2 * parts, len(current))
        else:
            break
    return current


def _choices(
    source: Source, pieces: Sequence[Sequence[int]], current: frozenset[int]
) -> Iterator[Candidate | None]:
    """Each piece by itself, then all but one piece."""
    for piece in pieces:
        yield _marked(candidate(source, piece, current, "keep a part"), whole=True)
    if len(pieces) > 2:
        for piece in pieces:
            yield _marked(candidate(source, current - set(piece), current, "leave out a part"), whole=False)


def _marked(found: Candidate | None, *, whole: bool) -> Candidate | None:
    return None if found is None else found._replace(data=(found.data, whole))


def _split(items: Sequence[int], parts: int) -> list[Sequence[int]]:
    size, more = divmod(len(items), parts)
    ends = [0]
    for i in range(parts):
        ends.append(ends[-1] + size + (i < more))
    return [items[a:b] for a, b in pairwise(ends) if a < b]
