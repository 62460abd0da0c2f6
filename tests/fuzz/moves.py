"""Nodes of random models that only move elements, or choose among them."""

from __future__ import annotations

import numpy as np

from fuzz.networks import Maker, RefusedError


def anything(m: Maker, rank: list[int] | None = None) -> str:
    """A tensor of any type, mostly floats."""
    if m.chance(0.85):
        return m.pick(rank)
    return m.pick(rank, dtype=m.one([np.int64, np.int32, np.bool_, np.uint8, np.int8]))


def reshape(m: Maker) -> None:
    x = anything(m)
    shape = list(m.shape(x))
    total = int(np.prod(shape))
    roll = m.between(0, 6)
    if roll == 0:
        target = [-1]
    elif roll == 1 and len(shape) > 1:
        at = m.between(0, len(shape) - 2)
        target = [*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]]
    elif roll == 2 and shape:
        at = m.between(0, len(shape) - 1)
        part = m.one([d for d in range(1, shape[at] + 1) if shape[at] % d == 0])
        target = [*shape[:at], part, shape[at] // part, *shape[at + 1 :]]
    elif roll == 3:
        target = [0] * min(len(shape), 2) + [-1]
    elif roll == 4:
        part = m.one([d for d in range(1, min(total, 200) + 1) if total % d == 0])
        target = [part, -1] if m.chance(0.5) else [-1, part]
    elif roll == 5 and len(shape) > 1:
        m.op(
            "Flatten",
            x,
            axis=m.between(0, len(shape)) if m.opset < 11 else m.between(-len(shape), len(shape)),
        )
        return
    else:
        target = [1, *shape] if m.chance(0.5) else [*shape, 1]
    m.op("Reshape", x, m.ints(target))


def transpose(m: Maker) -> None:
    x = anything(m, [1, 2, 3, 4, 4, 5, 6])
    if m.chance(0.1):
        m.op("Transpose", x)
        return
    m.op("Transpose", x, perm=m.rng.permutation(m.values[x].ndim).tolist())


def squeeze(m: Maker) -> None:
    x = anything(m)
    rank = m.values[x].ndim
    ones = [i for i, d in enumerate(m.shape(x)) if d == 1]
    if m.chance(0.5) and ones:
        axes = [int(m.one(ones))]
        if m.opset >= 11 and m.chance(0.5):
            axes = [axes[0] - rank]
        kind = "Squeeze"
    else:
        kind, axes = "Unsqueeze", [m.between(0, rank)]
        if m.opset >= 11 and m.chance(0.5):
            axes = [axes[0] - rank - 1]
    if m.opset >= 13:
        m.op(kind, x, m.ints(axes))
    else:
        m.op(kind, x, axes=axes)


def slices(m: Maker) -> None:
    x = anything(m, [1, 2, 3, 4, 4, 5])
    shape = m.shape(x)
    axes = sorted(m.rng.permutation(len(shape))[: m.between(1, min(2, len(shape)))].tolist())
    rows: list[tuple[int, int, int]] = []
    for axis in axes:
        a, b = sorted((m.between(0, shape[axis]), m.between(0, shape[axis])))
        if a == b:
            a, b = max(0, a - 1), max(0, a - 1) + 1
        step = m.one([1, 1, 1, 2, 3])
        if m.chance(0.2) and m.opset >= 10:
            row = b - 1, a - 1 if a else -(2**31), -step
        else:
            end = b if m.chance(0.7) else m.one([b, 2**31 - 1, 2**63 - 1])
            row = m.one([a, a - shape[axis]]), end, step
        rows.append(row)
    starts, ends, steps = ([row[i] for row in rows] for i in range(3))
    if m.opset < 10:
        m.op("Slice", x, starts=starts, ends=ends, axes=axes)
        return
    m.op("Slice", x, m.ints(starts), m.ints(ends), m.ints(axes), m.ints(steps))


def split(m: Maker) -> None:
    x = anything(m, [1, 2, 3, 4, 4])
    axis = m.axis(m.values[x].ndim) if m.opset >= 11 else m.between(0, m.values[x].ndim - 1)
    size = m.shape(x)[axis]
    if size < 2:
        raise RefusedError
    cut = m.between(1, size - 1)
    parts = [cut, size - cut] if m.chance(0.7) else [size // 2, size // 2]
    if sum(parts) != size:
        raise RefusedError
    if m.opset >= 13:
        names = m.ops("Split", x, m.ints(parts), outputs=2, axis=axis)
    else:
        names = m.ops("Split", x, outputs=2, axis=axis, split=parts)
    if m.chance(0.4) and m.values[x].dtype == np.float32:
        m.op("Concat", names[1], m.op("Relu", names[0]), axis=axis)


def concat(m: Maker) -> None:
    x = anything(m, [1, 2, 3, 4, 4, 5])
    rank, dtype = m.values[x].ndim, m.values[x].dtype
    axis = m.between(0, rank - 1)

    def rest(name: str) -> list[int]:
        return [d for i, d in enumerate(m.shape(name)) if i != axis]

    fits = [n for n in m.live(dtype) if m.values[n].ndim == rank and rest(n) == rest(x)]
    parts = [x, *(m.one(fits) for _ in range(m.between(1, 2)))]
    if m.chance(0.3):
        shape = list(m.shape(x))
        shape[axis] = m.between(1, 3)
        parts.append(
            m.constant(m.numbers(shape, dtype)) if m.chance(0.5) else m.input(m.numbers(shape, dtype))
        )
    m.rng.shuffle(parts)
    m.op("Concat", *parts, axis=axis - (rank if m.opset >= 11 and m.chance(0.4) else 0))


def pad(m: Maker) -> None:
    x = m.pick([1, 2, 3, 4, 4, 5])
    shape = m.shape(x)
    mode = m.one(["constant", "constant", "edge", "reflect"])
    rank = len(shape)
    pads = [m.between(0, 2) if m.chance(0.4) else 0 for _ in range(2 * rank)]
    if mode == "reflect":
        pads = [min(p, shape[i % rank] - 1) for i, p in enumerate(pads)]
    elif mode == "constant" and m.chance(0.2):
        pads = [-1 if p == 1 and shape[i % rank] > 2 else p for i, p in enumerate(pads)]
    value = float(m.one([0, 1, -2]))
    if m.opset < 11:
        m.op("Pad", x, mode=mode, pads=pads, value=value)
        return
    operands = [x, m.ints(pads)]
    if m.chance(0.5):
        operands.append(m.constant(np.array(value, np.float32)))
    m.op("Pad", *operands, mode=mode)


def tile(m: Maker) -> None:
    x = anything(m, [1, 2, 3, 4])
    if m.chance(0.5):
        m.op("Tile", x, m.ints([m.one([1, 1, 2, 3]) for _ in m.shape(x)]))
        return
    if m.opset < 8:
        raise RefusedError
    m.op("Expand", x, m.ints([m.one([1, 3]) if d == 1 else m.one([1, d]) for d in m.shape(x)]))


def blocks(m: Maker) -> None:
    x = m.pick([4])
    size = m.one([2, 2, 3])
    if m.chance(0.5):
        m.op("SpaceToDepth", x, blocksize=size)
    else:
        m.op("DepthToSpace", x, blocksize=size, mode=m.one(["DCR", "CRD"]) if m.opset >= 11 else None)


def gather(m: Maker) -> None:
    x = anything(m, [1, 2, 3, 4])
    rank = m.values[x].ndim
    axis = m.axis(rank) if m.opset >= 11 else m.between(0, rank - 1)
    size = m.shape(x)[axis]
    low = -size if m.opset >= 11 else 0
    make = m.input if m.chance(0.3) else m.constant
    dtype = m.one([np.int64, np.int32])
    roll = m.rng.random()
    if roll < 0.6 or m.opset < 11:
        shape = m.one([[], [1], [3], [2, 2], [size]])
        m.op("Gather", x, make(np.asarray(m.rng.integers(low, size, shape), dtype)), axis=axis)
    elif roll < 0.8:
        shape = [d if i != axis % rank else m.between(1, d + 1) for i, d in enumerate(m.shape(x))]
        m.op("GatherElements", x, make(m.rng.integers(low, size, shape).astype(dtype)), axis=axis)
    else:
        depth = m.between(1, rank)
        picks = [m.rng.integers(0, d, 3) for d in m.shape(x)[:depth]]
        m.op("GatherND", x, make(np.stack(picks, 1).astype(np.int64)))


def scatter(m: Maker) -> None:
    if m.opset < 11:
        raise RefusedError
    x = m.pick([1, 2, 3, 4])
    shape = m.shape(x)
    rank = len(shape)
    make = m.input if m.chance(0.4) else m.constant
    if m.chance(0.5):
        depth = m.between(1, rank)
        total = int(np.prod(shape[:depth]))
        flat = m.rng.permutation(total)[: m.between(1, min(4, total))]
        index = np.stack(np.unravel_index(flat, shape[:depth]), 1).astype(np.int64)
        more = {} if m.opset < 16 else {"reduction": m.one([None, "add"])}
        m.op("ScatterND", x, make(index), m.operand([len(flat), *shape[depth:]]), **more)
        return
    axis = m.axis(rank)
    size = shape[axis]
    k = m.between(1, size)
    spots = np.argsort(m.rng.random(shape), axis=axis).take(range(k), axis=axis)
    m.op("ScatterElements", x, make(spots.astype(np.int64)), m.operand(spots.shape), axis=axis)


def trilu(m: Maker) -> None:
    x = m.pick([2, 3, 4])
    m.op(
        "Trilu",
        x,
        *([m.constant(np.array(m.between(-2, 2), np.int64))] if m.chance(0.5) else []),
        upper=m.between(0, 1),
    )
