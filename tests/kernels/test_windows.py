"""Convolution, transposed convolution and pooling against plain loops of numpy."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core.interpreter import Interpreter
from tpumlir._core.ir import GraphBuilder

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Window:
    """Geometry of one row."""

    why: str
    channels: tuple[int, int]
    extent: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    group: int = 1
    batch: int = 2
    output_padding: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.why.replace(" ", "_")

    @property
    def axes(self) -> int:
        return len(self.extent)

    @property
    def attrs(self) -> dict[str, Any]:
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.strides or (1,) * self.axes),
            "pads": list(self.pads or (0,) * 2 * self.axes),
        }


def at(*places: int | slice) -> tuple[int | slice, ...]:
    """An index over all axes (a subscript of its own with a star needs Python 3.11)."""
    return places


def padded(x: Array, pads: list[int], value: float = 0.0) -> Array:
    """The spatial axes with a margin."""
    axes = len(pads) // 2
    width = [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)]
    return np.pad(x, width, constant_values=value)


def convolve(x: Array, w: Array, b: Array | None, case: Window) -> Array:
    """Loops over the taps, in float64."""
    attrs = case.attrs
    dilations = case.dilations or (1,) * case.axes
    full = padded(x.astype(np.float64), attrs["pads"])
    oc, per_group = w.shape[:2]
    reach = [(k - 1) * d + 1 for k, d in zip(case.kernel, dilations, strict=True)]
    out_extent = [(n - r) // s + 1 for n, r, s in zip(full.shape[2:], reach, attrs["strides"], strict=True)]
    out = np.zeros((x.shape[0], oc, *out_extent))
    for o in range(oc):
        first = o // (oc // case.group) * per_group
        for tap in itertools.product(*map(range, case.kernel)):
            places = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, out_extent, attrs["strides"], strict=True)
            )
            part = full[at(slice(None), slice(first, first + per_group), *places)]
            taps = w[at(o, slice(None), *tap)].astype(np.float64)
            out[:, o] += np.einsum("nc...,c->n...", part, taps)
    return out if b is None else out + b.reshape(1, -1, *(1,) * case.axes)


def run_conv(op: str, x: Array, w: Array, b: Array | None, attrs: dict[str, Any], dynamic: bool) -> Array:
    graph = GraphBuilder("test")
    value = graph.input("x", x.shape)
    inputs = {"x": x}
    operands = [value]
    for name, array in (("w", w), ("b", b)):
        if array is None:
            operands.append(graph.none())
        elif dynamic:
            operands.append(graph.input(name, array.shape))
            inputs[name] = array
        else:
            operands.append(graph.weight(name, array))
    interpreter = Interpreter(graph.finish(graph.op(op, operands, attrs, names=["y"])))
    return interpreter.run(inputs)["y"]


CONVS = [
    Window("3x3", (8, 16), (9, 10), (3, 3), pads=(1, 1, 1, 1)),
    Window("one channel in, one out", (1, 1), (5, 5), (3, 3)),
    Window("three channels stride 2", (3, 32), (17, 15), (3, 3), (2, 2), (0, 0, 1, 1)),
    Window("asymmetric pads and strides", (4, 6), (11, 7), (3, 2), (2, 1), (2, 0, 1, 1)),
    Window("dilated", (5, 7), (13, 13), (3, 3), dilations=(3, 2), pads=(2, 2, 2, 2)),
    Window("grouped", (8, 12), (6, 6), (3, 3), group=4),
    Window("depthwise", (16, 16), (8, 8), (5, 5), pads=(2, 2, 2, 2), group=16),
    Window("depthwise with two results per channel", (6, 12), (7, 7), (3, 3), group=6),
    Window("pointwise", (33, 65), (4, 4), (1, 1)),
    Window("1d", (6, 10), (30,), (5,), (2,), (2, 1)),
    Window("1d depthwise dilated", (6, 6), (30,), (3,), pads=(2, 2), dilations=(2,), group=6),
    Window("3d", (3, 4), (5, 6, 7), (2, 3, 3), (1, 2, 1), (0, 1, 1, 1, 1, 0)),
    Window("kernel as large as the input", (7, 9), (4, 4), (4, 4)),
    Window("a column", (16, 24), (40, 1), (5, 1)),
    Window("a column with pads on both axes", (5, 7), (9, 1), (3, 3), (2, 1), (1, 1, 2, 1)),
    Window("a column grouped and dilated", (8, 12), (13, 1), (3, 1), dilations=(2, 1), group=4),
    Window("a column to one element", (6, 5), (7, 1), (7, 1)),
    Window("a column depthwise", (17, 17), (11, 1), (3, 1), pads=(1, 0, 1, 0), group=17),
    Window("one column of the result only", (3, 4), (9, 3), (3, 3)),
    Window("3d plane", (3, 4), (5, 6, 1), (2, 3, 1), (1, 2, 1), (0, 1, 0, 1, 1, 0)),
    Window("3d column", (3, 4), (9, 1, 1), (2, 1, 3), (1, 1, 1), (0, 0, 1, 1, 0, 1)),
]


@pytest.mark.parametrize("dynamic", [False, True], ids=["constant", "computed"])
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("case", CONVS, ids=str)
def test_convolution(case: Window, bias: bool, dynamic: bool) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((case.batch, case.channels[0], *case.extent)).astype(np.float32)
    w = rng.standard_normal((case.channels[1], case.channels[0] // case.group, *case.kernel))
    w = w.astype(np.float32)
    b = rng.standard_normal(case.channels[1]).astype(np.float32) if bias else None
    attrs = case.attrs | {"group": case.group}
    if case.dilations:
        attrs["dilations"] = list(case.dilations)
    got = run_conv("top.Conv", x, w, b, attrs, dynamic)
    np.testing.assert_allclose(got, convolve(x, w, b, case), rtol=1e-4, atol=1e-4)


DECONVS = [
    Window("stride 2", (4, 6), (5, 6), (3, 3), (2, 2), (1, 1, 1, 1)),
    Window("no overlap", (24, 24), (6, 6), (2, 2), (2, 2)),
    Window("grouped", (8, 12), (4, 5), (3, 3), (2, 1), group=4),
    Window("depthwise", (8, 8), (4, 4), (4, 4), (2, 2), (1, 1, 1, 1), group=8),
    Window("dilated", (3, 5), (6, 6), (3, 3), dilations=(2, 2), pads=(1, 2, 0, 1)),
    Window("output padding", (4, 4), (5, 5), (3, 3), (2, 2), (1, 1, 1, 1), output_padding=(1, 1)),
    Window("output padding and no pads", (4, 4), (3, 3), (2, 2), (3, 3), output_padding=(2, 1)),
    Window("1d", (4, 6), (9,), (4,), (2,), (1, 1)),
    Window("3d", (2, 3), (3, 4, 3), (2, 2, 2), (2, 1, 2)),
    Window("a column", (4, 6), (9, 1), (3, 1), (2, 1), (1, 0, 0, 0), output_padding=(1, 0)),
    Window("a column grouped", (8, 12), (7, 1), (3, 3), (2, 1), (1, 1, 1, 1), group=4),
    Window("3d column", (2, 3), (7, 1, 1), (3, 1, 1), (2, 1, 1)),
]


def deconvolve(x: Array, w: Array, b: Array | None, case: Window) -> Array:
    """Each input element scattered over its taps, in float64; ``w`` is [c, oc / group, taps]."""
    attrs = case.attrs
    dilations = case.dilations or (1,) * case.axes
    extra = case.output_padding or (0,) * case.axes
    full = [
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(case.extent, attrs["strides"], case.kernel, dilations, extra, strict=True)
    ]
    per_group = w.shape[1]
    out = np.zeros((x.shape[0], per_group * case.group, *full))
    for c in range(x.shape[1]):
        first = c // (x.shape[1] // case.group) * per_group
        for tap in itertools.product(*map(range, case.kernel)):
            places = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, case.extent, attrs["strides"], strict=True)
            )
            taps = w[at(c, slice(None), *tap)].astype(np.float64)
            part = np.einsum("n...,o->no...", x[:, c].astype(np.float64), taps)
            out[at(slice(None), slice(first, first + per_group), *places)] += part
    axes, pads = case.axes, attrs["pads"]
    crop = tuple(slice(pads[i], full[i] - pads[axes + i]) for i in range(axes))
    out = out[at(slice(None), slice(None), *crop)]
    return out if b is None else out + b.reshape(1, -1, *(1,) * axes)


@pytest.mark.parametrize("dynamic", [False, True], ids=["constant", "computed"])
@pytest.mark.parametrize("case", DECONVS, ids=str)
def test_transposed_convolution(case: Window, dynamic: bool) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((case.batch, case.channels[0], *case.extent)).astype(np.float32)
    w = rng.standard_normal((case.channels[0], case.channels[1] // case.group, *case.kernel))
    w = w.astype(np.float32)
    b = rng.standard_normal(case.channels[1]).astype(np.float32)
    attrs = case.attrs | {"group": case.group}
    if case.dilations:
        attrs["dilations"] = list(case.dilations)
    if case.output_padding:
        attrs["output_padding"] = list(case.output_padding)
    # Top keeps constant filters with the result's channels first.
    given = w if dynamic else np.ascontiguousarray(np.swapaxes(w, 0, 1))
    got = run_conv("top.Deconv", x, given, b, attrs, dynamic)
    np.testing.assert_allclose(got, deconvolve(x, w, b, case), rtol=1e-4, atol=1e-4)


POOLS = [
    Window("2x2", (5, 5), (8, 8), (2, 2), (2, 2)),
    Window("3x3 with pads", (5, 5), (8, 9), (3, 3), (2, 2), (1, 1, 1, 1)),
    Window("overlapping, uneven pads", (17, 17), (7, 8), (3, 2), (1, 1), (2, 0, 1, 1)),
    Window("whole extent", (70, 70), (6, 5), (6, 5)),
    Window("1d", (4, 4), (11,), (3,), (2,), (1, 1)),
    Window("3d", (3, 3), (4, 5, 6), (2, 2, 3), (2, 1, 2)),
    Window("one channel", (1, 1), (9, 9), (3, 3), (3, 3)),
]


def pool(x: Array, case: Window, ceil: bool, mode: str) -> Array:
    attrs = case.attrs
    axes, pads, strides = case.axes, attrs["pads"], attrs["strides"]
    out_extent = []
    for i in range(axes):
        span = case.extent[i] + pads[i] + pads[axes + i] - case.kernel[i]
        n = (-(-span // strides[i]) if ceil else span // strides[i]) + 1
        if ceil and (n - 1) * strides[i] >= case.extent[i] + pads[i]:
            n -= 1
        out_extent.append(n)
    out = np.zeros((*x.shape[:2], *out_extent))
    for place in itertools.product(*map(range, out_extent)):
        inside, counted = [], 1
        for i, index in enumerate(place):
            begin = index * strides[i] - pads[i]
            end = begin + case.kernel[i]
            inside.append(slice(max(begin, 0), min(end, case.extent[i])))
            counted *= min(end, case.extent[i] + pads[axes + i]) - begin
        part = x[at(slice(None), slice(None), *inside)].reshape(*x.shape[:2], -1).astype(np.float64)
        if mode == "max":
            value = part.max(-1)
        else:
            value = part.sum(-1) / (counted if mode == "including" else part.shape[-1])
        out[at(slice(None), slice(None), *place)] = value
    return out


@pytest.mark.parametrize("ceil", [False, True], ids=["floor", "ceil"])
@pytest.mark.parametrize("mode", ["max", "including", "excluding"])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pooling(case: Window, mode: str, ceil: bool) -> None:
    x = np.random.default_rng(6).standard_normal((case.batch, case.channels[0], *case.extent))
    x = x.astype(np.float32)
    graph = GraphBuilder("test")
    attrs = case.attrs | {"ceil_mode": ceil}
    if mode != "max":
        attrs["count_include_pad"] = mode == "including"
    op = "top.MaxPool" if mode == "max" else "top.AvgPool"
    result = graph.op(op, [graph.input("x", x.shape)], attrs, names=["y"])
    got = Interpreter(graph.finish(result)).run({"x": x})["y"]
    np.testing.assert_allclose(got, pool(x, case, ceil, mode), rtol=1e-6, atol=1e-6)


def test_max_pool_of_negative_numbers_ignores_padding_and_keeps_nan() -> None:
    x = np.full((1, 2, 4, 4), -5, np.float32)
    x[0, 1, 0, 0] = np.nan
    graph = GraphBuilder("test")
    attrs = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    result = graph.op("top.MaxPool", [graph.input("x", x.shape)], attrs, names=["y"])
    got = Interpreter(graph.finish(result)).run({"x": x})["y"]
    want = np.full((1, 2, 2, 2), -5, np.float32)
    want[0, 1, 0, 0] = np.nan
    np.testing.assert_array_equal(got, want)
