"""Operators that move data: nothing is computed, so they take every data type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.fold import split_sizes
from tpumlir.onnx.indexing import broadcast, resolve_reshape, resolve_slice, squeezed, unsqueezed
from tpumlir.onnx.registry import Array, Attribute, InvalidNodeError, Node, Result, converts
from tpumlir.onnx.window import moving_slice

if TYPE_CHECKING:
    from tpumlir._core.ir import Value


@converts("Reshape", since=5)
def reshape(node: Node) -> Value:
    """``top.Reshape`` to a static shape. Source: ONNX Reshape, opset 14."""
    target = node.known_ints(1, "its shape") or []
    return node.reshape(
        node.operand(0), resolve_reshape(node.shape(0), target, allow_zero=bool(node.int("allowzero", 0)))
    )


@converts("Flatten", since=1)
def flatten(node: Node) -> Value:
    """A matrix: the axes before ``axis`` by the rest. Source: ONNX Flatten, opset 13."""
    shape, axis = node.shape(0), node.int("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise InvalidNodeError(f"expected an axis in [{-len(shape)}, {len(shape)}], got {axis}")
    axis = axis + len(shape) if axis < 0 else axis
    return node.reshape(node.operand(0), [math.prod(shape[:axis]), math.prod(shape[axis:])])


def _axes(node: Node) -> list[int] | None:
    return node.ints("axes", []) or node.known_ints(1, "its axes operand")


@converts("Squeeze", since=1)
def squeeze(node: Node) -> Value:
    """``top.Squeeze``. Source: ONNX Squeeze, opset 13 (1 and 11 have the axes as an attribute)."""
    return node.reshape(node.operand(0), squeezed(node.shape(0), _axes(node)))


@converts("Unsqueeze", since=1)
def unsqueeze(node: Node) -> Value:
    """``top.Unsqueeze``. Source: ONNX Unsqueeze, opset 13 (1 and 11 have the axes as an attribute)."""
    return node.reshape(node.operand(0), unsqueezed(node.shape(0), _axes(node) or []))


@converts("Transpose", since=1)
def transpose(node: Node) -> Value:
    """``top.Permute``; without ``perm`` the axes are reversed. Source: ONNX Transpose, opset 21."""
    rank = len(node.shape(0))
    order = node.ints("perm", range(rank - 1, -1, -1))
    if sorted(order) != list(range(rank)):
        raise InvalidNodeError(f"expected a permutation of {rank} axes, got {order}")
    return node.emit("top.Permute", [node.operand(0)], order=order)


@converts("Concat", since=4)
def concat(node: Node) -> Value:
    """``top.Concat``. Source: ONNX Concat, opset 13."""
    axis = node.axis(node.int("axis", 1), len(node.shape(0)))
    parts = [node.operand(i) for i in range(len(node.inputs)) if math.prod(node.shape(i))]
    if len(parts) == 1:
        return node.reshape(parts[0], parts[0].shape)
    return node.emit("top.Concat", parts, axis=axis)


@converts("Slice", since=1)
def slice_by_attributes(node: Node) -> Value | Array:
    """Bounds as attributes. Source: ONNX Slice, opset 1."""
    starts, ends = node.ints("starts", []), node.ints("ends", [])
    return emit_slice(
        node, resolve_slice(node.shape(0), starts, ends, node.ints("axes", range(len(starts))), None)
    )


@converts("Slice", since=10)
def slice_by_operands(node: Node) -> Result:
    """Bounds as operands. Source: ONNX Slice, opset 13."""
    axes, steps = node.known_ints(3, "its axes"), node.known_ints(4, "its steps")
    if node.const(1) is None or node.const(2) is None:
        return moving_slice(node, axes, steps)
    starts, ends = node.known_ints(1, "its starts"), node.known_ints(2, "its ends")
    return emit_slice(node, resolve_slice(node.shape(0), starts or [], ends or [], axes, steps))


def emit_slice(node: Node, ranges: Sequence[range]) -> Value | Array:
    """``top.Slice`` of operand 0; an axis read backwards is reversed first."""
    if any(len(r) == 0 for r in ranges):
        return np.empty([len(r) for r in ranges], node.output_dtype())
    value = node.operand(0)
    backwards = [axis for axis, r in enumerate(ranges) if r.step < 0 and len(r) > 1]
    forward = [_ascending(r, extent) for r, extent in zip(ranges, node.shape(0), strict=True)]
    whole = all(len(r) == extent for r, extent in zip(forward, node.shape(0), strict=True))
    for count, axis in enumerate(backwards, 1):
        if whole and count == len(backwards):
            return node.emit("top.Reverse", [value], axis=axis)
        value = node.helper("top.Reverse", [value], f"reverse{axis}", axis=axis)
    if whole:
        return node.reshape(value, value.shape)
    return node.emit("top.Slice", slice_operands(node, value), **slice_attributes(forward))


def _ascending(r: range, extent: int) -> range:
    """``r`` with a positive step; a backward range counts in the reversed axis."""
    if r.step > 0:
        return r
    start = extent - 1 - r.start if len(r) > 1 else r.start
    step = -r.step if len(r) > 1 else 1
    return range(start, start + (len(r) - 1) * step + 1, step)


def slice_operands(node: Node, value: Value) -> list[Value]:
    """The operands of `top.Slice` with static bounds."""
    none = node.emitter.none()
    return [value, none, none, none]


def slice_attributes(ranges: Sequence[range]) -> dict[str, Attribute]:
    """The attributes of `top.Slice` for every axis, as TPU-MLIR writes them after shape inference."""
    axes = list(range(len(ranges)))
    return {
        "offset": [r.start for r in ranges],
        "steps": [r.step for r in ranges],
        "ends": [r[-1] + 1 for r in ranges],
        "axes": axes,
        "hasparamConvert_axes": axes,
    }


@converts("Split", since=2)
def split(node: Node) -> list[Value | Array]:
    """One ``top.Slice`` for each output that is used. Source: ONNX Split, opset 18."""
    shape = node.shape(0)
    axis = node.axis(node.int("axis", 0), len(shape))
    sizes = node.ints("split", []) or node.known_ints(1, "its sizes")
    sizes = split_sizes(shape[axis], len(node.output_names), sizes)
    results: list[Value | Array] = []
    offset = 0
    for name, size in zip(node.output_names, sizes, strict=True):
        if size == 0:
            results.append(np.empty([*shape[:axis], 0, *shape[axis + 1 :]], node.output_dtype()))
        elif name:
            ranges = [range(extent) for extent in shape]
            ranges[axis] = range(offset, offset + size)
            results += node.emitter.emit(
                "top.Slice",
                slice_operands(node, node.operand(0)),
                dict(slice_attributes(ranges)),
                [name],
                node.name,
            )
        else:
            results.append(node.operand(0))  # unused: bound to no name
        offset += size
    return results


@converts("Pad", since=2)
def pad_by_attributes(node: Node) -> Value | Array:
    """Pads as an attribute. Source: ONNX Pad, opset 2."""
    return _pad(node, node.ints("pads", []), node.float("value", 0.0))


@converts("Pad", since=11)
def pad(node: Node) -> Value | Array:
    """Pads and value as operands, since opset 18 for chosen axes. Source: ONNX Pad, opset 21."""
    rank = len(node.shape(0))
    pads = node.known_ints(1, "its pads") or []
    axes = node.known_ints(3, "its axes")
    if axes is not None:
        if len(pads) != 2 * len(axes):
            raise InvalidNodeError(f"expected {2 * len(axes)} pads, got {pads}")
        full = [0] * (2 * rank)
        for i, axis in enumerate(axes):
            full[node.axis(axis, rank)] = pads[i]
            full[node.axis(axis, rank) + rank] = pads[i + len(axes)]
        pads = full
    if not node.has(2) or not math.prod(node.shape(2)):
        return _pad(node, pads, 0.0)
    constant = node.const(2)
    return _pad(node, pads, node.operand(2) if constant is None else float(constant.reshape(-1)[0]))


def _pad(node: Node, pads: list[int], value: float | Value) -> Value | Array:
    shape = node.shape(0)
    rank = len(shape)
    if len(pads) != 2 * rank:
        raise InvalidNodeError(f"expected {2 * rank} pads, got {pads}")
    mode = node.str("mode", "constant")
    if mode not in {"constant", "reflect", "edge", "wrap"}:
        raise InvalidNodeError(f"expected mode constant, reflect, edge or wrap, got {mode}")
    x = node.operand(0)
    # Negative pads cut; ONNX cuts first, then pads.
    kept = [range(max(0, -pads[i]), shape[i] - max(0, -pads[i + rank])) for i in range(rank)]
    if any(len(r) == 0 for r in kept):
        node.refuse(any(p > 0 for p in pads), "it pads what it has cut to nothing", "write it as a constant")
        return np.empty([len(r) for r in kept], node.output_dtype())
    begins, ends = ([max(0, p) for p in half] for half in (pads[:rank], pads[rank:]))
    if any(p < 0 for p in pads):
        if not any(begins + ends):
            return node.emit("top.Slice", slice_operands(node, x), **slice_attributes(kept))
        x = node.helper("top.Slice", slice_operands(node, x), "cut", **slice_attributes(kept))
    if not any(begins + ends):
        return node.reshape(x, x.shape)
    if mode == "wrap":
        return _pad_by_axes(node, x, begins, ends, _wrapped)
    if mode != "constant":
        value = 0.0
    if not isinstance(value, float):
        return _pad_by_axes(node, x, begins, ends, _framed)
    return node.emit("top.Pad", [x], paddings=begins + ends, val=value, mode=mode)


PadAxis = Callable[[Node, "Value", int, int, int, "str | None"], "Value"]


def _pad_by_axes(node: Node, x: Value, begins: list[int], ends: list[int], pad_axis: PadAxis) -> Value:
    """One axis after the other; the last one is the node's output."""
    axes = [axis for axis in range(len(begins)) if begins[axis] or ends[axis]]
    for axis in axes:
        suffix = None if axis == axes[-1] else f"axis{axis}"
        x = pad_axis(node, x, axis, begins[axis], ends[axis], suffix)
    return x


