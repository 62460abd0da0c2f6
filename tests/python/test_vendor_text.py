"""Top text in the vendor's spelling: what it means, in every stage and precision, and what is refused.

The texts are written here by hand, as the vendor's front end would write them; ONNX Runtime or numpy says
what they mean. Those that the vendor's tool wrote are read if TPUMLIR_SAMPLES names its files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from harness import PRECISIONS, TOLERANCES, Precision, rounded
from onnx import helper
from tpumlir.compare import compare
from tpumlir.errors import TpumlirError, UnsupportedError, VerifyError
from tpumlir.onnx.load import load
from tpumlir.onnx.reference import run_onnx
from vendor_text import LAYERS, RNG, Layer, Text, normal, recurrent

Array = npt.NDArray[Any]


def judge(module: tpumlir.Module, inputs: Mapping[str, Array], wants: Sequence[Array], step: str) -> None:
    """The outputs of a stage ("top", or the bmodel in a precision) are ``wants``, in order."""
    precision: Precision = "F32"
    if step == "top":
        got = tpumlir.ModuleInterpreter(module).run(inputs)
    else:
        precision = next(p for p in PRECISIONS if p == step)
        bmodel = module.lower(precision).compile()
        given = {spec.name: inputs[spec.name].astype(spec.numpy_dtype) for spec in bmodel.inputs}
        got = bmodel.run(given)
    assert len(got) == len(wants)
    assert [value.dtype.kind for value in got.values()] == [want.dtype.kind for want in wants]
    named = {name: want.astype(got[name].dtype) for name, want in zip(got, wants, strict=True)}
    assert compare(got, named, tolerance=TOLERANCES[precision], label=step).passed, step


STEPS = ("top", *PRECISIONS)
steps = pytest.mark.parametrize("step", STEPS)
# --- recurrent layers ------------------------------------------------------------------


@steps
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.kind}-{layer.why}")
def test_recurrent_layers_are_unrolled(layer: Layer, step: str) -> None:
    text, names, wants = recurrent(layer)
    module = text.module(*names)
    assert [spec.name for spec in module.outputs] == names
    assert not {"top.LSTM", "top.GRU"} & {op.kind for op in module.ops()}
    judge(module, text.inputs, wants, step)


def test_an_unrolled_layer_keeps_no_constant_that_it_was_made_of() -> None:
    text, names, _ = recurrent(LAYERS[1])
    module = text.module(*names)
    used = {op.name for op in module.ops() if op.kind == "top.Weight"}
    assert set(module.weights) == used
    assert "w" not in used


# --- one axis written as two ---------------------------------------------------------------

ONE_AXIS = "dilations = [{d}, 1], kernel_shape = [{k}, 1], pads = [{a}, 0, {b}, 0], strides = [{s}, 1]"


def _conv1d(x: Array, w: Array, b: Array, kind: str, **attributes: Any) -> Array:
    node = helper.make_node(kind, ["x", "w", "b"], ["y"], **attributes)
    infos = [helper.make_tensor_value_info(n, 1, v.shape) for n, v in (("x", x), ("w", w), ("b", b))]
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", 1, None)])
    model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10))
    return run_onnx(model, {"x": x, "w": w, "b": b})["y"]


@steps
@pytest.mark.parametrize("runtime", [False, True], ids=["constant", "runtime"])
@pytest.mark.parametrize(
    ("k", "s", "d", "a", "b", "group"),
    [(5, 2, 1, 1, 1, 1), (3, 1, 2, 0, 2, 2), (1, 1, 1, 0, 0, 1), (4, 3, 1, 2, 1, 4)],
)
def test_conv_over_one_axis(
    k: int, s: int, d: int, a: int, b: int, group: int, runtime: bool, step: str
) -> None:
    x, w, bias = normal(1, 4, 33), normal(8, 4 // group, k), normal(8)
    want = _conv1d(x, w, bias, "Conv", strides=[s], dilations=[d], pads=[a, b], group=group)
    text = Text()
    text.input("x", x)
    if runtime:  # the producer states the second axis
        text.input("w", w, (*w.shape, 1))
    else:
        text.weight("w", w, (*w.shape, 1))
    text.weight("b", bias)
    attributes = ONE_AXIS.format(k=k, s=s, d=d, a=a, b=b) + f", group = {group} : i64"
    text.op("Conv", ["x", "w", "b"], attributes, y=want.shape)
    judge(text.module("y"), text.inputs, [want], step)


@steps
def test_deconv_over_one_axis(step: str) -> None:
    x, w, bias = normal(1, 4, 9), normal(4, 6, 3), normal(6)
    want = _conv1d(x, w, bias, "ConvTranspose", strides=[2], pads=[1, 0], output_padding=[1])
    text = Text()
    text.input("x", x)
    text.weight("w", w.transpose(1, 0, 2).copy(), (6, 4, 3, 1))
    text.weight("b", bias)
    attributes = ONE_AXIS.format(k=3, s=2, d=1, a=1, b=0) + ", output_padding = [1, 0]"
    text.op("Deconv", ["x", "w", "b"], attributes, y=want.shape)
    judge(text.module("y"), text.inputs, [want], step)


@steps
@pytest.mark.parametrize("computed", [False, True], ids=["input", "computed"])
def test_deconv_over_one_axis_by_a_filter_of_the_network(computed: bool, step: str) -> None:
    """As the vendor's canonicalisation leaves it: the second axis in the producer's type, then a Permute."""
    x, w, bias = normal(1, 4, 9), normal(4, 6, 3), normal(6)
    want = _conv1d(x, np.abs(w) if computed else w, bias, "ConvTranspose", strides=[2])
    text = Text()
    text.input("x", x)
    filters = text.input("w", w, w.shape if computed else (4, 6, 3, 1))
    if computed:
        text.op("Abs", ["w"], "", a=(4, 6, 3, 1))
        filters = "a"
    text.weight("b", bias)
    text.op("Permute", [filters], "order = [1, 0, 2, 3]", p=(6, 4, 3, 1))
    attributes = ONE_AXIS.format(k=3, s=2, d=1, a=0, b=0) + ", dynweight_reorderd = true"
    text.op("Deconv", ["x", "p", "b"], attributes, y=want.shape)
    judge(text.module("y"), text.inputs, [want], step)


@steps
def test_a_filter_that_two_convolutions_share(step: str) -> None:
    x, w = normal(1, 4, 12), normal(4, 4, 3)
    first = _conv1d(x, w, np.zeros(4, np.float32), "Conv", pads=[1, 1])
    second = _conv1d(x, w, np.zeros(4, np.float32), "Conv", pads=[0, 0])
    text = Text()
    text.input("x", x)
    text.weight("w", w, (4, 4, 3, 1))
    text.op("Conv", ["x", "w", text.none()], ONE_AXIS.format(k=3, s=1, d=1, a=1, b=1), y=first.shape)
    text.op("Conv", ["x", "w", text.none()], ONE_AXIS.format(k=3, s=1, d=1, a=0, b=0), z=second.shape)
    judge(text.module("y", "z"), text.inputs, [first, second], step)


@steps
@pytest.mark.parametrize("kind", ["MaxPool", "AvgPool"])
def test_pools_over_one_axis(kind: str, step: str) -> None:
    x = normal(1, 3, 12)
    rows = x.reshape(1, 3, 6, 2)
    want = rows.max(-1) if kind == "MaxPool" else rows.mean(-1)
    text = Text()
    text.input("x", x)
    text.op(kind, ["x"], "kernel_shape = [2], pads = [0, 0], strides = [2]", y=want.shape)
    judge(text.module("y"), text.inputs, [want], step)


@steps
@pytest.mark.parametrize("pads", [(2, 2, 2, 2), (3, 0, 0, 5), (0, 4, 1, 0)])
def test_averages_with_much_padding(pads: tuple[int, ...], step: str) -> None:
    x = normal(1, 2, 6, 6)
    wide = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (2, 2), (2, 3))[:, :, ::2, ::2]
    want = windows.mean((-2, -1)).astype(np.float32)
    text = Text()
    text.input("x", x)
    attributes = f"count_include_pad = true, kernel_shape = [2, 2], pads = {list(pads)}, strides = [2, 2]"
    text.op("AvgPool", ["x"], attributes, y=want.shape)
    judge(text.module("y"), text.inputs, [want], step)


RESIZES = [
    (mode, coordinates, scale)
    for mode, coordinates in (
        ("linear", "half_pixel"), ("linear", "align_corners"), ("linear", "asymmetric"),
        ("linear", "pytorch_half_pixel"), ("nearest", "asymmetric"),
    )
    for scale in (2.0, 0.5)
]  # fmt: skip


@steps
@pytest.mark.parametrize("target", ["", "one", "all"])
@pytest.mark.parametrize(("mode", "coordinates", "scale"), RESIZES)
def test_interp_over_one_axis(mode: str, coordinates: str, scale: float, target: str, step: str) -> None:
    x = normal(1, 4, 10)
    size = int(10 * scale)
    nearest = {"nearest_mode": "floor"} if mode == "nearest" else {}
    node = helper.make_node(
        "Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode=coordinates, **nearest
    )
    scales = helper.make_tensor("s", 1, [3], [1.0, 1.0, scale])
    info = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [info("x", 1, x.shape)], [info("y", 1, None)], [scales])
    onnx_model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10))
    want = run_onnx(onnx_model, {"x": x})["y"]
    text = Text()
    text.input("x", x)
    shapes = {"one": [size], "all": [1, 4, size]}
    extra = text.weight("t", np.array(shapes[target])) if target else text.none()
    scale_w = -1.0 if target else scale
    attributes = (
        f'coord_mode = "{coordinates}", mode = "{mode}", scale_h = -1.0 : f64, scale_w = {scale_w} : f64'
    )
    text.op("Interp", ["x", extra], attributes, y=(1, 4, size))
    judge(text.module("y"), text.inputs, [want], step)


# --- shapes that the type states -------------------------------------------------------------


@steps
@pytest.mark.parametrize(
    ("attributes", "shape", "then"),
    [
        ("flatten_start_dim = -1 : i64", (6, 8), (6, 8)),
        ("", (4, 12), (4, 12)),
        ("shape = [-1, 8]", (-1, 8), (-1, 8)),
        ("flatten_start_dim = -1 : i64", (2, -1), (2, -1)),
        ("flatten_start_dim = 1 : i64", (2, 24), (2, 24)),
        ("shape = [0, -1]", (2, 24), (2, 24)),
    ],
)
def test_a_reshape_to_the_type_of_its_result(
    attributes: str, shape: tuple[int, ...], then: tuple[int, ...], step: str
) -> None:
    x = normal(2, 3, 8)
    text = Text()
    text.input("x", x)
    text.op("Reshape", ["x"], attributes, r=shape)
    text.op("Relu", ["r"], "relu_limit = -1.0 : f64", y=then)
    want = np.maximum(x.reshape([e if e > 0 else -1 for e in shape]), 0)
    judge(text.module("y"), text.inputs, [want], step)


@steps
def test_a_reshape_to_a_shape_of_the_network(step: str) -> None:
    x = normal(2, 12)
    text = Text()
    text.input("x", x)
    text.input("s", np.array([4, 6], np.int32))
    text.op("Reshape", ["x", "s"], "", y=(4, 6))
    judge(text.module("y"), text.inputs, [x.reshape(4, 6)], step)


# --- integers carried as f32 -------------------------------------------------------------------

# Beyond what F16 (2048) and BF16 (256) hold exactly.
FAR = 5003


@steps
def test_indices_that_are_an_input(step: str) -> None:
    table, indices = normal(FAR, 3), np.array([[0, FAR - 1, 2049], [257, 4097, -1]], np.int32)
    text = Text()
    text.input("i", indices)
    text.weight("t", table)
    text.op("Gather", ["t", "i"], "axis = 0 : si32, keepdims = true", y=(2, 3, 3))
    module = text.module("y")
    assert [spec.dtype for spec in module.inputs] == ["i32"]
    judge(module, text.inputs, [table[indices]], step)


@steps
def test_indices_that_moved_on_their_way(step: str) -> None:
    table, indices = normal(FAR, 3), np.array([[0, FAR - 1, 2049], [257, 4097, 5]], np.int32)
    text = Text()
    text.input("i", indices)
    text.weight("t", table)
    text.weight("more", np.array([[2051], [3]]))
    text.op("Concat", ["i", "more"], "axis = 1 : si32", c=(2, 4))
    text.op("Permute", ["c"], "order = [1, 0]", p=(4, 2))
    text.op("Reshape", ["p"], "flatten_start_dim = -1 : i64", r=(8,))
    text.op("Gather", ["t", "r"], "axis = 0 : si32", y=(8, 3))
    moved = np.concatenate([indices, [[2051], [3]]], 1).T.reshape(8)
    judge(text.module("y"), text.inputs, [table[moved]], step)


@steps
def test_numbers_that_an_argmax_finds(step: str) -> None:
    x, table = normal(3, 2500), normal(2500, 2)
    x[0, 2047], x[1, 2049], x[2, 2499] = 8, 8, 8
    text = Text()
    text.input("x", x)
    text.weight("t", table)
    attributes = 'axis = 1 : i64, keepdims = false, mode = "ArgMax", select_last_index = false'
    text.op("Arg", ["x"], attributes, i=(3,), v=None)
    text.op("Gather", ["t", "i"], "axis = 0 : si32", y=(3, 2))
    judge(text.module("i", "y"), text.inputs, [x.argmax(1), table[x.argmax(1)]], step)


@steps
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("mode", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
def test_arg(mode: str, keepdims: bool, last: bool, step: str) -> None:
    x = np.array([[3, 1, 3, 1], [0, 0, 0, 0], [-1, 5, -1, 5]], np.float32)
    find = np.argmax if mode == "ArgMax" else np.argmin
    want = 3 - find(x[:, ::-1], 1) if last else find(x, 1)
    text = Text()
    text.input("x", x)
    attributes = f'axis = 1 : i64, keepdims = {str(keepdims).lower()}, mode = "{mode}"'
    attributes += f", select_last_index = {str(last).lower()}"
    text.op("Arg", ["x"], attributes, i=(3, 1) if keepdims else (3,), v=None)
    judge(text.module("i"), text.inputs, [want.reshape(3, 1) if keepdims else want], step)


@steps
@pytest.mark.parametrize("largest", [True, False], ids=["largest", "smallest"])
@pytest.mark.parametrize("axis", [0, 1])
def test_topk(largest: bool, axis: int, step: str) -> None:
    x = rounded(RNG.permutation(120).reshape(3, 40).astype(np.float32), "BF16")
    order = np.argsort(-x if largest else x, axis, kind="stable").take(range(3), axis)
    values = np.take_along_axis(x, order, axis)
    text = Text()
    text.input("x", x)
    attributes = f"K = 3 : i64, axis = {axis} : i64, largest = {str(largest).lower()}, sorted = true"
    text.op("TopK", ["x"], attributes, v=values.shape, i=order.shape)
    judge(text.module("v", "i"), text.inputs, [values, order], step)


@steps
def test_gathers_and_scatters_by_computed_places(step: str) -> None:
    """Places of a TopK, one of them moved by arithmetic, which the text does in f32."""
    x = rounded(RNG.permutation(64).reshape(2, 32).astype(np.float32), "BF16")
    data, updates = normal(2, 32), normal(2, 4)
    text = Text()
    for name, value in (("x", x), ("d", data), ("u", updates)):
        text.input(name, value)
    text.op("TopK", ["x"], "K = 4 : i64, axis = 1 : i64", v=None, i=(2, 4))
    text.op("GatherElements", ["d", "i"], "axis = 1 : i64", g=(2, 4))
    text.op("ScatterElements", ["d", "i", "u"], "axis = 1 : i64", s=(2, 32))
    text.op("MulConst", ["i"], "const_val = 0.5 : f64", h=(2, 4))
    text.op("Floor", ["h"], "", f=(2, 4))
    text.op("GatherElements", ["d", "f"], "axis = 1 : i64", e=(2, 4))
    places = np.argsort(-x, 1, kind="stable")[:, :4]
    scattered = data.copy()
    np.put_along_axis(scattered, places, updates, 1)
    wants = [np.take_along_axis(data, places, 1), scattered, np.take_along_axis(data, places // 2, 1)]
    judge(text.module("g", "s", "e"), text.inputs, wants, step)


@steps
def test_indices_that_the_text_computes_in_f32(step: str) -> None:
    """No half precision rounds what is between an integer and an index."""
    table, indices = normal(FAR, 3), np.array([2049, 4099, FAR - 2, 257], np.int32)
    text = Text()
    text.input("i", indices)
    text.weight("t", table)
    text.weight("one", np.ones(4))
    text.op("Add", ["i", "one"], "", a=(4,))
    text.op("Gather", ["t", "a"], "axis = 0 : si32", y=(4, 3))
    text.op("MulConst", ["a"], "const_val = 0.5 : f64", h=(4,))
    text.op("Floor", ["h"], "", f=(4,))
    text.op("Gather", ["t", "f"], "axis = 0 : si32", z=(4, 3))
    wants = [table[indices + 1], table[(indices + 1) // 2]]
    judge(text.module("y", "z"), text.inputs, wants, step)


@steps
def test_tuples_of_places(step: str) -> None:
    data, tuples, updates = normal(60, 50, 2), np.array([[0, 49], [59, 1], [30, 30]], np.int32), normal(3, 2)
    text = Text()
    text.input("d", data)
    text.input("i", tuples)
    text.input("u", updates)
    text.op("GatherND", ["d", "i"], "batch_dims = 0 : i64", g=(3, 2))
    text.op("ScatterND", ["d", "i", "u"], "reduction = 0 : i32", s=(60, 50, 2))
    scattered = data.copy()
    scattered[tuple(tuples.T)] = updates
    judge(text.module("g", "s"), text.inputs, [data[tuple(tuples.T)], scattered], step)


@steps
def test_integers_that_meet_floats(step: str) -> None:
    """The text computes in f32: an integer input is cast where floats are asked for."""
    i, x = np.array([[1, 2, 3]], np.int32), normal(1, 3)
    text = Text()
    text.input("i", i)
    text.input("x", x)
    text.op("Add", ["i", "x"], "", y=(1, 3))
    text.op("Concat", ["i", "x"], "axis = 0 : si32", z=(2, 3))
    module = text.module("y", "z")
    assert [spec.dtype for spec in module.outputs] == ["f32", "f32"]
    judge(module, text.inputs, [i + x, np.concatenate([i, x])], step)


def test_our_spelling_is_read_back_unchanged() -> None:
    for text, outputs in (
        (recurrent(LAYERS[1])[0], ("y", "y_h")),
        (_places(), ("v", "i")),
    ):
        module = text.module(*outputs)
        again = tpumlir.Module.parse(module.print(), module.weights)
        assert again.print() == module.print()


def _places() -> Text:
    text = Text()
    text.input("x", normal(3, 40))
    text.op("TopK", ["x"], "K = 5 : i64, axis = 1 : i64", v=(3, 5), i=(3, 5))
    return text


# --- what is refused -----------------------------------------------------------------------------


def test_all_that_is_refused_is_said_at_once_by_name() -> None:
    text = Text()
    text.input("x", normal(2, 3, 8))
    text.op("NonZero", ["x"], 'order = "ColMajor"', n=(3, 48))
    text.op("Yuv2rgbFormula", ["x"], "", q=(2, 3, 8))
    text.op("Reshape", ["x"], "shape = [5, 5]", r=(5, 5))
    text.op("Permute", ["x"], "order = [0, 0, 1]", p=(2, 2, 3))
    with pytest.raises(UnsupportedError) as caught:
        text.module("n", "q", "r", "p")
    found = {d.node: d.message for d in caught.value.diagnostics}
    assert set(found) == {"n", "q", "r", "p"}
    assert "top.NonZero is not supported: the size of its result depends on data (" in found["n"]
    assert "--output_names" in found["n"]
    assert "expected a shape of 48 elements" in found["r"]
    assert len(caught.value.diagnostics) == 4


REFUSED: list[tuple[str, str, Callable[[Text], Any]]] = [
    (
        "filter_of_two_axes",
        "expected input and filter of one rank from 3 to 5, got 3 and 4",
        lambda t: t.op(
            "Conv", ["x", t.weight("w", normal(4, 3, 1, 3)), t.none()],
            "dilations = [1, 1], kernel_shape = [1, 3], pads = [0, 0, 0, 0], strides = [1, 1]", y=(2, 4, 8),
        ),
    ),
    (
        "cont",
        "expected no cont",
        lambda t: t.op(
            "LSTM",
            ["x", t.weight("w", normal(1, 8, 8)), t.weight("r", normal(1, 8, 2)), *[t.none()] * 3, "x"],
            "bidirectional = false, hidden_size = 2 : i64", y=(2, 1, 3, 2), h=None, c=None,
        ),
    ),
    (
        "recurrence",
        r"expected recurrence of shape \[1, 8, 2\] for hidden_size 2, got \[1, 8, 3\]",
        lambda t: t.op(
            "LSTM",
            ["x", t.weight("w", normal(1, 8, 8)), t.weight("r", normal(1, 8, 3)), *[t.none()] * 4],
            "bidirectional = false, hidden_size = 2 : i64", y=(2, 1, 3, 2), h=None, c=None,
        ),
    ),
    (
        "average_of_nothing",
        "expected pads smaller than the kernel",
        lambda t: t.op("AvgPool", ["x"], "kernel_shape = [2], pads = [2, 2], strides = [1]", y=(2, 3, 11)),
    ),
    (
        "other_indices",
        "expected replace_topk_indices to be false",
        lambda t: t.op(
            "TopK", ["x"], "K = 1 : i64, axis = 2 : i64, replace_topk_indices = true", v=None, y=(2, 3, 1)
        ),
    ),
    (
        "two_open_extents",
        "expected at most one -1 in the shape",
        lambda t: t.op("Reshape", ["x"], "flatten_start_dim = -1 : i64", y=(-1, -1)),
    ),
    (
        "target_of_more_axes",
        "expected an input of rank 4, got 3",
        lambda t: t.op(
            "Interp", ["x", t.weight("t", np.array([5, 9]))], 'coord_mode = "half_pixel", mode = "linear"',
            y=(2, 3, 9),
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("message", "write"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_a_text_may_not_say(message: str, write: Callable[[Text], Any]) -> None:
    text = Text()
    text.input("x", normal(2, 3, 8))
    write(text)
    with pytest.raises(VerifyError, match=message) as caught:
        text.module("y")
    assert {d.node for d in caught.value.diagnostics} <= {"y", "v"}
    assert len(caught.value.diagnostics) == 1


# --- what the vendor's tool wrote -----------------------------------------------------------------


def _written() -> list[Path]:
    samples = os.environ.get("TPUMLIR_SAMPLES")
    return sorted((Path(samples).parent / "top_text").glob("*/*.mlir")) if samples else []


@pytest.mark.samples
@steps
@pytest.mark.parametrize("path", _written() or [None], ids=lambda p: p.stem if p else "none")
def test_text_of_the_vendors_tool(path: Path | None, step: str) -> None:
    if path is None:
        pytest.skip("needs files of the vendor's compiler (TPUMLIR_SAMPLES)")
    with np.load(path.with_name("input.npz")) as data:
        inputs = {name: data[name] for name in data.files}
    with np.load(path.with_name("output.npz")) as data:
        wants = [data[name] for name in data.files]
    try:
        module = tpumlir.Module.load(path)
    except TpumlirError as error:
        pytest.fail(f"{path}: {error}")
    judge(module, inputs, wants, step)
