"""Kernels that move, choose or reduce elements, and products, against numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core.interpreter import Interpreter
from tpumlir._core.ir import GraphBuilder
from tpumlir.errors import UnsupportedError

Array = npt.NDArray[Any]


def run_op(
    op: str,
    operands: Sequence[Array | None],
    attrs: dict[str, Any],
    *,
    constants: Sequence[int] = (),
    names: Sequence[str] = ("y",),
    channels_last: bool = False,
) -> list[Array]:
    """One Top operation; None is an absent operand. ``channels_last``: the first lies that way in memory."""
    graph = GraphBuilder("test")
    values, inputs = [], {}
    for i, array in enumerate(operands):
        if array is None:
            values.append(graph.none())
        elif i in constants:
            values.append(graph.weight(f"w{i}", array))
        elif i == 0 and channels_last:
            inputs["x0"] = np.ascontiguousarray(np.moveaxis(array, 1, -1))
            order = [0, array.ndim - 1, *range(1, array.ndim - 1)]
            given = graph.input("x0", inputs["x0"].shape)
            values += graph.op("top.Permute", [given], {"order": order}, names=["moved"])
        else:
            inputs[f"x{i}"] = array
            values.append(graph.input(f"x{i}", array.shape))
    results = graph.op(op, values, attrs, names=list(names))
    run = Interpreter(graph.finish([r for r, name in zip(results, names, strict=True) if name])).run(inputs)
    return [run[name] for name in names if name]


def numbers(*shape: int, seed: int = 7) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Move:
    """An operation without arithmetic and the numpy expression it stands for."""

    op: str
    why: str
    shape: tuple[int, ...]
    attrs: dict[str, Any] = field(compare=False)
    meaning: Callable[[Array], Array] = field(compare=False)
    operands: int = 1  # absent ones behind the input included

    def __str__(self) -> str:
        return f"{self.op}-{self.why}".replace(" ", "_")


def pads(*entries: int) -> dict[str, Any]:
    return {"paddings": list(entries)}


def pad_with(mode: Any, *width: tuple[int, int], **kw: Any) -> Callable[[Array], Array]:
    return lambda x: np.pad(x, width, mode=mode, **kw)


def slices(offset: list[int], ends: list[int], steps: list[int]) -> dict[str, Any]:
    return {"offset": offset, "ends": ends, "steps": steps, "axes": list(range(len(offset)))}


MOVES = [
    Move("top.Permute", "reverse", (2, 3, 4, 5), {"order": [3, 2, 1, 0]}, lambda x: x.transpose(3, 2, 1, 0)),
    Move("top.Permute", "rank 6", (2, 3, 1, 4, 5, 2), {"order": [0, 4, 2, 1, 5, 3]},
         lambda x: x.transpose(0, 4, 2, 1, 5, 3)),
    Move("top.Permute", "large transpose", (1, 3, 77, 131), {"order": [0, 2, 3, 1]},
         lambda x: x.transpose(0, 2, 3, 1)),
    Move("top.Reshape", "flat", (2, 3, 4, 5), {"shape": [-1]}, lambda x: x.reshape(-1)),
    Move("top.Slice", "steps", (4, 9, 10, 3), slices([1, 0, 2, 0], [4, 9, 9, 3], [1, 2, 3, 1]),
         lambda x: x[1:4, ::2, 2:9:3], 4),
    Move("top.Slice", "backward", (2, 5, 4, 6), slices([0, 4, 0, 5], [2, -6, 4, 0], [1, -1, 1, -2]),
         lambda x: x[:, ::-1, :, 5:0:-2], 4),
    Move("top.Pad", "constant", (1, 2, 3, 4), pads(0, 1, 2, 0, 1, 0, 0, 3) | {"mode": "constant", "val": 1.5},
         pad_with("constant", (0, 1), (1, 0), (2, 0), (0, 3), constant_values=1.5)),
    Move("top.Pad", "reflect", (1, 2, 5, 6), pads(0, 0, 3, 2, 0, 0, 4, 5) | {"mode": "reflect"},
         pad_with("reflect", (0, 0), (0, 0), (3, 4), (2, 5))),
    Move("top.Pad", "symmetric", (1, 2, 5, 6), pads(0, 0, 3, 2, 0, 1, 5, 6) | {"mode": "symmetric"},
         pad_with("symmetric", (0, 0), (0, 1), (3, 5), (2, 6))),
    Move("top.Pad", "edge", (1, 2, 3, 1), pads(0, 1, 3, 2, 2, 0, 4, 5) | {"mode": "edge"},
         pad_with("edge", (0, 2), (1, 0), (3, 4), (2, 5))),
    Move("top.Tile", "all dims", (2, 3, 2, 3), {"tile": [2, 1, 3, 2]}, lambda x: np.tile(x, (2, 1, 3, 2))),
    Move("top.Expand", "new dims", (3, 1), {"shape": [2, 3, 4]}, lambda x: np.broadcast_to(x, (2, 3, 4))),
    Move("top.Reverse", "channels", (2, 5, 3, 4), {"axis": 1}, lambda x: x[:, ::-1]),
    Move("top.Upsample", "uneven", (1, 3, 4, 5), {"scale_h": 2, "scale_w": 3},
         lambda x: x.repeat(2, 2).repeat(3, 3)),
    Move("top.Trilu", "upper", (2, 3, 4, 5), {"upper": 1, "diagonal": 1}, lambda x: np.triu(x, 1)),
    Move("top.Trilu", "lower", (2, 3, 4, 5), {"upper": 0, "diagonal": -1}, lambda x: np.tril(x, -1)),
    Move("top.Depth2Space", "blocks first", (2, 12, 3, 4),
         {"block_h": 2, "block_w": 3, "is_CRD": False, "is_inversed": False},
         lambda x: x.reshape(2, 2, 3, 2, 3, 4).transpose(0, 3, 4, 1, 5, 2).reshape(2, 2, 6, 12)),
    Move("top.Depth2Space", "channels first", (2, 12, 3, 4),
         {"block_h": 2, "block_w": 3, "is_CRD": True, "is_inversed": False},
         lambda x: x.reshape(2, 2, 2, 3, 3, 4).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 6, 12)),
    Move("top.Depth2Space", "inverse", (2, 2, 6, 12),
         {"block_h": 2, "block_w": 3, "is_CRD": False, "is_inversed": True},
         lambda x: x.reshape(2, 2, 3, 2, 4, 3).transpose(0, 3, 5, 1, 2, 4).reshape(2, 12, 3, 4)),
    Move("top.CumSum", "rows", (2, 5, 3, 4), {"axis": 2}, lambda x: np.cumsum(x, 2), 2),
]  # fmt: skip


@pytest.mark.parametrize("channels_last", [False, True], ids=["", "channels_last"])
@pytest.mark.parametrize("case", MOVES, ids=str)
def test_move(case: Move, channels_last: bool) -> None:
    if channels_last and len(case.shape) < 3:
        pytest.skip("has no channels")
    x = numbers(*case.shape)
    operands = [x, *[None] * (case.operands - 1)]
    (got,) = run_op(case.op, operands, case.attrs, channels_last=channels_last)
    np.testing.assert_allclose(got, case.meaning(x), rtol=1e-6, atol=0 if case.op != "top.CumSum" else 1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True], ids=["", "channels_last"])
def test_concat_of_different_orders(axis: int, channels_last: bool) -> None:
    a, b = numbers(2, 3, 4, 5), numbers(2, 3, 4, 5, seed=8)
    (got,) = run_op("top.Concat", [a, b, a], {"axis": axis}, channels_last=channels_last)
    np.testing.assert_array_equal(got, np.concatenate([a, b, a], axis))


REDUCTIONS: list[tuple[str, Callable[..., Array]]] = [
    ("ReduceSum", np.sum),
    ("ReduceMean", np.mean),
    ("ReduceMax", np.max),
    ("ReduceMin", np.min),
    ("ReduceProd", np.prod),
    ("ReduceL1", lambda x, **kw: np.abs(x).sum(**kw)),
    ("ReduceL2", lambda x, **kw: np.sqrt(np.square(x).sum(**kw))),
]


@pytest.mark.parametrize("channels_last", [False, True], ids=["", "channels_last"])
@pytest.mark.parametrize("keepdims", [False, True], ids=["drop", "keep"])
@pytest.mark.parametrize("axes", [(0,), (1,), (3,), (2, 3), (0, 2), (1, 3), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize(("mode", "meaning"), REDUCTIONS, ids=[m for m, _ in REDUCTIONS])
def test_reduction(
    mode: str, meaning: Callable[..., Array], axes: tuple[int, ...], keepdims: bool, channels_last: bool
) -> None:
    x = np.random.default_rng(9).uniform(0.9, 1.1, (2, 19, 3, 37)).astype(np.float32)
    attrs = {"axes": list(axes), "keepdims": keepdims, "mode": mode}
    (got,) = run_op("top.Reduce", [x], attrs, channels_last=channels_last)
    want = np.asarray(meaning(x.astype(np.float64), axis=axes, keepdims=keepdims))
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=2e-6 if mode != "ReduceProd" else 2e-4)


def test_sum_of_many_numbers_loses_little() -> None:
    x = np.random.default_rng(10).uniform(0, 1, (1, 1_000_003)).astype(np.float32)
    (got,) = run_op("top.Reduce", [x], {"axes": [1], "keepdims": True, "mode": "ReduceSum"})
    np.testing.assert_allclose(got[0, 0], x.astype(np.float64).sum(), rtol=1e-7)


LENGTHS = [1, 2, 15, 16, 17, 31, 32, 33, 127, 128, 129, 197, 255, 384, 391]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("mode", "meaning"), REDUCTIONS, ids=[m for m, _ in REDUCTIONS])
def test_rows_of_any_length(mode: str, meaning: Callable[..., Array], length: int) -> None:
    x = np.random.default_rng(length).uniform(0.9, 1.1, (3, length)).astype(np.float32)
    x[:, ::2] *= -1  # an absolute value and an extreme of either sign count
    (got,) = run_op("top.Reduce", [x], {"axes": [1], "keepdims": False, "mode": mode})
    want = meaning(x.astype(np.float64), axis=1)
    np.testing.assert_allclose(got, want, rtol=2e-4 if mode == "ReduceProd" else 2e-6, atol=2e-5)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("mode", ["ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1"])
def test_special_numbers_count_wherever_they_stand(mode: str, special: float) -> None:
    length = 197
    x = np.tile(numbers(1, length), (length, 1))
    np.fill_diagonal(x, special)
    (got,) = run_op("top.Reduce", [x], {"axes": [1], "keepdims": False, "mode": mode})
    meaning = dict(REDUCTIONS)[mode]
    np.testing.assert_allclose(got, meaning(x.astype(np.float64), axis=1), rtol=1e-5)


@pytest.mark.parametrize("mode", ["ReduceMax", "ReduceMin"])
def test_extremes_of_equal_infinities(mode: str) -> None:
    for special in (np.inf, -np.inf):
        x = np.full((2, 33), special, np.float32)
        (got,) = run_op("top.Reduce", [x], {"axes": [1], "keepdims": False, "mode": mode})
        np.testing.assert_array_equal(got, [special, special])


@pytest.mark.parametrize("mode", ["ReduceMax", "ReduceMin", "ReduceSum"])
@pytest.mark.parametrize("axis", [1, 2])
def test_reductions_keep_nan(mode: str, axis: int) -> None:
    x = numbers(2, 40, 50)
    x[0, 3, 7] = np.nan
    (got,) = run_op("top.Reduce", [x], {"axes": [axis], "keepdims": False, "mode": mode})
    want = np.zeros_like(got, bool)
    want[0, 7 if axis == 1 else 3] = True
    np.testing.assert_array_equal(np.isnan(got), want)


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("mode", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_arg_breaks_ties_as_asked(axis: int, mode: str, last: bool) -> None:
    x = np.random.default_rng(11).integers(0, 4, (5, 6, 7)).astype(np.float32)
    attrs = {"axis": axis, "keepdims": False, "mode": mode, "select_last_index": last}
    indices, values = run_op("top.Arg", [x], attrs, names=["i", "v"])
    pick = np.argmax if mode == "ArgMax" else np.argmin
    want = x.shape[axis] - 1 - pick(np.flip(x, axis), axis) if last else pick(x, axis)
    np.testing.assert_array_equal(indices, want)
    np.testing.assert_array_equal(values, x.max(axis) if mode == "ArgMax" else x.min(axis))


@pytest.mark.parametrize("log", [False, True], ids=["", "log"])
@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True], ids=["", "channels_last"])
def test_softmax(axis: int, log: bool, channels_last: bool) -> None:
    x = numbers(2, 5, 17, 33) * 30
    attrs = {"axis": axis, "log": log, "beta": 0.5}
    (got,) = run_op("top.Softmax", [x], attrs, channels_last=channels_last)
    shifted = 0.5 * x.astype(np.float64)
    shifted -= shifted.max(axis, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    # The sum is rounded next to its largest term, 1.
    np.testing.assert_allclose(got, logs if log else np.exp(logs), rtol=1e-5, atol=2e-7 if log else 1e-12)


@pytest.mark.parametrize("beta", [1.0, -2.0], ids=str)
@pytest.mark.parametrize("length", LENGTHS)
def test_softmax_of_any_length(length: int, beta: float) -> None:
    x = numbers(5, length, seed=length) * 5
    (got,) = run_op("top.Softmax", [x], {"axis": 1, "log": False, "beta": beta})
    powers = np.exp(beta * x.astype(np.float64) - (beta * x.astype(np.float64)).max(1, keepdims=True))
    np.testing.assert_allclose(got, powers / powers.sum(1, keepdims=True), rtol=1e-5, atol=1e-12)


def test_softmax_of_nan_and_infinities() -> None:
    x = np.zeros((4, 37), np.float32)
    x[0, 36] = np.nan  # in the last, incomplete piece
    x[1, 5] = -np.inf
    x[2, 1:] = -np.inf
    x[3] = 3e38
    (got,) = run_op("top.Softmax", [x], {"axis": 1, "log": False, "beta": 1.0})
    assert np.isnan(got[0]).all()
    np.testing.assert_allclose(got[1], np.where(np.arange(37) == 5, 0, 1 / 36), rtol=1e-6)
    np.testing.assert_array_equal(got[2], np.arange(37) == 0)
    np.testing.assert_allclose(got[3], 1 / 37, rtol=1e-6)


@pytest.mark.parametrize("length", LENGTHS)
def test_norm_of_any_length(length: int) -> None:
    x = numbers(3, length, seed=length) * 10 + 1000  # a mean far from zero
    (got,) = run_op("top.LayerNorm", [x, None, None], {"axis": 1, "normalized_shape": [], "eps": 1e-5})
    np.testing.assert_allclose(got, norm(x, (1,)), rtol=1e-4, atol=3e-4)


def norm(x: Array, axes: tuple[int, ...], eps: float = 1e-5) -> Array:
    x = x.astype(np.float64)
    result: Array = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return result


NORMS: list[tuple[str, str, tuple[int, ...], dict[str, Any], Callable[[Array], Array], tuple[int, ...]]] = [
    ("top.LayerNorm", "last axis", (2, 5, 33), {"axis": 2, "normalized_shape": [], "eps": 1e-5},
     lambda x: norm(x, (2,)), (33,)),
    ("top.LayerNorm", "two axes", (2, 5, 33), {"axis": 1, "normalized_shape": [], "eps": 1e-5},
     lambda x: norm(x, (1, 2)), (5, 33)),
    ("top.InstanceNorm", "", (2, 5, 7, 3), {"eps": 1e-5}, lambda x: norm(x, (2, 3)), (5, 1, 1)),
    ("top.GroupNorm", "", (2, 6, 7, 3), {"num_groups": 2, "eps": 1e-5},
     lambda x: norm(x.reshape(2, 2, 3, 7, 3), (2, 3, 4)).reshape(x.shape), (6, 1, 1)),
    ("top.PixelNorm", "", (2, 19, 4, 3), {"eps": 1e-5}, lambda x: norm(x, (1,)), (19, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("affine", ["", "weight", "bias", "both"])
@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
@pytest.mark.parametrize(
    ("op", "why", "shape", "attrs", "meaning", "per"), NORMS, ids=[f"{n[0]}-{n[1]}" for n in NORMS]
)
def test_norm(
    op: str, why: str, shape: tuple[int, ...], attrs: dict[str, Any], meaning: Callable[[Array], Array],
    per: tuple[int, ...], constant: bool, affine: str,
) -> None:  # fmt: skip
    del why
    x = numbers(*shape) + 100  # a mean far from zero
    weight = numbers(*per, seed=12) if affine in ("weight", "both") else None
    bias = numbers(*per, seed=13) if affine in ("bias", "both") else None
    flat = [
        None if a is None else a.reshape(-1 if op != "top.LayerNorm" else a.shape) for a in (weight, bias)
    ]
    (got,) = run_op(op, [x, *flat], attrs, constants=(1, 2) if constant else ())
    want = meaning(x) * (1 if weight is None else weight) + (0 if bias is None else bias)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4)


@dataclass(frozen=True)
class Product:
    """Shapes of a product; ``attrs`` may transpose."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    why: str
    bias: tuple[int, ...] | None = None
    attrs: dict[str, bool] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.why.replace(" ", "_")


