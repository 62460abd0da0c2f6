"""Pooling: ``ceil_mode`` and ``auto_pad`` become explicit pads, which mean the same at every stage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tpumlir.onnx.compose import Composer
from tpumlir.onnx.registry import Attribute, InvalidNodeError, Node, converts
from tpumlir.onnx.windows import overhang, resolve_pads, spatial_attribute

if TYPE_CHECKING:
    from tpumlir._core.ir import Value

# Indices are computed in float32, which holds integers up to this exactly.
_EXACT = 1 << 24
# A window of which each element is compared by operations of its own.
_MOST_TAPS = 128


class _Windows(NamedTuple):
    """The windows of a pooling; ``extra`` is the overhang of ``ceil_mode`` past the padding."""

    shape: tuple[int, ...]
    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]
    extra: list[int]

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.kernel)

    @property
    def reach(self) -> list[int]:
        """Elements from the first to the last of a window, per axis."""
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]

    @property
    def reached_pads(self) -> list[int]:
        """The pads as far as the last windows reach."""
        ends = [p + e for p, e in zip(self.pads[self.rank :], self.extra, strict=True)]
        return self.pads[: self.rank] + ends

    @property
    def output(self) -> list[int]:
        """The spatial extents of the result."""
        pads = self.reached_pads
        return [
            (n + pads[i] + pads[i + self.rank] - self.reach[i]) // self.strides[i] + 1
            for i, n in enumerate(self.shape[2:])
        ]

    @property
    def empty(self) -> bool:
        """Whether a window has padding under all of its elements."""
        axes = zip(
            self.shape[2:], self.kernel, self.strides, self.dilations, self.pads, self.output, strict=False
        )
        for extent, kernel, stride, dilation, pad, out in axes:
            at = np.arange(out)[:, None] * stride - pad + np.arange(kernel) * dilation
            if not ((at >= 0) & (at < extent)).any(axis=1).all():
                return True
        return False

    def beyond(self, pads: Sequence[int]) -> bool:
        """Whether pads are so large that a window fits into them, which Top's pools do not take."""
        return any(p >= r for p, r in zip(pads, self.reach * 2, strict=True))

    def attributes(self, pads: Sequence[int]) -> dict[str, Attribute]:
        """The attributes of the Top op."""
        dilations = self.dilations if any(d != 1 for d in self.dilations) else None
        return {
            "kernel_shape": self.kernel,
            "strides": self.strides,
            "pads": list(pads),
            "dilations": dilations,
        }


@converts("MaxPool", since=1)
def max_pool(node: Node) -> Value | list[Value]:
    """``top.MaxPool``, and the places of the maxima if they are wanted. Source: ONNX MaxPool, opset 22."""
    windows = _windows(node)
    _refuse_empty_windows(node, windows)
    value = node.operand(0)
    # The integers that ONNX allows have 8 bits: float32 holds them.
    integers = value.dtype == "i32"
    if integers:
        value = node.helper("top.Cast", [value], "float", to="F32")
    # Padding never wins a maximum, so the overhang of ceil_mode is padding like any other.
    attributes = windows.attributes(windows.reached_pads) | {"count_include_pad": False}
    if integers:
        result = node.emit(
            "top.Cast", [node.helper("top.MaxPool", [value], "pool", **attributes)], to="INT32"
        )
    else:
        result = node.emit("top.MaxPool", [value], **attributes)
    if len(node.output_names) < 2 or not node.output_names[1]:
        return result
    return [result, _max_places(node, windows, value)]


def _refuse_empty_windows(node: Node, windows: _Windows) -> None:
    node.refuse(
        windows.empty,
        f"a window of {windows.kernel} with padding only (pads {windows.pads})",
        "use smaller pads",
    )


def _float_operand(node: Node) -> Value:
    value = node.operand(0)
    node.refuse(value.dtype != "f32", f"an input of type {value.dtype}", "put a Cast to float in front of it")
    return value


