"""Operations over halves as code generation makes them, against the same operation in F32.

Every row is Tpu text with ``{t}`` for the element type. The F32 text on the interpreter, over operands that
are halves, says what the result is before it is rounded; the simulated chip must give that, rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from tpumlir import npz
from tpumlir._core import ir

Array = npt.NDArray[Any]
HALVES = ("f16", "bf16")
HEAD = (
    'module @m attributes {module.name = "m", module.chip = "bm1684x", module.mode = "MODE", '
    'module.state = "TPU_LOWERED", module.platform = "ONNX", module.weight_file = "w.npz"}'
)


def narrow(values: Array, half: str) -> Array:
    """The halves nearest to float32 values, as a bmodel takes them: bf16 as its bits."""
    return values.astype(np.float16) if half == "f16" else npz.to_bf16_bits(values)


def widen(values: Array) -> npt.NDArray[np.float32]:
    """The values of halves."""
    return npz.to_f32_from_bf16_bits(values) if values.dtype == np.uint16 else values.astype(np.float32)


@dataclass(frozen=True)
class Row:
    """One op, its run-time operands by name and its constants; ``fixed`` are operands that stay f32."""

    why: str
    op: str
    inputs: Mapping[str, tuple[int, ...]]
    output: tuple[int, ...]
    attributes: str = ""
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    scale: float = 1.0

    def __str__(self) -> str:
        return f"{self.op}-{self.why}"

    def text(self, element: str) -> str:
        """The module with halves, or all of it in f32."""

        def tensor(shape: tuple[int, ...], name: str = "") -> str:
            return f"tensor<{''.join(f'{d}x' for d in shape)}{'f32' if name in self.fixed else element}>"

        body = ['%none = "top.None"() : () -> none']
        arguments = []
        for i, (name, shape) in enumerate(self.inputs.items()):
            kind = tensor(shape, name)
            arguments.append(f"%arg{i}: {kind}")
            body.append(f'%{name} = "top.Input"(%arg{i}) : ({kind}) -> {kind} loc("{name}")')
        for name, shape in self.weights.items():
            body.append(f'%{name} = "top.Weight"() : () -> {tensor(shape, name)} loc("{name}")')
        shapes = {**self.inputs, **self.weights}
        names = self.op.split("(")[1].rstrip(")").split(", ")
        kinds = ", ".join("none" if n == "none" else tensor(shapes[n], n) for n in names)
        operands = ", ".join(f"%{n}" for n in names)
        result = tensor(self.output)
        body.append(
            f'%out = "tpu.{self.op.split("(")[0]}"({operands}) {{{self.attributes}}} : ({kinds}) -> {result} '
            'loc("y")'
        )
        lines = "\n    ".join([*body, f"return %out : {result}"])
        head = HEAD.replace("MODE", element.upper())
        return f"{head} {{\n  func.func @main({', '.join(arguments)}) -> {result} {{\n    {lines}\n  }}\n}}\n"

    def operands(self, half: str) -> dict[str, npt.NDArray[np.float32]]:
        """Values of all operands; those that are not fixed are halves."""
        rng = np.random.default_rng(len(str(self)))
        found = {}
        for name, shape in {**self.inputs, **self.weights}.items():
            values = (rng.standard_normal(shape) * self.scale).astype(np.float32)
            found[name] = values if name in self.fixed else widen(narrow(values, half))
        return found


def conv(
    kernel: int, pad: int = 0, stride: int = 1, group: int = 1, bias: bool = False, more: str = ""
) -> str:
    """Attributes of a square convolution."""
    return (
        f"kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}], "
        f"pads = [{pad}, {pad}, {pad}, {pad}], dilations = [1, 1], group = {group} : i64, "
        f"with_bias = {str(bias).lower()}{more}"
    )


DECONV = ", output_padding = [0, 0]"
CONV, MATMUL = "Conv2D(x, w, none)", "MatMul(x, w, none, none, none)"
SOFTMAX, REDUCE = "Softmax(x, none, none, none, none, none)", "Reduce(x, none, none)"
ROWS = [
    # Filters at run time are packed on the chip: whole cubes of 32 channels, a rest, less than one.
    Row("whole_cubes", CONV, {"x": (1, 64, 9, 9), "w": (70, 64, 3, 3)}, (1, 70, 9, 9), conv(3, 1)),
    Row("rest", CONV, {"x": (2, 37, 6, 7), "w": (65, 37, 2, 2)}, (2, 65, 5, 6), conv(2)),
    Row("below_a_cube", CONV, {"x": (1, 3, 40, 40), "w": (8, 3, 5, 5)}, (1, 8, 18, 18), conv(5, 0, 2)),
    Row("grouped", "Conv2D(x, w, b)", {"x": (1, 12, 5, 5), "w": (6, 4, 3, 3), "b": (6,)}, (1, 6, 3, 3),
        conv(3, 0, 1, 3, True), fixed=("b",)),
    Row("rotated_relu", CONV, {"x": (1, 33, 8, 8), "w": (5, 33, 3, 3)}, (1, 5, 6, 6),
        conv(3, more=", do_kernel_rotate = true, do_relu = true, relu_limit = 6.0 : f64")),
    Row("cut_channels", CONV, {"x": (1, 1024, 5, 5), "w": (300, 1024, 3, 3)}, (1, 300, 3, 3), conv(3)),
    Row("cut_image", CONV, {"x": (1, 3, 200, 300), "w": (8, 3, 5, 5)}, (1, 8, 200, 300), conv(5, 2)),
    Row("pads_beyond_fields", CONV, {"x": (1, 4, 6, 7), "w": (5, 4, 33, 33)}, (1, 5, 14, 15),
        conv(33, 20)),
    Row("depthwise", "Conv2D(x, w, b)", {"x": (1, 70, 9, 9), "w": (70, 1, 3, 3), "b": (70,)}, (1, 70, 5, 5),
        conv(3, 1, 2, 70, True), fixed=("b",)),
    Row("spread", "Deconv(x, w, none)", {"x": (1, 40, 6, 7), "w": (5, 40, 3, 3)}, (1, 5, 13, 15),
        conv(3, 0, 2) + DECONV),
    Row("grouped", "Deconv(x, w, b)", {"x": (2, 70, 4, 4), "w": (3, 70, 2, 2), "b": (6,)}, (2, 6, 8, 8),
        conv(2, 0, 2, 2, True) + DECONV, fixed=("b",)),
    # Products: both orders of the right operand, cut along every axis, a bias, batches.
    Row("plain", MATMUL, {"x": (70, 130), "w": (130, 65)}, (70, 65)),
    Row("right_turned", MATMUL, {"x": (3, 33), "w": (40, 33)}, (3, 40),
        "right_transpose = true"),
    Row("left_turned", MATMUL, {"x": (33, 70), "w": (33, 40)}, (70, 40),
        "left_transpose = true"),
    Row("bias_relu", "MatMul(x, w, b, none, none)", {"x": (5, 33), "w": (33, 66), "b": (66,)}, (5, 66),
        "do_relu = true", fixed=("b",)),
    Row("cut", MATMUL, {"x": (600, 1100), "w": (1100, 1030)}, (600, 1030)),
    Row("batches", MATMUL, {"x": (3, 2, 33, 17), "w": (1, 2, 17, 65)}, (3, 2, 33, 65)),
    # Arithmetic in F32 between loads and stores of halves.
    Row("broadcast", "Add(x, y)", {"x": (4, 70, 33), "y": (33,)}, (4, 70, 33)),
    Row("per_channel", "Mul(x, y)", {"x": (1, 100, 30, 31), "y": (100, 1, 1)}, (1, 100, 30, 31)),
    Row("f32_parameters", "Scale(x, s, b, none)", {"x": (2, 70, 33), "s": (70,), "b": (70,)}, (2, 70, 33),
        fixed=("s", "b")),
    Row("flat", "Active(x)", {"x": (3, 70000)}, (3, 70000), "mode = #tpu<active_mode TANH>"),
    Row("no_inner_overflow", SOFTMAX, {"x": (3, 70, 40)}, (3, 70, 40), "axis = 1 : si32", scale=300.0),
    Row("long", SOFTMAX, {"x": (2, 70000)}, (2, 70000), "axis = 1 : si32"),
    Row("squares", REDUCE, {"x": (3, 500, 7)}, (3, 1, 7),
        'axes = [1], keepdims = true, mode = "ReduceMean"', scale=30.0),
    Row("least", REDUCE, {"x": (3, 500, 7)}, (3, 1, 7), 'axes = [1], keepdims = true, mode = "ReduceMin"'),
    Row("mean", "Pool2D(x)", {"x": (1, 65, 17, 19)}, (1, 65, 8, 9),
        "kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 0, 0], pool_mode = #tpu<pool_mode Avg>"),
    Row("greatest", "Pool2D(x)", {"x": (1, 65, 17, 19)}, (1, 65, 9, 10),
        "kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], pool_mode = #tpu<pool_mode Max>"),
    # Copies.
    Row("five_axes", "Permute(x, none)", {"x": (2, 3, 4, 5, 6)}, (6, 4, 2, 5, 3), "order = [4, 2, 0, 3, 1]"),
    Row("constant", "Pad(x)", {"x": (2, 5, 6)}, (4, 8, 6),
        "paddings = [1, 0, 0, 1, 3, 0], val = 1.5 : f64, mode = #tpu<padding_mode constant>"),
]  # fmt: skip


def agree(got: Array, want: npt.NDArray[np.float32], half: str) -> None:
    """Assert that ``got`` is ``want`` rounded, but for sums whose order differs: one step of the half."""
    rounded = widen(narrow(want, half))
    bits = 10 if half == "f16" else 7
    least = 2.0**-24 if half == "f16" else 0.0
    step = np.maximum(2.0 ** (np.floor(np.log2(np.maximum(np.abs(rounded), 1e-30))) - bits), least)
    noise = 1e-5 * np.abs(want).max()
    assert np.all(np.abs(widen(got) - rounded) <= step + noise)
    assert np.mean(widen(got) == rounded) > 0.9


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_result_is_the_f32_result_rounded_once(row: Row, half: str) -> None:
    values = row.operands(half)
    reference = tpumlir.Module(ir.Module.parse(row.text("f32"), {}))
    want = tpumlir.ModuleInterpreter(reference).run(values)["y"]
    module = tpumlir.Module(ir.Module.parse(row.text(half), {}))
    given = {name: v if name in row.fixed else narrow(v, half) for name, v in values.items()}
    agree(module.compile().run(given, detect_races=True)["y"], want, half)


@pytest.mark.parametrize("row", [r for r in ROWS if r.op.startswith(("Conv2D", "Deconv"))], ids=str)
def test_constant_filter_gives_the_bits_of_the_computed_one(row: Row) -> None:
    values = row.operands("f16")
    given = {name: v if name in row.fixed else v.astype(np.float16) for name, v in values.items()}
    computed = tpumlir.Module(ir.Module.parse(row.text("f16"), {})).compile()
    inputs = {name: shape for name, shape in row.inputs.items() if name == "x"}
    weights = {name: shape for name, shape in row.inputs.items() if name != "x"}
    fixed = Row(row.why, row.op, inputs, row.output, row.attributes, weights, row.fixed, row.scale)
    constants = {name: given[name] for name in weights}
    constant = tpumlir.Module(ir.Module.parse(fixed.text("f16"), constants)).compile()
    np.testing.assert_array_equal(
        computed.run(given)["y"].view(np.uint16), constant.run({"x": given["x"]})["y"].view(np.uint16)
    )


def in_order(filter: Array, order: str, group: int) -> Array:
    """A filter [oc, ic / group, kh, kw] in another order, docs/generated/tpu.md of tpu.Conv2D."""
    rows, channels, *kernel = filter.shape
    apart = filter.reshape(group, rows // group, channels, *kernel)
    if order == "GOIK":
        return filter
    if order == "OGIK":
        return np.ascontiguousarray(apart.swapaxes(0, 1)).reshape(rows // group, group * channels, *kernel)
    blocks, taps = -(-channels // 32), int(np.prod(kernel))
    cubes = np.zeros((rows, blocks * 32, taps), filter.dtype)
    cubes[:, :channels] = filter.reshape(rows, channels, taps)
    return np.ascontiguousarray(cubes.reshape(rows, blocks, 32, taps).swapaxes(2, 3)).reshape(
        1, rows, blocks, taps * 32
    )


@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
@pytest.mark.parametrize("op", ["Conv2D", "Deconv"])
@pytest.mark.parametrize(("group", "channels"), [(1, 33), (2, 32), (3, 5), (2, 70)])
def test_each_filter_layout_gives_the_same_bits(op: str, group: int, channels: int, constant: bool) -> None:
    rng = np.random.default_rng(channels)
    rows = 2 * group
    x = rng.standard_normal((1, group * channels, 5, 6)).astype(np.float16)
    plain = rng.standard_normal((rows, channels, 3, 3)).astype(np.float16)
    out = (1, rows, 5, 6)
    found = []
    for order in ("GOIK", "OGIK", "Cubes"):
        laid = in_order(plain, order, group)
        attributes = conv(3, 1, 1, group) + f", filter_layout = #tpu<filter_layout {order}>"
        attributes += DECONV if op == "Deconv" else ""
        shapes = {"w": laid.shape}
        row = Row(order, f"{op}(x, w, none)", {"x": x.shape} | ({} if constant else shapes), out, attributes,
                  shapes if constant else {})  # fmt: skip
        module = tpumlir.Module(ir.Module.parse(row.text("f16"), {"w": laid} if constant else {}))
        given = {"x": x} | ({} if constant else {"w": laid})
        widened = {name: values.astype(np.float32) for name, values in given.items()}
        found.append((tpumlir.ModuleInterpreter(module).run(widened)["y"], module.compile().run(given)["y"]))
    for interpreted, run in found[1:]:
        np.testing.assert_array_equal(interpreted, found[0][0])
        np.testing.assert_array_equal(run.view(np.uint16), found[0][1].view(np.uint16))
    agree(found[0][1], found[0][0], "f16")
