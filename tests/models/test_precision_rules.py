"""What the halves must keep, in small graphs after real exports: compiled in F16 and BF16 with default flags,
each gives what ONNX Runtime gives in F32, within the precision of the half, for inputs of another kind too
than those it was compiled with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import graphs
import onnx
from onnx import TensorProto
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from tpumlir.road.compile import compile_onnx
from tpumlir.road.single import Compiled

Array = npt.NDArray[Any]
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64,
         np.dtype(np.int32): TensorProto.INT32, np.dtype(np.bool_): TensorProto.BOOL,
         np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}  # fmt: skip
# Largest error of an element, relative to the tensor's largest: a few roundings of 11 or 8 bits.
BOUND = {"F16": 2e-3, "BF16": 1.6e-2}
RNG = np.random.default_rng(8)


def normal(*shape: int, scale: float = 1.0) -> Array:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def i64(*values: int) -> Array:
    return np.array(values, np.int64)


def f32(value: Any) -> Array:
    return np.asarray(value, np.float32)


class Graph(graphs.Graph):
    """An ONNX graph with numbers for its inputs; a call adds a node, with constants where numbers are."""

    def __init__(self, opset: int = 17) -> None:
        super().__init__(opset=opset)
        self.data: dict[str, Array] = {}

    def given(self, name: str, value: Array) -> str:
        self.data[name] = value
        return self.input(name, *value.shape, dtype=TYPES[value.dtype])

    def __call__(self, op: str, *operands: str | Array | float, count: int = 1, **attributes: Any) -> Any:
        names = [
            one if isinstance(one, str) else self.const(f32(one) if isinstance(one, float) else one)
            for one in operands
        ]
        results = self.ops(op, *names, outputs=count, **attributes)
        return results[0] if count == 1 else results


@dataclass
class Case:
    """A graph; ``later`` are inputs that it is run with after the compile; ``exact`` outputs are equal."""

    build: Callable[[Graph], str | Sequence[str]]
    later: Sequence[dict[str, Array]] = ()
    exact: bool = False
    opset: int = 17
    # What validation may say of tensors inside, where only outputs are looked at.
    bound: dict[str, float] = field(default_factory=lambda: BOUND)


def _compile(case: Case, precision: str) -> tuple[onnx.ModelProto, Compiled, Graph]:
    graph = Graph(case.opset)
    made = case.build(graph)
    graph.outputs = [made] if isinstance(made, str) else list(made)
    model = graph.model()
    return model, compile_onnx(model, quantize=precision, test_input=graph.data), graph


# --- integers ----------------------------------------------------------------------------------------


def class_numbers(g: Graph) -> str:
    """The end of a detector: class numbers beside boxes in one tensor."""
    x = g.given("x", normal(1, 20, 400))
    values, places = g("TopK", g("Reshape", x, i64(1, -1)), i64(20), count=2, axis=1)
    numbers = g("Cast", g("Mod", places, np.int64(400)), to=TensorProto.FLOAT)
    boxes = g("Slice", g("Transpose", x, perm=[0, 2, 1]), i64(0), i64(20), i64(1))
    boxes = g("Slice", boxes, i64(0), i64(4), i64(2))
    numbers, values = (g("Unsqueeze", t, i64(-1)) for t in (numbers, values))
    joined = g("Concat", boxes, values, numbers, axis=2)
    return str(g("Slice", joined, i64(5), i64(6), i64(2)))


def class_numbers_in_floats(g: Graph) -> str:
    """j - floor(j / n) * n in floats."""
    j = g("Cast", g.given("j", np.arange(0, 8000, 13)), to=TensorProto.FLOAT)
    row = g("Floor", g("Div", j, 365.0))
    return str(g("Sub", j, g("Mul", row, 365.0)))


def token_numbers(g: Graph) -> str:
    """Ids that are compared and selected as floats."""
    ids = g("Cast", g.given("ids", i64(49406, 49407, 49405, 3, 49407, 2049)), to=TensorProto.FLOAT)
    last = g("Equal", ids, 49407.0)
    return str(g("Where", last, ids, 0.0))


def running_positions(g: Graph) -> str:
    """Positions as the running sum of a mask, in integers beyond 2048 by an offset."""
    mask = g.given("mask", np.ones((1, 8), np.int64))
    return str(g("Cast", g("Add", g("CumSum", mask, np.int64(1)), np.int64(3000)), to=TensorProto.FLOAT))


def integer_boxes(g: Graph) -> str:
    """Boxes of i32 in a picture of 4096: corners to centres."""
    box = g("Cast", g.given("box", RNG.integers(0, 4096, (5, 4)).astype(np.int32)), to=TensorProto.FLOAT)
    low = g("Slice", box, i64(0), i64(2), i64(1))
    return str(g("Sub", g("Slice", box, i64(2), i64(4), i64(1)), low))


def wide_dequantised(g: Graph) -> str:
    """(q - zero) * scale of i32: the difference is beyond 65504."""
    q = g.given("q", RNG.integers(-200000, 200000, (3, 16)).astype(np.int32))
    return str(g("DequantizeLinear", q, f32(1e-4), np.int32(0)))


def one_hot(g: Graph) -> str:
    """Rows of a table by comparing ids with all of them."""
    ids = g.given("ids", i64(3, 2900, 2901, 17))
    wide = g("Unsqueeze", g("Cast", ids, to=TensorProto.FLOAT), i64(1))
    hit = g("Equal", wide, np.arange(3000, dtype=np.float32)[None])
    return str(g("MatMul", g("Cast", hit, to=TensorProto.FLOAT), normal(3000, 4)))


# --- angles ------------------------------------------------------------------------------------------

FREQUENCIES = f32(10000.0 ** (-np.arange(0, 16, 2) / 16))
POSITIONS = i64(*range(8))[None]
LATER = [{"p": POSITIONS + 1000}, {"p": POSITIONS + 2040}]


def rope(g: Graph) -> str:
    """Rotary embedding: positions times frequencies as a product of matrices."""
    p = g("Unsqueeze", g("Cast", g.given("p", POSITIONS), to=TensorProto.FLOAT), i64(1))
    angle = g("Transpose", g("MatMul", FREQUENCIES.reshape(1, 8, 1), p), perm=[0, 2, 1])
    angle = g("Concat", angle, angle, axis=-1)
    q = normal(1, 8, 16)
    return str(g("Add", g("Mul", g("Cos", angle), q), g("Mul", g("Sin", angle), q)))


def rope_outer(g: Graph) -> list[str]:
    """The same as a broadcast product."""
    p = g("Unsqueeze", g("Cast", g.given("p", POSITIONS), to=TensorProto.FLOAT), i64(-1))
    angle = g("Mul", p, FREQUENCIES)
    return [g("Cos", angle), g("Sin", angle)]


def rope_two_axes(g: Graph) -> str:
    """A sum of the angles of rows and columns."""
    p = g("Unsqueeze", g("Cast", g.given("p", POSITIONS), to=TensorProto.FLOAT), i64(-1))
    rows = g("Mul", p, FREQUENCIES)
    columns = g("Mul", g("Add", p, 7.0), f32(FREQUENCIES[::-1].copy()))
    return str(g("Cos", g("Add", rows, columns)))


def rope_table(g: Graph) -> str:
    """Positions from a constant table of floats, taken by ids: no integer becomes a float."""
    taken = g("Gather", np.arange(4096, dtype=np.float32), g.given("p", POSITIONS))
    return str(g("Sin", g("Mul", g("Unsqueeze", taken, i64(-1)), FREQUENCIES)))


def timestep(g: Graph) -> str:
    """A diffusion model's time, in floats, with frequencies that the graph computes."""
    t = g.given("t", f32([[0.25], [3.0]]))
    scale = g("Exp", g("Mul", np.arange(8, dtype=np.float32), float(-np.log(10000.0) / 8)))
    angle = g("Mul", t, scale)
    return str(g("Concat", g("Sin", angle), g("Cos", angle), axis=-1))


