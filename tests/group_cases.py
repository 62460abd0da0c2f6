"""Small graphs whose operations share local memory, as a table: halos, branches, moves, computed operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import onnx
import tpumlir
from graphs import Graph
from harness import Precision, rounded

Array = npt.NDArray[Any]
Outputs = str | list[str]


class Net(Graph):
    """Builds a small graph with numbers for its inputs; ``data`` has them by name."""

    def __init__(self) -> None:
        super().__init__(seed=3)
        self.data: dict[str, Array] = {}

    def x(self, *shape: int) -> str:
        """A run-time input."""
        name = self.input(f"x{len(self.inputs)}", *shape)
        self.data[name] = self.rng.standard_normal(shape).astype(np.float32)
        return name

    def w(self, *shape: int, scale: float = 0.0, low: float | None = None) -> str:
        """A constant of normal numbers, scaled so that sums stay near one; from ``low`` on if given."""
        value = self.rng.standard_normal(shape) * (scale or max(1, math.prod(shape[1:])) ** -0.5)
        if low is not None:
            value = low + np.abs(value)
        return self.const(value, np.float32, stem="w")

    def f(self, *values: float) -> str:
        """A constant vector."""
        return self.const(values, np.float32)

    def conv(
        self,
        x: str,
        ic: int,
        oc: int,
        kernel: int = 3,
        *,
        pads: Any = None,
        bias: bool = True,
        **attributes: Any,
    ) -> str:
        """A convolution, of the same extents unless ``pads`` or strides say otherwise."""
        around = (kernel - 1) * attributes.get("dilations", [1])[0] // 2
        w = self.w(oc, ic // attributes.get("group", 1), kernel, kernel)
        operands = [x, w, *([self.w(oc)] if bias else [])]
        return self.op("Conv", *operands, pads=pads or [around] * 4, **attributes)

    def proto(self, outputs: list[str]) -> onnx.ModelProto:
        """The model."""
        self.output(*outputs)
        return self.model()


@dataclass(frozen=True)
class Case:
    """A graph; ``together`` are kinds of Tpu operations of which one group has at least one each.

    ``exact``: in F32, groups and single operations add in the same order. In halves a stem convolution alone
    reads the columns of its kernel as channels; a rare result is then the number beside it.
    """

    name: str
    build: Callable[[Net], Outputs]
    together: tuple[str, ...] = ()
    exact: bool = True

    def __str__(self) -> str:
        return self.name

    def lowered(self, precision: Precision) -> tuple[tpumlir.Module, dict[str, Array]]:
        """The Tpu module, and inputs that are numbers of the precision."""
        g = Net()
        outputs = self.build(g)
        proto = g.proto([outputs] if isinstance(outputs, str) else outputs)
        inputs = {name: rounded(value, precision) for name, value in g.data.items()}
        return tpumlir.load_onnx(proto).lower(quantize=precision), inputs


def chain(
    *,
    kernel: int = 3,
    widths: tuple[int, int, int] = (3, 8, 6),
    second: Mapping[str, Any] | None = None,
    size: int = 14,
    batch: int = 1,
) -> Any:
    def build(g: Net) -> Outputs:
        a = g.op("Relu", g.conv(g.x(batch, widths[0], size, 11), widths[0], widths[1], kernel))
        b = g.op("Relu", g.conv(a, widths[1], widths[2], kernel, **(second or {})))
        return g.conv(b, widths[2], 5, 3)

    return build


def residual(g: Net) -> Outputs:
    a = g.conv(g.x(1, 8, 13, 9), 8, 8)
    b = g.op("Add", a, g.conv(g.op("Relu", a), 8, 8))
    d = g.op("Mul", b, g.op("Sigmoid", a))
    return [g.op("Add", g.conv(d, 8, 8, 5), b), a]


def activations(g: Net) -> Outputs:
    a = g.conv(g.x(1, 4, 11, 9), 4, 70, bias=False)
    a = g.op("Add", g.op("Mul", a, g.w(70, 1, 1, low=0.5)), g.w(70, 1, 1))
    silu = g.op("Mul", a, g.op("Sigmoid", a))
    swish = g.op("HardSwish", g.conv(silu, 70, 8, 1))
    return g.op("PRelu", g.conv(swish, 8, 8), g.w(8, 1, 1))


def batch_norm(g: Net) -> Outputs:
    a = g.op("MaxPool", g.x(2, 5, 12, 9), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    norm = g.op("BatchNormalization", a, g.w(5, low=0.5), g.w(5), g.w(5), g.w(5, low=0.5))
    return g.conv(g.op("LeakyRelu", norm, alpha=0.1), 5, 6)


def separable(g: Net) -> Outputs:
    a = g.op("Clip", g.conv(g.x(1, 72, 13, 10), 72, 72, group=72), g.f(0.0), g.f(6.0))
    a = g.conv(a, 72, 24, 1)
    return g.conv(g.op("Relu", a), 24, 24, 5, group=24, strides=[2, 2])


def squeeze_excite(g: Net) -> Outputs:
    a = g.op("Relu", g.conv(g.x(1, 8, 12, 12), 8, 70))
    s = g.op("Relu", g.conv(g.op("GlobalAveragePool", a), 70, 10, 1))
    s = g.op("Sigmoid", g.conv(s, 10, 70, 1))
    return g.conv(g.op("Mul", a, s), 70, 8, 1)


def pools(g: Net) -> Outputs:
    a = g.conv(g.x(1, 3, 19, 17), 3, 8)
    m = g.op("MaxPool", a, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    v = g.op("AveragePool", g.op("Relu", m), kernel_shape=[3, 2], strides=[1, 1], pads=[1, 0, 1, 1])
    v = g.op("AveragePool", v, kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1)
    return g.op("MaxPool", g.conv(v, 8, 8), kernel_shape=[2, 2], ceil_mode=1, strides=[2, 2])


def resize(factors: tuple[float, float]) -> Any:
    def build(g: Net) -> Outputs:
        a = g.op("Relu", g.conv(g.x(1, 3, 7, 6), 3, 8))
        up = g.op(
            "Resize", a, "", g.f(1, 1, *factors), mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        return g.conv(up, 8, 4)

    return build


def deconv(kernel: int, channels: int = 8, **attributes: Any) -> Any:
    def build(g: Net) -> Outputs:
        a = g.op("Relu", g.conv(g.x(1, 3, 7, 6), 3, channels))
        given = {"strides": [2, 2], **attributes}
        up = g.op("ConvTranspose", a, g.w(channels, 6, kernel, kernel), g.w(6), **given)
        return g.conv(g.op("Relu", up), 6, 4)

    return build


def concat(axis: int, shapes: list[tuple[int, ...]]) -> Any:
    def build(g: Net) -> Outputs:
        parts = [g.op("Relu", g.op("Add", g.x(*s), g.f(0.25))) for s in shapes]
        joined = g.op("Concat", *parts, axis=axis)
        channels = shapes[0][1] if axis != 1 else sum(s[1] for s in shapes)
        return g.conv(g.op("Tanh", joined), channels, 4)

    return build


def slices(
    starts: list[int], ends: list[int], axes: list[int], shape: tuple[int, ...], ic: int, step: int = 1
) -> Any:
    def build(g: Net) -> Outputs:
        a = g.conv(g.x(*shape), shape[1], shape[1])
        part = g.op("Slice", a, g.ints(*starts), g.ints(*ends), g.ints(*axes), g.ints(*[step] * len(axes)))
        return g.conv(g.op("Relu", part), ic, 6)

    return build


def sliced_input(g: Net) -> Outputs:
    """Parts of something outside of the group."""
    x = g.x(2, 8, 12, 9)
    a, b = g.ops("Split", x, outputs=2, axis=1)
    rows = g.op("Slice", x, g.ints(2), g.ints(11), g.ints(2))
    return [g.conv(g.op("Mul", a, g.op("Sigmoid", b)), 4, 6), g.conv(g.op("Relu", rows), 8, 4)]


def padded(g: Net) -> Outputs:
    a = g.op("Relu", g.conv(g.x(1, 3, 9, 8), 3, 6))
    p = g.op("Pad", a, g.ints(0, 0, 2, 1, 0, 0, 1, 3), g.f(0.5))
    return g.conv(p, 6, 4, pads=[0, 0, 0, 0])


def squeezed(channels: int, fewer: int) -> Any:
    def build(g: Net) -> Outputs:
        a = g.op("GlobalAveragePool", g.op("Relu", g.conv(g.x(1, 3, 8, 7), 3, channels)))
        v = g.op("Reshape", a, g.ints(1, channels))
        v = g.op("Relu", g.op("Gemm", v, g.w(channels, fewer), g.w(fewer)))
        v = g.op("Sigmoid", g.op("Gemm", v, g.w(channels, fewer), g.w(channels), transB=1))
        return g.op("Add", a, g.op("Reshape", v, g.ints(1, channels, 1, 1)))

    return build


def head(g: Net) -> Outputs:
    a = g.op("Relu", g.conv(g.x(2, 3, 8, 7), 3, 6))
    v = g.op("Flatten", a)
    v = g.op("Relu", g.op("Gemm", v, g.w(70, 336), g.w(70), transB=1))
    return g.op("Softmax", g.op("Gemm", v, g.w(70, 11), g.w(11)), axis=-1)


def mlp(batch: int, width: int, wider: int) -> Any:
    def build(g: Net) -> Outputs:
        x = g.x(batch, 13, width)
        mean = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1], keepdims=1))
        variance = g.op("ReduceMean", g.op("Mul", mean, mean), axes=[-1], keepdims=1)
        norm = g.op("Div", mean, g.op("Sqrt", g.op("Add", variance, g.f(1e-5))))
        norm = g.op("Add", g.op("Mul", norm, g.w(width, low=0.5)), g.w(width))
        v = g.op("Add", g.op("MatMul", norm, g.w(width, wider)), g.w(wider))
        v = g.op("MatMul", g.op("Mul", v, g.op("Sigmoid", v)), g.w(wider, width))
        return g.op("Softmax", g.op("Add", v, x), axis=-1)

    return build


def layer_norm(width: int) -> Any:
    def build(g: Net) -> Outputs:
        x = g.op("Add", g.x(2, 9, width), g.w(width))
        v = g.op("LayerNormalization", x, g.w(width, low=0.5), g.w(width), axis=-1)
        return g.op("Relu", g.op("MatMul", v, g.w(width, 20)))

    return build


def long_rows(width: int, *, log: bool = False) -> Any:
    """Statistics of rows of many vectors, the last one not full perhaps."""

    def build(g: Net) -> Outputs:
        x = g.op("Tanh", g.x(2, 67, width))
        y = g.op("LogSoftmax" if log else "Softmax", g.op("Mul", x, g.f(1.5)), axis=-1)
        mean = g.op("ReduceMean", x, axes=[-1], keepdims=1)
        return g.op("Sub", g.op("Add", y, mean), g.op("ReduceSum", y, g.ints(-1), keepdims=1))

    return build


def recurrence(g: Net) -> Outputs:
    """Steps of an LSTM, unrolled: the weights are the same ones."""
    units, w, r, bias = 64, g.w(96, 256), g.w(64, 256), g.w(256)
    x, h, state = g.x(4, 96), g.x(1, units), g.x(1, units)
    for step in range(4):
        row = g.op("Slice", x, g.ints(step), g.ints(step + 1), g.ints(0))
        gates = g.op("Add", g.op("Gemm", row, w, bias), g.op("MatMul", h, r))
        i, o, f, c = g.ops("Split", gates, outputs=4, axis=1)
        kept = g.op("Mul", g.op("Sigmoid", f), state)
        state = g.op("Add", kept, g.op("Mul", g.op("Sigmoid", i), g.op("Tanh", c)))
        h = g.op("Mul", g.op("Sigmoid", o), g.op("Tanh", state))
    return [h, state]


def lstm(g: Net) -> Outputs:
    y = g.ops(
        "LSTM", g.x(5, 1, 64), g.w(1, 128, 64), g.w(1, 128, 32), g.w(1, 256, scale=0.1),
        outputs=3, hidden_size=32,
    )  # fmt: skip
    return [g.op("Relu", y[0]), y[1]]


def big_constants_rows(g: Net) -> Outputs:
    """Rows in the lanes: the parts of a constant that comes in several are columns of the result."""
    v = g.op("Relu", g.op("Gemm", g.x(20, 640), g.w(640, 1300), g.w(1300)))
    return g.op("Tanh", g.op("Gemm", v, g.w(1300, 33), g.w(33)))


def big_constants(g: Net) -> Outputs:
    v = g.op("Relu", g.op("Gemm", g.x(1, 512), g.w(512, 1090), g.w(1090)))
    return g.op("Tanh", g.op("Gemm", v, g.w(1090, 100), g.w(100)))


def computed_filter(g: Net) -> Outputs:
    """The filter comes from a ConvTranspose at run time."""
    kernel = g.op("ConvTranspose", g.x(6, 5, 1, 1), g.w(5, 4, 3, 3))
    y = g.op("Conv", g.x(1, 4, 14, 9), kernel, pads=[1, 1, 1, 1])
    return g.op("Mul", y, g.op("Sigmoid", y))


def product_filter(g: Net) -> Outputs:
    """The filter is a product of matrices."""
    kernel = g.op("Reshape", g.op("MatMul", g.x(6, 10), g.w(10, 36)), g.ints(6, 4, 3, 3))
    y = g.op("Conv", g.x(1, 4, 13, 9), kernel, g.w(6), pads=[1, 1, 1, 1])
    y = g.op("Relu", y)
    return g.op("Add", g.conv(y, 6, 6), y)


def computed_bias(g: Net) -> Outputs:
    bias = g.op("Reshape", g.op("MatMul", g.x(1, 10), g.w(10, 6)), g.ints(6))
    y = g.op("Conv", g.op("Relu", g.x(1, 4, 13, 9)), g.w(6, 4, 3, 3), bias, pads=[1, 1, 1, 1])
    return g.op("Tanh", y)


def computed_scale(g: Net) -> Outputs:
    scale = g.op("Reshape", g.op("MatMul", g.x(1, 10), g.w(10, 6)), g.ints(1, 6, 1, 1))
    y = g.op("Mul", g.conv(g.x(1, 4, 13, 9), 4, 6), scale)
    return g.conv(g.op("Relu", y), 6, 4)


def over_channels(g: Net) -> Outputs:
    y = g.conv(g.x(1, 4, 13, 9), 4, 70)
    y = g.op("Mul", y, g.op("Sigmoid", g.x(1, 1, 13, 9)))
    y = g.op("Add", g.op("Relu", y), g.w(1, 1, 13, 9))
    mask = g.op("Sigmoid", g.conv(y, 70, 1))
    return g.op("Mul", y, mask)


def over_rows(g: Net) -> Outputs:
    """Operands of one row, of one column, of one batch."""
    y = g.conv(g.x(2, 4, 10, 9), 4, 6)
    y = g.op("Mul", y, g.op("Add", g.x(1, 6, 1, 9), g.f(1.0)))
    y = g.op("Add", y, g.op("Relu", g.x(2, 6, 10, 1)))
    return g.conv(g.op("Relu", g.op("Sub", y, g.x(1, 6, 10, 9))), 6, 4)


def reductions(g: Net) -> Outputs:
    y = g.op("Relu", g.conv(g.x(2, 4, 10, 9), 4, 6))
    mean = g.op("ReduceMean", y, axes=[3], keepdims=1)
    most = g.op("ReduceMax", y, axes=[2], keepdims=1)
    return g.conv(g.op("Add", g.op("Sub", y, mean), most), 6, 4)


def attention(g: Net) -> Outputs:
    q, k, v = (g.op("MatMul", x, g.w(16, 16)) for x in [g.x(2, 11, 16)] * 3)
    scores = g.op("Mul", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 2, 1])), g.f(0.25))
    return g.op("Add", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), q)


def heads(
    batch: int,
    rows: int,
    count: int,
    width: int,
    *,
    keys: int = 0,
    turned: bool = True,
    mask: tuple[int, ...] = (),
) -> Any:
    """Attention of several heads, with keys of another tensor perhaps."""

    def build(g: Net) -> Outputs:
        size = count * width
        x = g.x(batch, rows, size)
        memory = g.x(batch, keys, size) if keys else x

        def part(source: str, length: int, perm: list[int]) -> str:
            v = g.op("Add", g.op("MatMul", source, g.w(size, size)), g.w(size))
            v = g.op("Reshape", v, g.ints(batch, length, count, width))
            return g.op("Transpose", v, perm=perm)

        q = part(x, rows, [0, 2, 1, 3])
        k = part(memory, keys or rows, [0, 2, 3, 1] if turned else [0, 2, 1, 3])
        if not turned:
            k = g.op("Transpose", k, perm=[0, 1, 3, 2])
        scores = g.op("Mul", g.op("MatMul", q, k), g.f(width**-0.5))
        if mask:
            scores = g.op("Add", scores, g.x(*mask))
        v = g.op("MatMul", g.op("Softmax", scores, axis=-1), part(memory, keys or rows, [0, 2, 1, 3]))
        v = g.op("Reshape", g.op("Transpose", v, perm=[0, 2, 1, 3]), g.ints(batch, rows, size))
        return g.op("Add", x, g.op("MatMul", v, g.w(size, size)))

    return build


def one_tensor_of_heads(rows: int, count: int, width: int) -> Any:
    """Queries, keys and values come from one product and are told apart by a first axis."""

    def build(g: Net) -> Outputs:
        size = count * width
        x = g.x(1, rows, size)
        all_three = g.op("MatMul", x, g.w(size, 3 * size))
        all_three = g.op("Reshape", all_three, g.ints(1, rows, 3, count, width))
        all_three = g.op("Transpose", all_three, perm=[2, 0, 3, 1, 4])
        q, k, v = (g.op("Squeeze", part, g.ints(0)) for part in g.ops("Split", all_three, outputs=3, axis=0))
        scores = g.op("MatMul", g.op("Mul", q, g.f(0.3)), g.op("Transpose", k, perm=[0, 1, 3, 2]))
        v = g.op("MatMul", g.op("Softmax", scores, axis=-1), v)
        v = g.op("Reshape", g.op("Transpose", v, perm=[0, 2, 1, 3]), g.ints(1, rows, size))
        return g.op("Relu", g.op("MatMul", v, g.w(size, size)))

    return build


def batches(left: tuple[int, ...], right: tuple[int, ...], *, turn: str = "", bias: bool = False) -> Any:
    """A product of matrices of which none is a constant; ``turn`` says which are transposed before."""

    def build(g: Net) -> Outputs:
        def operand(shape: tuple[int, ...], turned: bool) -> str:
            if not turned:
                return g.op("Tanh", g.x(*shape))
            order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
            return g.op("Transpose", g.op("Tanh", g.x(*(shape[i] for i in order))), perm=order)

        y = g.op("MatMul", operand(left, "l" in turn), operand(right, "r" in turn))
        return g.op("Relu", g.op("Add", y, g.w(right[-1])) if bias else g.op("Sub", y, g.f(0.1)))

    return build


def five_axes(g: Net) -> Outputs:
    """Tensors of more axes than the lanes have, of one batch among many."""
    x = g.x(2, 3, 1, 70, 12)
    y = g.op("Mul", g.op("Sigmoid", x), g.op("Tanh", g.x(1, 1, 1, 70, 12)))
    y = g.op("Add", y, g.w(70, 1))
    return g.op("Relu", g.op("Softmax", g.op("Sub", y, g.w(12)), axis=-1))


def product(*, trans_a: int = 0, trans_b: int = 0, rows: int = 11, depth: int = 40, bias: bool = True) -> Any:
    """Matrices that are computed, or lie transposed."""

    def build(g: Net) -> Outputs:
        a = g.op("Relu", g.x(*((depth, rows) if trans_a else (rows, depth))))
        b = g.op("Tanh", g.x(*((70, depth) if trans_b else (depth, 70)))) if trans_b else g.w(depth, 70)
        v = g.op("Gemm", a, b, *([g.w(70)] if bias else []), transA=trans_a, transB=trans_b)
        return g.op("Sigmoid", v)

    return build


def one_row(depth: int, *widths: int, trans_b: int = 0) -> Any:
    """Vectors times constant matrices, wide enough for MM in F32 or not."""

    def build(g: Net) -> Outputs:
        v, ic = g.op("Tanh", g.x(1, depth)), depth
        for width in widths:
            w = g.w(*((width, ic) if trans_b else (ic, width)), scale=ic**-0.5)
            v, ic = g.op("Relu", g.op("Gemm", v, w, g.w(width), transB=trans_b)), width
        return g.op("Sigmoid", v)

    return build


def wide_recurrence(g: Net) -> Outputs:
    """Steps whose weights are the same and fill the lanes."""
    r, h = g.w(192, 768, scale=0.05), g.x(1, 192)
    for _ in range(3):
        a, b, c, d = g.ops("Split", g.op("MatMul", h, r), outputs=4, axis=1)
        h = g.op("Tanh", g.op("Add", g.op("Mul", a, g.op("Sigmoid", b)), g.op("Sub", c, d)))
    return h


def columns_first(batch: int, depth: int, rows: int) -> Any:
    """The left matrix lies transposed, as the result of a convolution of one row does."""

    def build(g: Net) -> Outputs:
        a = g.op("Tanh", g.x(batch, depth, rows))
        return g.op(
            "Relu", g.op("Add", g.op("MatMul", g.op("Transpose", a, perm=[0, 2, 1]), g.w(depth, 9)), g.w(9))
        )

    return build


def patches(x: tuple[int, ...], kernel: tuple[int, int], oc: int, **attributes: Any) -> Any:
    """Windows side by side, more columns than a command can skip."""

    def build(g: Net) -> Outputs:
        w = g.w(oc, x[1], *kernel)
        y = g.op("Conv", g.x(*x), w, g.w(oc), strides=list(kernel), **attributes)
        return g.conv(g.op("Relu", y), oc, 5)

    return build


def computed_patches(g: Net) -> Outputs:
    y = g.op("Conv", g.x(2, 3, 33, 50), g.op("Tanh", g.x(10, 3, 16, 16)), strides=[16, 16])
    return g.op("Sigmoid", y)


def window(length: int, filters: int, *, computed: bool = False) -> Any:
    """Long windows of any length over one channel."""

    def build(g: Net) -> Outputs:
        w = g.op("Tanh", g.x(filters, 1, length)) if computed else g.w(filters, 1, length)
        return g.op("Relu", g.op("Conv", g.x(2, 1, 3 * length), w, strides=[23]))

    return build


def pyramid(g: Net) -> Outputs:
    """Results of several extents; rows that a coarse one does not read are computed for the fine one."""
    a = g.op("Relu", g.conv(g.x(1, 3, 21, 10), 3, 8))
    b = g.op("Relu", g.conv(a, 8, 8, 1, strides=[2, 2]))
    d = g.conv(b, 8, 6, strides=[2, 2])
    return [a, b, d]


def rows_never_read(g: Net) -> Outputs:
    """A stride beyond the kernel, and a Slice of the middle: rows that nobody needs."""
    a = g.op("Relu", g.conv(g.x(1, 3, 26, 10), 3, 8))
    b = g.conv(a, 8, 8, 1, strides=[3, 2], pads=[0, 0, 0, 0])
    return g.op("Relu", g.op("Slice", b, g.ints(2), g.ints(7), g.ints(2)))


def one_dimension(g: Net) -> Outputs:
    a = g.op("Relu", g.op("Conv", g.x(3, 5, 40), g.w(8, 5, 3), g.w(8), pads=[1, 1]))
    a = g.op("MaxPool", a, kernel_shape=[3], strides=[2], pads=[1, 1])
    a = g.op("ConvTranspose", a, g.w(8, 6, 4), strides=[2], pads=[1, 1])
    return g.op("Tanh", g.op("Conv", a, g.w(6, 1, 5), group=6, pads=[4, 0]))


def spectrum(g: Net) -> Outputs:
    """A long window over one channel."""
    a = g.op("Conv", g.x(2, 1, 400), g.w(66, 1, 64), strides=[16])
    real, imaginary = g.ops("Split", a, outputs=2, axis=1)
    power = g.op("Add", g.op("Mul", real, real), g.op("Mul", imaginary, imaginary))
    return g.op("Relu", g.op("Conv", g.op("Sqrt", power), g.w(8, 33, 3), pads=[1, 1]))


def norm_of_channels(batch: int, channels: int, *shape: int, squeezed: bool = False) -> Any:
    """A norm over the axis that lies over the lanes, its statistics as exporters of JAX write them."""

    def build(g: Net) -> Outputs:
        x = g.conv(g.x(batch, 4, *shape), 4, channels, 1)
        if batch == 1:
            x = g.op("Reshape", x, g.ints(1, channels, -1))
        mean = g.op("ReduceMean", x, axes=[1], keepdims=1)
        centred = g.op("Sub", x, mean)
        power = g.op("ReduceSum", g.op("Mul", x, x), g.ints(1), keepdims=0 if squeezed else 1)
        power = g.op("Mul", power, g.f(1 / channels))
        if squeezed:
            power = g.op("Unsqueeze", power, g.ints(1))
        return g.op("Div", centred, g.op("Sqrt", g.op("Add", power, g.f(1.0))))

    return build


def power_spectrum(g: Net) -> Outputs:
    """Squares of two transforms, turned for a product with a bank of filters."""
    x = g.op("Reshape", g.x(1, 500), g.ints(1, 1, 500))
    turned = []
    for _ in range(2):
        t = g.op("Conv", x, g.w(70, 1, 96), strides=[40])
        t = g.op("Transpose", g.op("Unsqueeze", t, g.ints(1)), perm=[0, 1, 3, 2])
        turned.append(g.op("Mul", t, t))
    bank = g.op("MatMul", g.op("Add", *turned), g.w(70, 20, low=0.01))
    return g.op("Log", g.op("Clip", bank, g.f(1e-10)))


def parts_of_a_conv(g: Net) -> Outputs:
    """Channels that do not begin where lanes do."""
    x = g.conv(g.x(2, 3, 5, 4), 3, 258, 3)
    one, other = g.ops("Split", x, g.ints(129, 129), outputs=2, axis=1)
    return g.op("Add", g.op("Mul", one, one), g.op("Mul", other, other))


def softmax_of_channels(g: Net) -> Outputs:
    a = g.op("Softmax", g.conv(g.x(2, 4, 9, 8), 4, 70), axis=1)
    return g.op("Softmax", g.conv(a, 70, 5), axis=3)


def selected(g: Net) -> Outputs:
    a = g.conv(g.x(1, 4, 11, 8), 4, 6)
    b = g.op("Relu", a)
    larger = g.op("Where", g.op("Greater", a, g.f(0.1)), b, g.op("Neg", a))
    return g.conv(g.op("Max", g.op("Abs", larger), g.op("Div", a, g.f(3.0))), 6, 4)


def twice(g: Net) -> Outputs:
    """One tensor as both operands, in two views, and joined with itself."""
    x = g.x(1, 8, 10, 6)
    a = g.conv(g.op("Add", x, x), 8, 8)
    b = g.op("Mul", a, a)
    row = g.op("Reshape", g.op("Slice", x, g.ints(2), g.ints(6), g.ints(1)), g.ints(1, 8, 5, 6))
    return [g.conv(g.op("Concat", b, b, axis=2), 8, 4), g.conv(g.op("Relu", row), 8, 4)]


def slice_of_slice(g: Net) -> Outputs:
    x = g.op("Slice", g.x(2, 9, 14, 12), g.ints(1, 2), g.ints(14, 11), g.ints(2, 3))
    x = g.op("Slice", x, g.ints(1, 2), g.ints(2, 12), g.ints(0, 2))
    return g.conv(g.op("Sigmoid", x), 9, 4)


def dilated_pool(g: Net) -> Outputs:
    a = g.conv(g.x(1, 3, 17, 12), 3, 8)
    m = g.op("MaxPool", a, kernel_shape=[3, 2], dilations=[2, 3], pads=[2, 1, 1, 2])
    v = g.op("AveragePool", m, kernel_shape=[3, 3], strides=[2, 1], ceil_mode=1, pads=[1, 1, 1, 1])
    return g.op("Sub", v, g.op("GlobalMaxPool", v))


CONV_RELU = ("Conv2D", "Conv2D")
CASES = [
    Case("chain_3x3", chain(), CONV_RELU),
    Case("chain_5x5", chain(kernel=5, widths=(64, 64, 64)), CONV_RELU),
    Case("chain_dilated", chain(second={"dilations": [2, 2]}), CONV_RELU),
    Case("chain_strided", chain(second={"strides": [2, 2]}, size=17), CONV_RELU),
    Case("chain_strided_3", chain(second={"strides": [3, 1]}, size=22), CONV_RELU),
    Case("chain_asymmetric", chain(second={"pads": [2, 0, 0, 1]}), CONV_RELU),
    Case("chain_pads_beyond", chain(second={"pads": [0, 3, 3, 0]})),
    Case("chain_batch", chain(batch=3), CONV_RELU),
    Case("residual", residual, ("Conv2D", "Add", "Mul")),
    Case("activations", activations, ("Conv2D", "Active")),
    Case("batch_norm", batch_norm, ("Conv2D",)),
    Case("separable", separable, CONV_RELU),
    Case("squeeze_excite", squeeze_excite, ("Conv2D", "Mul"), exact=False),
    Case("pools", pools, ("Pool2D", "Conv2D")),
    Case("resize_2x2", resize((2, 2)), ("Upsample", "Conv2D")),
    Case("resize_3x1", resize((3, 1))),
    Case("resize_1x2", resize((1, 2))),
    Case("deconv_2x2", deconv(2), ("Deconv", "Conv2D"), exact=False),
    Case("deconv_3x3", deconv(3, pads=[1, 1, 1, 1], output_padding=[1, 1]), ("Deconv", "Conv2D")),
    Case("deconv_4x4", deconv(4, pads=[1, 1, 1, 1]), ("Deconv", "Conv2D")),
    Case("deconv_5x5", deconv(5, pads=[2, 1, 1, 2]), ("Deconv",)),
    Case(
        "deconv_phases",
        deconv(3, 16, pads=[1, 1, 1, 1], output_padding=[1, 1]),
        ("Deconv", "Conv2D"),
        exact=False,
    ),
    Case("deconv_phases_even", deconv(4, 32, pads=[1, 0, 1, 2]), ("Deconv", "Conv2D"), exact=False),
    Case(
        "deconv_phases_odd",
        deconv(5, 16, strides=[3, 2], pads=[2, 1, 1, 2]),
        ("Deconv", "Conv2D"),
        exact=False,
    ),
    Case("deconv_phases_cropped", deconv(3, 16, strides=[2, 1], pads=[2, 2, 2, 2]), ("Deconv",), exact=False),
    Case("deconv_1x1", deconv(1, output_padding=[1, 0])),
    Case("deconv_gaps", deconv(2, dilations=[2, 2])),
    Case("concat_c_64", concat(1, [(1, 64, 6, 5), (1, 8, 6, 5)]), ("Concat",)),
    Case("concat_c", concat(1, [(1, 10, 6, 5), (1, 60, 6, 5), (1, 3, 6, 5)]), ("Concat",)),
    Case("concat_c_batches", concat(1, [(2, 3, 6, 5), (2, 130, 6, 5), (2, 70, 6, 5)]), ("Concat",)),
    Case("concat_c_one", concat(1, [(1, 1, 6, 5), (1, 70, 6, 5)]), ("Concat",)),
    Case("concat_h", concat(2, [(1, 10, 6, 5), (1, 10, 3, 5), (1, 10, 1, 5)]), ("Concat",)),
    Case("concat_w", concat(3, [(1, 10, 6, 5), (1, 10, 6, 4)]), ("Concat",)),
    Case("concat_n", concat(0, [(1, 10, 6, 5), (2, 10, 6, 5)])),
    Case("slice_c", slices([3], [8], [1], (1, 9, 12, 7), 5)),
    Case("slice_c_64", slices([64], [70], [1], (1, 72, 12, 7), 6)),
    Case("slice_h", slices([3], [11], [2], (1, 9, 12, 7), 9), ("Slice", "Conv2D")),
    Case("slice_w", slices([1], [6], [3], (1, 9, 12, 7), 9), ("Slice", "Conv2D")),
    Case("slice_n", slices([1], [3], [0], (3, 9, 12, 7), 9)),
    Case("slice_steps", slices([1, 0], [12, 7], [2, 3], (1, 9, 12, 7), 9, 2)),
    Case("sliced_input", sliced_input),
    Case("pad", padded, ("Pad", "Conv2D")),
    Case("squeezed_even", squeezed(128, 64), ("Reshape", "MatMul"), exact=False),
    Case("squeezed_odd", squeezed(24, 10), exact=False),
    Case("head", head),
    Case("mlp_1", mlp(1, 64, 96), ("MatMul", "Softmax")),
    Case("mlp_3", mlp(3, 64, 96), ("MatMul",)),
    Case("mlp_odd", mlp(2, 40, 70)),
    Case("mlp_ragged", mlp(1, 120, 56), ("MatMul", "MatMul")),
    Case("mlp_ragged_batch", mlp(3, 33, 70), ("MatMul",)),
    Case("mlp_thin", mlp(2, 5, 3)),
    Case("squeezed_ragged", squeezed(120, 33), exact=False),
    Case("product_nt", product(trans_b=1)),
    Case("product_tn", product(trans_a=1), ("MatMul", "Active")),
    Case("product_tt", product(trans_a=1, trans_b=1, rows=65, depth=33)),
    Case("product_row", product(trans_b=1, rows=1, depth=45), exact=False),
    Case("product_row_t", product(trans_a=1, rows=1, depth=45, bias=False), exact=False),
    Case("row_1024", one_row(128, 1024, 64), ("MatMul",), exact=False),
    Case("row_768", one_row(64, 768, 1600, trans_b=1), ("MatMul", "MatMul"), exact=False),
    Case("row_parts", one_row(448, 2048), exact=False),
    Case("row_narrow", one_row(64, 320, 70), exact=False),
    Case("row_recurrence", wide_recurrence, ("MatMul", "MatMul"), exact=False),
    Case("columns_first", columns_first(1, 70, 13), ("MatMul",)),
    Case("columns_first_batch", columns_first(3, 24, 5)),
    Case("layer_norm", layer_norm(36)),
    Case("layer_norm_long", layer_norm(100)),
    Case("long_rows", long_rows(128), ("Softmax", "Reduce", "Add")),
    Case("long_rows_ragged", long_rows(197), ("Softmax", "Reduce", "Add")),
    Case("long_rows_log", long_rows(77, log=True), ("Softmax", "Reduce", "Add")),
    Case("recurrence", recurrence, ("MatMul", "Mul")),
    Case("lstm", lstm),
    Case("big_constants", big_constants, ("MatMul",), exact=False),
    Case("big_constants_rows", big_constants_rows, ("MatMul",), exact=False),
    Case("computed_filter", computed_filter, ("Conv2D", "Active")),
    Case("product_filter", product_filter, ("Conv2D", "Add")),
    Case("computed_bias", computed_bias, ("Conv2D", "Active")),
    Case("computed_scale", computed_scale, ("Conv2D",)),
    Case("over_channels", over_channels, ("Conv2D", "Mul")),
    Case("over_rows", over_rows, ("Conv2D", "Add")),
    Case("reductions", reductions, ("Conv2D", "Reduce")),
    Case("attention", attention, ("MatMul", "Softmax", "MatMul")),
    Case("heads", heads(1, 21, 3, 16), ("MatMul", "Softmax", "MatMul", "Permute")),
    Case("heads_batch", heads(2, 9, 2, 8), ("MatMul", "Softmax", "MatMul")),
    Case("heads_ragged", heads(1, 67, 5, 7, turned=False), ("MatMul", "Softmax", "MatMul")),
    Case("heads_one", heads(1, 10, 1, 24)),
    Case("heads_cross", heads(1, 5, 4, 8, keys=70), ("MatMul", "Softmax", "MatMul")),
    Case("heads_cross_batch", heads(3, 6, 2, 5, keys=4, turned=False)),
    Case("heads_masked", heads(1, 11, 3, 8, mask=(11, 11)), ("MatMul", "Softmax", "MatMul")),
    Case("heads_masked_keys", heads(2, 7, 3, 8, mask=(1, 1, 1, 7))),
    Case("heads_masked_batch", heads(2, 7, 3, 8, mask=(2, 1, 1, 7))),
    Case("heads_masked_heads", heads(1, 7, 3, 8, mask=(3, 7, 7))),
    Case("heads_one_row", heads(1, 1, 4, 8, keys=9)),
    Case("heads_of_one_tensor", one_tensor_of_heads(13, 4, 6), ("MatMul", "Softmax", "MatMul")),
    Case("batches_3", batches((3, 33, 128), (3, 128, 192)), ("Active", "MatMul")),
    Case("batches_4", batches((2, 3, 70, 16), (2, 3, 16, 33)), ("Active", "MatMul")),
    Case("batches_5", batches((2, 1, 3, 6, 128), (2, 1, 3, 128, 64)), ("Active", "MatMul")),
    Case("batches_small", batches((3, 5, 9), (3, 9, 7))),
    Case("batches_5_small", batches((2, 1, 3, 6, 8), (2, 1, 3, 8, 5))),
    Case("batches_left", batches((3, 65, 9), (3, 9, 7), turn="l")),
    Case("batches_right", batches((2, 2, 5, 33), (2, 2, 33, 66), turn="r")),
    Case("batches_both", batches((2, 2, 5, 9), (2, 2, 9, 7), turn="lr")),
    Case("batches_shared_right", batches((4, 5, 9), (1, 9, 7))),
    Case("batches_shared_left", batches((1, 1, 5, 9), (2, 3, 9, 7), turn="r")),
    Case("batches_bias", batches((2, 2, 67, 9), (2, 2, 9, 7), bias=True)),
    Case("batches_bias_right", batches((3, 5, 16), (3, 16, 70), turn="r", bias=True)),
    Case("batches_partly_shared", batches((2, 1, 5, 9), (2, 3, 9, 7))),
    Case("batches_of_one_row", batches((3, 1, 9), (3, 9, 7))),
    Case("batches_of_one_column", batches((2, 3, 6, 9), (2, 3, 9, 1))),
    Case("batches_mixed_ranks", batches((2, 3, 6, 9), (3, 9, 4))),
    Case("five_axes", five_axes, ("Active", "Active", "Softmax")),
    Case("pyramid", pyramid, ("Conv2D", "Conv2D")),
    Case("rows_never_read", rows_never_read, ("Conv2D", "Conv2D")),
    Case("patches", patches((1, 3, 48, 64), (16, 16), 20), CONV_RELU),
    Case("patches_batch", patches((2, 3, 50, 71), (16, 17), 70), CONV_RELU),
    Case("patches_row", patches((1, 4, 20, 100), (3, 20), 8)),
    Case("patches_large", patches((3, 1, 64, 65), (32, 32), 6), ("Conv2D",)),
    Case("patches_14", patches((2, 3, 28, 43), (14, 14), 9), CONV_RELU),
    Case("patches_computed", computed_patches, ("Conv2D", "Active")),
    Case("patches_padded", patches((1, 3, 46, 40), (16, 16), 6, pads=[1, 0, 1, 8])),
    Case("one_dimension", one_dimension, ("Conv2D",)),
    Case("window_70", window(70, 9)),
    Case("window_computed", window(65, 66, computed=True)),
    Case("spectrum", spectrum),
    Case("norm_of_channels", norm_of_channels(2, 96, 5, 7), ("Reduce", "Sub", "Div"), exact=False),
    Case("norm_of_few_channels", norm_of_channels(1, 33, 4, 9), ("Reduce", "Sub", "Div"), exact=False),
    Case("norm_of_lanes", norm_of_channels(1, 192, 9, 5, squeezed=True), ("Reduce", "Sub"), exact=False),
    Case("power_spectrum", power_spectrum, ("Conv2D", "Mul", "MatMul"), exact=False),
    Case("parts_of_a_conv", parts_of_a_conv, ("Conv2D", "Mul", "Add")),
    Case("softmax_of_channels", softmax_of_channels),
    Case("selected", selected, ("Conv2D",)),
    Case("twice", twice, ("Conv2D", "Mul")),
    Case("slice_of_slice", slice_of_slice),
    Case("dilated_pool", dilated_pool, ("Pool2D",)),
]
