"""Integer rules of ONNX that folding and the converters share: axes, slices, reshapes, broadcasts."""

from __future__ import annotations

import math
from collections.abc import Sequence


def normalize_axis(axis: int, rank: int) -> int:
    """``axis`` as a non-negative number. Raises: ValueError: out of range."""
    if not -rank <= axis < rank:
        raise ValueError(f"expected an axis in [{-rank}, {rank - 1}], got {axis}")
    return axis + rank if axis < 0 else axis


def resolve_slice(
    shape: Sequence[int],
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None,
    steps: Sequence[int] | None,
) -> list[range]:
    """The index range of every axis of ``shape``. Source: ONNX Slice, opset 13. Raises: ValueError."""
    axes = list(range(len(starts))) if axes is None else [normalize_axis(axis, len(shape)) for axis in axes]
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(set(axes)) != len(axes):
        raise ValueError(
            "expected one start, end and step for each axis, each axis once, "
            f"got starts {list(starts)}, ends {list(ends)}, axes {axes}, steps {list(steps)}"
        )
    result = [range(extent) for extent in shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0:
            raise ValueError("expected a step other than 0, got 0")
        # Python clamps starts and ends just as ONNX does, also for negative steps; an end of "before the
        # first element" can only be written as a value below -extent, which Python clamps to -1 too.
        result[axis] = range(*slice(start, end, step).indices(shape[axis]))
    return result


def resolve_reshape(shape: Sequence[int], target: Sequence[int], *, allow_zero: bool = False) -> list[int]:
    """``target`` with 0 (copy) and -1 (the rest) resolved.

    Source: ONNX Reshape, opset 14. Raises: ValueError.
    """
    result = list(target)
    for i, extent in enumerate(result):
        if extent == 0 and not allow_zero:
            if i >= len(shape):
                raise ValueError(f"expected a dimension {i} to copy, got shape {list(shape)}")
            result[i] = shape[i]
    size = math.prod(shape)
    if result.count(-1) > 1:
        raise ValueError(f"expected at most one -1, got {list(target)}")
    if -1 in result:
        rest = math.prod(extent for extent in result if extent != -1)
        if rest == 0 or size % rest:
            raise ValueError(f"expected {size} elements to fit {list(target)}, got a rest")
        result[result.index(-1)] = size // rest
    if math.prod(result) != size or any(extent < 0 for extent in result):
        raise ValueError(
            f"expected a shape of {size} elements, got {list(target)}{_of_a_batch(shape, result)}"
        )
    return result


def _of_a_batch(shape: Sequence[int], target: Sequence[int]) -> str:
    """What to do if ``target`` fits ``shape`` but for the extent in front."""
    if not shape or not target or min(*shape, *target) < 1:
        return ""
    if math.prod(target) * shape[0] != math.prod(shape) * target[0]:
        return ""
    return (
        f" (made for {target[0]} in front, not {shape[0]}: give a batch of {target[0]} in --input_shapes and "
        f"run {target[0]} at a time, or export the model again with a dynamic batch axis)"
    )


def unsqueezed(shape: Sequence[int], axes: Sequence[int]) -> list[int]:
    """``shape`` with a 1 put at each of ``axes`` (of the result). Raises: ValueError."""
    rank = len(shape) + len(axes)
    places = {normalize_axis(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise ValueError(f"expected each axis once, got {list(axes)}")
    rest = iter(shape)
    return [1 if i in places else next(rest) for i in range(rank)]


def squeezed(shape: Sequence[int], axes: Sequence[int] | None) -> list[int]:
    """``shape`` without ``axes`` (all of extent 1 if None). Raises: ValueError: an axis of another extent."""
    if axes is None:
        return [extent for extent in shape if extent != 1]
    places = {normalize_axis(axis, len(shape)) for axis in axes}
    for place in places:
        if shape[place] != 1:
            raise ValueError(f"expected an extent of 1 at axis {place}, got {list(shape)}")
    return [extent for i, extent in enumerate(shape) if i not in places]


def broadcast(*shapes: Sequence[int]) -> list[int]:
    """The common shape of multidirectional broadcasting. Raises: ValueError."""
    rank = max(map(len, shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for i, extent in enumerate(shape, rank - len(shape)):
            if extent != 1 and result[i] not in {1, extent}:
                raise ValueError(
                    f"expected shapes that broadcast, got {' and '.join(str(list(s)) for s in shapes)}"
                )
            result[i] = extent if extent != 1 else result[i]
    return result