def _max_places(node: Node, windows: _Windows, x: Value) -> Value:
    """Index of each maximum in the flat input, the first of equal ones: window elements in turn."""
    n, channels, *extents = windows.shape
    node.refuse(
        math.prod(windows.shape) > _EXACT or math.prod(windows.kernel) > _MOST_TAPS,
        f"indices of {list(windows.shape)} with windows of {windows.kernel}",
        "use the first output only",
    )
    column_major = bool(node.int("storage_order", 0))
    node.refuse(column_major and windows.rank > 2, "storage_order of three axes", "use storage_order = 0")
    c, pads, rank, out = Composer(node), windows.reached_pads, windows.rank, windows.output
    if any(pads):
        x = c.pad(x, [0, 0, *pads[:rank]], [0, 0, *pads[rank:]], -math.inf)
    order = list(range(rank))[:: -1 if column_major else 1]
    steps = dict(zip(order, _row_major([extents[axis] for axis in order]), strict=True))
    best: Value | None = None
    place: Value | None = None
    for tap in itertools.product(*map(range, windows.kernel)):
        begins = [t * d for t, d in zip(tap, windows.dilations, strict=True)]
        spans = zip(begins, out, windows.strides, strict=True)
        value = c.slice(
            x, [range(n), range(channels), *(range(b, b + (o - 1) * s + 1, s) for b, o, s in spans)]
        )
        flat = np.zeros(out)
        for axis in range(rank):
            at = np.arange(out[axis]) * windows.strides[axis] + begins[axis] - pads[axis]
            flat += (at * steps[axis]).reshape([-1 if i == axis else 1 for i in range(rank)])
        places = node.weight("places", flat.reshape(1, 1, *out).astype(np.float32))
        if best is None or place is None:
            best, place = value, places
            continue
        place = c.op("Where", [c.op("Compare", [value, best], mode="Greater"), places, place])
        best = c.op("Max", [best, value])
    assert place is not None
    planes = np.arange(n * channels, dtype=np.float32).reshape(n, channels, *[1] * rank) * math.prod(extents)
    place = c.add(place, node.weight("planes", planes.astype(np.float32)))
    names = [node.output_names[1]]
    return node.emitter.emit("top.Cast", [place], {"to": "INT32"}, names, node.name)[0]


def _row_major(extents: Sequence[int]) -> list[int]:
    return [math.prod(extents[i + 1 :]) for i in range(len(extents))]


@converts("MaxUnpool", since=9)
def max_unpool(node: Node) -> Value:
    """The elements scattered into zeros. Source: ONNX MaxUnpool, opset 22."""
    shape = node.shape(0)
    rank = len(shape) - 2
    kernel = spatial_attribute(node, "kernel_shape", rank, 1)
    strides = spatial_attribute(node, "strides", rank, 1)
    pads = resolve_pads(node, shape[2:], kernel, strides, [1] * rank)
    inferred = [
        *shape[:2],
        *((shape[i + 2] - 1) * strides[i] - pads[i] - pads[i + rank] + kernel[i] for i in range(rank)),
    ]
    wanted = node.known_ints(2, "its output_shape") or inferred
    zeros = node.weight("zeros", np.zeros(math.prod(inferred), np.float32))
    flat = [node.reshape(node.operand(i), [math.prod(shape)], f"flat{i}") for i in (1, 0)]
    scattered = Composer(node).op("ScatterElements", [zeros, *flat], axis=0, reduction=0)
    if wanted == inferred:
        return node.reshape(scattered, inferred)
    node.refuse(
        any(w < i for w, i in zip(wanted, inferred, strict=True)),
        f"output_shape {wanted} is smaller than {inferred}",
        "leave output_shape out",
    )
    value = node.reshape(scattered, inferred, "inferred")
    behind = [w - i for w, i in zip(wanted, inferred, strict=True)]
    return node.emit("top.Pad", [value], paddings=[0] * len(shape) + behind, val=0.0, mode="constant")


@converts("AveragePool", since=1)
def average_pool(node: Node) -> Value:
    """``top.AvgPool``. Source: ONNX AveragePool, opset 22.

    Elements past the padded input, where ``ceil_mode`` reaches, are never counted; the padding itself is
    counted if ``count_include_pad`` says so. With both, the padding is made real first.
    """
    windows = _windows(node)
    count, pads, rank = bool(node.int("count_include_pad", 0)), windows.pads, windows.rank
    value = _float_operand(node)
    if not count:
        _refuse_empty_windows(node, windows)
    if count and any(pads) and (any(windows.extra) or windows.beyond(pads)):
        value, pads = _padded(node, value, pads), [0] * (2 * rank)
    if any(windows.extra):
        count = False
    pads = pads[:rank] + [p + e for p, e in zip(pads[rank:], windows.extra, strict=True)]
    return node.emit("top.AvgPool", [value], **windows.attributes(pads), count_include_pad=count)


def _padded(node: Node, value: Value, pads: list[int]) -> Value:
    rank = len(pads) // 2
    return Composer(node).pad(value, [0, 0, *pads[:rank]], [0, 0, *pads[rank:]])