PRODUCTS = [
    Product((5, 7), (7, 9), "matrices"),
    Product((1, 1152), (1152, 256), "one row", (256,)),
    Product((2, 3, 5, 7), (7, 9), "one matrix for all batches", (9,)),
    Product((2, 3, 5, 7), (2, 3, 7, 9), "batches"),
    Product((2, 1, 5, 7), (1, 3, 7, 9), "batches that broadcast both ways"),
    Product((5, 7), (4, 7, 9), "batches on the right only"),
    Product((7,), (7, 9), "a row"),
    Product((3, 5, 7), (7,), "a column"),
    Product((7,), (7,), "an inner product"),
    Product((3, 7, 5), (3, 7, 9), "left transposed", None, {"left_transpose": True}),
    Product((3, 5, 7), (3, 9, 7), "right transposed", (9,), {"right_transpose": True}),
    Product((3, 5, 7), (3, 7, 9), "result transposed", None, {"output_transpose": True}),
    Product((2, 5, 7), (2, 7, 9), "a bias per element", (2, 5, 9)),
    Product((2, 5, 7), (2, 7, 9), "a bias per row", (5, 1)),
    Product((2, 5, 7), (2, 7, 9), "a bias of one", (1,)),
    Product((1, 1, 64), (64, 1), "one column"),
]


