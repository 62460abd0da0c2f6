"""What `canonicalize` rewrites computes what it computed before, under the names that it must keep.

Each row builds a small Top graph; the module is run by the interpreter before and after the passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tpumlir._core import ir
from tpumlir._core.interpreter import Interpreter

Array = npt.NDArray[np.float32]
PASSES = "shape-infer,canonicalize,extra-optimize"


class Graph:
    """A builder with shorter words: results are named t0, t1, ... unless named."""

    def __init__(self, seed: int = 0) -> None:
        self.builder = ir.GraphBuilder("net")
        self.rng = np.random.default_rng(seed)
        self.count = 0

    def x(self, *shape: int, name: str = "x") -> ir.Value:
        return self.builder.input(name, shape)

    def w(self, *shape: int, values: Any = None, low: float = -1.0, high: float = 1.0) -> ir.Value:
        data = self.rng.uniform(low, high, shape) if values is None else np.broadcast_to(values, shape)
        return self.builder.weight(self.name("w"), np.array(data, np.float32))

    def none(self) -> ir.Value:
        return self.builder.none()

    def name(self, stem: str = "t") -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def op(self, kind: str, *operands: ir.Value, name: str | None = None, **attrs: Any) -> ir.Value:
        return self.builder.op(f"top.{kind}", operands, attrs, names=[name or self.name()])[0]

    def conv(self, x: ir.Value, oc: int, *, bias: bool = True, group: int = 1, **attrs: Any) -> ir.Value:
        w, b = self.w(oc, x.shape[1] // group, 3, 3), self.w(oc) if bias else self.none()
        window: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4, "group": group}
        return self.op("Conv", x, w, b, **window, **attrs)

    def deconv(self, x: ir.Value, oc: int, *, group: int = 1) -> ir.Value:
        w = self.w(oc // group, x.shape[1], 2, 2)
        window: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "group": group}
        return self.op("Deconv", x, w, self.w(oc), **window)

    def norm(self, x: ir.Value, **attrs: Any) -> ir.Value:
        c = x.shape[1]
        return self.op("BatchNorm", x, self.w(c), self.w(c, low=0.5, high=2), self.w(c), self.w(c), **attrs)


Build = Callable[[Graph], ir.Value]


@dataclass(frozen=True)
class Row:
    """A graph, and the kinds of its ops after the passes (inputs and constants left out)."""

    name: str
    build: Build
    after: str

    def __str__(self) -> str:
        return self.name


def add(graph: Graph, x: ir.Value, y: ir.Value, **attrs: Any) -> ir.Value:
    return graph.op("Add", x, y, **attrs)


def chain(*steps: Callable[[Graph, ir.Value], ir.Value], shape: tuple[int, ...] = (2, 4, 6, 5)) -> Build:
    def build(graph: Graph) -> ir.Value:
        value = graph.x(*shape)
        for step in steps:
            value = step(graph, value)
        return value

    return build


def const(kind: str, *shape: int, first: bool = False, **draw: Any) -> Callable[[Graph, ir.Value], ir.Value]:
    """A step with a constant operand of that shape."""

    def step(graph: Graph, x: ir.Value) -> ir.Value:
        w = graph.w(*shape, **draw)
        return graph.op(kind, *((w, x) if first else (x, w)))

    return step


def one(kind: str, **attrs: Any) -> Callable[[Graph, ir.Value], ir.Value]:
    return lambda graph, x: graph.op(kind, x, **attrs)


def matmul(n: int, *, bias: bool = True, **attrs: Any) -> Callable[[Graph, ir.Value], ir.Value]:
    def step(graph: Graph, x: ir.Value) -> ir.Value:
        k = x.shape[-1]
        w = graph.w(n, k) if attrs.get("right_transpose") else graph.w(k, n)
        return graph.op("MatMul", x, w, graph.w(n) if bias else graph.none(), **attrs)

    return step


def conv(graph: Graph, x: ir.Value) -> ir.Value:
    return graph.conv(x, 6)


def conv_no_bias(graph: Graph, x: ir.Value) -> ir.Value:
    return graph.conv(x, 6, bias=False)


def norm(graph: Graph, x: ir.Value) -> ir.Value:
    return graph.norm(x)


def scale(graph: Graph, x: ir.Value) -> ir.Value:
    return graph.op("Scale", x, graph.w(x.shape[1]), graph.none())


def mul_all(graph: Graph, *factors: ir.Value) -> ir.Value:
    value = factors[0]
    for factor in factors[1:]:
        value = graph.op("Mul", value, factor)
    return value


def gate(graph: Graph, kind: str, argument: ir.Value) -> ir.Value:
    return graph.op("AddConst", graph.op(kind, argument), const_val=1.0)


def cubic(graph: Graph, x: ir.Value, *, cube: ir.Value | None = None) -> ir.Value:
    """The argument of GELU's tanh: sqrt(2 / pi) (x + 0.044715 x^3)."""
    cube = cube or graph.op("Pow", x, exponent=3.0)
    inner = add(graph, x, graph.op("MulConst", cube, const_val=0.044715))
    return graph.op("MulConst", inner, const_val=0.7978845608028654)


