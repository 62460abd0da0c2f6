"""Operators that move data: nothing is computed, so they take every data type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.fold import split_sizes
from tpumlir.onnx.indexing import broadcast, resolve_reshape, resolve_slice, squeezed, unsqueezed
from tpumlir.onnx.registry import Attribute, InvalidNodeError, Node, converts

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
def slice_by_attributes(node: Node) -> Value:
    """Bounds as attributes. Source: ONNX Slice, opset 1."""
    starts, ends = node.ints("starts", []), node.ints("ends", [])
    return emit_slice(
        node, resolve_slice(node.shape(0), starts, ends, node.ints("axes", range(len(starts))), None)
    )


@converts("Slice", since=10)
def slice_by_operands(node: Node) -> Value:
    """Bounds as operands. Source: ONNX Slice, opset 13."""
    starts, ends = node.known_ints(1, "its starts"), node.known_ints(2, "its ends")
    axes, steps = node.known_ints(3, "its axes"), node.known_ints(4, "its steps")
    return emit_slice(node, resolve_slice(node.shape(0), starts or [], ends or [], axes, steps))


def emit_slice(node: Node, ranges: Sequence[range]) -> Value:
    """``top.Slice`` of operand 0; an axis read backwards is reversed first."""
    node.refuse(any(len(r) == 0 for r in ranges), "an empty result", "remove the branch that needs it")
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
def split(node: Node) -> list[Value]:
    """One ``top.Slice`` for each output that is used. Source: ONNX Split, opset 18."""
    shape = node.shape(0)
    axis = node.axis(node.int("axis", 0), len(shape))
    sizes = node.ints("split", []) or node.known_ints(1, "its sizes")
    sizes = split_sizes(shape[axis], len(node.output_names), sizes)
    results: list[Value] = []
    offset = 0
    for name, size in zip(node.output_names, sizes, strict=True):
        if name:
            node.refuse(size == 0, "an empty result", "remove the branch that needs it")
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
def pad_by_attributes(node: Node) -> Value:
    """Pads as an attribute. Source: ONNX Pad, opset 2."""
    return _pad(node, node.ints("pads", []), node.float("value", 0.0))


@converts("Pad", since=11)
def pad(node: Node) -> Value:
    """Pads and value as operands, since opset 18 for chosen axes. Source: ONNX Pad, opset 21."""
    rank = len(node.shape(0))
    pads = node.known_ints(1, "its pads") or []
    value = node.known(2, "its value")
    axes = node.known_ints(3, "its axes")
    if axes is not None:
        if len(pads) != 2 * len(axes):
            raise InvalidNodeError(f"expected {2 * len(axes)} pads, got {pads}")
        full = [0] * (2 * rank)
        for i, axis in enumerate(axes):
            full[node.axis(axis, rank)] = pads[i]
            full[node.axis(axis, rank) + rank] = pads[i + len(axes)]
        pads = full
    return _pad(node, pads, 0.0 if value is None or value.size == 0 else float(value.reshape(-1)[0]))


def _pad(node: Node, pads: list[int], value: float) -> Value:
    shape = node.shape(0)
    rank = len(shape)
    if len(pads) != 2 * rank:
        raise InvalidNodeError(f"expected {2 * rank} pads, got {pads}")
    mode = node.str("mode", "constant")
    node.refuse(mode not in {"constant", "reflect", "edge"}, f"mode {mode}", "write it as a Concat of Slices")
    x = node.operand(0)
    # Negative pads cut; ONNX cuts first, then pads.
    kept = [range(max(0, -pads[i]), shape[i] - max(0, -pads[i + rank])) for i in range(rank)]
    node.refuse(any(len(r) == 0 for r in kept), "an empty result", "remove the branch that needs it")
    positive = [max(0, p) for p in pads]
    if any(p < 0 for p in pads):
        if not any(positive):
            return node.emit("top.Slice", slice_operands(node, x), **slice_attributes(kept))
        x = node.helper("top.Slice", slice_operands(node, x), "cut", **slice_attributes(kept))
    if not any(positive):
        return node.reshape(x, x.shape)
    return node.emit("top.Pad", [x], paddings=positive, val=value, mode=mode)


@converts("Expand", since=8)
def expand(node: Node) -> Value:
    """A reshape to the rank of the result, then ``top.Tile``. Source: ONNX Expand, opset 13."""
    shape = node.shape(0)
    return _tile_to(node, broadcast(shape, node.known_ints(1, "its shape") or []))


def _tile_to(node: Node, target: list[int]) -> Value:
    shape = [1] * (len(target) - len(node.shape(0))) + list(node.shape(0))
    x = node.operand(0)
    tile = [want // have for want, have in zip(target, shape, strict=True)]
    if all(count == 1 for count in tile):
        return node.reshape(x, target)
    return node.emit("top.Tile", [node.reshape(x, shape, "rank")], tile=tile)


@converts("Tile", since=6)
def tile(node: Node) -> Value:
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


@converts("Gather", since=1)
def gather(node: Node) -> Value:
    """``top.Slice`` for one constant index, else ``top.Gather``. Source: ONNX Gather, opset 13."""
    shape = node.shape(0)
    axis = node.axis(node.int("axis", 0), len(shape))
    indices = node.const(1)
    if indices is None:
        return node.emit("top.Gather", [node.operand(0), node.operand(1)], axis=axis, keepdims=True)
    if indices.size and (indices.min() < -shape[axis] or indices.max() >= shape[axis]):
        raise InvalidNodeError(
            f"expected indices in [{-shape[axis]}, {shape[axis] - 1}], got {indices.min()} to {indices.max()}"
        )
    positive = np.where(indices < 0, indices + shape[axis], indices)
    if positive.size == 1:
        index = int(positive.reshape(-1)[0])
        ranges = [range(extent) for extent in shape]
        ranges[axis] = range(index, index + 1)
        result = [*shape[:axis], *indices.shape, *shape[axis + 1 :]]
        cut = node.helper(
            "top.Slice", slice_operands(node, node.operand(0)), "index", **slice_attributes(ranges)
        )
        return node.reshape(cut, result)
    chosen = node.derived_weight(1, "indices", positive.astype(np.int32))
    return node.emit("top.Gather", [node.operand(0), chosen], axis=axis, keepdims=True)


@converts("Cast", since=6)
def cast(node: Node) -> Value:
    """Between float types that Top holds as f32 nothing happens. Source: ONNX Cast, opset 13."""
    import onnx

    try:
        target = onnx.helper.tensor_dtype_to_np_dtype(node.int("to", 0)).name
    except KeyError as error:
        raise InvalidNodeError(f"expected a data type, got code {error}") from None
    value = node.operand(0)
    node.refuse(
        value.dtype != "f32" or target not in {"float32", "float64"},
        f"a cast of a run-time tensor from {value.dtype} to {target}",
        "compute in float32 throughout",
    )
    return node.reshape(value, value.shape)
