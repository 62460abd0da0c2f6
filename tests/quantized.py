"""Rows of tests/ops in INT8: calibrated, lowered, run, and what their integers must be.

A row is one ONNX node whose results a quantize table asks for in INT8. Its ranges come from its own input and
a second one. The numbers that the lowering rounds to integers before it computes are rounded here as well, so
what is judged is the arithmetic of the node, in steps of its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

import tpumlir
from harness import OpCase
from tpumlir._core.ir import OpInfo, TensorInfo
from tpumlir.calibration.table import CalibrationTable, Row, float_tensors

Array = npt.NDArray[Any]
_ROUNDING = 0.51  # of a step: the rounding itself, and that of float32
_SEVERAL = 2.0
# Operations whose operands are those of the node, element by element or by the axis below.
_DERIVED = {"tpu.Conv2D", "tpu.Lut", "tpu.RequantFp", "tpu.Add", "tpu.Max", "tpu.Min"}
# Where the channels of a weight are, for each of which there is a scale; else it is the last axis.
_CHANNELS = {"Conv": 0, "ConvTranspose": 1, "com.microsoft.FusedConv": 0}


@dataclass(frozen=True)
class Quantized:
    """What a stored integer stands for: (q - zero point) * scale, of a tensor or along an axis."""

    signed: bool
    scales: Array
    zero: int = 0
    axis: int | None = None

    @staticmethod
    def of(tensor: TensorInfo) -> Quantized | None:
        """Of a tensor of a module; None unless it is quantised."""
        if not tensor.scales:
            return None
        return Quantized(tensor.dtype == "i8", np.array(tensor.scales), tensor.zero_points[0], tensor.axis)

    @property
    def step(self) -> float:
        """The distance of two numbers."""
        return float(self.scales.max())

    @property
    def least(self) -> int:
        """The least stored integer."""
        return -128 if self.signed else 0

    @property
    def greatest(self) -> int:
        """The greatest stored integer."""
        return 127 if self.signed else 255

    @property
    def largest(self) -> int:
        """The greatest distance of a stored integer from the zero point."""
        return max(self.greatest - self.zero, self.zero - self.least)

    def stored(self, x: Array) -> Array:
        """The integers of numbers, as the chip makes them: every step an f32, half to even."""
        factor = np.float32(1) / np.float32(self.scales[0])
        with np.errstate(over="ignore", invalid="ignore"):
            q = np.rint(x.astype(np.float32) * factor + np.float32(self.zero))
        integers: Array = np.clip(np.nan_to_num(q), self.least, self.greatest).astype(np.int64)
        return integers

    def numbers(self, q: Array) -> Array:
        """What integers stand for."""
        numbers: Array = ((q - self.zero) * np.float32(self.scales[0])).astype(np.float32)
        return numbers

    def rounded(self, x: Array, axis: int | None = None) -> Array:
        """The nearest numbers that there are; ``axis`` is the one of the channels in ``x``."""
        if self.axis is None:
            return self.numbers(self.stored(x))
        shape = [1] * x.ndim
        shape[axis or 0] = -1
        scales = self.scales.reshape(shape)
        return (np.clip(np.rint(x / scales), -127, 127) * scales).astype(np.float32)


def random_like(value: Array, rng: np.random.Generator) -> Array:
    """A second sample: as often negative, as far from 0, and the same integers."""
    if value.dtype.kind != "f" or value.size == 0 or not np.isfinite(value).all():
        return value
    low, high = float(value.min()), float(value.max())
    return rng.uniform(low, high, value.shape).astype(value.dtype)


def calibrated(
    top: tpumlir.Module, samples: list[Mapping[str, Array]], part: float = 1.0
) -> CalibrationTable:
    """The extremes of every float tensor over the samples; ``part`` of them, so that numbers saturate."""
    ranges: dict[str, tuple[float, float]] = {}
    interpreter = tpumlir.ModuleInterpreter(top)
    for sample in samples:
        found = dict(sample) | interpreter.run(sample, all_tensors=True, allow_nan=True)
        for name in float_tensors(top):
            value = np.asarray(found.get(name, 0.0), np.float64)
            value = value[np.isfinite(value) & (np.abs(value) < 1e38)]
            low, high = (float(value.min()), float(value.max())) if value.size else (0.0, 0.0)
            before = ranges.get(name, (low, high))
            ranges[name] = (min(low, before[0]), max(high, before[1]))
    rows = {
        name: Row(max(abs(low), abs(high), 1e-5) * part, low * part, high * part)
        for name, (low, high) in ranges.items()
    }
    return CalibrationTable(rows)


class Int8Case:
    """A row in INT8."""

    def __init__(self, case: OpCase, *, part: float = 1.0) -> None:
        self.case, self.part = case, part

    @cached_property
    def table(self) -> CalibrationTable:
        """What its own input and another one reach."""
        rng = np.random.default_rng(1)
        other = {name: random_like(value, rng) for name, value in self.case.inputs.items()}
        return calibrated(self.case.top, [self.case.inputs, other], self.part)

    @cached_property
    def tpu(self) -> tpumlir.Module:
        """The Tpu module."""
        names = set(self.case.top.tensor_names())
        forced = {name: "INT8" for name in self.case.output_names if name in names and name in self.table}
        return self.case.top.lower("INT8", calibration_table=self.table, quantize_table=forced)

    @cached_property
    def results(self) -> dict[str, Array]:
        """What the interpreter computes on Tpu."""
        return tpumlir.ModuleInterpreter(self.tpu).run(self.case.inputs, allow_nan=True)

    def device(self, opt: int) -> dict[str, Array]:
        """What the simulated chip computes, with the race detector on."""
        bmodel = self.tpu.finalize(opt=opt).compile()
        inputs = {spec.name: self.case.inputs[spec.name].astype(spec.numpy_dtype) for spec in bmodel.inputs}
        return bmodel.run(inputs, allow_nan=True, detect_races=True)

    @cached_property
    def ops(self) -> list[OpInfo]:
        """Its operations on tensors."""
        return [op for op in self.tpu.ops() if op.kind.startswith("tpu.")]

    @cached_property
    def types(self) -> dict[str, Quantized]:
        """The quantised tensors, weights among them."""
        found = {r.name: Quantized.of(r) for op in self.tpu.ops() for r in op.results}
        return {name: kind for name, kind in found.items() if kind}

    @property
    def is_quantized(self) -> bool:
        """Whether anything in it is of integers."""
        return any(result.name in self.types for op in self.ops for result in op.results)

    @cached_property
    def errors(self) -> dict[str, float]:
        """How many steps each quantised tensor may be off what Top computes of the rounded operands.

        One operation rounds once. What comes in is passed on as often as the function grows; where floats
        stand between, by a number that no row needs more than.
        """
        weights, found = self.tpu.weights, dict[str, float]()
        for op in self.ops:
            kind = self.types.get(op.name)
            before = [found.get(operand, 0.0) for operand in op.operands]
            kinds = [self.types.get(operand) for operand in op.operands]
            most = max(before, default=0.0)
            if kind is None:
                found[op.name] = max(most, 0.0 if op.moves_data or op.kind == "tpu.Cast" else _SEVERAL)
            elif op.moves_data or op.kind in ("tpu.Pad", "tpu.Max", "tpu.Min"):
                found[op.name] = most
            elif op.kind == "tpu.Cast":
                # The floats that a row takes are rounded beforehand; a number computed here is not.
                given = [n for n, v in self.case.data.items() if v.dtype.kind == "f"]
                is_given = not most and any(op.name.startswith(f"{n}::") for n in given)
                found[op.name] = 0.0 if is_given else most + _ROUNDING
            elif op.kind == "tpu.Lut":
                table = weights[op.operands[1]].astype(np.float64)
                slope = np.abs(np.diff(np.roll(table, 128) if kinds[0] and kinds[0].signed else table)).max()
                found[op.name] = _ROUNDING + slope * most
            elif op.kind == "tpu.RequantFp":
                found[op.name] = _ROUNDING + abs(op.attrs["scale"]) * most
            elif op.kind == "tpu.Add":
                # Factors of 7 or 8 bits, the greatest at least 64, are rounded as well.
                steps = [side.step / kind.step for side in kinds if side]
                off = [0.5 * max(steps) / 64 * side.largest for side in kinds if side]
                found[op.name] = _ROUNDING + sum(off) + float(np.dot(steps, before))
            else:
                found[op.name] = _ROUNDING + (_SEVERAL if most else 0.0)
        return found

    def steps(self, name: str) -> float:
        """How many steps a result may be off what Top computes of the rounded operands."""
        return self.errors[name]

    @property
    def is_derived(self) -> bool:
        """Whether ``errors`` says all there is: one operation, of weights as the node has them."""
        made = {op.name for op in self.tpu.ops() if op.kind == "top.Weight" and op.name in self.types}
        plain = made <= {f"{name}::int8" for name in self.case.data} | {n for n in made if "::table" in n}
        arithmetic = [op for op in self.ops if not op.moves_data and op.kind not in ("tpu.Cast", "tpu.Pad")]
        return plain and len(arithmetic) == 1 and arithmetic[0].kind in _DERIVED

    def output_type(self, name: str) -> Quantized | None:
        """What an output was before it became a float."""
        made = {result.name: op for op in self.ops for result in op.results}
        op = made.get(name)
        while op is not None and (op.kind == "tpu.Cast" or op.moves_data) and op.operands:
            if kind := self.types.get(op.operands[0]):
                return kind
            op = made.get(op.operands[0])
        return None

    def wanted(self) -> dict[str, Array]:
        """What Top computes of the numbers that the operands are rounded to."""
        axis = _CHANNELS.get(self.case.op, -1)
        if self.case.attributes.get("transB") or self.case.attributes.get("group", 1) > 1:
            axis = 0
        data = dict(self.case.data)
        for name, value in data.items():
            made = next((n for n in self.types if n.startswith(f"{name}::") and n.endswith("::int8")), "")
            kind = self.types.get(made)
            if kind and value.dtype == np.float32:
                # What is moved first is a half on the way.
                halves = value.astype(np.float16).astype(np.float32) if "::f16::" in made else value
                data[name] = kind.rounded(halves, axis)
        case = OpCase(
            self.case.op, *self.case.operands, why=self.case.why, opset=self.case.opset,
            outputs=self.case.outputs, **self.case.attributes,
        )  # fmt: skip
        case.__dict__["data"] = data
        return case.top_interpreter.run(case.inputs, allow_nan=True)

    def judge(self) -> None:
        """Assert that the results are those of the rounded operands, in steps of the results.

        What a step is derived from: the type of the result, which may hold fewer numbers than there are.
        """
        want = self.wanted()
        for name, got in self.results.items():
            kind = self.output_type(name)
            if kind is None:
                continue
            ends = kind.numbers(np.array([kind.least, kind.greatest]))
            held = np.clip(want[name].astype(np.float64), *ends)
            off = np.abs(got - held)[np.isfinite(held)] / kind.step
            assert off.size == 0 or off.max() <= self.steps(name), (name, off.max(), self.steps(name))

    def compare_with_the_chip(self) -> None:
        """Assert that the simulated chip computes the same bits, in layer groups and without them."""
        floats = ("f32", "f16", "bf16")
        moved = ("tpu.Cast", "tpu.Pad")
        computed = [op for op in self.ops if not op.moves_data and op.kind not in moved]
        has_floats = any(result.dtype in floats for op in computed for result in op.results)
        for opt in (2, 0):
            for name, value in self.device(opt).items():
                want, kind = self.results[name], self.output_type(name)
                if has_floats and value.dtype.kind == "f":  # a half beside it, through a table
                    atol = kind.step * 4 if kind else 2.0**-9 * float(np.abs(want).max(initial=0))
                    np.testing.assert_allclose(value, want, 2.0**-9, atol, err_msg=f"{name} at opt {opt}")
                else:
                    np.testing.assert_array_equal(value, want, err_msg=f"{name} at opt {opt}")