def fourier(g: Graph) -> str:
    """Random Fourier features of coordinates."""
    angle = g("Mul", g("MatMul", g.given("x", normal(5, 3)), normal(3, 16, scale=10)), float(2 * np.pi))
    return str(g("Sin", angle))


# --- statistics --------------------------------------------------------------------------------------


def _norm_input(g: Graph, scale: float = 400.0) -> str:
    return g.given("x", normal(2, 32, 4, 4, scale=scale))


def layer_norm_written(g: Graph) -> str:
    x = _norm_input(g)
    centred = g("Sub", x, g("ReduceMean", x, axes=[1], keepdims=1))
    variance = g("ReduceMean", g("Pow", centred, 2.0), axes=[1], keepdims=1)
    return str(g("Div", centred, g("Sqrt", g("Add", variance, 1e-6))))


def layer_norm(g: Graph) -> str:
    x = g("Transpose", _norm_input(g), perm=[0, 2, 3, 1])
    return str(g("LayerNormalization", x, f32(np.ones(32)), f32(np.zeros(32)), axis=-1))


def instance_norm(g: Graph) -> str:
    return str(g("InstanceNormalization", _norm_input(g), f32(np.ones(32)), f32(np.zeros(32))))


def group_norm_written(g: Graph) -> str:
    x = g("Reshape", _norm_input(g), i64(2, 8, -1))
    x = g("InstanceNormalization", x, f32(np.ones(8)), f32(np.zeros(8)))
    return str(g("Reshape", x, i64(2, 32, 4, 4)))


