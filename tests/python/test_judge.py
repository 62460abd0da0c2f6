"""Kernels that are broken on purpose: one element, row or channel wrong among many that are right.

The norms of most of these pass; what must find them is the bound per element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import helper, numpy_helper
from tpumlir.bmodel import BModel
from tpumlir.road.compile import compile_onnx

Array = npt.NDArray[Any]
RNG = np.random.default_rng(8)
WIDE = (
    np.concatenate([RNG.uniform(100, 1000, 4000), np.linspace(-8, 8, 33)]).astype(np.float32).reshape(1, -1)
)
ONE = int(np.flatnonzero(WIDE == 1.0)[0])


def net(nodes: Sequence[onnx.NodeProto], x: Array, **constants: Array) -> tuple[onnx.ModelProto, Array]:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), x


def node(op: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, ["y"], name="n", **attributes)


def normal(*shape: int, scale: float = 1.0) -> Array:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


@dataclass(frozen=True)
class Broken:
    """A network and what its kernel does wrong; ``index`` is where the report must look."""

    name: str
    make: Callable[[], tuple[onnx.ModelProto, Array]]
    damage: Callable[[Array], None]
    at: tuple[int | None, ...]  # None: any

    def __repr__(self) -> str:
        return self.name


def put(index: tuple[int, ...], value: float) -> Callable[[Array], None]:
    def damage(y: Array) -> None:
        y[index] = value

    return damage


def negate(index: tuple[int, ...]) -> Callable[[Array], None]:
    def damage(y: Array) -> None:
        y[index] = -y[index]

    return damage


def shift(index: Any, by: float) -> Callable[[Array], None]:
    def damage(y: Array) -> None:
        y[index] += by

    return damage


def swap(a: tuple[int, ...], b: tuple[int, ...]) -> Callable[[Array], None]:
    def damage(y: Array) -> None:
        y[a], y[b] = y[b], y[a]

    return damage


def silu() -> tuple[onnx.ModelProto, Array]:
    return net([helper.make_node("Sigmoid", ["x"], ["s"], name="s"), node("Mul", "x", "s")], WIDE)


def conv() -> tuple[onnx.ModelProto, Array]:
    w, b = normal(16, 8, 3, 3), normal(16)
    return net([node("Conv", "x", "w", "b", pads=[1, 1, 1, 1])], normal(1, 8, 24, 24), w=w, b=b)


def matmul() -> tuple[onnx.ModelProto, Array]:
    return net([node("MatMul", "x", "w")], normal(1, 64, 48), w=normal(48, 64))


def softmax() -> tuple[onnx.ModelProto, Array]:
    return net([node("Softmax", "x", axis=-1)], normal(1, 64, 40))


def norm() -> tuple[onnx.ModelProto, Array]:
    return net(
        [node("LayerNormalization", "x", "w", "b", axis=-1)], normal(1, 64, 40), w=normal(40), b=normal(40)
    )


BROKEN = (
    Broken("SiLU_of_1_is_0_beside_large_values", silu, put((0, ONE), 0.0), (0, ONE)),
    Broken("sign_lost_in_one_lane", silu, negate((0, ONE - 4)), (0, ONE - 4)),
    Broken(
        "wrong_entry_of_a_table",
        lambda: net([node("Sigmoid", "x")], WIDE),
        put((0, ONE + 2), 0.5),
        (0, ONE + 2),
    ),
    Broken("last_element_of_the_tail_not_written", matmul, put((0, 63, 63), 0.0), (0, 63, 63)),
    Broken("bias_of_one_channel", conv, shift((0, 5), 4.0), (0, 5, None, None)),
    Broken("halo_column_of_a_convolution", conv, put((0, 3, slice(None), 23), 0.0), (0, 3, None, 23)),  # type: ignore[arg-type]
    Broken("one_element_of_a_softmax_row", softmax, put((0, 7, 9), 0.5), (0, 7, 9)),
    Broken("row_of_a_norm_not_scaled", norm, shift((0, 11, 3), 3.0), (0, 11, 3)),
    Broken(
        "two_elements_swapped",
        lambda: net(
            [node("Transpose", "x", perm=[0, 2, 1])],
            np.arange(1, 4097, dtype=np.float32).reshape(1, 64, 64) / 4096,
        ),
        swap((0, 1, 2), (0, 40, 20)),
        (0, None, None),
    ),
    Broken(
        "one_addend_forgotten",
        lambda: net([node("Add", "x", "c")], WIDE, c=np.ones((1, 1), np.float32)),
        shift((0, ONE), -1.0),
        (0, ONE),
    ),
    Broken(
        "one_small_value_not_clipped",
        lambda: net([node("Relu", "x")], WIDE),
        put((0, ONE - 4), -1.0),
        (0, ONE - 4),
    ),
)


def run_broken(
    case: Broken, stage: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[bool, tpumlir.compare.TensorResult]:
    model, x = case.make()
    interpret, execute = tpumlir.ModuleInterpreter.run, BModel.run

    def wrong(values: dict[str, Array]) -> dict[str, Array]:
        if "y" not in values:
            return values
        y = np.array(values["y"])
        case.damage(y)
        return {**values, "y": y}

    def interpreted(self: tpumlir.ModuleInterpreter, *args: Any, **options: Any) -> dict[str, Array]:
        values = interpret(self, *args, **options)
        state = str(self._module.attributes["module.state"])
        return wrong(values) if state.startswith("TOP") == (stage == "top") and stage != "bmodel" else values

    def executed(self: BModel, *args: Any, **options: Any) -> dict[str, Array]:
        values = execute(self, *args, **options)
        return wrong(values) if stage == "bmodel" else values

    monkeypatch.setattr(tpumlir.ModuleInterpreter, "run", interpreted)
    monkeypatch.setattr(BModel, "run", executed)
    result = compile_onnx(model, quantize=precision, test_input={"x": x})
    verdict = result.validations[("top", "tpu", "bmodel").index(stage)]
    return verdict.passed, next(t for t in verdict.tensors if t.name == "y")


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("stage", ["top", "tpu", "bmodel"])
@pytest.mark.parametrize("case", BROKEN, ids=repr)
def test_a_broken_kernel_is_found(
    case: Broken, stage: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed, tensor = run_broken(case, stage, precision, monkeypatch)
    assert not passed
    assert tensor.worst_index is not None
    assert all(want in {None, got} for got, want in zip(tensor.worst_index, case.at, strict=True))
    assert f"{list(tensor.worst_index)}: got " in tensor.message
    assert "want " in tensor.message


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("case", BROKEN, ids=repr)
def test_the_kernel_that_is_not_broken_passes(case: Broken, precision: str) -> None:
    model, x = case.make()
    result = compile_onnx(model, quantize=precision, test_input={"x": x})
    for verdict in result.validations:
        verdict.raise_if_failed()


# --- deep networks ----------------------------------------------------------------


def deep() -> tuple[onnx.ModelProto, Array]:
    """Twelve convolutions, whose errors in BF16 are as large as single elements."""
    constants, nodes, name = {}, [], "x"
    for i in range(12):
        constants[f"w{i}"] = normal(16, 16, 3, 3, scale=0.12)
        conv = helper.make_node("Conv", [name, f"w{i}"], [f"c{i}"], name=f"conv{i}", pads=[1, 1, 1, 1])
        name = "y" if i == 11 else f"r{i}"
        nodes += [conv, helper.make_node("Tanh", [f"c{i}"], [name], name=f"tanh{i}")]
    return net(nodes, normal(1, 16, 12, 12), **constants)


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("tensor", ["c9", "r9"])
def test_one_element_deep_in_a_network_is_found(
    tensor: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The element is a fifth of the tensor's size off, and what is behind it is right for it."""
    interpret = tpumlir.ModuleInterpreter.run

    def interpreted(self: tpumlir.ModuleInterpreter, *args: Any, **options: Any) -> dict[str, Array]:
        values = interpret(self, *args, **options)
        if str(self._module.attributes["module.state"]).startswith("TPU") and tensor in values:
            y = np.array(values[tensor])
            y[0, 3, 4, 5] += 0.5 * np.std(y)
            values = {**values, tensor: y}
        return values

    monkeypatch.setattr(tpumlir.ModuleInterpreter, "run", interpreted)
    model, x = deep()
    verdict = compile_onnx(model, quantize=precision, test_input={"x": x}).validations[1]
    found = {t.name: t for t in verdict.failed}
    assert tensor in found
    assert found[tensor].worst_index == (0, 3, 4, 5)