def _wrapped(node: Node, x: Value, axis: int, begin: int, end: int, suffix: str | None) -> Value:
    """The axis as if it went round."""
    extent = x.shape[axis]
    places = np.arange(-begin, extent + end, dtype=np.int64) % extent
    indices = node.weight(f"wrap{axis}", places.astype(np.int32))
    return node.part("top.Gather", [x, indices], suffix, axis=axis, keepdims=True)


def _framed(node: Node, x: Value, axis: int, begin: int, end: int, suffix: str | None) -> Value:
    """The run-time value of operand 2 before and behind."""
    rank = len(x.shape)
    one = node.reshape(node.operand(2), [1] * rank, "value")
    parts = [x]
    for name, size in (("before", begin), ("behind", end)):
        if size:
            tile = [*x.shape[:axis], size, *x.shape[axis + 1 :]]
            block = node.helper("top.Tile", [one], f"{name}{axis}", tile=tile)
            parts = [block, *parts] if name == "before" else [*parts, block]
    return node.part("top.Concat", parts, suffix, axis=axis)


@converts("CenterCropPad", since=18)
def center_crop_pad(node: Node) -> Value:
    """``top.Slice`` of what is too long, ``top.Pad`` of the rest. Source: ONNX CenterCropPad, opset 18."""
    shape, target = list(node.shape(0)), node.known_ints(1, "its shape") or []
    rank = len(shape)
    axes = [node.axis(axis, rank) for axis in node.ints("axes", range(rank))]
    if len(axes) != len(target):
        raise InvalidNodeError(f"expected {len(axes)} extents, got {target}")
    kept, pads = [range(extent) for extent in shape], [0] * (2 * rank)
    for axis, want in zip(axes, target, strict=True):
        spare = shape[axis] - want
        if spare > 0:
            kept[axis] = range(spare // 2, spare // 2 + want)
        pads[axis], pads[axis + rank] = max(0, -spare) // 2, max(0, -spare) - max(0, -spare) // 2
    node.refuse(any(len(r) == 0 for r in kept), "an empty result", "remove the branch that needs it")
    x = node.operand(0)
    padded = any(pads)
    if any(len(r) < extent for r, extent in zip(kept, shape, strict=True)):
        x = node.part(
            "top.Slice", slice_operands(node, x), "cut" if padded else None, **slice_attributes(kept)
        )
    elif not padded:
        return node.reshape(x, x.shape)
    return node.emit("top.Pad", [x], paddings=pads, val=0.0, mode="constant") if padded else x


@converts("Expand", since=8)
def expand(node: Node) -> Value | Array:
    """A reshape to the rank of the result, then ``top.Tile``. Source: ONNX Expand, opset 13."""
    shape = node.shape(0)
    return _tile_to(node, broadcast(shape, node.known_ints(1, "its shape") or []))


def _tile_to(node: Node, target: list[int]) -> Value | Array:
    if not math.prod(target):
        return np.empty(target, node.output_dtype())
    shape = [1] * (len(target) - len(node.shape(0))) + list(node.shape(0))
    x = node.operand(0)
    tile = [want // have for want, have in zip(target, shape, strict=True)]
    if all(count == 1 for count in tile):
        return node.reshape(x, target)
    return node.emit("top.Tile", [node.reshape(x, shape, "rank")], tile=tile)


@converts("Tile", since=6)
def tile(node: Node) -> Value | Array:
    """``top.Tile``. Source: ONNX Tile, opset 13."""
    repeats = node.known_ints(1, "its repeats") or []
    if len(repeats) != len(node.shape(0)):
        raise InvalidNodeError(f"expected {len(node.shape(0))} repeats, got {repeats}")
    return _tile_to(node, [extent * count for extent, count in zip(node.shape(0), repeats, strict=True)])


@converts("DepthToSpace", since=1)
def depth_to_space(node: Node) -> Value:
    """``top.Depth2Space``. Source: ONNX DepthToSpace, opset 13."""
    block, mode = node.int("blocksize", 0), node.str("mode", "DCR")
    if block < 1 or mode not in {"DCR", "CRD"}:
        raise InvalidNodeError(f"expected a blocksize and mode DCR or CRD, got {block} and {mode}")
    return node.emit(
        "top.Depth2Space",
        [node.operand(0)],
        block_h=block,
        block_w=block,
        is_CRD=mode == "CRD",
        is_inversed=False,
    )


@converts("SpaceToDepth", since=1)
def space_to_depth(node: Node) -> Value:
    """``top.Depth2Space`` inverted. Source: ONNX SpaceToDepth, opset 28 (before, the mode was DCR)."""
    block, mode = node.int("blocksize", 0), node.str("mode", "DCR")
    if block < 1 or mode not in {"DCR", "CRD"}:
        raise InvalidNodeError(f"expected a blocksize and mode DCR or CRD, got {block} and {mode}")
    return node.emit(
        "top.Depth2Space",
        [node.operand(0)],
        block_h=block,
        block_w=block,
        is_CRD=mode == "CRD",
        is_inversed=True,
    )