@converts("LpPool", since=2)
def lp_pool(node: Node) -> Value:
    """The root of the sum of powers: a mean of all window elements, padding too, times their number.

    Source: ONNX LpPool, opset 22.
    """
    windows, p = _windows(node), node.int("p", 2)
    pads, rank = windows.reached_pads, windows.rank
    value = _powers(node, _float_operand(node), p)
    if windows.beyond(pads):
        value, pads = _padded(node, value, pads), [0] * (2 * rank)
    value = node.helper("top.AvgPool", [value], "mean", **windows.attributes(pads), count_include_pad=True)
    area = float(math.prod(windows.kernel))
    if p == 1:
        return node.emit("top.MulConst", [value], const_val=area)
    return _root(node, node.helper("top.MulConst", [value], "sum", const_val=area), p)


def _powers(node: Node, value: Value, p: int) -> Value:
    """``abs(value) ** p``."""
    if p < 1:
        raise InvalidNodeError(f"expected a p of at least 1, got {p}")
    if p == 2:
        return node.helper("top.Mul", [value, value], "square")
    value = node.helper("top.Abs", [value], "abs")
    return value if p == 1 else node.helper("top.Pow", [value], "power", exponent=float(p))


def _root(node: Node, value: Value, p: int) -> Value:
    return node.emit("top.Sqrt", [value]) if p == 2 else node.emit("top.Pow", [value], exponent=1.0 / p)


@converts("GlobalLpPool", since=2)
def global_lp_pool(node: Node) -> Value:
    """The norm of each plane. Source: ONNX GlobalLpPool, opset 22."""
    p, axes = node.int("p", 2), list(range(2, len(node.shape(0))))
    x = _float_operand(node)
    if p in {1, 2}:
        return node.emit("top.Reduce", [x], axes=axes, keepdims=True, mode=f"ReduceL{p}")
    powers = _powers(node, x, p)
    return _root(
        node, node.helper("top.Reduce", [powers], "sum", axes=axes, keepdims=True, mode="ReduceSum"), p
    )


@converts("GlobalAveragePool", since=1)
def global_average_pool(node: Node) -> Value:
    """``top.AvgPool`` whose empty kernel means the whole plane. Source: ONNX GlobalAveragePool, opset 22."""
    return _global(node, "top.AvgPool", "ReduceMean", count_include_pad=True)


@converts("GlobalMaxPool", since=1)
def global_max_pool(node: Node) -> Value:
    """``top.MaxPool`` whose empty kernel means the whole plane. Source: ONNX GlobalMaxPool, opset 22."""
    return _global(node, "top.MaxPool", "ReduceMax", count_include_pad=False)


def _global(node: Node, kind: str, reduction: str, *, count_include_pad: bool) -> Value:
    rank, x = len(node.shape(0)), _float_operand(node)
    if rank < 3:
        raise InvalidNodeError(f"expected an input of rank 3 or more, got {list(node.shape(0))}")
    if rank > 5:
        return node.emit("top.Reduce", [x], axes=list(range(2, rank)), keepdims=True, mode=reduction)
    return node.emit(kind, [x], kernel_shape=[], strides=[], pads=[], count_include_pad=count_include_pad)


def _windows(node: Node) -> _Windows:
    """The windows as the attributes say, ``auto_pad`` and ``ceil_mode`` resolved."""
    x = node.shape(0)
    rank = len(x) - 2
    if rank < 1 or "kernel_shape" not in node.attributes:
        raise InvalidNodeError(f"expected a kernel_shape and an input of rank 3 or more, got {list(x)}")
    node.refuse(rank > 3, f"{rank} spatial axes", "pool at most three axes at once")
    kernel = spatial_attribute(node, "kernel_shape", rank, 1)
    strides = spatial_attribute(node, "strides", rank, 1)
    dilations = spatial_attribute(node, "dilations", rank, 1)
    node.refuse(
        any(d != 1 for d in dilations) and node.str("auto_pad", "NOTSET").startswith("SAME"),
        f"auto_pad with dilations {dilations}: ONNX and ONNX Runtime disagree",
        "write the pads out",
    )
    pads = resolve_pads(node, x[2:], kernel, strides, dilations)
    windows = _Windows(x, kernel, strides, dilations, pads, [0] * rank)
    for extent, k, begin, end in zip(x[2:], windows.reach, pads[:rank], pads[rank:], strict=True):
        if extent + begin + end < k:
            raise InvalidNodeError(
                f"expected a window {kernel} that fits the padded input, got {list(x)} with pads {pads}"
            )
    # The text of ONNX has a formula for VALID that ceil_mode does not change; ONNX's own shape inference and
    # ONNX Runtime round up as they do without auto_pad.
    if not node.int("ceil_mode", 0) or node.str("auto_pad", "NOTSET").startswith("SAME"):
        return windows
    extra = overhang(x[2:], kernel, strides, dilations, pads)
    return _Windows(x, kernel, strides, dilations, pads, extra)