def mean(graph: Graph, x: ir.Value, axes: list[int], **attrs: Any) -> ir.Value:
    chosen: dict[str, Any] = {"keepdims": True, "mode": "ReduceMean"} | attrs
    return graph.op("Reduce", x, axes=axes, **chosen)


def centred(graph: Graph, x: ir.Value, axes: list[int]) -> ir.Value:
    return graph.op("Sub", x, mean(graph, x, axes))


def root(graph: Graph, c: ir.Value, axes: list[int], *, eps: float = 1e-5) -> ir.Value:
    """sqrt(mean(c * c) + eps)."""
    square = mean(graph, graph.op("Pow", c, exponent=2.0), axes)
    return graph.op("Sqrt", graph.op("AddConst", square, const_val=eps))


def layer_norm(graph: Graph, x: ir.Value, axes: list[int], *, twice: bool = False) -> ir.Value:
    c = centred(graph, x, axes)
    return graph.op("Div", centred(graph, x, axes) if twice else c, root(graph, c, axes))


def rms_norm(graph: Graph, x: ir.Value, axes: list[int]) -> ir.Value:
    return graph.op("Mul", graph.op("Reciprocal", root(graph, x, axes)), x)


def shuffle(split: list[int], order: list[int], shape: list[int]) -> Callable[[Graph, ir.Value], ir.Value]:
    """Reshape, Permute, Reshape."""

    def step(graph: Graph, x: ir.Value) -> ir.Value:
        moved = graph.op("Permute", graph.op("Reshape", x, shape=split), order=order)
        return graph.op("Reshape", moved, shape=shape)

    return step


