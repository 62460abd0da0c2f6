"""Half precision in the interpreter: tensors are float32 whose numbers are those of the half type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harness import rounded
from tpumlir._core.interpreter import Interpreter
from tpumlir._core.ir import Module

Array = npt.NDArray[Any]
INF = np.float32("inf")


def cast(values: Array, dtype: str, *, then: str = "") -> Array:
    """``tpu.Cast`` to ``dtype``; ``then`` is an operation on the result that moves data, as text."""
    shape = "x".join(map(str, values.shape))
    f32, half = f"tensor<{shape}xf32>", f"tensor<{shape}x{dtype}>"
    text = f"""
      func.func @main(%a: {f32}) -> {half} {{
        %x = "top.Input"(%a) : ({f32}) -> {f32} loc("x")
        %y = "tpu.Cast"(%x) : ({f32}) -> {half} loc("y")
        {then}
        return %{"z" if then else "y"} : {half}
      }}"""
    results: dict[str, Array] = Interpreter(Module.parse(text, {})).run({"x": values})
    return next(iter(results.values()))


def around_every_f16() -> Array:
    """Each finite f16, the middle to its neighbour, and the float32 on both sides of these."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2
    exact = np.concatenate([halves, middles, np.array([65519.996, 65520, 65536, 1e10, 3e38], np.float32)])
    near = [exact, np.nextafter(exact, INF), np.nextafter(exact, -INF)]
    return np.concatenate([*near, *(-one for one in near)]).astype(np.float32)


def around_many_bf16() -> Array:
    """The same of bf16, for every exponent and some fractions."""
    bits = np.arange(0, 0x7F80, 7, dtype=np.uint32) << 16
    exact = np.concatenate([(bits + offset).view(np.float32) for offset in (0, 0x8000)])
    near = [exact, np.nextafter(exact, INF), np.nextafter(exact, -INF)]
    return np.concatenate([*near, *(-one for one in near)]).astype(np.float32)


def test_f16_is_the_nearest_number_half_to_even() -> None:
    values = around_every_f16()
    np.testing.assert_array_equal(cast(values, "f16").view(np.uint32), rounded(values, "F16").view(np.uint32))


def test_bf16_is_the_nearest_number_half_to_even_and_subnormal_ones_are_zero() -> None:
    values = around_many_bf16()
    want = rounded(values, "BF16")
    tiny = np.abs(values) < np.finfo(np.float32).tiny
    want = np.where(tiny, np.copysign(np.float32(0), values), want)
    np.testing.assert_array_equal(cast(values, "bf16").view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_nan_and_infinity_stay(dtype: str) -> None:
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    got = cast(values, dtype)
    np.testing.assert_array_equal(got, values)
    np.testing.assert_array_equal(np.signbit(got[2:]), np.signbit(values[2:]))


def test_moving_data_rounds_nothing_again() -> None:
    values = np.array([[1.0001, 2.0002], [3.0003, 4.0004]], np.float32)
    half = "tensor<2x2xf16>"
    none = '%n = "top.None"() : () -> none'
    move = f'{none}\n%z = "tpu.Permute"(%y, %n) {{order = [1, 0]}} : ({half}, none) -> {half} loc("z")'
    np.testing.assert_array_equal(cast(values, "f16", then=move), rounded(values.T, "F16"))


@pytest.mark.parametrize(("dtype", "precision", "bits"), [("f16", "F16", 10), ("bf16", "BF16", 7)])
def test_results_are_rounded_and_weights_widened(dtype: str, precision: Any, bits: int) -> None:
    x = np.array([1.0, 3.0, -5.0], np.float32)
    w = np.float32(1 + 2.0**-bits)  # the number after 1
    half = f"tensor<3x{dtype}>"
    text = f"""
      func.func @main(%a: {half}) -> {half} {{
        %x = "top.Input"(%a) : ({half}) -> {half} loc("x")
        %w = "top.Weight"() : () -> {half} loc("w")
        %y = "tpu.Mul"(%x, %w) : ({half}, {half}) -> {half} loc("y")
        return %y : {half}
      }}"""
    stored = np.full(3, w, np.float32)
    data = stored.astype(np.float16) if dtype == "f16" else (stored.view(np.uint32) >> 16).astype(np.uint16)
    got = Interpreter(Module.parse(text, {"w": data})).run({"x": x + np.float32(2.0**-20)})["y"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, rounded(x * w, precision))
