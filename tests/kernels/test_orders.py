"""Tensors that do not lie row-major in memory: reshapes, permutations and what is fused with them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core.interpreter import Interpreter
from tpumlir._core.ir import GraphBuilder

Array = npt.NDArray[Any]


def numbers(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def copies(interpreter: Interpreter) -> int:
    """How many kernels only move elements, that of the output aside."""
    return sum(name == "loop:copy" and op != "output" for op, _, name in interpreter.implementations())


RESHAPES: list[tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], int]] = [
    # shape, permutation, new shape, copies
    ("an axis of one dropped", (2, 5, 1, 7), (0, 3, 2, 1), (2, 7, 5), 0),
    ("axes of one added", (2, 5, 7), (0, 2, 1), (1, 2, 7, 1, 5, 1), 0),
    ("an axis taken apart", (2, 12, 7), (0, 2, 1), (2, 7, 3, 4), 0),
    ("a moved axis taken apart", (2, 5, 12), (2, 0, 1), (3, 4, 2, 5), 0),
    ("neighbours in memory joined", (2, 3, 4, 5), (2, 3, 0, 1), (20, 6), 0),
    ("joined and taken apart", (2, 3, 4, 6), (2, 3, 0, 1), (8, 3, 3, 2), 0),
    ("heads", (2, 5, 3, 4), (0, 2, 1, 3), (2, 15, 4), 1),
    ("all in one", (4, 6), (1, 0), (24,), 1),
    ("other products", (4, 6), (1, 0), (8, 3), 1),
    ("an axis of one between joined ones", (3, 1, 4, 5), (2, 1, 0, 3), (4, 3, 5), 0),
    ("one element", (1, 1, 1), (2, 0, 1), (1,), 0),
]


@pytest.mark.parametrize("asked", [False, True], ids=["fused", "asked for"])
@pytest.mark.parametrize(("why", "shape", "order", "new", "count"), RESHAPES, ids=[r[0] for r in RESHAPES])
def test_reshape_of_a_permuted_tensor(
    why: str, shape: tuple[int, ...], order: tuple[int, ...], new: tuple[int, ...], count: int, asked: bool
) -> None:
    del why
    x = numbers(*shape)
    graph = GraphBuilder("test")
    (moved,) = graph.op("top.Permute", [graph.input("x", shape)], {"order": list(order)}, names=["moved"])
    (flat,) = graph.op("top.Reshape", [moved], {"shape": list(new)}, names=["flat"])
    (result,) = graph.op("top.Abs", [flat], names=["y"])
    interpreter = Interpreter(graph.finish([result]))
    got = interpreter.run({"x": x}, tensors=["flat"] if asked else [])
    want = x.transpose(order).reshape(new)
    np.testing.assert_array_equal(got["y"], np.abs(want))
    if asked:
        np.testing.assert_array_equal(got["flat"], want)
    else:
        assert copies(interpreter) == count


def test_chains_of_random_reshapes_and_permutations() -> None:
    """Any chain gives what numpy gives, whoever reads its end: elementwise, reductions, products, softmax."""
    rng = np.random.default_rng(12)
    for _ in range(60):
        shape = tuple(rng.choice([1, 2, 3, 4], size=rng.integers(2, 5)))
        x = numbers(*shape)
        graph = GraphBuilder("test")
        value, want, want_shape = graph.input("x", shape), x, shape
        for step in range(rng.integers(1, 5)):
            if step % 2 == 0:
                order = [int(i) for i in rng.permutation(len(want_shape))]
                (value,) = graph.op("top.Permute", [value], {"order": order}, names=[f"p{step}"])
                want = want.transpose(order)
            else:
                factors = [int(f) for n in want.shape for f in ((2, 2) if n == 4 else (n,))]
                rng.shuffle(factors)
                factors.insert(int(rng.integers(0, len(factors) + 1)), 1)
                cut = int(rng.integers(0, len(factors)))
                new = [int(np.prod(factors[: cut + 1])), *factors[cut + 1 :]]
                (value,) = graph.op("top.Reshape", [value], {"shape": new}, names=[f"r{step}"])
                want = want.reshape(new)
            want_shape = want.shape
        last = len(want_shape) - 1
        results = [
            *graph.op("top.Add", [value, value], names=["sum"]),
            *graph.op("top.Softmax", [value], {"axis": last, "log": False, "beta": 1.0}, names=["soft"]),
            *graph.op(
                "top.Reduce", [value], {"axes": [0], "keepdims": True, "mode": "ReduceMax"}, names=["max"]
            ),
        ]
        got = Interpreter(graph.finish(results)).run({"x": x})
        np.testing.assert_array_equal(got["sum"], want + want)
        np.testing.assert_array_equal(got["max"], want.max(0, keepdims=True))
        powers = np.exp(want - want.max(-1, keepdims=True))
        np.testing.assert_allclose(got["soft"], powers / powers.sum(-1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("op", "shape"), list(itertools.product(["top.Conv", "top.Deconv"], [(9, 1), (6, 5, 1)]))
)
def test_what_is_fused_with_the_convolution_of_a_column(op: str, shape: tuple[int, ...]) -> None:
    """Slopes per channel, a full operand and one per row, in the order of the result."""
    axes, channels = len(shape), 8
    x, skip = numbers(2, channels, *shape), numbers(2, channels, *shape, seed=4)
    rows = numbers(*shape[:-1], 1, seed=5)
    slope = np.abs(numbers(channels, *[1] * axes, seed=6))
    w = numbers(channels, channels, *[1] * axes, seed=7)
    graph = GraphBuilder("test")
    attrs = {"kernel_shape": [1] * axes, "strides": [1] * axes, "pads": [0] * 2 * axes}
    operands = [graph.input("x", x.shape), graph.weight("w", w), graph.none()]
    (value,) = graph.op(op, operands, attrs, names=["c"])
    (value,) = graph.op("top.PRelu", [value, graph.weight("slope", slope)], names=["p"])
    (value,) = graph.op("top.Add", [value, graph.input("skip", skip.shape)], names=["a"])
    (value,) = graph.op("top.Mul", [value, graph.weight("rows", rows)], names=["m"])
    (value,) = graph.op("top.Relu", [value], names=["y"])
    interpreter = Interpreter(graph.finish([value]))
    inputs = {"x": x, "skip": skip}
    product = np.einsum("nc...,oc->no...", x.astype(np.float64), w.reshape(channels, channels))
    want = np.maximum((np.where(product > 0, product, slope * product) + skip) * rows, 0)
    np.testing.assert_allclose(interpreter.run(inputs)["y"], want, rtol=1e-4, atol=1e-4)
    x[1, 2, 3] = np.nan
    got = interpreter.run(inputs)["y"]
    assert np.isnan(got[1, :, 3]).all()
    assert np.isfinite(got[0]).all()


def test_casts_are_done_with_what_stands_around_them() -> None:
    """A one-hot matrix is one pass, not three; its parts are there when asked for."""
    x = np.array([[3, -1, 0, 7]], np.int32)
    graph = GraphBuilder("test")
    (column,) = graph.op(
        "top.Reshape", [graph.input("x", x.shape, "si32")], {"shape": [1, 4, 1]}, names=["c"]
    )
    classes = graph.weight("classes", np.arange(8, dtype=np.int32).reshape(1, 1, 8))
    (same,) = graph.op("top.Compare", [column, classes], {"mode": "Equal"}, names=["same"])
    (hot,) = graph.op("top.Cast", [same], {"to": "F32"}, names=["hot"])
    (half,) = graph.op("top.MulConst", [hot], {"const_val": 0.5}, names=["y"])
    interpreter = Interpreter(graph.finish([half]))
    want = (x.reshape(1, 4, 1) == np.arange(8)).astype(np.float32)
    np.testing.assert_array_equal(interpreter.run({"x": x})["y"], want / 2)
    names = [name for op, _, name in interpreter.implementations() if op != "output"]
    assert names == ["loop:Equal+ToFloat+MulConst"]
    got = interpreter.run({"x": x}, all_tensors=True)
    np.testing.assert_array_equal(got["same"], want.astype(np.int32))
    np.testing.assert_array_equal(got["hot"], want)


def test_a_cast_back_and_forth_is_not_left_out() -> None:
    x = np.array([1.75, -1.75, 3e9, np.nan, -0.25], np.float32)
    graph = GraphBuilder("test")
    (whole,) = graph.op("top.Cast", [graph.input("x", x.shape)], {"to": "INT32"}, names=["i"])
    (more,) = graph.op("top.AddConst", [whole], {"const_val": 1.0}, names=["more"])
    (back,) = graph.op("top.Cast", [more], {"to": "F32"}, names=["y"])
    got = Interpreter(graph.finish([back])).run({"x": x})["y"]
    np.testing.assert_array_equal(got, np.array([2, 0, -(2.0**31), 1, 1], np.float32))


def test_depth_to_space_leaves_images_in_their_order() -> None:
    """Between two convolutions, one copy: the blocks are taken apart, channels stay innermost."""
    x, w, v = numbers(1, 3, 5, 7), numbers(16, 3, 1, 1, seed=8), numbers(6, 4, 1, 1, seed=9)
    graph = GraphBuilder("test")
    conv = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4}
    (a,) = graph.op(
        "top.Conv", [graph.input("x", x.shape), graph.weight("w", w), graph.none()], conv, names=["a"]
    )
    block = {"block_h": 2, "block_w": 2, "is_CRD": True, "is_inversed": False}
    (b,) = graph.op("top.Depth2Space", [a], block, names=["b"])
    (c,) = graph.op("top.Conv", [b, graph.weight("v", v), graph.none()], conv, names=["c"])
    interpreter = Interpreter(graph.finish([c]))
    got = interpreter.run({"x": x})["c"]
    deep = np.einsum("nchw,oc->nohw", x.astype(np.float64), w[:, :, 0, 0])
    wide = deep.reshape(1, 4, 2, 2, 5, 7).transpose(0, 1, 4, 2, 5, 3).reshape(1, 4, 10, 14)
    np.testing.assert_allclose(got, np.einsum("nchw,oc->nohw", wide, v[:, :, 0, 0]), rtol=1e-5, atol=1e-5)
    assert copies(interpreter) == 2  # the input's, and that of the blocks


def test_a_result_is_written_where_it_is_asked_for() -> None:
    """A tensor, views of it, it again, and what would otherwise be written over it."""
    x = numbers(4, 6)
    graph = GraphBuilder("test")
    (a,) = graph.op("top.Abs", [graph.input("x", x.shape)], names=["a"])
    (flat,) = graph.op("top.Reshape", [a], {"shape": [24]}, names=["flat"])
    (turned,) = graph.op("top.Permute", [a], {"order": [1, 0]}, names=["turned"])
    (b,) = graph.op("top.MulConst", [a], {"const_val": -1.0}, names=["b"])
    (c,) = graph.op("top.Exp", [b], names=["c"])
    (same,) = graph.op("top.Reshape", [graph.input("z", (2, 2))], {"shape": [4]}, names=["same"])
    interpreter = Interpreter(graph.finish([c, a, flat, turned, same]))
    inputs = {"x": x, "z": numbers(2, 2, seed=10)}
    for asked in ([], ["b"], interpreter.tensors):
        got = interpreter.run(inputs, tensors=asked)
        np.testing.assert_array_equal(got["a"], np.abs(x))
        np.testing.assert_array_equal(got["flat"], np.abs(x).ravel())
        np.testing.assert_array_equal(got["turned"], np.abs(x).T)
        np.testing.assert_allclose(got["c"], np.exp(-np.abs(x)), rtol=1e-6)
        np.testing.assert_array_equal(got["same"], inputs["z"].ravel())
        if asked:
            np.testing.assert_array_equal(got["b"], -np.abs(x))
        for name in ("a", "flat", "turned", "c", "same"):  # each is the caller's own
            got[name][...] = 0
    np.testing.assert_array_equal(x, numbers(4, 6))


TAILS: list[tuple[str, tuple[int, ...]]] = [
    ("the whole", (2, 5, 9)),
    ("one batch", (5, 9)),
    ("a row", (9,)),
    ("a row of full rank", (1, 1, 9)),
    ("a column", (5, 1)),
    ("per batch", (2, 1, 1)),
    ("a number", (1,)),
]


@pytest.mark.parametrize("relu", [False, True], ids=["", "relu"])
@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
@pytest.mark.parametrize(("why", "shape"), TAILS, ids=[t[0] for t in TAILS])
def test_what_is_fused_with_products(why: str, shape: tuple[int, ...], constant: bool, relu: bool) -> None:
    del why
    x, w, bias, other = numbers(2, 5, 7), numbers(7, 9, seed=5), numbers(9, seed=6), numbers(*shape, seed=7)
    graph = GraphBuilder("test")
    operands = [graph.input("x", x.shape), graph.weight("w", w), graph.weight("bias", bias)]
    (value,) = graph.op("top.MatMul", operands, {}, names=["m"])
    given = graph.weight("o", other) if constant else graph.input("o", shape)
    (value,) = graph.op("top.Add", [given, value], {"do_relu": relu}, names=["y"])
    interpreter = Interpreter(graph.finish([value]))
    inputs = {"x": x} if constant else {"x": x, "o": other}
    want = x.astype(np.float64) @ w + bias + other
    got = interpreter.run(inputs)["y"]
    np.testing.assert_allclose(got, np.maximum(want, 0) if relu else want, rtol=1e-5, atol=1e-5)
    x[1, 3, 2] = np.nan
    got = interpreter.run(inputs)["y"]
    np.testing.assert_array_equal(
        np.isnan(got), np.isnan(x).any(-1, keepdims=True) | np.zeros((1, 1, 9), bool)
    )
