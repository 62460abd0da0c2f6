"""Equalisation, chosen rounding and bias correction: what they bring and leave alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import onnx
import tpumlir
from accuracy_models import conv, draw, easy, hard, model_of, module, samples
from onnx import TensorProto, helper
from tpumlir.accuracy.equalize import equalized, links_of
from tpumlir.accuracy.products import products_of, spread
from tpumlir.accuracy.search import QuantizeResult, quantize
from tpumlir.accuracy.target import Target
from tpumlir.accuracy.tune import tuned
from tpumlir.cli.quantize import write_tables
from tpumlir.errors import InputError, Note
from tpumlir.ir.interpreter import ModuleInterpreter

Array = npt.NDArray[Any]


def snr(got: dict[str, Array], want: dict[str, Array]) -> float:
    return Target.parse("snr=1").score([got], [want])


def plain_snr(
    top: tpumlir.Module, given: list[dict[str, Array]], wanted: tpumlir.Module | None = None
) -> float:
    """Of INT8 with thresholds of its own, against the float function of ``wanted``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)  # that most numbers of a tensor become 0 is the point
        lowered = top.lower("INT8", calibration_table=tpumlir.calibrate(top, given))
    x = samples(1, seed=99, shape=given[0]["x"].shape)[0]
    return snr(ModuleInterpreter(lowered).run(x), ModuleInterpreter(wanted or top).run(x))


def scaled(weight: Array, axis: int, bits: int, seed: int = 5) -> tuple[Array, Array]:
    """Channels of an axis times powers of two from 1 to 2^bits, and these factors."""
    factors = np.exp2(np.random.default_rng(seed).integers(0, bits + 1, weight.shape[axis])).astype(
        np.float32
    )
    factors[:2] = 1, 2**bits
    shape = [1] * weight.ndim
    shape[axis] = -1
    return weight * factors.reshape(shape), factors


def net(between: str, reader: str) -> onnx.ModelProto:
    """A convolution whose channels are of unlike size, something, and a reader that evens them out."""
    first, factors = scaled(draw((16, 8, 3, 3), 0), 0, 9)
    nodes = [conv("x", "a", "first")]
    weights = {"first": first}
    if between == "PRelu":
        weights["slope"] = np.full((16, 1, 1), 0.25, np.float32)
        nodes.append(helper.make_node("PRelu", ["a", "slope"], ["b"]))
    elif between == "MaxPool":
        nodes.append(helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]))
    elif between == "AveragePool":
        nodes.append(helper.make_node("AveragePool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]))
    elif between == "none":
        nodes.append(helper.make_node("Identity", ["a"], ["b"]))
    else:
        nodes.append(helper.make_node(between, ["a"], ["b"]))
    if reader == "Deconv":
        weights["second"] = draw((16, 4, 3, 3), 1) / factors.reshape(-1, 1, 1, 1)
        nodes.append(helper.make_node("ConvTranspose", ["b", "second"], ["y"], strides=[2, 2]))
    elif reader == "depthwise":
        weights["second"] = draw((16, 1, 3, 3), 1)
        weights["third"] = draw((4, 16, 1, 1), 2) / factors.reshape(1, -1, 1, 1)
        nodes.append(helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1], group=16))
        nodes.append(helper.make_node("Conv", ["c", "third"], ["y"]))
    elif reader == "groups":
        weights["second"] = draw((8, 4, 3, 3), 1) / factors.reshape(4, 1, 4, 1, 1).repeat(2, 1).reshape(
            8, 4, 1, 1
        )
        nodes.append(helper.make_node("Conv", ["b", "second"], ["y"], pads=[1, 1, 1, 1], group=4))
    else:
        weights["second"] = draw((4, 16, 3, 3), 1) / factors.reshape(1, -1, 1, 1)
        nodes.append(conv("b", "y", "second"))
    return model_of(nodes, weights)


