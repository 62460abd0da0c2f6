"""Slices whose place is computed at run time: rows that are gathered, if it is known how many."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from tpumlir.onnx.indexing import resolve_slice
from tpumlir.onnx.registry import InvalidNodeError, Node, NotSupportedError, Result


def moving_slice(node: Node, axes: list[int] | None, steps: list[int] | None) -> Result:
    """Elements start, start + step, ... of each axis whose bounds are a constant distance apart.

    A start at which the slice would be shorter, for it ends at the end of the axis, is as wrong as an index
    of Gather out of range.
    """
    shape, starts, ends = node.shape(0), node.sums(1), node.sums(2)
    if starts is None or ends is None or len(starts) != len(ends):
        _refuse(node, 1 if node.const(1) is None else 2)
    axes = [node.axis(axis, len(shape)) for axis in (range(len(starts)) if axes is None else axes)]
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(axes) == len(steps) or len(set(axes)) != len(axes) or 0 in steps:
        raise InvalidNodeError(f"expected a start, an end and a step for each axis, got axes {axes}")
    moving: list[tuple[int, int, np.ndarray[Any, np.dtype[Any]]]] = []
    fixed: list[tuple[int, int, int, int]] = []
    for i, (start, end, axis, step) in enumerate(zip(starts, ends, axes, steps, strict=True)):
        if start.known and end.known:
            fixed.append((start.constant, end.constant, axis, step))
            continue
        distance = end - start
        if not distance.known:
            _refuse(node, 2 if start.known else 1)
        places = np.arange(0, distance.constant, step, dtype=np.int64)
        if len(places) > shape[axis]:
            raise InvalidNodeError(f"expected at most {shape[axis]} of axis {axis}, got {len(places)}")
        moving.append((i, axis, places))
    kept = [len(r) for r in resolve_slice(shape, *map(list, zip(*fixed, strict=True)))] if fixed else [*shape]
    for _, axis, places in moving:
        kept[axis] = len(places)
    if 0 in kept:
        return np.empty(kept, node.output_dtype())
    name, output = node.input_names[0], node.output_names[0]
    if fixed:
        name = node.onnx("Slice", name, *(np.array(part, np.int64) for part in zip(*fixed, strict=True)))
    for i, axis, places in moving:
        first = node.onnx("Cast", node.onnx("Gather", node.input_names[1], np.array([i]), axis=0), to=_INT64)
        rows = first if len(places) == 1 else node.onnx("Add", first, places)
        last = axis == moving[-1][1]
        name = node.onnx("Gather", name, rows, axis=axis, into=output if last else "")
    return node.tensor(output)


_INT64 = 7


def _refuse(node: Node, index: int) -> NoReturn:
    """Say which bound is not known."""
    what = {1: "its start", 2: "its end"}[index]
    raise NotSupportedError(
        f"{what} ({node.input_names[index]}) is computed at run time, and with it its length",
        "cut at constant places, and mask what is not wanted",
        constants=[name for name in node.input_names[1:3] if name],
    )