# --- indices ----------------------------------------------------------------------


def choose(keys: Array, k: int, **attributes: Any) -> tuple[onnx.ModelProto, Array]:
    """TopK and what gathers by its indices: the tail of a detector."""
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], name="s"),
        helper.make_node("TopK", ["s", "k"], ["v", "i"], name="t", axis=1, **attributes),
        helper.make_node("GatherElements", ["b", "i"], ["g"], name="g", axis=1),
        helper.make_node("Add", ["g", "v"], ["y"], name="a"),
    ]
    boxes = RNG.uniform(0, 640, keys.shape).astype(np.float32)
    return net(nodes, keys, k=np.array([k]), b=boxes)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
def test_nearly_equal_keys_in_another_order_are_right(precision: str, largest: int) -> None:
    keys = (normal(2, 500) * 1e-2).astype(np.float32)  # all near 0.5
    model, x = choose(keys, 40, largest=largest)
    for verdict in compile_onnx(model, quantize=precision, test_input={"x": x}).validations:
        verdict.raise_if_failed()


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("damage", [put((0, 3), 7), swap((1, 0), (1, 30)), put((0, 5), 499)])
def test_an_index_of_another_key_is_wrong(
    damage: Callable[[Array], None], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = np.sort(RNG.uniform(-4, 4, (2, 500)), axis=1).astype(np.float32)
    model, x = choose(keys, 40)
    interpret = tpumlir.ModuleInterpreter.run

    def interpreted(self: tpumlir.ModuleInterpreter, *args: Any, **options: Any) -> dict[str, Array]:
        values = dict(interpret(self, *args, **options))
        if str(self._module.attributes["module.state"]).startswith("TPU") and "i" in values:
            values["i"] = np.array(values["i"])
            damage(values["i"])
        return values

    monkeypatch.setattr(tpumlir.ModuleInterpreter, "run", interpreted)
    verdict = compile_onnx(model, quantize=precision, test_input={"x": x}).validations[1]
    assert "i" in {t.name for t in verdict.failed}


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("precision", ["F16", "BF16"])
def test_the_best_of_nearly_equal_keys(op: str, keepdims: int, precision: str) -> None:
    keys = (normal(16, 300) * 1e-2).astype(np.float32)
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["s"], name="s"),
        helper.make_node(op, ["s"], ["y"], name="a", axis=1, keepdims=keepdims),
    ]
    model, x = net(nodes, keys)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    for verdict in compile_onnx(model, quantize=precision, test_input={"x": x}).validations:
        verdict.raise_if_failed()


