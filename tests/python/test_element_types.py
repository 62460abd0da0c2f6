"""Ranges of a calibration and scales in the types of Top tensors: what is read of them, and what runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from tpumlir._core.ir import GraphBuilder
from tpumlir.errors import TpumlirError
from tpumlir.precision.formats import FLOATS

Array = npt.NDArray[Any]
RNG = np.random.default_rng(7)
CONV = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]}


def plain() -> tpumlir.Module:
    """A convolution, a Relu that is fused into it, a residual sum, a mean and a product."""
    graph = GraphBuilder("net")
    x = graph.input("x", (1, 8, 6, 6))
    f = graph.weight("f", RNG.standard_normal((8, 8, 3, 3)).astype(np.float32))
    (c,) = graph.op("top.Conv", [x, f, graph.none()], CONV, names=["c"])
    (r,) = graph.op("top.Relu", [c], names=["r"])
    (s,) = graph.op("top.Add", [r, x], names=["s"])
    pool = {"kernel_shape": [], "strides": [1, 1], "pads": [0, 0, 0, 0]}
    (a,) = graph.op("top.AvgPool", [s], pool, names=["a"])
    (v,) = graph.op("top.Reshape", [a], {"shape": [1, 8]}, names=["v"])
    return tpumlir.Module(graph.finish([v]))


def calibrated(module: tpumlir.Module) -> tpumlir.Module:
    """``module`` with a range at every tensor but the filter."""
    element = "!quant.calibrated<f32<-2.5:4.0>>"
    text = re.sub(r"(tensor<(?!8x8x3x3x)(?:\d+x)+)f32>", rf"\g<1>{element}>", module.print())
    return tpumlir.Module.parse(text, module.weights)


@pytest.fixture(scope="module")
def both() -> tuple[tpumlir.Module, tpumlir.Module]:
    module = plain()
    return module, calibrated(module)


Both = tuple[tpumlir.Module, tpumlir.Module]


def test_ranges_are_read_and_written(both: Both) -> None:
    module = both[1]
    ranges = {result.name: result.range for op in module.ops() for result in op.results}
    assert ranges == {"x": (-2.5, 4.0), "f": None} | dict.fromkeys("crsav", (-2.5, 4.0))
    again = tpumlir.Module.parse(module.print(), module.weights)
    assert again.print() == module.print()


def test_tensors_are_floats_as_before(both: Both) -> None:
    for spec, other in zip(both[0].inputs + both[0].outputs, both[1].inputs + both[1].outputs, strict=True):
        assert other == spec


def test_ranges_survive_files(both: Both, tmp_path: Path) -> None:
    both[1].save(tmp_path / "net.mlir")
    assert tpumlir.Module.load(tmp_path / "net.mlir").print() == both[1].print()


def test_the_interpreter_runs_it(both: Both) -> None:
    x = RNG.standard_normal((1, 8, 6, 6)).astype(np.float32)
    got, want = (tpumlir.ModuleInterpreter(module).run({"x": x}, all_tensors=True) for module in both[::-1])
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.parametrize("mode", FLOATS)
def test_the_lowering_drops_them(both: Both, mode: str) -> None:
    want, got = (module.lower(mode) for module in both)
    texts = [re.sub(r'weight_file = "[^"]*"', "", module.print()) for module in (got, want)]
    assert texts[0] == texts[1]
    assert "quant." not in texts[0]
    codes = [module.compile() for module in (got, want)]
    assert codes[0].groups == codes[1].groups
    assert codes[0].coeff == codes[1].coeff


@pytest.mark.parametrize("passes", ["shape-infer", "canonicalize", "extra-optimize"])
def test_passes_keep_what_they_do_not_replace(both: Both, passes: str) -> None:
    module = both[1].clone().run_pipeline(passes)
    assert module.outputs == both[1].outputs
    ranges = [result.range for op in module.ops() for result in op.results if op.kind != "top.Weight"]
    assert (-2.5, 4.0) in ranges


def test_a_tensor_in_the_place_of_another_brings_its_own_range() -> None:
    """x * 1 is x: the function returns what x is, range included."""
    text = """
    func.func @main(%arg: tensor<4xf32>) -> tensor<4x!quant.calibrated<f32<0.0:9.0>>> {
      %x = "top.Input"(%arg) : (tensor<4xf32>) -> tensor<4xf32> loc("x")
      %y = "top.Abs"(%x) : (tensor<4xf32>) -> tensor<4x!quant.calibrated<f32<0.0:1.0>>> loc("y")
      %z = "top.MulConst"(%y) {const_val = 1.0} : (tensor<4x!quant.calibrated<f32<0.0:1.0>>>)
           -> tensor<4x!quant.calibrated<f32<0.0:9.0>>> loc("z")
      return %z : tensor<4x!quant.calibrated<f32<0.0:9.0>>>
    }"""
    module = tpumlir.Module.parse(text).run_pipeline("canonicalize")
    x = np.array([-1, 2, -3, 4], np.float32)
    (value,) = tpumlir.ModuleInterpreter(module).run({"x": x}).values()
    np.testing.assert_array_equal(value, np.abs(x))


SCALES = [
    ("!quant.uniform<i8:f32, 0.5>", "i8", [0.5], [0], None),
    ("!quant.uniform<i8:f32, 0.25:-3>", "i8", [0.25], [-3], None),
    ("!quant.uniform<u8:f32, 0.5:128>", "ui8", [0.5], [128], None),
    ("!quant.uniform<i16:f32, 0.5>", "i16", [0.5], [0], None),
    ("!quant.uniform<u16:f32, 2.0:1>", "ui16", [2.0], [1], None),
    ("!quant.uniform<i32:f32, 0.125>", "i32", [0.125], [0], None),
    ("!quant.uniform<i8<-127:127>:f32, 0.5>", "i8", [0.5], [0], None),
    ("!quant.uniform<i8:f32:1, {0.5,0.25:2}>", "i8", [0.5, 0.25], [0, 2], 1),
    ("!quant.uniform<u8:f32:0, {1.0:9,2.0:8,4.0:7}>", "ui8", [1.0, 2.0, 4.0], [9, 8, 7], 0),
]


@pytest.mark.parametrize(("element", "storage", "scales", "zero_points", "axis"), SCALES)
def test_scales_are_read(
    element: str, storage: str, scales: list[float], zero_points: list[int], axis: int | None
) -> None:
    text = f"""
    func.func @main(%arg: tensor<3x2xf32>) -> tensor<3x2x{element}> {{
      %x = "top.Input"(%arg) : (tensor<3x2xf32>) -> tensor<3x2xf32> loc("x")
      %y = "top.Relu"(%x) : (tensor<3x2xf32>) -> tensor<3x2x{element}> loc("y")
      return %y : tensor<3x2x{element}>
    }}"""
    module = tpumlir.Module.parse(text)
    (found,) = [result for op in module.ops() for result in op.results if op.name == "y"]
    assert (found.dtype, found.scales, found.zero_points, found.axis) == (storage, scales, zero_points, axis)
    assert found.range is None
    # No stage takes the stored integers for numbers.
    with pytest.raises(TpumlirError, match="expected elements of f32, f16, bf16"):
        tpumlir.ModuleInterpreter(module)
    with pytest.raises(TpumlirError, match="expected a static tensor of f32 or i32"):
        module.lower("F32")