def rms_norm(g: Graph) -> str:
    x = _norm_input(g)
    mean = g("ReduceMean", g("Mul", x, x), axes=[1], keepdims=1)
    return str(g("Mul", x, g("Reciprocal", g("Sqrt", g("Add", mean, 1e-6)))))


def rms_norm_small(g: Graph) -> str:
    """Squares that F16 loses."""
    x = _norm_input(g, 1e-4)
    mean = g("ReduceMean", g("Pow", x, 2.0), axes=[1], keepdims=1)
    return str(g("Div", x, g("Sqrt", g("Add", mean, 1e-12))))


def unit_length(g: Graph) -> str:
    """x / max(|x|, 1e-12), a row of zeros and a tiny one."""
    x = normal(4, 16)
    x[1] = 0
    x[2] *= 1e-4
    name = g.given("x", x)
    length = g("Clip", g("ReduceL2", name, axes=[1], keepdims=1), 1e-12)
    return str(g("Div", name, g("Expand", length, i64(4, 16))))


def unit_length_reciprocal(g: Graph) -> str:
    """x * rsqrt(sum(x * x) + 1e-8)."""
    x = normal(4, 16)
    x[1] = 0
    name = g.given("x", x)
    total = g("Add", g("ReduceSumSquare", name, axes=[1], keepdims=1), 1e-8)
    return str(g("Mul", name, g("Reciprocal", g("Sqrt", total))))


def magnitude(g: Graph) -> str:
    """sqrt(re^2 + im^2) of large parts."""
    re, im = g.given("re", normal(4, 8, scale=500)), g.given("im", normal(4, 8, scale=500))
    return str(g("Sqrt", g("Add", g("Mul", re, re), g("Mul", im, im))))


def softmax_written(g: Graph) -> str:
    powers = g("Exp", g.given("x", normal(2, 64, scale=3) + 9))
    return str(g("Div", powers, g("ReduceSum", powers, i64(1), keepdims=1)))


def long_sum(g: Graph) -> str:
    """A mean as a sum and a division: the sum is beyond 65504."""
    x = g.given("x", np.abs(normal(2, 4096, scale=60)))
    return str(g("Div", g("ReduceSum", x, i64(1), keepdims=1), 4096.0))


def deviation(g: Graph) -> str:
    """Minibatch standard deviation."""
    x = _norm_input(g, 300.0)
    centred = g("Sub", x, g("ReduceMean", x, axes=[0], keepdims=1))
    return str(g("Sqrt", g("Add", g("ReduceMean", g("Mul", centred, centred), axes=[0], keepdims=0), 1e-8)))


# --- small numbers -----------------------------------------------------------------------------------


def log_power(g: Graph) -> str:
    """log(x * x + 1e-10), digital silence included."""
    x = normal(2, 64, scale=1e-3)
    x[0, :32] = 0
    name = g.given("x", x)
    return str(g("Log", g("Add", g("Mul", name, name), 1e-10)))


def log_mel(g: Graph) -> str:
    """A spectrum through a filter bank, its logarithm, scaled to decibels."""
    x = g.given("x", normal(4, 32, scale=1e-2))
    mel = g("MatMul", g("Mul", x, x), np.abs(normal(32, 8)))
    return str(g("Mul", g("Log", g("Clip", mel, 1e-10)), 4.342944819))


def log_spectrum(g: Graph) -> str:
    """Sound in the range of 16 bits through a transform, squares, a filter bank and a logarithm."""
    x = g.given("x", normal(1, 1, 256, scale=8000))
    parts = [g("Conv", x, normal(16, 1, 32, scale=0.5), strides=[16]) for _ in range(2)]
    power = g("Add", *(g("Mul", part, part) for part in parts))
    mel = g("MatMul", g("Transpose", power, perm=[0, 2, 1]), np.abs(normal(16, 4)))
    return str(g("Log", g("Clip", mel, 1e-10)))