@pytest.mark.parametrize("constants", [(), (0,), (1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_product(case: Product, constants: tuple[int, ...]) -> None:
    a, b = numbers(*case.left), numbers(*case.right, seed=14)
    bias = None if case.bias is None else numbers(*case.bias, seed=15)
    (got,) = run_op("top.MatMul", [a, b, bias], dict(case.attrs), constants=constants)
    left = a.astype(np.float64).swapaxes(-1, -2) if case.attrs.get("left_transpose") else a.astype(np.float64)
    want = np.matmul(left, b.swapaxes(-1, -2) if case.attrs.get("right_transpose") else b)
    want = want.swapaxes(-1, -2) if case.attrs.get("output_transpose") else want
    want = want if bias is None else want + bias
    np.testing.assert_allclose(got, np.asarray(want), rtol=1e-4, atol=1e-4)


def test_gather_counts_negative_indices_from_the_end() -> None:
    x, i = numbers(3, 5, 4), np.array([[0, -1], [4, -5]], np.float32)
    (got,) = run_op("top.Gather", [x, i], {"axis": 1})
    np.testing.assert_array_equal(got, np.take(x, i.astype(int), 1))


@pytest.mark.parametrize("index", [5, -6])
def test_gather_refuses_an_index_outside(index: int) -> None:
    with pytest.raises(UnsupportedError, match=r"expected an index in \[-5, 5\), got " + str(index)):
        run_op("top.Gather", [numbers(3, 5), np.array([index], np.float32)], {"axis": 1})


def test_gather_elements() -> None:
    x = numbers(3, 5, 4)
    i = np.random.default_rng(16).integers(-5, 5, (2, 7, 4))
    (got,) = run_op("top.GatherElements", [x, i.astype(np.float32)], {"axis": 1})
    np.testing.assert_array_equal(got, np.take_along_axis(x[:2], i, 1))


@pytest.mark.parametrize("batch", [0, 1])
def test_gather_nd(batch: int) -> None:
    x = numbers(2, 3, 4, 5)
    i = np.array([[[0, 1], [1, -1]], [[1, 2], [0, 0]]])
    (got,) = run_op("top.GatherND", [x, i.astype(np.float32)], {"batch_dims": batch})
    want = np.stack([x[n][i[n, :, 0], i[n, :, 1]] for n in range(2)]) if batch else x[i[..., 0], i[..., 1]]
    np.testing.assert_array_equal(got, want)


def test_scatter_elements_and_nd_replace() -> None:
    x, updates = numbers(3, 5), numbers(2, 5, seed=17)
    i = np.array([[0, 1, 2, 0, 1], [2, 2, 0, 1, -1]])
    (got,) = run_op("top.ScatterElements", [x, i.astype(np.float32), updates], {"axis": 0})
    want = x.copy()
    np.put_along_axis(want, i % 3, updates, 0)
    np.testing.assert_array_equal(got, want)

    (got,) = run_op("top.ScatterND", [x, np.array([[2], [-3]], np.float32), updates], {})
    want = x.copy()
    want[[2, 0]] = updates
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("largest", [False, True], ids=["smallest", "largest"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_topk_of_equal_elements_takes_the_first(axis: int, largest: bool) -> None:
    x = np.random.default_rng(18).integers(0, 5, (6, 7, 8)).astype(np.float32)
    attrs = {"axis": axis, "K": 4, "largest": largest}
    values, indices = run_op("top.TopK", [x], attrs, names=["v", "i"])
    order = np.argsort(-x if largest else x, axis, kind="stable").take(range(4), axis)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis))