# --- quantised tensors ------------------------------------------------------------


def quantised(*, dequantised: bool) -> tuple[onnx.ModelProto, Array]:
    scale, zero = np.array(0.05, np.float32), np.array(3, np.int8)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="c"),
        helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["q" if dequantised else "y"], name="q"),
    ]
    if dequantised:
        nodes.append(helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], name="d"))
    model, x = net(nodes, normal(1, 8, 20, 20), w=normal(8, 8, 3, 3, scale=0.2), scale=scale, zero=zero)
    if not dequantised:
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT8
    return model, x


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("dequantised", [False, True])
# In 41 and 63 a sum lies between two steps, and ONNX Runtime, Top and the chip do not round it to the same.
@pytest.mark.parametrize("seed", [8, 41, 63])
def test_a_quantised_tensor_may_be_a_step_off(
    seed: int, dequantised: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(seed))
    model, x = quantised(dequantised=dequantised)
    for verdict in compile_onnx(model, quantize=precision, test_input={"x": x}).validations:
        verdict.raise_if_failed()


@pytest.mark.parametrize("stage", ["top", "tpu", "bmodel"])
@pytest.mark.parametrize(
    ("off", "count", "passes"), [(1, 2, True), (1, 2592, False), (2, 1, False), (-100, 1, False)]
)
def test_steps_that_are_too_many_or_too_large(
    off: int, count: int, passes: bool, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(y: Array) -> None:
        y.reshape(-1)[:count] += off

    case = Broken("steps", lambda: quantised(dequantised=False), damage, ())
    assert run_broken(case, stage, "F32", monkeypatch)[0] is passes


# --- comparisons -------------------------------------------------------------------


def compared(mode: str) -> tuple[onnx.ModelProto, Array]:
    """Every element is compared with what it is, but for its last digits."""
    x, w = normal(1, 24, 32), normal(32, 40, scale=0.2)
    level = 1 / (1 + np.exp(-(x.astype(np.float64) @ w)))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="p"),
        helper.make_node("Sigmoid", ["p"], ["s"], name="s"),
        helper.make_node(mode, ["s", "level"], ["b"], name="b"),
        helper.make_node("Where", ["b", "s", "zero"], ["y"], name="y"),
    ]
    return net(nodes, x, w=w, level=level.astype(np.float32), zero=np.array(0, np.float32))


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("mode", ["Greater", "LessOrEqual", "Equal"])
def test_nearly_equal_numbers_compare_either_way(mode: str, precision: str) -> None:
    model, x = compared(mode)
    for verdict in compile_onnx(model, quantize=precision, test_input={"x": x}).validations:
        verdict.raise_if_failed()


@pytest.mark.parametrize("precision", ["F16", "BF16"])
def test_inputs_that_rounding_makes_equal_compare_either_way(precision: str) -> None:
    level = normal(1, 3, 40)
    x = (level * (1 + np.linspace(-4e-3, 4e-3, 40))).astype(np.float32)
    model, _ = net([node("Greater", "x", "level")], x, level=level)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    for verdict in compile_onnx(model, quantize=precision, test_input={"x": x}).validations:
        verdict.raise_if_failed()


def comparison(mode: str) -> tuple[onnx.ModelProto, Array]:
    """Elements 0 to 9 are equal, those from 10 on far apart."""
    x = np.concatenate([np.arange(10), np.arange(10, 40) + 20]).astype(np.float32)
    model, _ = net([node(mode, "x", "level")], x, level=np.arange(40, dtype=np.float32))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    return model, x


@pytest.mark.parametrize("precision", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("stage", ["top", "tpu", "bmodel"])
@pytest.mark.parametrize(("mode", "index"), [("Equal", 3), ("GreaterOrEqual", 3), ("Greater", 20)])
def test_a_wrong_comparison_is_found(
    mode: str, index: int, stage: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(y: Array) -> None:
        y[index] = 1 - y[index]

    case = Broken("comparison", lambda: comparison(mode), damage, ())
    assert not run_broken(case, stage, precision, monkeypatch)[0]