@pytest.mark.parametrize("between", ["Relu", "none", "LeakyRelu", "PRelu", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("reader", ["Conv", "depthwise", "groups", "Deconv"])
def test_equalisation_gains_ten_decibels_and_changes_no_bit(between: str, reader: str) -> None:
    top, given = module(net(between, reader)), samples(4)
    found = equalized(top, given)
    assert found.links
    for name, want in ModuleInterpreter(top).run(given[0]).items():
        np.testing.assert_array_equal(ModuleInterpreter(found.module).run(given[0])[name], want)
    assert plain_snr(found.module, given, top) > plain_snr(top, given) + 10


def test_equalisation_of_products_of_matrices() -> None:
    first, factors = scaled(draw((24, 16), 0).T.copy(), 1, 9)
    weights = {"w": first, "bias": np.ones(24, np.float32), "v": (draw((4, 24), 1) / factors).T.copy()}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "v"], ["y"]),
    ]
    top, given = module(model_of(nodes, weights, (4, 16))), samples(4, shape=(4, 16))
    found = equalized(top, given)
    assert list(found.links) == [products_of(top)[0][0].name]
    want, got = (ModuleInterpreter(one).run(given[0])["y"] for one in (top, found.module))
    np.testing.assert_array_equal(got, want)
    assert plain_snr(found.module, given, top) > plain_snr(top, given) + 10


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Sigmoid", "top.Sigmoid) reads it"),
        ("Relu6", "upper bound|top.Clip"),
        ("output", "is an output"),
        ("shared", "read twice"),
        ("computed", "its filter is computed"),
    ],
)
def test_what_equalisation_leaves_alone(kind: str, reason: str) -> None:
    weights = {"first": scaled(draw((8, 8, 3, 3), 0), 0, 9)[0], "second": draw((8, 8, 3, 3), 1)}
    nodes = [conv("x", "a", "first")]
    if kind == "Sigmoid":
        nodes += [helper.make_node("Sigmoid", ["a"], ["b"]), conv("b", "y", "second")]
    elif kind == "Relu6":
        weights |= {"low": np.float32(0).reshape(()), "high": np.float32(6).reshape(())}
        nodes += [helper.make_node("Clip", ["a", "low", "high"], ["b"]), conv("b", "y", "second")]
    elif kind == "shared":
        nodes += [conv("a", "b", "first"), conv("b", "y", "first")]
    elif kind == "computed":
        weights["one"] = np.ones((8, 8, 1, 1), np.float32)
        nodes += [
            helper.make_node("ReduceMean", ["a"], ["m"], axes=[0, 2, 3], keepdims=1),
            helper.make_node("Mul", ["m", "one"], ["f"]),
            helper.make_node("Conv", ["a", "f"], ["y"]),
        ]
    else:
        nodes += [conv("a", "y", "second")]
    model = model_of(nodes, weights)
    if kind == "output":
        model.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, None))
    links, skipped = links_of(module(model))
    assert not links
    assert any(part in text for text in skipped.values() for part in reason.split("|")), skipped


def test_rounding_minds_inputs_that_go_together() -> None:
    """All channels are nearly the same: it is the sum of the weights that counts."""
    rng = np.random.default_rng(3)
    weights = {"w": draw((8, 64, 1, 1), 0), "b": np.zeros(8, np.float32)}
    top = module(model_of([helper.make_node("Conv", ["x", "w", "b"], ["y"])], weights, (1, 64, 8, 8)))
    one = [rng.standard_normal((1, 1, 8, 8)) + 0.02 * rng.standard_normal((1, 64, 8, 8)) for _ in range(5)]
    given = [{"x": value.astype(np.float32)} for value in one]
    table = tpumlir.calibrate(top, given[:4])
    lowered = top.lower("INT8", calibration_table=table)
    found = tuned(top, lowered, given[:4], bias=False)
    assert found.rounded == 1
    (product,), _ = products_of(top)
    columns = product.columns(given[4]["x"], 64)[:, 0].astype(np.float64)
    exact = product.rows(top.weights[product.weight])[0]
    steps = np.abs(exact).max(axis=1, keepdims=True) / 127
    nearest, chosen = np.rint(exact / steps) * steps, product.rows(found.weights[product.weight])[0]
    before, after = (np.square(columns @ (one - exact).T).mean() for one in (nearest, chosen))
    assert after < before / 4


