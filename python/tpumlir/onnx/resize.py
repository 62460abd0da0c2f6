"""Resampling.

Top knows two roundings of nearest; every other one becomes a Gather of the rows and columns it picks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tpumlir.onnx.registry import Attribute, InvalidNodeError, Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

# Where output element i of an axis stands in the input. Source: ONNX Resize, opset 19.
_POSITIONS: dict[str, Callable[[float, float, int, int], float]] = {
    "half_pixel": lambda i, scale, _n, _out: (i + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda i, scale, _n, out: (i + 0.5) / scale - 0.5 if out > 1 else 0.0,
    "align_corners": lambda i, _scale, n, out: i * (n - 1) / (out - 1) if out > 1 else 0.0,
    "asymmetric": lambda i, scale, _n, _out: i / scale,
}
_ROUNDINGS: dict[str, Callable[[float], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: math.floor(x + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
}


@converts("Upsample", since=7)
def upsample_by_attribute(node: Node) -> Value:
    """Scales as an attribute. Source: ONNX Upsample, opset 7."""
    return _resize(node, _all_axes(node, node.floats("scales")), None, "asymmetric", "floor")


@converts("Upsample", since=9)
def upsample(node: Node) -> Value:
    """Scales as an operand. Source: ONNX Upsample, opset 9."""
    return _resize(node, _all_axes(node, _known_floats(node, 1)), None, "asymmetric", "floor")


@converts("Resize", since=10)
def resize_10(node: Node) -> Value:
    """What Upsample does. Source: ONNX Resize, opset 10."""
    return _resize(node, _all_axes(node, _known_floats(node, 1)), None, "asymmetric", "floor")


@converts("Resize", since=11)
def resize(node: Node) -> Value:
    """``top.Interp``, or ``top.Gather`` for roundings it does not know. Source: ONNX Resize, opset 19."""
    node.refuse(
        bool(node.int("antialias", 0)), "antialias = 1", "resize before the model, or export without it"
    )
    node.refuse(node.str("keep_aspect_ratio_policy", "stretch") != "stretch", "keep_aspect_ratio_policy")
    axes = [node.axis(a, len(node.shape(0))) for a in node.ints("axes", range(len(node.shape(0))))]
    scales, sizes = _known_floats(node, 2), node.known_ints(3, "its sizes")
    shape = node.shape(0)
    if sizes:
        full_sizes = list(shape)
        for axis, size in zip(axes, sizes, strict=True):
            full_sizes[axis] = size
        full = [out / n for out, n in zip(full_sizes, shape, strict=True)]
        return _resize(
            node, full, full_sizes, _coordinates(node), node.str("nearest_mode", "round_prefer_floor")
        )
    full = [1.0] * len(shape)
    for axis, scale in zip(axes, scales, strict=True):
        full[axis] = scale
    return _resize(node, full, None, _coordinates(node), node.str("nearest_mode", "round_prefer_floor"))


def _coordinates(node: Node) -> str:
    mode = node.str("coordinate_transformation_mode", "half_pixel")
    node.refuse(mode not in _POSITIONS, f"coordinate_transformation_mode {mode}", "export with half_pixel")
    return mode


def _known_floats(node: Node, index: int) -> list[float]:
    array = node.known(index, "its scales")
    return [] if array is None else [float(v) for v in array.reshape(-1)]


def _all_axes(node: Node, scales: list[float]) -> list[float]:
    if len(scales) != len(node.shape(0)):
        raise InvalidNodeError(f"expected {len(node.shape(0))} scales, got {scales}")
    return scales


def _resize(
    node: Node, scales: list[float], sizes: list[int] | None, coordinates: str, rounding: str
) -> Value:
    shape = node.shape(0)
    mode = node.str("mode", "nearest")
    node.refuse(
        mode not in {"nearest", "linear", "bilinear"}, f"mode {mode}", "export with linear or nearest"
    )
    if any(scale <= 0 for scale in scales):
        raise InvalidNodeError(f"expected positive scales, got {scales}")
    # The scales are float32 in the file; their product with an extent is rounded down as ONNX Runtime does
    # it.
    out = sizes or [int(np.float32(n) * np.float32(scale)) for n, scale in zip(shape, scales, strict=True)]
    if out == list(shape):
        return node.reshape(node.operand(0), shape)
    if mode == "nearest":
        return _nearest(node, scales, out, coordinates, rounding)
    plane = len(shape) in {3, 4} and out[:2] == list(shape[:2])
    node.refuse(not plane, f"linear resampling of {list(shape)} to {out}", "resize the last one or two axes")
    return _interp(node, scales, out, "linear", coordinates)


def _nearest(node: Node, scales: list[float], out: list[int], coordinates: str, rounding: str) -> Value:
    shape = node.shape(0)
    if rounding not in _ROUNDINGS:
        raise InvalidNodeError(f"expected a nearest_mode of {', '.join(_ROUNDINGS)}, got {rounding}")

    def picks(rule: str, axis: int) -> list[int]:
        n, count, scale = shape[axis], out[axis], scales[axis]
        positions = (_POSITIONS[coordinates](i, scale, n, count) for i in range(count))
        return [min(max(_ROUNDINGS[rule](p), 0), n - 1) for p in positions]

    wanted = [picks(rounding, axis) for axis in range(len(shape))]
    known = "floor" if coordinates == "asymmetric" else "round_prefer_floor"
    if (
        len(shape) in {3, 4}
        and out[:2] == list(shape[:2])
        and all(wanted[axis] == picks(known, axis) for axis in range(len(shape)))
    ):
        return _interp(node, scales, out, "nearest", coordinates)
    value = node.operand(0)
    changed = [axis for axis in range(len(shape)) if wanted[axis] != list(range(shape[axis]))]
    for axis in changed:
        indices = node.weight(f"rows{axis}", np.array(wanted[axis], np.int32))
        if axis == changed[-1]:
            return node.emit("top.Gather", [value, indices], axis=axis, keepdims=True)
        value = node.helper("top.Gather", [value, indices], f"axis{axis}", axis=axis, keepdims=True)
    return node.reshape(value, shape)


def _interp(node: Node, scales: list[float], out: list[int], mode: str, coordinates: str) -> Value:
    shape, value = list(node.shape(0)), node.operand(0)
    if len(shape) == 3:  # one spatial axis: a plane of one row
        value = node.reshape(value, [*shape[:2], 1, shape[2]], "plane")
        scales, out, shape = [*scales[:2], 1.0, scales[2]], [*out[:2], 1, out[2]], [*shape[:2], 1, shape[2]]
    attrs: dict[str, Attribute] = {"mode": mode, "coord_mode": coordinates}
    exact = all(
        int(n * scale) == count for n, scale, count in zip(shape[2:], scales[2:], out[2:], strict=True)
    )
    if exact:
        operands = [value, node.emitter.none()]
        attrs |= {"scale_h": scales[2], "scale_w": scales[3]}
    else:
        operands = [value, node.weight("shape", np.array(out[2:], np.int32))]
    if len(node.shape(0)) == 4:
        return node.emit("top.Interp", operands, **attrs)
    result = node.helper("top.Interp", operands, "interp", **attrs)
    return node.reshape(result, [*out[:2], out[3]])
