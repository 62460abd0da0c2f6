"""Smaller tensors: extents are shortened, together where they are the same; the leading elements stay.

Nothing here knows what operators do with shapes: where extents do not fit each other any more ONNX
Runtime refuses the model, and another choice is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir.reduce.case import Case, all_nodes
from tpumlir.reduce.proto import copied, forget_shapes, initializers, with_values
from tpumlir.reduce.reducer import Candidate, Reducer

Array = npt.NDArray[Any]
Axis = tuple[str, int]  # of a tensor
New = Mapping[Axis, int]

# Attributes that hold extents.
_EXTENTS = {
    "blocksize", "group", "hidden_size", "k", "kernel_shape", "kv_num_heads", "num_heads", "num_outputs",
    "output_shape", "q_num_heads", "shape", "sizes", "split",
}  # fmt: skip
_LONGEST = 16  # elements of a constant that may be a shape


class _Change(NamedTuple):
    """What becomes of a number that says an extent."""

    old: int
    new: int
    multiples: bool = False

    def __call__(self, number: int) -> int:
        if self.multiples:
            return number // self.old * self.new if number > 0 and number % self.old == 0 else number
        return self.new if number == self.old else number


def shrink_shapes(reducer: Reducer) -> None:
    """Shorten extents as long as the fault shows."""
    reducer.exhaust(_candidates)


def _candidates(case: Case) -> Iterator[Candidate | None]:
    constants = initializers(case.proto)
    yield from _loosened(case, constants)
    axes = {
        (name, axis): extent
        for name, value in {**constants, **case.inputs}.items()
        if not _is_shape(name, value, constants)
        for axis, extent in enumerate(value.shape)
        if extent > 1
    }
    for extent in sorted(set(axes.values()), reverse=True):
        same = [axis for axis, e in axes.items() if e == extent]
        multiples = {axis: e // extent for axis, e in axes.items() if e % extent == 0}
        for new in _shorter(extent):
            yield _resized(case, constants, dict.fromkeys(same, new), _Change(extent, new))
            yield _resized(case, constants, dict.fromkeys(same, new), None)
            if len(multiples) > len(same):
                several = {axis: times * new for axis, times in multiples.items()}
                yield _resized(case, constants, several, _Change(extent, new, multiples=True))
        for new in _nearer(extent):
            yield _resized(case, constants, dict.fromkeys(same, new), _Change(extent, new))
    for axis, extent in axes.items():
        for new in _shorter(extent):
            yield _resized(case, constants, {axis: new}, None)
            yield _resized(case, constants, {axis: new}, None, tail=True)
        for new in _nearer(extent):
            yield _resized(case, constants, {axis: new}, None)


def _loosened(case: Case, constants: Mapping[str, Array]) -> Iterator[Candidate | None]:
    """With a -1 in the shape that a Reshape is given, which then fits whatever comes."""
    shapes = {
        n.input[1] for n in all_nodes(case.proto.graph.node) if n.op_type == "Reshape" and len(n.input) > 1
    }
    for name in sorted(shapes & constants.keys()):
        value = constants[name]
        if not _is_shape(name, value, constants) or (value < 0).any():
            continue
        for place in reversed(range(value.size)):
            changed = value.copy()
            changed[place] = -1
            yield Candidate(with_values(case, {name: changed}), f"{name}[{place}]: -1", (name, place))


def _shorter(extent: int) -> list[int]:
    """Extents to try first, the shortest before others."""
    return sorted({1, 2, extent // 4, extent // 2} & set(range(1, extent)))


def _nearer(extent: int) -> list[int]:
    """Extents between the half and the whole, nearer and nearer to the whole."""
    found = []
    step = extent // 4
    while step:
        found.append(extent - step)
        step //= 2
    return [new for new in found if new not in _shorter(extent)]


def _is_shape(name: str, value: Array, constants: Mapping[str, Array]) -> bool:
    return name in constants and value.dtype == np.int64 and value.ndim <= 1 and value.size <= _LONGEST


def _resized(
    case: Case,
    constants: Mapping[str, Array],
    new: New,
    change: _Change | None,
    *,
    tail: bool = False,
) -> Candidate | None:
    """The case with other extents, and with ``change`` made to the numbers that say extents."""
    values: dict[str, Array] = {}
    for (name, axis), extent in new.items():
        value = values.get(name, constants.get(name, case.inputs.get(name)))
        assert value is not None
        places = range(value.shape[axis] - extent, value.shape[axis]) if tail else range(extent)
        values[name] = np.ascontiguousarray(np.take(value, places, axis))
    proto = case.proto
    if change is not None:
        for name, value in constants.items():
            if _is_shape(name, value, constants):
                changed = np.array([change(int(e)) for e in value.reshape(-1)], value.dtype)
                if not np.array_equal(changed, value.reshape(-1)):
                    values[name] = changed.reshape(value.shape)
        proto = _with_attributes(proto, change)
        if proto is case.proto and not any(
            _is_shape(n, constants.get(n, v), constants) for n, v in values.items()
        ):
            change = None  # there is none
    found = with_values(Case(proto, case.inputs), values)
    forget_shapes(found.proto)
    shown = ", ".join(sorted({f"{name}[{axis}]: {extent}" for (name, axis), extent in new.items()})[:3])
    return Candidate(found, f"shorten {shown}", (tuple(sorted(new.items())), change, tail))


def _with_attributes(proto: Any, change: _Change) -> Any:
    """The proto with other extents in attributes; itself if none is concerned."""
    copy = None
    for index, node in enumerate(all_nodes(proto.graph.node)):
        for place, attribute in enumerate(node.attribute):
            if attribute.name not in _EXTENTS:
                continue
            single, several = change(attribute.i), [change(e) for e in attribute.ints]
            if (attribute.HasField("i") and single != attribute.i and single > 0) or (
                several != list(attribute.ints) and min(several) > 0
            ):
                copy = copy if copy is not None else copied(proto)
                target = all_nodes(copy.graph.node)[index].attribute[place]
                if attribute.HasField("i"):
                    target.i = single
                target.ints[:] = several
    return proto if copy is None else copy