def magnitude_of_network(g: Graph) -> str:
    """The length of two results of convolutions."""
    x = g.given("x", normal(1, 3, 8, 8))
    parts = [g("Conv", x, normal(8, 3, 3, 3, scale=60)) for _ in range(2)]
    return str(g("Sqrt", g("Add", *(g("Mul", part, part) for part in parts))))


def log_probability(g: Graph) -> str:
    return str(g("Log", g("Softmax", g.given("x", normal(3, 8, scale=8)), axis=-1)))


def log_small(g: Graph) -> str:
    return str(g("Log", g("Add", g("Relu", g.given("x", normal(3, 8))), 1e-12)))


def guarded_division(g: Graph) -> str:
    x, y = normal(3, 8, scale=1e-9), normal(3, 8, scale=1e-9)
    bounded = g("Max", g("Abs", g.given("y", y)), f32(1e-8))
    return str(g("Div", g.given("x", x), bounded))


# --- masks -------------------------------------------------------------------------------------------


def _attention(g: Graph, mask: Callable[[str], str]) -> str:
    q, k = g.given("q", normal(2, 6, 16)), g.given("k", normal(2, 16, 6))
    scores = g("Mul", g("MatMul", q, k), 0.25)
    return str(g("MatMul", g("Softmax", mask(scores), axis=-1), normal(2, 6, 8)))


LOWEST = float(np.finfo(np.float32).min)
CAUSAL = np.triu(np.ones((6, 6), bool), 1)


def mask_added(g: Graph) -> str:
    return _attention(g, lambda s: g("Add", s, f32(np.where(CAUSAL, LOWEST, 0))))


def mask_added_1e9(g: Graph) -> str:
    return _attention(g, lambda s: g("Add", s, f32(np.where(CAUSAL, -1e9, 0))))


def mask_chosen(g: Graph) -> str:
    return _attention(g, lambda s: g("Where", CAUSAL, LOWEST, s))


def mask_chosen_twice(g: Graph) -> str:
    mask = f32(np.where(CAUSAL, LOWEST, 0))
    return _attention(g, lambda s: g("Add", g("Add", s, mask), mask * np.float32(0.5)))


def mask_infinite(g: Graph) -> str:
    return _attention(g, lambda s: g("Where", CAUSAL, float("-inf"), s))


def mask_at_run_time(g: Graph) -> str:
    """(1 - mask) * lowest, as BERT has it."""
    mask = np.ones((1, 6), np.int64)
    mask[0, 4:] = 0
    keep = g("Cast", g.given("mask", mask), to=TensorProto.FLOAT)
    return _attention(g, lambda s: g("Add", s, g("Mul", g("Sub", 1.0, keep), LOWEST)))


def row_masked_whole(g: Graph) -> str:
    """A padded row attends to nothing: all of its scores are the lowest."""
    mask = np.zeros((6, 6), np.float32)
    mask[5] = LOWEST
    return _attention(g, lambda s: g("Add", s, mask))


# --- keys --------------------------------------------------------------------------------------------

NEAR = f32(10 + np.arange(64)[None] * 2.0**-9)


def best_of_near(g: Graph) -> str:
    return str(g("ArgMax", g("Mul", g.given("x", NEAR), 1.0), axis=1))


def best_of_sigmoids(g: Graph) -> list[str]:
    """The best anchors by sigmoid scores that crowd below 1."""
    scores = g("Sigmoid", g.given("x", f32(RNG.permutation(np.linspace(2, 9, 256))[None])))
    places = g("TopK", scores, i64(10), count=2, axis=1)[1]
    return [g("Cast", places, to=TensorProto.INT32), g("GatherElements", scores, places, axis=1)]


def best_of_products(g: Graph) -> str:
    """Objectness times class score, the greatest of the classes."""
    x = g.given("x", f32(RNG.permutation(np.linspace(1, 6, 320)).reshape(1, 64, 5)))
    scores = g("Sigmoid", x)
    product = g("Mul", g("Slice", scores, i64(0), i64(1), i64(2)), g("Slice", scores, i64(1), i64(5), i64(2)))
    places = g("TopK", g("ReduceMax", product, axes=[2], keepdims=0), i64(8), count=2, axis=1)[1]
    return str(g("Cast", places, to=TensorProto.INT32))


# --- tiny factors ------------------------------------------------------------------------------------


def layer_scale(g: Graph) -> str:
    x = g("Conv", g.given("x", normal(1, 3, 8, 8)), normal(16, 3, 3, 3, scale=0.2))
    branch = g("Mul", g("Conv", x, normal(16, 16, 1, 1, scale=0.25)), f32(np.full((1, 16, 1, 1), 1e-6)))
    return str(g("Add", x, branch))