FUSIONS = [
    Row(
        "swish",
        chain(lambda g, x: g.op("Mul", g.op("Sigmoid", g.op("MulConst", x, const_val=1.7)), x)),
        "Swish",
    ),
    Row("mish", chain(lambda g, x: g.op("Mul", x, g.op("Tanh", g.op("Softplus", x)))), "Mish"),
    Row(
        "mish_of_another_tensor",
        chain(lambda g, x: g.op("Mul", g.op("Exp", x), g.op("Tanh", g.op("Softplus", x)))),
        "Exp Mul Softplus Tanh",
    ),
    Row(
        "gelu_as_torch_writes_it",
        chain(
            lambda g, x: g.op(
                "Mul", mul_all(g, x, gate(g, "Erf", g.op("Div", x, g.w(values=2**0.5)))), g.w(values=0.5)
            )
        ),
        "GELU",
    ),
    Row(
        "gelu_half_first",
        chain(
            lambda g, x: mul_all(
                g, gate(g, "Erf", g.op("MulConst", x, const_val=0.5**0.5)), g.op("MulConst", x, const_val=0.5)
            )
        ),
        "GELU",
    ),
    Row(
        "gelu_half_with_the_gate",
        chain(
            lambda g, x: mul_all(
                g,
                x,
                g.op("MulConst", gate(g, "Erf", g.op("MulConst", x, const_val=0.5**0.5)), const_val=0.5),
            )
        ),
        "GELU",
    ),
    Row(
        "gelu_by_tanh",
        chain(lambda g, x: g.op("MulConst", mul_all(g, x, gate(g, "Tanh", cubic(g, x))), const_val=0.5)),
        "GELU",
    ),
    Row(
        "gelu_by_tanh_of_products",
        chain(
            lambda g, x: mul_all(
                g, g.op("MulConst", x, const_val=0.5), gate(g, "Tanh", cubic(g, x, cube=mul_all(g, x, x, x)))
            )
        ),
        "GELU",
    ),
    Row(
        "gelu_by_tanh_with_x_drawn_out",
        chain(
            lambda g, x: mul_all(
                g,
                g.op("MulConst", x, const_val=0.5),
                gate(
                    g,
                    "Tanh",
                    mul_all(
                        g,
                        g.op("MulConst", x, const_val=0.7978845608028654),
                        g.op(
                            "AddConst", g.op("MulConst", mul_all(g, x, x), const_val=0.044715), const_val=1.0
                        ),
                    ),
                ),
            )
        ),
        "GELU",
    ),
    Row(
        "gelu_with_another_number",
        chain(
            lambda g, x: g.op(
                "MulConst", mul_all(g, x, gate(g, "Erf", g.op("MulConst", x, const_val=0.7))), const_val=0.5
            )
        ),
        "AddConst Erf Mul MulConst MulConst",
    ),
    Row("layer_norm", chain(lambda g, x: layer_norm(g, x, [3])), "LayerNorm"),
    Row("layer_norm_of_two_axes", chain(lambda g, x: layer_norm(g, x, [2, 3])), "LayerNorm"),
    Row(
        "layer_norm_of_other_axes",
        chain(lambda g, x: layer_norm(g, x, [1])),
        "AddConst Div Mul Reduce Reduce Sqrt Sub",
    ),
    Row(
        "layer_norm_with_the_difference_twice",
        chain(lambda g, x: layer_norm(g, x, [3], twice=True)),
        "LayerNorm",
    ),
    Row(
        "layer_norm_with_parameters",
        chain(lambda g, x: layer_norm(g, x, [2, 3]), const("Mul", 6, 5), const("Add", 1, 6, 5)),
        "LayerNorm",
    ),
    Row(
        "layer_norm_with_run_time_parameters",
        chain(
            lambda g, x: layer_norm(g, x, [3]),
            lambda g, x: g.op("Mul", g.x(5, name="gamma"), x),
            lambda g, x: g.op("Add", x, g.x(5, name="beta")),
        ),
        "LayerNorm",
    ),
    Row(
        "layer_norm_and_a_factor_per_channel",
        chain(lambda g, x: layer_norm(g, x, [2, 3]), const("Mul", 4, 1, 1)),
        "LayerNorm Mul",
    ),
    Row(
        "layer_norm_bias_before_the_factor",
        chain(lambda g, x: layer_norm(g, x, [3]), const("Add", 5), const("Mul", 5)),
        "LayerNorm Mul",
    ),
    Row("rms_norm", chain(lambda g, x: rms_norm(g, x, [3]), const("Mul", 5)), "RMSNorm"),
    Row(
        "rms_norm_of_two_axes",
        chain(lambda g, x: rms_norm(g, x, [2, 3])),
        "AddConst Mul Mul Reciprocal Reduce Sqrt",
    ),
    Row(
        "rms_norm_of_another_tensor",
        chain(lambda g, x: g.op("Mul", g.op("Exp", x), g.op("Reciprocal", root(g, x, [3])))),
        "AddConst Exp Mul Mul Reciprocal Reduce Sqrt",
    ),
    Row(
        "transposed_operands_of_matmul",
        chain(
            lambda g, x: g.op(
                "MatMul",
                g.op("Permute", x, order=[0, 1, 3, 2]),
                g.op("Permute", g.x(2, 4, 7, 6, name="v"), order=[0, 1, 3, 2]),
                g.none(),
            )
        ),
        "MatMul",
    ),
    Row(
        "permuted_heads_are_no_transposition",
        chain(
            lambda g, x: g.op(
                "MatMul", g.op("Permute", x, order=[0, 2, 1, 3]), g.x(2, 6, 5, 3, name="v"), g.none()
            )
        ),
        "MatMul Permute",
    ),
    *(
        Row(f"{name}", chain(shuffle(split, order, result), one("Exp"), shape=given), "Depth2Space Exp")
        for name, given, split, order, result in [
            ("pixel_shuffle", (1, 12, 4, 5), [1, 2, 2, 3, 4, 5], [0, 1, 4, 2, 5, 3], [1, 2, 8, 15]),
            (
                "pixel_shuffle_block_first",
                (1, 12, 4, 5),
                [1, 2, 3, 2, 4, 5],
                [0, 3, 4, 1, 5, 2],
                [1, 2, 8, 15],
            ),
            ("pixel_unshuffle", (1, 2, 8, 15), [1, 2, 4, 2, 5, 3], [0, 1, 3, 5, 2, 4], [1, 12, 4, 5]),
            ("space_to_depth", (1, 2, 8, 15), [1, 2, 4, 2, 5, 3], [0, 3, 5, 1, 2, 4], [1, 12, 4, 5]),
        ]
    ),
    Row(
        "another_order_is_no_shuffle",
        chain(
            shuffle([1, 2, 2, 3, 4, 5], [0, 1, 4, 3, 5, 2], [1, 2, 12, 10]), one("Exp"), shape=(1, 12, 4, 5)
        ),
        "Exp Permute Reshape Reshape",
    ),
]