def test_bias_correction_takes_back_a_shift_of_means() -> None:
    """Weights that all lie just above a half step are all rounded up: with inputs above 0 that adds up."""
    weight = np.full((4, 64, 1, 1), 10.45 / 127, np.float32)
    weight[:, 0] = 1.0
    weights = {"w": weight, "b": np.zeros(4, np.float32)}
    top = module(model_of([helper.make_node("Conv", ["x", "w", "b"], ["y"])], weights, (1, 64, 8, 8)))
    given = [{"x": np.abs(one["x"])} for one in samples(5, shape=(1, 64, 8, 8))]
    table = tpumlir.calibrate(top, given[:4])
    lowered = top.lower("INT8", calibration_table=table)
    found = tuned(top, lowered, given[:4], rounding=False)
    assert (found.corrected, found.rounded) == (1, 0)
    better = top.clone()
    better.int8 = found.weights
    want = ModuleInterpreter(top).run(given[4])["y"]
    got = [
        ModuleInterpreter(one.lower("INT8", calibration_table=table)).run(given[4])["y"]
        for one in (top, better)
    ]
    before, after = (abs(float((value - want).mean())) for value in got)
    assert after < before / 5


def test_integers_are_those_that_were_chosen_and_floats_are_untouched() -> None:
    top, given = module(easy()), samples(3)
    table = tpumlir.calibrate(top, given)
    found = tuned(top, top.lower("INT8", calibration_table=table), given)
    better = top.clone()
    better.int8 = found.weights
    for mode, floats in (("INT8", {}), ("INT8", {"d": "F16"}), ("F16", {}), ("F32", {})):
        ranges = table if mode == "INT8" else None
        old, new = (one.lower(mode, quantize_table=floats, calibration_table=ranges) for one in (top, better))
        read = {name for op in new.ops() for name in op.operands}
        for op in new.ops():
            if op.kind != "top.Weight" or op.name not in read or op.name.endswith(("::multi", "::columns")):
                continue
            same = np.array_equal(new.weights[op.name], old.weights[op.name])
            if not op.results[0].scales:
                assert same, op.name
                continue
            whole = op.name.rpartition("::")[0]
            chosen = found.weights[whole] / np.asarray(op.results[0].scales).reshape(-1, 1, 1, 1)
            np.testing.assert_allclose(new.weights[op.name], chosen, atol=1e-3)


def test_a_module_keeps_its_integers_in_files(tmp_path: Path) -> None:
    top, given = module(easy()), samples(3)
    table = tpumlir.calibrate(top, given)
    top.int8 = tuned(top, top.lower("INT8", calibration_table=table), given).weights
    assert top.int8
    top.save(tmp_path / "m.mlir")
    again = tpumlir.Module.load(tmp_path / "m.mlir")
    assert set(again.int8) == set(top.int8)
    assert set(again.weights) == set(top.weights)
    one, other = (
        ModuleInterpreter(m.lower("INT8", calibration_table=table)).run(given[0]) for m in (top, again)
    )
    np.testing.assert_array_equal(one["y"], other["y"])
    lowered = top.lower("INT8", calibration_table=table)
    lowered.save(tmp_path / "t.mlir")
    assert not tpumlir.Module.load(tmp_path / "t.mlir").int8


@pytest.fixture(scope="module")
def found() -> QuantizeResult:
    return quantize(module(hard()), samples(4), target="cos=0.999", trials=4)


def test_the_search_keeps_what_helps_and_says_so(found: QuantizeResult) -> None:
    """Without it four operations are floats (test_search.py)."""
    assert found.plain.is_met
    first = found.improvements[0]
    assert first.name == "equalisation"
    assert first.kept
    assert first.after.snr > first.before.snr + 10
    assert found.changed
    assert any("equalisation" in line for line in found.comments())
    names = [one["name"] for one in found.to_json()["improvements"]]  # type: ignore[attr-defined]
    assert set(names) >= {"equalisation", "rounding", "bias correction"}


def test_it_is_the_same_every_time() -> None:
    found, again = (quantize(module(net("Relu", "Conv")), samples(4), trials=4) for _ in range(2))
    assert [one.to_json() for one in again.improvements] == [one.to_json() for one in found.improvements]
    for name, value in found.module.int8.items():
        np.testing.assert_array_equal(again.module.int8[name], value)