def tiny_result(g: Graph) -> str:
    """What leaves the model is tiny itself."""
    x = g("Conv", g.given("x", normal(1, 3, 8, 8)), normal(8, 3, 3, 3, scale=0.2))
    return str(g("Mul", g("Relu", g("Mul", x, 1e-6)), 0.5))


def tiny_filter(g: Graph) -> str:
    return str(g("Conv", g.given("x", normal(1, 3, 8, 8)), normal(8, 3, 3, 3, scale=1e-7)))


def tiny_and_back(g: Graph) -> str:
    x = g("Mul", g.given("x", normal(4, 64)), 1e-7)
    return str(g("MatMul", g("Mul", x, 1e7), normal(64, 8)))


# --- rounding ----------------------------------------------------------------------------------------


def quantised_block(g: Graph) -> str:
    """QuantizeLinear, DequantizeLinear around a convolution; one step is 0.03."""

    def pair(x: str, scale: float) -> str:
        q = g("QuantizeLinear", x, f32(scale), np.uint8(128))
        return str(g("DequantizeLinear", q, f32(scale), np.uint8(128)))

    x = pair(g.given("x", normal(1, 3, 8, 8)), 0.02)
    return str(g("Conv", x, normal(4, 3, 3, 3, scale=0.2)))


def sampled(g: Graph) -> str:
    """Flow on a constant grid, rows and columns taken from it."""
    x = g.given("x", np.abs(normal(1, 64, scale=15)))
    place = g("Clip", g("Add", g("Mul", x, 1.5), f32(np.arange(64)[None])), 0.0, 299.0)
    below = g("Floor", place)
    taken = g("Gather", normal(300, scale=1.0), g("Cast", below, to=TensorProto.INT64))
    return str(g("Mul", taken, g("Sub", place, below)))


EXACT = [class_numbers, class_numbers_in_floats, token_numbers, running_positions, integer_boxes,
         best_of_near,
         best_of_products]  # fmt: skip
ANGLES = [rope, rope_outer, rope_two_axes, rope_table]
OTHERS = [wide_dequantised, one_hot, fourier, layer_norm_written, layer_norm, instance_norm,
          group_norm_written, rms_norm, rms_norm_small, unit_length, unit_length_reciprocal, magnitude,
          softmax_written, long_sum, deviation, log_power, log_mel, log_spectrum,
          magnitude_of_network, log_probability, log_small,
          guarded_division, mask_added, mask_added_1e9, mask_chosen, mask_chosen_twice, mask_infinite,
          mask_at_run_time, row_masked_whole, best_of_sigmoids, layer_scale, tiny_result, tiny_filter,
          tiny_and_back, quantised_block, sampled]  # fmt: skip
CASES: dict[str, Case] = {
    **{build.__name__: Case(build, exact=True) for build in EXACT},
    **{build.__name__: Case(build, LATER) for build in ANGLES},
    **{build.__name__: Case(build) for build in OTHERS},
    "timestep": Case(timestep, [{"t": f32([[981.0], [999.0]])}]),
}
CASES["group_norm_written"].opset = CASES["layer_norm_written"].opset = 13
for _name in ("unit_length", "unit_length_reciprocal", "rms_norm", "rms_norm_small", "deviation"):
    CASES[_name].opset = 13
CASES["running_positions"].later = [{"mask": np.ones((1, 8), np.int64)}]


@pytest.mark.parametrize("precision", ["F16", "BF16"])
@pytest.mark.parametrize("name", CASES)
def test_right_in_half_precision(name: str, precision: str) -> None:
    case = CASES[name]
    model, compiled, graph = _compile(case, precision)
    for verdict in compiled.validations:
        verdict.raise_if_failed()
    bmodel = compiled.bmodel
    for changed in ({}, *case.later):
        inputs = graph.data | changed
        fed = {s.name: inputs[s.name].astype(s.numpy_dtype) for s in bmodel.inputs}
        got = bmodel.run(fed)
        for output, want in run_onnx(load(model), inputs, graph.outputs).items():
            have = got[output].reshape(want.shape)
            if case.exact or want.dtype.kind != "f":
                np.testing.assert_array_equal(have, want)
                continue
            error = np.abs(have.astype(np.float64) - want)
            assert error.max() <= case.bound[precision] * np.abs(want).max(), (output, error.max())
