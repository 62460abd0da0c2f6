"""Random graphs of the ops that `canonicalize` rewrites: every output keeps its name, shape and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tpumlir._core import ir
from tpumlir._core.interpreter import Interpreter

PASSES = "shape-infer,canonicalize,extra-optimize"
UNARY = ("Relu", "Sigmoid", "Tanh", "Abs", "Exp", "SiLU", "HardSwish")


class RandomGraph:
    """Grows a graph op by op; operands are drawn from what is there, so values get several uses."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = ir.GraphBuilder(f"random{seed}")
        self.values = [self.builder.input("x", [2, 4, 6, 5]), self.builder.input("y", [2, 4, 6, 5])]
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def weight(self, *shape: int, low: float = -1.0, high: float = 1.0) -> ir.Value:
        return self.builder.weight(self.name(), self.rng.uniform(low, high, shape).astype(np.float32))

    def op(self, kind: str, *operands: ir.Value, **attrs: Any) -> ir.Value:
        return self.builder.op(f"top.{kind}", operands, attrs, names=[self.name()])[0]

    def pick(self) -> ir.Value:
        # The newest ones more often: chains are what the rewrites look for.
        recent = self.values[-3:] if self.rng.random() < 0.7 else self.values
        return recent[self.rng.integers(len(recent))]

    def small(self, value: ir.Value) -> ir.Value:
        """Bounded again: products and exponentials must not leave f32."""
        return self.op("Tanh", value)

    # --- steps ------------------------------------------------------------------

    def unary(self, x: ir.Value) -> ir.Value:
        kind = UNARY[self.rng.integers(len(UNARY))]
        result = self.op(kind, x)
        return self.small(result) if kind == "Exp" else result

    def clip(self, x: ir.Value) -> ir.Value:
        return self.op(
            "Clip", x, min=float(self.rng.choice([0.0, -1.0])), max=float(self.rng.choice([1.0, 6.0]))
        )

    def with_constant(self, x: ir.Value) -> ir.Value:
        kind = str(self.rng.choice(["Add", "Sub", "Mul", "Div", "Max", "Min"]))
        rank = len(x.shape)
        axis = int(self.rng.integers(-1, rank))
        shape = [1] * rank
        if axis >= 0:
            shape[axis] = x.shape[axis]
        w = self.weight(*shape[int(self.rng.integers(0, 2)) if shape[0] == 1 else 0 :], low=0.5, high=2)
        first = kind != "Div" and self.rng.random() < 0.5
        return self.op(kind, *((w, x) if first else (x, w)))

    def binary(self, x: ir.Value) -> ir.Value:
        kind = str(self.rng.choice(["Add", "Sub", "Mul"]))
        same = [v for v in self.values if v.shape == x.shape]
        return self.small(self.op(kind, x, same[self.rng.integers(len(same))]))

    def norm(self, x: ir.Value) -> ir.Value:
        if len(x.shape) < 2:
            return self.unary(x)
        c = x.shape[1]
        return self.op(
            "BatchNorm", x, self.weight(c), self.weight(c, low=0.5, high=2), self.weight(c), self.weight(c)
        )

    def conv(self, x: ir.Value) -> ir.Value:
        if len(x.shape) != 4 or min(x.shape[2:]) < 2:
            return self.unary(x)
        ic, group = x.shape[1], 1
        if ic % 2 == 0 and self.rng.random() < 0.5:
            group = 2
        oc = 2 * int(self.rng.integers(1, 4))
        window: dict[str, Any] = {
            "kernel_shape": [2, 2],
            "strides": [1, 1],
            "pads": [0, 0, 1, 1],
            "group": group,
        }
        if self.rng.random() < 0.6:
            bias = self.weight(oc) if self.rng.random() < 0.5 else self.builder.none()
            return self.op("Conv", x, self.weight(oc, ic // group, 2, 2), bias, **window)
        # Half of the transposed ones with a filter that is computed.
        if self.rng.random() < 0.5:
            return self.op("Deconv", x, self.weight(oc // group, ic, 2, 2), self.weight(oc), **window)
        w = self.op("Tanh", self.weight(ic, oc // group, 2, 2))
        if self.rng.random() < 0.5:
            w = self.op("Permute", self.op("Tanh", self.weight(oc // group, ic, 2, 2)), order=[1, 0, 2, 3])
        return self.op("Deconv", x, w, self.builder.none(), **window)

    def matmul(self, x: ir.Value) -> ir.Value:
        if len(x.shape) < 2:
            return self.unary(x)
        k, n = x.shape[-1], int(self.rng.integers(1, 6))
        transpose = bool(self.rng.random() < 0.5)
        bias = self.weight(n) if self.rng.random() < 0.5 else self.builder.none()
        right = self.weight(n, k) if transpose else self.weight(k, n)
        return self.op("MatMul", x, right, bias, right_transpose=transpose)

    def layout(self, x: ir.Value) -> ir.Value:
        rank = len(x.shape)
        step = int(self.rng.integers(6))
        if step == 0:
            return self.op("Permute", x, order=[int(i) for i in self.rng.permutation(rank)])
        if step == 1:
            return self.op("Reshape", x, shape=[x.shape[0], -1])
        if step == 2 and rank < 5:
            return self.op("Unsqueeze", x, axes=[int(self.rng.integers(rank + 1))])
        if step == 3:
            return self.op("Squeeze", x, axes=[])
        if step == 4 and rank == 4:
            pads = [0, 0, *(int(p) for p in self.rng.integers(0, 2, 2))] * 2
            return self.op("Pad", x, paddings=pads, mode="constant", val=float(self.rng.choice([0.0, 1.0])))
        none = self.builder.none()
        whole = {
            "offset": [0],
            "ends": [100],
            "steps": [1 if self.rng.random() < 0.7 else 2],
            "axes": [rank - 1],
        }
        return self.op("Slice", x, none, none, none, **whole) if rank else self.unary(x)

    def grow(self, steps: int) -> ir.Module:
        kinds: list[Callable[[ir.Value], ir.Value]] = [
            self.unary, self.clip, self.with_constant, self.with_constant, self.binary,
            self.norm, self.conv, self.matmul, self.layout, self.layout,
        ]  # fmt: skip
        for _ in range(steps):
            self.values.append(kinds[self.rng.integers(len(kinds))](self.pick()))
        computed = self.values[2:]
        others = [v for v in computed[:-1] if self.rng.random() < 0.2]
        return self.builder.finish([*others, computed[-1]])


@pytest.mark.parametrize("seed", range(120))
def test_every_output_keeps_its_value(seed: int) -> None:
    module = RandomGraph(seed).grow(steps=14)
    rng = np.random.default_rng(1000 + seed)
    inputs = {i.name: rng.uniform(-3, 3, i.shape or ()).astype(np.float32) for i in module.inputs}
    want = Interpreter(module).run(inputs)
    outputs = [(o.name, o.shape) for o in module.outputs]

    module.run_pipeline(PASSES)
    assert [i.name for i in module.inputs] == ["x", "y"]
    assert [(o.name, o.shape) for o in module.outputs] == outputs
    got = Interpreter(module).run(inputs)
    for name, value in want.items():
        scale = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(
            got[name], value, rtol=1e-4, atol=1e-4 * scale, err_msg=f"{name}\n{module}"
        )

    again = module.clone()
    again.run_pipeline(PASSES)
    assert again.print() == module.print(), "the second time nothing changes"