ROWS = [
    *FUSIONS,
    Row("batchnorm_is_a_scale", chain(norm), "Scale"),
    Row(
        "batchnorm_without_gamma",
        chain(lambda g, x: g.op("BatchNorm", x, g.w(4), g.w(4, low=0.5, high=2), g.none(), g.none())),
        "Scale",
    ),
    Row("batchnorm_into_conv", chain(conv, norm), "Conv"),
    Row("batchnorm_into_conv_without_bias", chain(conv_no_bias, norm), "Conv"),
    Row("batchnorm_into_grouped_conv", chain(lambda g, x: g.conv(x, 8, group=4), norm), "Conv"),
    Row(
        "batchnorm_into_depthwise_conv", chain(lambda g, x: g.conv(x, 4, group=4), norm, one("Relu")), "Conv"
    ),
    Row("batchnorm_into_deconv", chain(lambda g, x: g.deconv(x, 6), norm), "Deconv"),
    Row("batchnorm_into_grouped_deconv", chain(lambda g, x: g.deconv(x, 6, group=2), norm), "Deconv"),
    Row("conv_relu_then_batchnorm", chain(conv, one("Relu"), norm), "Conv Scale"),
    Row("scale_of_scale", chain(norm, scale, norm), "Scale"),
    Row(
        "factor_and_addend_per_channel", chain(conv, const("Mul", 6, 1, 1), const("Add", 1, 6, 1, 1)), "Conv"
    ),
    Row(
        "difference_and_quotient",
        chain(conv, const("Sub", 6, 1, 1), const("Div", 6, 1, 1, low=1, high=2)),
        "Conv",
    ),
    Row("number_before_conv_output", chain(conv, const("Mul", first=True)), "Conv"),
    Row("number_minus_conv_is_no_addend", chain(conv, const("Sub", 6, 1, 1, first=True)), "Conv Sub"),
    Row("factor_per_column_is_no_channel", chain(conv, const("Mul", 5)), "Conv Mul"),
    Row("factor_that_widens", chain(conv, const("Mul", 3, 1, 1, 1, 1)), "Conv Mul"),
    Row("matmul_and_bias", chain(matmul(7, bias=False), const("Add", 7), shape=(3, 5)), "MatMul"),
    Row("matmul_and_second_bias", chain(matmul(7), const("Add", 1, 7), shape=(2, 3, 5)), "MatMul"),
    Row("matmul_and_factor", chain(matmul(7), const("Mul", 7), shape=(2, 3, 5)), "MatMul"),
    Row(
        "transposed_matmul_and_factor",
        chain(matmul(7, right_transpose=True), const("Mul", 7), shape=(3, 5)),
        "MatMul",
    ),
    Row("matmul_and_factor_per_row", chain(matmul(7), const("Mul", 3, 1), shape=(3, 5)), "MatMul Mul"),
    Row(
        "transposed_result_and_factor",
        chain(matmul(7, bias=False, output_transpose=True), const("Mul", 3), shape=(3, 5)),
        "MatMul Mul",
    ),
    Row("matmul_batchnorm_relu", chain(matmul(7), norm, one("Relu"), shape=(3, 5)), "MatMul"),
    Row("matmul_of_rank_3_and_batchnorm", chain(matmul(7), norm, shape=(2, 3, 5)), "MatMul Scale"),
    Row("add_number", chain(one("Exp"), const("Add", 1)), "AddConst Exp"),
    Row("number_that_widens", chain(one("Exp"), const("Add", 1, 1, 1, 1, 1)), "Add Exp"),
    Row("equal_numbers_that_widen", chain(const("Sub", 4, 1, values=1.5), shape=(1, 6)), "Sub"),
    Row("number_minus_tensor", chain(const("Sub", first=True)), "SubConst"),
    Row("number_over_tensor", chain(one("Exp"), const("Div", first=True)), "Exp Reciprocal"),
    Row("tensor_over_number", chain(const("Div", values=3.0)), "MulConst"),
    Row("tensor_over_zero", chain(const("Div", values=0.0)), "Div"),
    Row("max_and_min", chain(const("Max"), const("Min")), "MaxConst MinConst"),
    Row(
        "max_of_leaky_relu",
        chain(one("LeakyRelu", alpha=0.2), const("Max", values=-0.4)),
        "LeakyRelu MaxConst",
    ),
    Row("power_two", chain(const("Pow3", values=2.0)), "Mul"),
    Row("power_half", chain(one("Abs"), const("Pow3", values=0.5)), "Abs Sqrt"),
    Row("power_three", chain(one("Abs"), const("Pow3", values=3.0)), "Abs Pow"),
    Row("power_of_a_number", chain(const("Pow3", values=2.5, first=True)), "Pow2"),
    Row("equal_slopes", chain(const("PRelu", 4, 1, 1, values=0.25)), "LeakyRelu"),
    Row("other_slopes", chain(const("PRelu", 4, 1, 1)), "PRelu"),
    Row(
        "compare_with_number",
        chain(lambda g, x: g.op("Compare", x, g.w(1, values=0.1), mode="Less")),
        "CompareConst",
    ),
    Row(
        "number_compared",
        chain(lambda g, x: g.op("Compare", g.w(1, values=0.1), x, mode="Less")),
        "CompareConst",
    ),
    Row("neutral", chain(const("Add", values=0.0), const("Mul", values=1.0), one("Exp")), "Exp"),
    Row("silu", chain(lambda g, x: g.op("Mul", x, g.op("Sigmoid", x))), "SiLU"),
    Row(
        "hard_swish",
        chain(
            lambda g, x: g.op(
                "MulConst",
                g.op("Mul", x, g.op("Clip", g.op("AddConst", x, const_val=3.0), min=0.0, max=6.0)),
                const_val=1 / 6,
            )
        ),
        "HardSwish",
    ),
    Row(
        "hard_sigmoid",
        chain(one("AddConst", const_val=3.0), one("Clip", min=0.0, max=6.0), const("Div", values=6.0)),
        "HardSigmoid",
    ),
    Row(
        "clip_is_no_hard_sigmoid",
        chain(one("AddConst", const_val=3.0), one("Clip", min=0.0, max=6.0), const("Div", values=5.0)),
        "AddConst MulConst",
    ),
    Row(
        "relu_into_add", chain(lambda g, x: add(g, g.op("Exp", x), x), one("Relu", relu_limit=1.5)), "Add Exp"
    ),
    Row("pad_into_conv", chain(one("Pad", paddings=[0, 0, 1, 2, 0, 0, 0, 3], mode="constant"), conv), "Conv"),
    Row(
        "pad_of_ones_before_conv",
        chain(one("Pad", paddings=[0, 0, 1, 2, 0, 0, 0, 3], mode="constant", val=1.0), conv),
        "Conv Pad",
    ),
    Row(
        "pad_into_average",
        chain(
            one("Pad", paddings=[0, 0, 1, 1, 0, 0, 1, 1], mode="constant"),
            one("AvgPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 0, 0], count_include_pad=True),
        ),
        "AvgPool",
    ),
    Row(
        "pad_before_average_of_what_is_there",
        chain(
            one("Pad", paddings=[0, 0, 1, 1, 0, 0, 1, 1], mode="constant"),
            one("AvgPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        ),
        "AvgPool Pad",
    ),
    Row("permutes", chain(one("Permute", order=[0, 2, 3, 1]), one("Permute", order=[3, 0, 1, 2])), "Permute"),
    Row(
        "permutes_cancel",
        chain(one("Permute", order=[0, 2, 3, 1]), one("Permute", order=[0, 3, 1, 2]), one("Exp")),
        "Exp",
    ),
    Row(
        "reshapes",
        chain(one("Reshape", shape=[2, -1]), one("Unsqueeze", axes=[1]), one("Exp")),
        "Exp Reshape",
    ),
    Row(
        "whole_slice",
        chain(
            lambda g, x: g.op(
                "Slice", x, g.none(), g.none(), g.none(), offset=[0], ends=[99], steps=[1], axes=[2]
            ),
            one("Exp"),
        ),
        "Exp",
    ),
    Row(
        "run_time_deconv_filter",
        lambda g: g.op(
            "Deconv",
            g.x(1, 4, 5, 5),
            g.op("Exp", g.x(4, 3, 2, 2, name="v")),
            g.none(),
            kernel_shape=[2, 2],
            strides=[1, 1],
            pads=[0, 0, 0, 0],
        ),
        "Deconv Exp Permute",
    ),
    Row(
        "permuted_run_time_deconv_filter",
        lambda g: g.op(
            "Deconv",
            g.x(1, 4, 5, 5),
            g.op("Permute", g.x(3, 4, 2, 2, name="v"), order=[1, 0, 2, 3]),
            g.none(),
            kernel_shape=[2, 2],
            strides=[1, 1],
            pads=[0, 0, 0, 0],
        ),
        "Deconv",
    ),
    Row(
        "run_time_conv_filter_takes_a_constant_bias",
        lambda g: g.op(
            "Add",
            g.op(
                "Conv",
                g.x(1, 4, 5, 5),
                g.x(3, 4, 2, 2, name="v"),
                g.none(),
                kernel_shape=[2, 2],
                strides=[1, 1],
                pads=[0, 0, 0, 0],
            ),
            g.w(3, 1, 1),
        ),
        "Conv",
    ),
    Row(
        "run_time_conv_filter_takes_no_factor",
        lambda g: g.op(
            "Mul",
            g.op(
                "Conv",
                g.x(1, 4, 5, 5),
                g.x(3, 4, 2, 2, name="v"),
                g.none(),
                kernel_shape=[2, 2],
                strides=[1, 1],
                pads=[0, 0, 0, 0],
            ),
            g.w(3, 1, 1),
        ),
        "Conv Mul",
    ),
]


def kinds(module: ir.Module) -> str:
    names = [op.kind.removeprefix("top.") for op in module.ops()]
    return " ".join(sorted(k for k in names if k not in {"Input", "Weight"}))


def check_row(row: Row) -> None:
    """Assert that the passes make of the row what it says, with the same values, and once is enough."""
    graph = Graph()
    result = row.build(graph)
    module = graph.builder.finish([result])
    rng = np.random.default_rng(7)
    inputs = {i.name: rng.uniform(-4, 4, i.shape or ()).astype(np.float32) for i in module.inputs}
    want = Interpreter(module).run(inputs)

    module.run_pipeline(PASSES)
    assert kinds(module) == row.after
    assert [o.name for o in module.outputs] == [result.name]
    got = Interpreter(module).run(inputs)
    np.testing.assert_allclose(got[result.name], want[result.name], rtol=2e-5, atol=2e-5)

    text = module.print()
    module.run_pipeline(PASSES)
    assert module.print() == text, "the second time nothing changes"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_same_values_after_the_passes(row: Row) -> None:
    check_row(row)


def test_weights_of_one_op_are_not_changed_for_another() -> None:
    graph = Graph()
    x = graph.x(1, 4, 6, 6)
    w, b = graph.w(4, 4, 3, 3), graph.w(4)
    window: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}
    plain = graph.op("Conv", x, w, b, name="plain", **window)
    normed = graph.norm(graph.op("Conv", x, w, b, **window))
    module = graph.builder.finish([plain, normed])
    inputs = {"x": np.random.default_rng(1).standard_normal((1, 4, 6, 6)).astype(np.float32)}
    want = Interpreter(module).run(inputs)
    module.run_pipeline(PASSES)
    assert kinds(module) == "Conv Conv"
    got = Interpreter(module).run(inputs)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=2e-5, atol=2e-5)


def test_a_fused_relu_stops_what_would_follow_it() -> None:
    """A factor behind the Relu must not move before it."""
    graph = Graph()
    y = graph.op("Mul", graph.op("Relu", graph.conv(graph.x(1, 4, 6, 6), 6)), graph.w(6, 1, 1))
    module = graph.builder.finish([y])
    inputs = {"x": np.random.default_rng(1).standard_normal((1, 4, 6, 6)).astype(np.float32)}
    want = Interpreter(module).run(inputs)
    module.run_pipeline(PASSES)
    assert kinds(module) == "Conv Mul"
    np.testing.assert_allclose(Interpreter(module).run(inputs)[y.name], want[y.name], rtol=2e-5, atol=2e-5)


def test_equal_weights_become_one_and_unused_data_go() -> None:
    graph = Graph()
    x = graph.x(4)
    a, b = graph.w(4, values=[1, 2, 3, 4]), graph.w(4, values=[1, 2, 3, 4])
    graph.w(4)
    module = graph.builder.finish([graph.op("Add", graph.op("Mul", x, a), b)])
    assert len(module.weights()) == 3
    module.run_pipeline("extra-optimize")
    assert Counter(op.kind for op in module.ops())["top.Weight"] == 1
    assert len(module.weights()) == 1
    out = Interpreter(module).run({"x": np.ones(4, np.float32)})
    np.testing.assert_array_equal(next(iter(out.values())), np.array([2, 4, 6, 8], np.float32))