def test_written_files_are_deployed_against_the_float_model(found: QuantizeResult, tmp_path: Path) -> None:
    written = write_tables(found, tmp_path / "m_qtable", given=None)
    assert Path(written["mlir"]).name == "m_opt.mlir"
    top = tpumlir.Module.load(written["mlir"])
    x = samples(1, seed=77)[0]
    want, got = (ModuleInterpreter(one).run(x)["y"] for one in (module(hard()), top))
    np.testing.assert_array_equal(got, want)
    deployed = tpumlir.deploy(
        top, quantize="INT8", quantize_table=written["quantize_table"],
        calibration_table=written["calibration_table"], test_input=x,
    )  # fmt: skip
    assert all(one.passed for one in deployed.validations)


def test_switches_force_and_forbid() -> None:
    off = quantize(
        module(easy()), samples(4), equalize=False, rounding=False, bias_correction=False, clipping=False
    )
    assert not off.improvements
    assert not off.changed
    on = quantize(module(easy()), samples(4), rounding=True, equalize=False, bias_correction=False)
    # It is met in integers: no other thresholds are looked for.
    assert [(one.name, one.kept) for one in on.improvements] == [("rounding", True)]
    assert on.module.int8


def test_equalisation_needs_thresholds_of_its_own() -> None:
    top, given = module(easy()), samples(4)
    with pytest.raises(InputError, match="--calibration_table or --equalize"):
        quantize(top, given, calibration_table=tpumlir.calibrate(top, given), equalize=True)
    with pytest.raises(InputError, match="--calibration_table or --clip"):
        quantize(top, given, calibration_table=tpumlir.calibrate(top, given), clipping=True)
    result = quantize(top, given, calibration_table=tpumlir.calibrate(top, given))
    assert "equalisation" not in [one.name for one in result.improvements]


@pytest.mark.parametrize(
    ("attrs", "shape"),
    [
        ({"pads": [1, 0, 2, 1], "strides": [2, 1]}, (6, 4, 3, 3)),
        ({"dilations": [2, 1], "group": 2}, (6, 2, 3, 2)),
        ({"group": 4, "pads": [1, 1, 1, 1]}, (4, 1, 3, 3)),
    ],
)
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_rows_times_columns_are_the_product(kind: str, attrs: dict[str, Any], shape: tuple[int, ...]) -> None:
    group = attrs.get("group", 1)
    if kind == "ConvTranspose":
        shape = (4, shape[0] // group, *shape[2:])
    weights = {"w": draw(shape, 0)}
    top = module(model_of([helper.make_node(kind, ["x", "w"], ["y"], **attrs)], weights, (2, 4, 9, 8)))
    (product,), others = products_of(top)
    assert not others
    x = samples(1, shape=(2, 4, 9, 8))[0]
    want = ModuleInterpreter(top).run(x)["y"]
    rows = product.rows(top.weights[product.weight])
    np.testing.assert_array_equal(product.weight_of(rows), top.weights[product.weight])
    columns = product.columns(x["x"], 1 << 20)
    got = np.einsum("gok,pgk->pgo", rows, columns).reshape(len(columns), -1)
    np.testing.assert_allclose(got, np.moveaxis(want, 1, -1).reshape(len(columns), -1), atol=1e-5)


def test_places_are_spread_and_never_twice() -> None:
    assert list(spread(3, 10)) == [0, 1, 2]
    places = spread(10000, 512)
    assert len(set(places)) == len(places) > 500
    assert places.max() < 10000


def test_weights_named_like_integers_stay_weights(tmp_path: Path) -> None:
    """A model may have a weight w and one w::int8."""
    weights = {"w": draw((8, 8, 3, 3), 0), "w::int8": draw((8, 8, 3, 3), 1)}
    top = module(model_of([conv("x", "a", "w"), conv("a", "y", "w::int8")], weights))
    top.save(tmp_path / "m.mlir")
    again = tpumlir.Module.load(tmp_path / "m.mlir")
    assert not again.int8
    assert set(again.weights) == set(top.weights)
