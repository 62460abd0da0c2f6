"""Sampling at computed places: GridSample, RoiAlign, and Col2Im, which puts samples back.

The input becomes a table with one row of channels per place. Every sample is a sum of rows times weights,
and both the numbers of the rows and the weights are arithmetic of the graph.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.compose import Composer
from tpumlir.onnx.registry import Array, InvalidNodeError, Node, converts
from tpumlir.onnx.windows import spatial_attribute

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

# Row numbers are computed in float32, which holds integers up to this exactly.
_EXACT = 1 << 24
# A tap of one axis: an integer coordinate, and its weight or None for 1.
_Tap = tuple["Value", "Value | None"]


def _rows(c: Composer, x: Value) -> Value:
    """[n, channels, extents...] as [n * places, channels]. Refuses what float32 cannot count."""
    n, channels, *extents = x.shape
    places = n * math.prod(extents)
    c.node.refuse(places > _EXACT, f"{places} places to sample from", "sample from a smaller tensor")
    order = [0, *range(2, len(x.shape)), 1]
    return c.reshape(c.op("Permute", [x], order=order), [places, channels])


def _constant(c: Composer, values: object) -> Value:
    return c.node.weight("constant", np.asarray(values, np.float32))


# --- GridSample ----------------------------------------------------------------------


@converts("GridSample", since=16)
def grid_sample(node: Node) -> Value:
    """A weighted sum of table rows. Source: ONNX GridSample, opset 22 (16 names the modes otherwise)."""
    shape, grid = node.shape(0), node.shape(1)
    axes = len(shape) - 2
    if axes < 1 or len(grid) != len(shape) or grid[-1] != axes or grid[0] != shape[0]:
        raise InvalidNodeError(f"expected a grid for an input {list(shape)}, got {list(grid)}")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(word := node.str("mode", "linear"), word)
    padding = node.str("padding_mode", "zeros")
    if mode not in {"nearest", "linear", "cubic"} or padding not in {"zeros", "border", "reflection"}:
        raise InvalidNodeError(f"expected a mode and padding_mode of GridSample, got {mode} and {padding}")
    align = bool(node.int("align_corners", 0))
    c = Composer(node)
    table = _rows(c, node.operand(0))
    n, points = shape[0], math.prod(grid[1:-1])
    places = c.reshape(node.operand(1), [n, points, axes])
    taps = []
    for axis, extent in enumerate(shape[2:]):
        # The grid lists the last axis first.
        k = axes - 1 - axis
        at = c.reshape(c.slice(places, [range(n), range(points), range(k, k + 1)]), [n, points])
        taps.append(_grid_taps(c, at, extent, mode, padding, align))
    base = _constant(c, np.arange(n).reshape(n, 1) * math.prod(shape[2:]))
    return node.reshape(_sample(c, table, taps, list(shape[2:]), base), [*shape[:2], *grid[1:-1]])


def _grid_taps(c: Composer, at: Value, extent: int, mode: str, padding: str, align: bool) -> list[_Tap]:
    """Taps of one axis for normalised coordinates ``at``."""
    scale = (extent - 1) / 2 if align else extent / 2
    at = c.add(c.mul(at, scale), (extent - 1) / 2)
    low, high = (0.0, extent - 1.0) if align else (-0.5, extent - 0.5)
    if mode == "nearest":
        at = c.op("Round", [at])
    if padding == "border" and mode != "cubic":
        at = c.clip(at, 0, extent - 1)
    elif padding == "reflection":
        at = _reflect(c, at, low, high)
    if mode == "nearest":
        return [_inside(c, at, None, extent, padding, (low, high))]
    return _around(c, at, extent, mode, padding, (low, high))


def _around(
    c: Composer, at: Value, extent: int, mode: str, padding: str, bounds: tuple[float, float]
) -> list[_Tap]:
    """The two (linear) or four (cubic) elements around ``at``."""
    floor = c.floor(at)
    part = c.sub(at, floor)
    weights = {0: c.one_minus(part), 1: part} if mode == "linear" else _cubic_weights(c, part)
    return [
        _inside(c, c.add(floor, float(offset)) if offset else floor, weight, extent, padding, bounds)
        for offset, weight in weights.items()
    ]


def _cubic_weights(c: Composer, t: Value, a: float = -0.75) -> dict[int, Value]:
    """Weights of the four elements around, ``t`` being the distance from the second one."""

    def near(s: Value) -> Value:  # ((a + 2) s - (a + 3)) s^2 + 1
        return c.add(c.mul(c.add(c.mul(s, a + 2), -(a + 3)), c.mul(s, s)), 1.0)

    def far(s: Value) -> Value:  # ((a s - 5 a) s + 8 a) s - 4 a
        return c.add(c.mul(c.add(c.mul(c.add(c.mul(s, a), -5 * a), s), 8 * a), s), -4 * a)

    rest = c.one_minus(t)
    return {-1: far(c.add(t, 1.0)), 0: near(t), 1: near(rest), 2: far(c.add(rest, 1.0))}


def _reflect(c: Composer, at: Value, low: float, high: float) -> Value:
    """``at`` mirrored at ``low`` and ``high`` as often as needed: a triangular wave."""
    span = high - low
    if span <= 0:
        return c.add(c.mul(at, 0.0), low)
    offset = c.add(at, -low)
    period = c.mul(c.floor(c.mul(offset, 1 / (2 * span))), 2 * span)
    wave = c.op("Abs", [c.add(c.sub(offset, period), -span)])
    return c.add(c.mul(wave, -1.0), low + span)


def _inside(
    c: Composer, at: Value, weight: Value | None, extent: int, padding: str, bounds: tuple[float, float]
) -> _Tap:
    """A tap at whole coordinate ``at`` brought into the input; outside of it zeros weigh nothing."""
    if padding == "zeros":
        # 1 for the whole numbers 0 to extent - 1, else 0.
        mask = c.mul(
            c.clip(c.add(at, 1.0), 0, 1),
            c.clip(c.op("SubConst", [at], const_val=float(extent), is_reverse=True), 0, 1),
        )
        weight = mask if weight is None else c.mul(weight, mask)
    elif padding == "reflection":
        at = _reflect(c, at, *bounds)
    return c.clip(at, 0, extent - 1), weight


def _sample(
    c: Composer, table: Value, taps: Sequence[Sequence[_Tap]], extents: Sequence[int], base: Value
) -> Value:
    """The sum over all combinations of taps, [n, channels, points].

    ``taps`` of each axis have the shape [n, points]; ``base`` is the first row of each n.
    """
    n, points = taps[0][0][0].shape
    channels = table.shape[1]
    rows, weights = [], []
    for combination in itertools.product(*taps):
        row: Value | None = None
        weight: Value | None = None
        for (at, factor), extent in zip(combination, extents, strict=True):
            row = at if row is None else c.add(c.mul(row, float(extent)), at)
            weight = factor if weight is None else weight if factor is None else c.mul(weight, factor)
        assert row is not None
        rows.append(c.reshape(c.add(row, base), [n, 1, points]))
        if weight is not None:
            weights.append(c.reshape(weight, [n, 1, points, 1]))
    index = c.to_integer(c.concat(rows, 1))
    samples = c.op("Gather", [table, index], axis=0)
    if weights:
        samples = c.mul(samples, c.concat(weights, 1))
    if len(rows) > 1:
        samples = c.op("Reduce", [samples], axes=[1], keepdims=False, mode="ReduceSum")
    return c.op("Permute", [c.reshape(samples, [n, points, channels])], order=[0, 2, 1])


# --- RoiAlign ------------------------------------------------------------------------


@converts("RoiAlign", since=10)
def roi_align(node: Node) -> Value:
    """Mean or maximum of bilinear samples. Source: ONNX RoiAlign, opset 22 (10 has no half_pixel)."""
    shape, count = node.shape(0), node.shape(1)[0]
    if len(shape) != 4 or node.shape(1) != (count, 4) or node.shape(2) != (count,):
        raise InvalidNodeError("expected an input of rank 4, rois [n, 4] and batch indices [n]")
    ratio = node.int("sampling_ratio", 0)
    node.refuse(
        ratio < 1,
        "sampling_ratio = 0: the number of samples would follow from the rois",
        "export with a fixed sampling_ratio, 2 for example",
    )
    half = node.opset >= 16 and node.str("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    mode = node.str("mode", "avg")
    if mode not in {"avg", "max"}:
        raise InvalidNodeError(f"expected a mode of avg or max, got {mode}")
    c = Composer(node)
    channels, extents = shape[1], shape[2:]
    table = _rows(c, node.operand(0))
    rois = c.add(
        c.mul(node.operand(1), node.float("spatial_scale", 1.0)), _constant(c, [[-0.5 if half else 0.0] * 4])
    )
    bins = [node.int("output_height", 1), node.int("output_width", 1)]
    taps = []
    for axis, (extent, cells) in enumerate(zip(extents, bins, strict=True)):
        begin, end = (c.slice(rois, [range(count), range(k, k + 1)]) for k in (1 - axis, 3 - axis))
        size = c.sub(end, begin)
        if not half:
            size = c.op("MaxConst", [size], const_val=1.0)
        inner = (np.arange(ratio) + 0.5) / ratio
        steps = (np.arange(cells)[:, None] + inner).reshape(1, -1) / cells
        taps.append(_roi_taps(c, c.add(begin, c.mul(size, _constant(c, steps))), extent, axis))
    batch = node.const(2)
    if batch is None:
        index = node.operand(2)
        index = index if index.dtype == "f32" else c.op("Cast", [index], to="F32")
    else:
        index = _constant(c, batch)
    base = c.reshape(c.mul(index, float(math.prod(extents))), [count, 1, 1])
    samples = _roi_samples(c, table, taps, extents[1], base, maximum=mode == "max")
    samples = c.reshape(samples, [count, bins[0], ratio, bins[1], ratio, channels])
    kind = "ReduceMax" if mode == "max" else "ReduceMean"
    samples = c.op("Reduce", [samples], axes=[2, 4], keepdims=False, mode=kind)
    return node.emit("top.Permute", [samples], order=[0, 3, 1, 2])


def _roi_taps(c: Composer, at: Value, extent: int, axis: int) -> list[tuple[Value, Value]]:
    """The two elements around the places [count, samples], and their weights, shaped to broadcast."""
    shape = [at.shape[0], at.shape[1], 1] if axis == 0 else [at.shape[0], 1, at.shape[1]]
    at = c.reshape(at, shape)
    # Places further than one element outside count as zero.
    valid = c.mul(
        c.op("CompareConst", [at], mode="GreaterOrEqual", const_val=-1.0, inversed=False),
        c.op("CompareConst", [at], mode="LessOrEqual", const_val=float(extent), inversed=False),
    )
    at = c.clip(at, 0, extent - 1)
    low = c.floor(at)
    part = c.sub(at, low)
    high = c.op("MinConst", [c.add(low, 1.0)], const_val=float(extent - 1))
    return [(low, c.mul(c.one_minus(part), valid)), (high, c.mul(part, valid))]


def _roi_samples(
    c: Composer,
    table: Value,
    taps: Sequence[Sequence[tuple[Value, Value]]],
    width: int,
    base: Value,
    *,
    maximum: bool,
) -> Value:
    """[count, rows, columns, channels]: sum, or maximum, of the four weighted corners."""
    rows, weights = [], []
    for (y, above), (x, left) in itertools.product(*taps):
        row = c.add(c.add(c.mul(y, float(width)), x), base)
        rows.append(c.reshape(row, [row.shape[0], 1, *row.shape[1:]]))
        weight = c.mul(above, left)
        weights.append(c.reshape(weight, [weight.shape[0], 1, *weight.shape[1:], 1]))
    corners = c.op("Gather", [table, c.to_integer(c.concat(rows, 1))], axis=0)
    corners = c.mul(corners, c.concat(weights, 1))
    mode = "ReduceMax" if maximum else "ReduceSum"
    return c.op("Reduce", [corners], axes=[1], keepdims=False, mode=mode)


# --- DeformConv ----------------------------------------------------------------------


@converts("DeformConv", since=19)
def deform_conv(node: Node) -> Value:
    """Samples under every moved kernel element, times the filters. Source: ONNX DeformConv, opset 22."""
    x, w, moves = node.shape(0), node.shape(1), node.shape(2)
    node.refuse(len(x) != 4 or len(w) != 4, f"an input of rank {len(x)}", "use two spatial axes")
    group, parts = node.int("group", 1), node.int("offset_group", 1)
    n, channels, oc, taps, out = x[0], x[1], w[0], math.prod(w[2:]), moves[2:]
    if (
        min(group, parts) < 1
        or channels % parts
        or oc % group
        or w[1] * group != channels
        or moves[:2] != (n, parts * taps * 2)
    ):
        raise InvalidNodeError(
            f"expected a filter and an offset for {list(x)}, got {list(w)} and {list(moves)}"
        )
    c = Composer(node)
    points, each = taps * math.prod(out), channels // parts
    base = _constant(c, np.arange(n).reshape(n, 1) * math.prod(x[2:]))
    offsets = c.reshape(node.operand(2), [n, parts, taps, 2, math.prod(out)])
    places = _kernel_places(node, w[2:], out)
    columns = []
    for part in range(parts):
        own = range(part, part + 1)
        table = _rows(
            c, c.slice(node.operand(0), [range(n), range(part * each, (part + 1) * each), *map(range, x[2:])])
        )
        axes = []
        for axis, extent in enumerate(x[2:]):
            moved = c.slice(
                offsets, [range(n), own, range(taps), range(axis, axis + 1), range(math.prod(out))]
            )
            at = c.add(c.reshape(moved, [n, points]), _constant(c, places[axis].reshape(1, points)))
            axes.append(_around(c, at, extent, "linear", "zeros", (0.0, 0.0)))
        samples = _sample(c, table, axes, x[2:], base)
        if node.has(4):
            mask = c.reshape(node.operand(4), [n, parts, points])
            samples = c.mul(samples, c.slice(mask, [range(n), own, range(points)]))
        columns.append(samples)
    depth = channels // group * taps
    images = c.reshape(c.concat(columns, 1), [n, group, depth, math.prod(out)])
    filters = c.reshape(node.operand(1), [group, oc // group, depth])
    result = c.op("MatMul", [filters, images, node.emitter.none()])
    if not node.has(3):
        return node.reshape(result, [n, oc, *out])
    return node.emit("top.Add", [c.reshape(result, [n, oc, *out]), c.reshape(node.operand(3), [oc, 1, 1])])


def _kernel_places(node: Node, kernel: Sequence[int], out: Sequence[int]) -> list[Array]:
    """Row and column of the input under each kernel element of each output, before it is moved."""
    strides = spatial_attribute(node, "strides", 2, 1)
    dilations = spatial_attribute(node, "dilations", 2, 1)
    pads = node.ints("pads", [0] * 4)
    # [kernel rows, kernel columns, rows, columns]
    grid = np.indices((*kernel, *out))
    return [grid[axis] * dilations[axis] + grid[axis + 2] * strides[axis] - pads[axis] for axis in range(2)]


# --- Col2Im --------------------------------------------------------------------------


@converts("Col2Im", since=18)
def col2im(node: Node) -> Value:
    """Blocks summed where they overlap: a transposed convolution with unit filters.

    Source: ONNX Col2Im, opset 18.
    """
    n, rows, places = node.shape(0)
    image, block = node.known_ints(1, "its image_shape"), node.known_ints(2, "its block_shape")
    assert image is not None
    assert block is not None
    axes = len(image)
    node.refuse(axes > 3, f"{axes} spatial axes", "use at most three")
    strides = spatial_attribute(node, "strides", axes, 1)
    dilations = spatial_attribute(node, "dilations", axes, 1)
    pads = node.ints("pads", [0] * (2 * axes))
    taps = math.prod(block)
    reach = [(k - 1) * d + 1 for k, d in zip(block, dilations, strict=True)]
    room = [image[i] + pads[i] + pads[i + axes] - reach[i] for i in range(axes)]
    counts = [r // s + 1 for r, s in zip(room, strides, strict=True)]
    if len(block) != axes or min(room) < 0 or rows % taps or math.prod(counts) != places:
        raise InvalidNodeError(
            f"expected {math.prod(counts)} blocks of a multiple of {taps} elements, got {list(node.shape(0))}"
        )
    c = Composer(node)
    channels = rows // taps
    blocks = c.reshape(node.operand(0), [n * channels, taps, *counts])
    # [oc / group, ic, kernel...]: channel k of the blocks goes to place k of the window.
    unit = np.eye(taps, dtype=np.float32).reshape(1, taps, *block)
    joined = c.op(
        "Deconv",
        [blocks, node.weight("unit", unit), node.emitter.none()],
        kernel_shape=block,
        strides=strides,
        pads=pads,
        dilations=dilations,
        output_padding=[r % s for r, s in zip(room, strides, strict=True)],
        group=1,
        dynweight_reorderd=False,
    )
    return node.reshape(joined, [n, channels, *image])
