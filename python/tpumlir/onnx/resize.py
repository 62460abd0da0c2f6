"""Resampling.

Top has nearest and linear resampling of the last two axes by four coordinate rules. Everything else goes
axis by axis: nearest is a Gather of the rows it picks, linear and cubic are products with a constant matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from tpumlir.onnx.compose import Composer
from tpumlir.onnx.registry import Attribute, InvalidNodeError, Node, converts

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

_Floats = npt.NDArray[np.float32]


class _Axis(NamedTuple):
    """One axis: extents, output over input, and the part that tf_crop_and_resize takes."""

    extent: int
    out: int
    scale: float
    begin: float = 0.0
    end: float = 1.0

    @property
    def stretched(self) -> bool:
        """Whether the scale is the ratio of the extents (a given one may leave a rest)."""
        return math.isclose(self.scale, self.out / self.extent, rel_tol=1e-6)

    def positions(self, rule: str) -> _Floats:
        """Where each output element stands in the input, in float32 as ONNX Runtime computes it."""
        f = np.float32
        i, scale, n, out = np.arange(self.out, dtype=f), f(self.scale), f(self.extent), f(self.out)
        half_pixel: _Floats = (i + f(0.5)) / scale - f(0.5)
        begin, end = f(self.begin), f(self.end)
        last = n - f(1)
        steps = max(out - f(1), f(1))
        result: _Floats = {
            "half_pixel": half_pixel,
            "pytorch_half_pixel": half_pixel if self.out > 1 else i,
            "align_corners": i * last / steps,
            "asymmetric": i / scale,
            "half_pixel_symmetric": n / f(2) * (f(1) - out / (scale * n)) + (i + f(0.5)) / scale - f(0.5),
            "tf_crop_and_resize": begin * last + i * (end - begin) * last / steps
            if self.out > 1
            else i + f(0.5) * (begin + end) * last,
        }[rule]
        return result


_COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "half_pixel_symmetric",
    "tf_crop_and_resize",
)
# Those of `top.Interp`.
_TOP_COORDINATES = _COORDINATES[:4]
_ROUNDINGS: dict[str, Callable[[float], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: math.floor(x + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
}


class _Resize(NamedTuple):
    """What the attributes say."""

    axes: list[_Axis]
    mode: str
    coordinates: str = "asymmetric"
    rounding: str = "floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    outside: float = 0.0

    @property
    def out(self) -> list[int]:
        """The shape of the result."""
        return [axis.out for axis in self.axes]

    @property
    def crops(self) -> bool:
        """Whether places outside of the input have a value of their own."""
        return self.coordinates == "tf_crop_and_resize"


@converts("Upsample", since=7)
def upsample_by_attribute(node: Node) -> Value:
    """Scales as an attribute. Source: ONNX Upsample, opset 7."""
    return _emit(node, _Resize(_by_scales(node, node.floats("scales")), _mode(node)))


@converts("Upsample", since=9)
@converts("Resize", since=10)
def upsample(node: Node) -> Value:
    """Scales as an operand. Source: ONNX Upsample, opset 9; Resize, opset 10."""
    return _emit(node, _Resize(_by_scales(node, _known_floats(node, 1)), _mode(node)))


@converts("Resize", since=11)
def resize(node: Node) -> Value:
    """``top.Interp``, Gathers or products. Source: ONNX Resize, opset 19."""
    rule = node.str("coordinate_transformation_mode", "half_pixel")
    if rule == "tf_half_pixel_for_nn":  # of opset 11 only
        raise InvalidNodeError(
            "expected a coordinate_transformation_mode of opset 13, got tf_half_pixel_for_nn"
        )
    rounding = node.str("nearest_mode", "round_prefer_floor")
    if rule not in _COORDINATES or rounding not in _ROUNDINGS:
        raise InvalidNodeError(
            f"expected a coordinate_transformation_mode of {', '.join(_COORDINATES)} and a nearest_mode of "
            f"{', '.join(_ROUNDINGS)}, got {rule} and {rounding}"
        )
    return _emit(
        node,
        _Resize(
            _by_operands(node, crops=rule == "tf_crop_and_resize"),
            _mode(node),
            rule,
            rounding,
            node.float("cubic_coeff_a", -0.75),
            bool(node.int("exclude_outside", 0)),
            bool(node.int("antialias", 0)),
            node.float("extrapolation_value", 0.0),
        ),
    )


def _mode(node: Node) -> str:
    mode = node.str("mode", "nearest").replace("bilinear", "linear")
    if mode not in {"nearest", "linear", "cubic"}:
        raise InvalidNodeError(f"expected a mode of nearest, linear or cubic, got {mode}")
    return mode


def _known_floats(node: Node, index: int, what: str = "its scales") -> list[float]:
    array = node.known(index, what)
    return [] if array is None else [float(v) for v in array.reshape(-1)]


def _by_scales(node: Node, scales: Sequence[float], axes: Sequence[int] | None = None) -> list[_Axis]:
    shape = node.shape(0)
    axes = range(len(shape)) if axes is None else axes
    if len(scales) != len(axes):
        raise InvalidNodeError(f"expected {len(axes)} scales, got {list(scales)}")
    if any(scale <= 0 for scale in scales):
        raise InvalidNodeError(f"expected positive scales, got {list(scales)}")
    result = [_Axis(n, n, 1.0) for n in shape]
    for axis, scale in zip(axes, scales, strict=True):
        # The product of float32 is rounded down as ONNX Runtime does it.
        out = int(np.float32(shape[axis]) * np.float32(scale))
        result[axis] = _Axis(shape[axis], out, scale)
    return result


def _by_operands(node: Node, *, crops: bool) -> list[_Axis]:
    """Every axis from ``roi``, ``scales`` or ``sizes``, and ``axes``."""
    shape = node.shape(0)
    axes = [node.axis(a, len(shape)) for a in node.ints("axes", range(len(shape)))]
    scales, sizes = _known_floats(node, 2), node.known_ints(3, "its sizes")
    if sizes:
        if len(sizes) != len(axes):
            raise InvalidNodeError(f"expected {len(axes)} sizes, got {sizes}")
        result = [_Axis(n, n, 1.0) for n in shape]
        for axis, (size, scale) in zip(axes, _fitted(node, sizes, [shape[a] for a in axes]), strict=True):
            result[axis] = _Axis(shape[axis], size, scale)
    else:
        result = _by_scales(node, scales, axes)
    if crops:
        roi = _known_floats(node, 1, "its roi")
        if len(roi) != 2 * len(axes):
            raise InvalidNodeError(f"expected {2 * len(axes)} bounds in roi, got {roi}")
        for i, axis in enumerate(axes):
            plain = result[axis]
            result[axis] = _Axis(plain.extent, plain.out, plain.scale, roi[i], roi[i + len(axes)])
    return result


def _fitted(node: Node, sizes: list[int], extents: list[int]) -> list[tuple[int, float]]:
    """Sizes and scales under ``keep_aspect_ratio_policy``."""
    scales = [float(np.float32(size) / np.float32(n)) for size, n in zip(sizes, extents, strict=True)]
    policy = node.str("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return list(zip(sizes, scales, strict=True))
    if policy not in {"not_larger", "not_smaller"}:
        raise InvalidNodeError(
            f"expected a keep_aspect_ratio_policy of stretch, not_larger or not_smaller, got {policy}"
        )
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [(math.floor(scale * n + 0.5), scale) for n in extents]


def _emit(node: Node, resize: _Resize) -> Value:
    shape = node.shape(0)
    if 0 in resize.out:
        raise InvalidNodeError(f"expected at least one element per axis, got {resize.out}")
    if all(axis.scale == 1.0 for axis in resize.axes) and not resize.crops:
        return node.reshape(node.operand(0), shape)
    _refuse_disputed(node, resize)
    value = node.operand(0)
    node.refuse(
        value.dtype != "f32" and (resize.mode != "nearest" or resize.crops),
        f"{resize.mode} resampling of {value.dtype}",
        "put a Cast to float in front of it",
    )
    plane = len(shape) in {3, 4} and resize.out[:2] == list(shape[:2]) and value.dtype == "f32"
    plane = plane and resize.coordinates in _TOP_COORDINATES
    plane = plane and (_exact(resize.axes) or all(axis.stretched for axis in resize.axes))
    if resize.mode == "nearest":
        picks = _picks(resize)
        if plane and picks == _picks_of_top(resize):
            return _interp(node, resize)
        steps = [
            (axis, picks[axis])
            for axis in range(len(shape))
            if resize.crops or picks[axis] != list(range(shape[axis]))
        ]
        return _apply(node, resize, value, steps)
    if plane and resize.mode == "linear" and not resize.antialias:
        return _interp(node, resize)
    matrices = [
        (i, _matrix(resize, axis)) for i, axis in enumerate(resize.axes) if axis.scale != 1.0 or resize.crops
    ]
    return _apply(node, resize, value, matrices)


def _refuse_disputed(node: Node, resize: _Resize) -> None:
    """Refuse what the specification and ONNX Runtime, so exporters, see in different ways."""
    axes = resize.axes
    scaled = [axis.scale != 1.0 for axis in axes]
    same = [axis.out == axis.extent for axis in axes]
    crops = [resize.crops and (axis.begin, axis.end) != (0.0, 1.0) for axis in axes]
    # ONNX Runtime takes these for nothing to do, the specification resamples.
    node.refuse(
        all(same)
        or any(s and resize.antialias and scale for s, scale in zip(same, scaled, strict=True))
        or any(crop and not scale for crop, scale in zip(crops, scaled, strict=True)),
        "a resampling that keeps an extent: ONNX and ONNX Runtime disagree",
        "use other sizes, or scales of 1",
    )
    # The last element of the result, or where it would be without the rounding of its extent.
    node.refuse(
        resize.coordinates in {"align_corners", "tf_crop_and_resize"}
        and not all(axis.stretched for axis in axes),
        f"scales of {[axis.scale for axis in axes]} that do not give whole extents with "
        f"{resize.coordinates}: ONNX and ONNX Runtime disagree",
        "give sizes instead",
    )


def _picks(resize: _Resize) -> list[list[int]]:
    """The rows that nearest takes, per axis."""
    rounding = _ROUNDINGS[resize.rounding]
    return [
        [min(max(rounding(float(p)), 0), axis.extent - 1) for p in axis.positions(resize.coordinates)]
        for axis in resize.axes
    ]


def _picks_of_top(resize: _Resize) -> list[list[int]]:
    """The rows that `top.Interp` takes: places in double, one rounding per coordinate rule."""
    result = []
    for axis in resize.axes:
        n, out = axis.extent, axis.out
        i = np.arange(out, dtype=np.float64)
        if resize.coordinates == "align_corners":
            at = i * (n - 1) / max(out - 1, 1)
        elif resize.coordinates == "asymmetric":
            at = i / axis.scale
        else:
            at = (i + 0.5) / axis.scale - 0.5
        if resize.coordinates == "pytorch_half_pixel" and out == 1:
            at = i
        rounded = np.floor(at) if resize.coordinates == "asymmetric" else np.ceil(at - 0.5)
        result.append([int(v) for v in rounded.clip(0, n - 1)])
    return result


def _apply(
    node: Node, resize: _Resize, value: Value, steps: Sequence[tuple[int, list[int] | _Floats]]
) -> Value:
    """``value`` with each axis picked from, or multiplied by a matrix; then what lies outside."""
    c = Composer(node)
    for axis, step in steps:
        if isinstance(step, list):
            rows = node.weight(f"rows{axis}", np.array(step, np.int32))
            value = c.op("Gather", [value, rows], axis=axis, keepdims=True)
        else:
            value = _product(c, value, axis, step)
    if resize.crops:
        value = _with_outside(c, resize, value)
    return node.reshape(value, resize.out)


def _product(c: Composer, value: Value, axis: int, matrix: _Floats) -> Value:
    """``matrix`` [out, in] applied along ``axis``."""
    shape = list(value.shape)
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    none = c.node.emitter.none()
    if inner == 1:
        rows = c.reshape(value, [outer, shape[axis]])
        product = c.op("MatMul", [rows, c.node.weight("shares", np.ascontiguousarray(matrix.T)), none])
    else:
        planes = c.reshape(value, [outer, shape[axis], inner])
        product = c.op("MatMul", [c.node.weight("shares", matrix), planes, none])
    shape[axis] = matrix.shape[0]
    return c.reshape(product, shape)


def _with_outside(c: Composer, resize: _Resize, value: Value) -> Value:
    """Places outside of the input have the extrapolation value."""
    inside = np.ones(resize.out, bool)
    for i, axis in enumerate(resize.axes):
        at = axis.positions(resize.coordinates)
        shape = [-1 if k == i else 1 for k in range(len(resize.axes))]
        inside &= ((at >= 0) & (at <= axis.extent - 1)).reshape(shape)
    if inside.all():
        return value
    # The mask is the same for all channels that are not resampled.
    kept = tuple(
        slice(0, 1) if axis.extent == axis.out and not (axis.begin or axis.end != 1) else slice(None)
        for axis in resize.axes
    )
    mask = c.node.weight("inside", inside[kept].astype(np.float32))
    value = c.mul(value, mask)
    rest = (~inside[kept]).astype(np.float32) * np.float32(resize.outside)
    return c.add(value, c.node.weight("outside", rest)) if resize.outside else value


def _matrix(resize: _Resize, axis: _Axis) -> _Floats:
    """[out, in]: the share of each input element in each output element."""
    shares = np.zeros((axis.out, axis.extent))
    squeeze = min(axis.scale, 1.0) if resize.antialias else 1.0
    reach = (1 if resize.mode == "linear" else 2) / squeeze
    for i, place in enumerate(axis.positions(resize.coordinates).astype(np.float64)):
        at = np.clip(place, 0, axis.extent - 1) if resize.mode == "linear" and not resize.antialias else place
        near = np.arange(math.floor(at - reach) + 1, math.ceil(at + reach))
        distance = np.abs(near - at) * squeeze
        weights = np.maximum(1 - distance, 0) if resize.mode == "linear" else _cubic(distance, resize.cubic)
        if resize.exclude_outside:
            weights = weights * ((near >= 0) & (near < axis.extent))
        if resize.exclude_outside or resize.antialias:
            weights = weights / weights.sum()
        np.add.at(shares[i], near.clip(0, axis.extent - 1), weights)
        if resize.crops and not 0 <= place <= axis.extent - 1:
            shares[i] = 0
    return shares.astype(np.float32)


def _cubic(x: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """The cubic convolution kernel at distance ``x``. Source: ONNX Resize, opset 19."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _exact(axes: Sequence[_Axis]) -> bool:
    """Whether extent times scale, rounded down in double, is the result's extent, as Top has it."""
    return all(int(axis.extent * axis.scale) == axis.out for axis in axes[2:])


def _interp(node: Node, resize: _Resize) -> Value:
    """``top.Interp`` of the last two axes, or of the last one as a plane of one row."""
    axes, value = resize.axes, node.operand(0)
    if len(axes) == 3:
        axes = [*axes[:2], _Axis(1, 1, 1.0), axes[2]]
        value = node.reshape(value, [axis.extent for axis in axes], "plane")
    attrs: dict[str, Attribute] = {"mode": resize.mode, "coord_mode": resize.coordinates}
    if _exact(axes):
        operands = [value, node.emitter.none()]
        attrs |= {"scale_h": axes[2].scale, "scale_w": axes[3].scale}
    else:
        operands = [value, node.weight("shape", np.array([axis.out for axis in axes[2:]], np.int32))]
    if len(resize.axes) == 4:
        return node.emit("top.Interp", operands, **attrs)
    return node.reshape(node.helper("top.Interp", operands, "interp", **attrs), resize.out)
