"""Ranges, what F16 does to them, and the tables made from them, on modules made to overflow in one place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from onnx import TensorProto, helper, numpy_helper
from tpumlir.data.inputs import read_samples
from tpumlir.precision import table as qtable
from tpumlir.precision.formats import PRECISIONS
from tpumlir.precision.policy import RangePolicy
from tpumlir.precision.ranges import (
    Ranges,
    TensorRange,
    auto_table,
    excesses,
    imprecise,
    losses,
    measure,
)
from tpumlir.precision.rules import choices
from tpumlir.road.compile import deploy

Array = npt.NDArray[Any]
PLAIN = RangePolicy(plain_half=True)
Nodes = Sequence[tuple[str, Sequence[str], str, dict[str, Any]]]


def top_module(
    nodes: Nodes,
    inputs: dict[str, tuple[int, ...]],
    outputs: Sequence[str],
    constants: dict[str, Array] | None = None,
) -> tpumlir.Module:
    graph = helper.make_graph(
        [helper.make_node(op, s, [t], name=f"node_{t}", **attributes) for op, s, t, attributes in nodes],
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return tpumlir.load_onnx(proto, name="net")


AXES = {"axes": np.array([2, 3])}


def demodulation() -> tpumlir.Module:
    """The place in StyleGAN2 where F16 ends: x, squares, their sum, its root, a product; Tanh on both sides.

    In: [1, 8, 16, 16]. The squares stay below 65504, their sums over 256 elements do not, nor the product.
    """
    nodes: Nodes = (
        ("Abs", ["x"], "before", {}),
        ("Mul", ["before", "before"], "square", {}),
        ("ReduceSum", ["square", "axes"], "sum", {"keepdims": 1}),
        ("Sqrt", ["sum"], "root", {}),
        ("Mul", ["root", "sum"], "product", {}),
        ("Tanh", ["before"], "other", {}),
    )
    constants: dict[str, Array] = {"axes": AXES["axes"]}
    return top_module(nodes, {"x": (1, 8, 16, 16)}, ["product", "other"], constants)


X = np.random.default_rng(2).uniform(50, 100, (1, 8, 16, 16)).astype(np.float32)


def kinds(module: tpumlir.Module) -> list[tuple[str, str, str]]:
    """Operation, result and type of all but constants."""
    return [
        (op.kind, r.name, r.dtype)
        for op in module.ops()
        for r in op.results
        if op.kind not in {"top.Weight", "top.None"}
    ]


# --- the analysis --------------------------------------------------------------------


def test_a_range_counts_what_f16_does_to_each_value() -> None:
    range_ = TensorRange()
    range_.add(np.array([0, -3, 70000, 2.0**-15, 2.0**-26, np.inf, np.nan], np.float32))
    range_.add(np.array([5], np.float32))
    assert (range_.low, range_.high, range_.largest, range_.smallest) == (-3, 70000, 70000, 2.0**-26)
    assert (range_.count, range_.nonzero, range_.subnormal, range_.lost, range_.nonfinite) == (8, 5, 2, 1, 2)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (65505.0, "overflow"), (-1e30, "overflow"), (65504.0, "close"), (-40000.0, "close"), (32752.0, ""),
        (1.0, ""), (3e-6, "imprecise"), (1e-9, "imprecise"), (0.0, ""),
    ],
)  # fmt: skip
def test_verdicts(value: float, verdict: str) -> None:
    range_ = TensorRange()
    range_.add(np.full(4, value, np.float32))
    assert range_.verdict() == verdict


@pytest.mark.parametrize("scale", [1e-8, 1e-6, 3e-5, 1e-4, 1.0, 5e4])
def test_rounding_to_f16_is_what_the_error_measures(scale: float) -> None:
    values = np.random.default_rng(1).uniform(-scale, scale, 10_000).astype(np.float32)
    range_ = TensorRange()
    range_.add(values)
    wide = values.astype(np.float64)
    error = np.linalg.norm(wide - values.astype(np.float16)) / np.linalg.norm(wide)
    assert range_.f16_error == pytest.approx(error, rel=1e-9)


def test_the_nodes_that_overflow_are_named_exactly() -> None:
    module = demodulation()
    ranges = measure(module, [{"x": X}])
    found = excesses(module.lower("F16", plain_half=True), ranges)
    assert [excess.tensor.partition("::")[0] for excess in found] == ["sum", "product"]
    assert {key for excess in found for key in excess.keys} == {"sum", "root", "product"}
    assert all(excess.largest > 65504 for excess in found)
    assert found[0].node == "node_sum"


def test_the_table_mends_it_and_no_cast_is_left_between() -> None:
    module = demodulation()
    ranges = measure(module, [{"x": X}])
    auto = auto_table(module, ranges, PLAIN)
    assert auto.table == {"sum": "F32", "root": "F32", "product": "F32"}
    tpu = module.lower("F16", plain_half=True, quantize_table=auto.table)
    assert excesses(tpu, ranges) == []
    types = {name: dtype for _, name, dtype in kinds(tpu)}
    assert (types["square"], types["sum"], types["root"], types["product"]) == ("f16", "f32", "f32", "f32")
    between = [op for op in tpu.ops() if op.kind == "tpu.Cast" and {"sum", "root"} & {*op.operands}]
    assert between == []
    deployed = deploy(
        module, quantize="F16", quantize_table=auto.table, test_input={"x": X},
        ranges=RangePolicy(plain_half=True),
    )  # fmt: skip
    assert all(validation.passed for validation in deployed.validations)


def test_a_plain_f16_deploy_is_refused_with_the_report() -> None:
    with pytest.raises(tpumlir.OutOfRangeError) as caught:
        deploy(demodulation(), quantize="F16", test_input={"x": X}, ranges=RangePolicy(plain_half=True))
    (diagnostic,) = caught.value.diagnostics
    assert [name.partition("::")[0] for name in caught.value.tensors] == ["sum", "product"]
    assert "2 tensors leave the range of F16" in diagnostic.message
    assert "--auto_mixed" in diagnostic.message
    assert any("node node_sum" in note for note in diagnostic.notes)


def test_what_is_refused_can_be_forced_and_is_wrong_then() -> None:
    deployed = deploy(
        demodulation(), quantize="F16", test_input={"x": X}, ranges=RangePolicy(ignore=True, plain_half=True)
    )
    second = deployed.validations[0]
    assert not second.passed
    assert deployed.divergences[0].divergence.kind == "overflow"


def test_the_rules_need_no_table() -> None:
    deployed = deploy(demodulation(), quantize="F16", test_input={"x": X})
    assert all(validation.passed for validation in deployed.validations)
    why = {choice.tensor.partition("::")[0]: choice.label for choice in choices(deployed.tpu)}
    assert why == {"square": "P5", "sum": "P5", "root": "P5", "product": "P5"}


def test_a_table_goes_before_the_rules_and_says_so() -> None:
    tpu = demodulation().lower("F16", quantize_table={"root": "F16"})
    (overruled,) = [choice for choice in choices(tpu) if choice.overruled]
    assert (overruled.tensor, overruled.precision) == ("root", "F16")
    assert overruled.overruled.startswith("(P5)")


def test_bf16_holds_it() -> None:
    deployed = deploy(demodulation(), quantize="BF16", test_input={"x": X})
    assert deployed.auto_table is None
    assert deployed.validations[0].passed


def test_auto_mixed_deploys() -> None:
    deployed = deploy(
        demodulation(),
        quantize="F16",
        test_input={"x": X},
        ranges=RangePolicy(auto_mixed=True, plain_half=True),
    )
    assert deployed.auto_table is not None
    assert set(deployed.auto_table.added) == {"sum", "root", "product"}
    assert all(validation.passed for validation in deployed.validations)


def test_a_model_in_range_needs_no_table() -> None:
    module = demodulation()
    deployed = deploy(
        module,
        quantize="F16",
        test_input={"x": X / 100},
        ranges=RangePolicy(auto_mixed=True, plain_half=True),
    )
    assert deployed.auto_table is not None
    assert deployed.auto_table.table == {}


def test_calibration_data_widens_the_ranges(tmp_path: Path) -> None:
    module = demodulation()
    np.savez(tmp_path / "0.npz", x=X / 200)
    np.savez(tmp_path / "1.npz", x=X)
    small = list(read_samples(module, {"x": X / 100}))
    all_of_it = list(read_samples(module, {"x": X / 100}, tmp_path))
    assert len(all_of_it) == 3
    assert measure(module, small).tensors["sum"].verdict() == ""
    assert measure(module, all_of_it).tensors["sum"].verdict() == "overflow"
    (tmp_path / "empty").mkdir()
    with pytest.raises(tpumlir.InputError):
        list(read_samples(module, {"x": X}, tmp_path / "empty"))


def test_the_margin_decides_what_is_close() -> None:
    module = demodulation()
    scale = np.float32(np.sqrt(40000 / measure(module, [{"x": X}]).tensors["sum"].largest))
    ranges = measure(module, [{"x": X * scale}])
    assert 39000 < ranges.tensors["sum"].largest < 41000
    assert (
        "sum" not in auto_table(module, ranges, RangePolicy(margin=1.0, plain_half=True)).table
        or ranges.tensors["product"].largest > 65504
    )
    assert "sum" in auto_table(module, ranges, RangePolicy(margin=2.0, plain_half=True)).table


def test_a_given_table_is_kept_and_extended() -> None:
    module = demodulation()
    ranges = measure(module, [{"x": X}])
    auto = auto_table(module, ranges, PLAIN, table={"other": "F32"})
    assert auto.table == {"other": "F32", "sum": "F32", "root": "F32", "product": "F32"}
    assert auto.added == ("sum", "root", "product")
    with pytest.raises(tpumlir.InputError) as caught:
        auto_table(module, ranges, PLAIN, table={"root": "F16"})
    assert caught.value.node == "root"


def test_overflow_passes_through_operations_that_move_data() -> None:
    nodes: Nodes = (
        ("Exp", ["x"], "huge", {}),
        ("Transpose", ["huge"], "turned", {"perm": [0, 2, 1]}),
        ("Reshape", ["turned", "shape"], "flat", {}),
        ("Log", ["flat"], "back", {}),
        ("Abs", ["back"], "y", {}),
    )
    module = top_module(nodes, {"x": (1, 4, 6)}, ["y"], {"shape": np.array([1, 24])})
    x = np.linspace(1, 14, 24, dtype=np.float32).reshape(1, 4, 6)
    ranges = measure(module, [{"x": x}])
    auto = auto_table(module, ranges, PLAIN)
    # The two in between follow what they move.
    assert set(auto.table) == {"huge", "back"}
    tpu = module.lower("F16", plain_half=True, quantize_table=auto.table)
    assert excesses(tpu, ranges) == []
    assert {dtype for _, name, dtype in kinds(tpu) if name in {"turned", "flat"}} == {"f32"}


def test_an_input_beyond_f16_is_read_in_f32() -> None:
    chains: list[Nodes] = [
        (("Tanh", ["x"], "y", {}),),
        (("Transpose", ["x"], "t", {"perm": [1, 0]}), ("Tanh", ["t"], "y", {})),
    ]
    for nodes in chains:
        module = top_module(nodes, {"x": (3, 5)}, ["y"])
        ranges = measure(module, [{"x": np.full((3, 5), 1e6, np.float32)}])
        auto = auto_table(module, ranges, PLAIN)
        assert set(auto.table) == {"y"}
        assert excesses(module.lower("F16", plain_half=True, quantize_table=auto.table), ranges) == []


def test_a_constant_beyond_f16_is_read_in_f32() -> None:
    constants: dict[str, Array] = {"w": np.full((5, 2), 1e5, np.float32)}
    module = top_module(
        (("MatMul", ["x", "w"], "y", {}), ("Tanh", ["y"], "z", {})), {"x": (3, 5)}, ["z"], constants
    )
    ranges = measure(module, [{"x": np.full((3, 5), 1e-3, np.float32)}])
    auto = auto_table(module, ranges, PLAIN)
    assert set(auto.table) == {"y"}
    assert excesses(module.lower("F16", plain_half=True, quantize_table=auto.table), ranges) == []


def test_infinities_of_the_model_are_no_overflow() -> None:
    constants: dict[str, Array] = {"mask": np.array([0, -np.inf, 0, 0], np.float32)}
    nodes: Nodes = (("Add", ["x", "mask"], "m", {}), ("Softmax", ["m"], "y", {"axis": -1}))
    module = top_module(nodes, {"x": (2, 4)}, ["y"], constants)
    ranges = measure(module, [{"x": np.ones((2, 4), np.float32)}])
    assert ranges.tensors["m"].nonfinite == 2
    assert auto_table(module, ranges, PLAIN).table == {}


def test_small_values_are_kept_by_the_automatic_table_and_else_a_warning() -> None:
    module = top_module((("Abs", ["x"], "a", {}), ("Sqrt", ["a"], "y", {})), {"x": (2, 40)}, ["y"])
    x = np.geomspace(1e-9, 1e-6, 80, dtype=np.float32).reshape(2, 40)
    ranges = measure(module, [{"x": x}])
    half = module.lower("F16", plain_half=True)
    lost = imprecise(half, ranges)
    assert {name.partition("::")[0] for name, _ in lost} >= {"a"}
    assert lost[0][1] > 0.01
    assert {loss.tensor for loss in losses(half, ranges)} == {name for name, _ in lost}
    auto = auto_table(module, ranges, PLAIN)
    assert auto.table == {"a": "F32", "y": "F32"}
    assert any("relative error" in line for line in auto.comments())
    assert imprecise(module.lower("F16", plain_half=True, quantize_table=auto.table), ranges) == []


def test_what_the_given_table_wants_small_stays_so() -> None:
    module = top_module((("Abs", ["x"], "a", {}), ("Sqrt", ["a"], "y", {})), {"x": (2, 40)}, ["y"])
    ranges = measure(module, [{"x": np.full((2, 40), 1e-9, np.float32)}])
    auto = auto_table(module, ranges, PLAIN, table={"a": "F16", "y": "F16"})
    assert auto.table == {"a": "F16", "y": "F16"}


# --- accumulations -------------------------------------------------------------------


def inner(nodes: Nodes, x: Array, **constants: Array) -> dict[str, tuple[str, float, bool]]:
    module = top_module(nodes, {"x": x.shape}, [nodes[-1][2]], constants)
    ranges: Ranges = measure(module, [{"x": x}])
    return {entry.op.name: (entry.what, entry.largest, entry.bound) for entry in ranges.inner}


RNG = np.random.default_rng(4)
V = RNG.standard_normal((2, 6, 5, 7)).astype(np.float32) * 30


def test_sums_inside_of_operations_are_reported() -> None:
    wide = V.astype(np.float64)
    found = inner(
        (("ReduceSum", ["x", "axes"], "s", {"keepdims": 0}), ("Softmax", ["s"], "y", {"axis": 1})),
        V,
        axes=AXES["axes"],
    )
    assert found["s"][::2] == ("sum of absolute values", False)
    assert found["s"][1] == pytest.approx(np.abs(wide).sum((2, 3)).max())
    assert 1 <= found["y"][1] <= 6
    found = inner((("ReduceL2", ["x"], "y", {"axes": [1], "keepdims": 1}),), V)
    assert found["y"][::2] == ("sum of squares", False)
    assert found["y"][1] == pytest.approx((wide**2).sum(1).max())
    ones, zeros = np.ones(6, np.float32), np.zeros(6, np.float32)
    found = inner((("InstanceNormalization", ["x", "g", "b"], "y", {}),), V, g=ones, b=zeros)
    deviations = ((wide - wide.mean((2, 3), keepdims=True)) ** 2).sum((2, 3)).max()
    assert found["y"][::2] == ("sum of squared deviations", False)
    assert found["y"][1] == pytest.approx(deviations)


def test_sums_of_products_are_bounded() -> None:
    filter_ = RNG.standard_normal((3, 6, 2, 2)).astype(np.float32)
    found = inner((("Conv", ["x", "w"], "y", {}),), V, w=filter_)
    what, largest, bound = found["y"]
    assert (what, bound) == ("sum of absolute products", True)
    assert largest == pytest.approx(np.abs(V).max() * np.abs(filter_).sum((1, 2, 3)).max())
    right = RNG.standard_normal((7, 4)).astype(np.float32)
    found = inner((("MatMul", ["x", "w"], "y", {}),), V, w=right)
    assert found["y"][1] == pytest.approx((np.abs(V) @ np.abs(right)).max(), rel=1e-5)


# --- a real model --------------------------------------------------------------------


@pytest.mark.corpus
def test_the_founding_model(corpus: Path) -> None:
    """StyleGAN2: the automatic table is proved closed, and the F16 deploy with it passes."""
    inputs = dict(np.load(corpus / "stylegan2_256.npz"))
    module = tpumlir.load_onnx(onnx.load(corpus / "stylegan2_256.onnx"))
    ranges = measure(module, [inputs])
    auto = auto_table(module, ranges, PLAIN)
    tpu = module.lower("F16", plain_half=True, quantize_table=qtable.validate(auto.table, module))
    assert excesses(tpu, ranges, margin=auto.margin) == []
    assert any(dtype == "f16" for _, _, dtype in kinds(tpu))
    want = tpumlir.ModuleInterpreter(module).run(inputs)
    got = tpumlir.ModuleInterpreter(tpu).run(inputs)
    verdict = tpumlir.compare.compare(got, want, tolerance=PRECISIONS["F16"].lowering.tolerance)
    assert verdict.passed, verdict.summary()


@pytest.mark.corpus
def test_a_spectrogram_leaves_f16_and_is_mended(corpus: Path) -> None:
    """The squares of a Fourier transform: plain F16 is refused, and what the table keeps in F32 passes."""
    inputs = dict(np.load(corpus / "oww_melspec.npz"))
    shapes = [list(value.shape) for value in inputs.values()]
    module = tpumlir.load_onnx(corpus / "oww_melspec.onnx", input_shapes=shapes)
    with pytest.raises(tpumlir.OutOfRangeError):
        deploy(module, quantize="F16", test_input=inputs, ranges=RangePolicy(plain_half=True))
    deployed = deploy(
        module, quantize="F16", test_input=inputs, ranges=RangePolicy(auto_mixed=True, plain_half=True)
    )
    assert all(validation.passed for validation in deployed.validations)
    assert deployed.auto_table is not None
    assert 0 < len(deployed.auto_table.added) < len(module.tensor_names())
