"""Concat, Slice, Reshape and Permute by address: what shares memory, and that no value is lost by it.

Networks are Tpu text. Each is run on the interpreter and on the simulated chip, whose results have the same
bits; ``commands`` says how many commands are left for what moves data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tpumlir
from tpumlir._core import codegen, ir

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
MOVES = ("tpu.Concat", "tpu.Slice", "tpu.Reshape", "tpu.Permute")


@dataclass
class Net:
    """Text of a module that grows; values are their names."""

    element: str = "f32"
    shapes: dict[str, Shape] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def kind(self, name: str) -> str:
        return f"tensor<{''.join(f'{d}x' for d in self.shapes[name])}{self.element}>"

    def _op(self, op: str, operands: list[str], shape: Shape, attributes: str = "", nones: int = 0) -> str:
        name = f"t{len(self.shapes)}"
        self.shapes[name] = shape
        values = ", ".join([f"%{o}" for o in operands] + ["%none"] * nones)
        kinds = ", ".join([self.kind(o) for o in operands] + ["none"] * nones)
        self.lines.append(
            f'%{name} = "{op}"({values}) {{{attributes}}} : ({kinds}) -> {self.kind(name)} loc("{name}")'
        )
        return name

    def input(self, *shape: int) -> str:
        name = f"t{len(self.shapes)}"
        self.shapes[name] = shape
        kind = self.kind(name)
        argument = f"%arg{len(self.inputs)}"
        self.lines.append(f'%{name} = "top.Input"({argument}) : ({kind}) -> {kind} loc("{name}")')
        self.inputs.append(name)
        return name

    def weight(self, *shape: int) -> str:
        name = self._op("top.Weight", [], shape)
        numbers = np.arange(prod(shape), dtype=np.float32).reshape(shape) + 7
        self.constants[name] = numbers.astype(np.float16) if self.element == "f16" else numbers
        return name

    def plus(self, value: str, number: float) -> str:
        return self._op("tpu.AddConst", [value], self.shapes[value], f"const_val = {number:.1f} : f64")

    def add(self, a: str, b: str) -> str:
        return self._op("tpu.Add", [a, b], self.shapes[a])

    def concat(self, *values: str, axis: int = 0) -> str:
        shape = list(self.shapes[values[0]])
        shape[axis] = sum(self.shapes[v][axis] for v in values)
        return self._op("tpu.Concat", list(values), tuple(shape), f"axis = {axis} : si32")

    def take(self, value: str, axis: int, begin: int, size: int, step: int = 1) -> str:
        rank = len(self.shapes[value])
        shape, offset, steps = list(self.shapes[value]), [0] * rank, [1] * rank
        shape[axis], offset[axis], steps[axis] = size, begin, step
        ends = [o + s * d for o, s, d in zip(offset, steps, shape, strict=True)]
        attributes = f"offset = {offset}, steps = {steps}, ends = {ends}"
        return self._op("tpu.Slice", [value], tuple(shape), attributes, nones=4)

    def reshape(self, value: str, *shape: int) -> str:
        return self._op("tpu.Reshape", [value], shape)

    def permute(self, value: str, *order: int) -> str:
        shape = tuple(self.shapes[value][axis] for axis in order)
        return self._op("tpu.Permute", [value], shape, f"order = {list(order)}", nones=1)

    def module(self, outputs: list[str]) -> ir.Module:
        arguments = ", ".join(f"%arg{i}: {self.kind(name)}" for i, name in enumerate(self.inputs))
        kinds = ", ".join(self.kind(name) for name in outputs)
        body = "\n    ".join(['%none = "top.None"() : () -> none', *self.lines])
        mode = self.element.upper()
        text = (
            f'module @m attributes {{module.name = "m", module.chip = "bm1684x", module.mode = "{mode}", '
            'module.state = "TPU_LOWERED", module.platform = "ONNX", module.weight_file = "w.npz"} {\n'
            f"  func.func @main({arguments}) -> ({kinds}) {{\n    {body}\n"
            f"    return {', '.join(f'%{o}' for o in outputs)} : {kinds}\n  }}\n}}\n"
        )
        return ir.Module.parse(text, self.constants)


def check(net: Net, outputs: list[str]) -> int:
    """Compare the bits of every output, with groups and without; without, how many commands move data."""
    core = net.module(outputs)
    rng = np.random.default_rng(3)
    half = net.element == "f16"
    # Whole numbers, small enough that no sum of a half is rounded.
    inputs = {name: rng.integers(-40, 40, net.shapes[name]).astype(np.float32) for name in net.inputs}
    want = tpumlir.ModuleInterpreter(tpumlir.Module(core)).run(inputs)
    given = {name: value.astype(np.float16) if half else value for name, value in inputs.items()}
    alone = core.clone()
    alone.run_pipeline("weight-reorder,address-assign")
    for module in (core, alone):
        got = tpumlir.Module(module).compile().run(given, detect_races=True)
        assert list(got) == list(dict.fromkeys(outputs))
        for name, value in want.items():
            np.testing.assert_array_equal(got[name].astype(np.float32), value, err_msg=name)
    program = codegen.compile(alone)
    assert all(tensor.address % 4096 == 0 for tensor in [*program.inputs, *program.outputs])
    return sum(op in MOVES for _engine, _id, op, _node, _segment in program.debug)


def operands(n: Net) -> list[str]:
    x = n.input(1, 5, 3)
    a, b = n.plus(x, 1), n.plus(x, 2)
    return [n.plus(n.concat(a, b, axis=1), 1)]


def operand_of_later_ops(n: Net) -> list[str]:
    x = n.input(1, 2000)
    a, b = n.plus(x, 1), n.plus(x, 2)
    joined = n.plus(n.concat(a, b, axis=1), 3)
    late = a
    for i in range(5):  # memory is taken and given back while a still lives
        late = n.add(n.plus(late, i), a)
    return [joined, late]


def concat_dies_before_operand(n: Net) -> list[str]:
    x = n.input(1, 2000)
    a, b = n.plus(x, 1), n.plus(x, 2)
    y = n.take(n.plus(n.concat(a, b, axis=1), 3), 1, 500, 2000)
    for i in range(4):
        y = n.plus(y, i)
    return [n.add(y, b)]


def unused_operand_parts(n: Net) -> list[str]:
    x = n.input(1, 2000)
    a, b = n.plus(x, 1), n.plus(x, 2)
    n.concat(a, b, axis=1)  # nobody reads it
    return [n.add(n.plus(a, 1), n.plus(b, 1))]


def not_contiguous(n: Net) -> list[str]:
    x = n.input(2, 3, 4)
    a, b = n.plus(x, 1), n.plus(x, 2)
    return [n.plus(n.concat(a, b, axis=1), 1)]


def two_concats_of_one_value(n: Net) -> list[str]:
    x = n.input(1, 300)
    a, b, c = n.plus(x, 1), n.plus(x, 2), n.plus(x, 3)
    first, second = n.concat(a, b, axis=1), n.concat(c, a, axis=1)
    return [n.add(first, second)]


def the_same_value_twice(n: Net) -> list[str]:
    x = n.input(1, 300)
    a = n.plus(x, 1)
    return [n.plus(n.concat(a, a, axis=1), 1)]


def model_input(n: Net) -> list[str]:
    x = n.input(1, 300)
    return [n.plus(n.concat(n.plus(x, 1), x, n.weight(1, 9), axis=1), 1)]


def other_shape_of_the_input(n: Net) -> list[str]:
    x = n.input(1, 300)
    return [n.plus(n.concat(n.reshape(x, 300), n.plus(n.reshape(x, 300), 1)), 1)]


def returned_concat(n: Net) -> list[str]:
    x = n.input(1, 7)
    return [n.concat(n.plus(x, 1), n.plus(x, 2), axis=1)]


def returned_operand(n: Net) -> list[str]:
    x = n.input(1, 7)
    a = n.plus(x, 1)
    return [a, n.concat(a, n.plus(x, 2), axis=1)]


def returned_shape_of_operand(n: Net) -> list[str]:
    x = n.input(1, 7)
    a = n.plus(x, 1)
    return [n.reshape(a, 7, 1), n.concat(a, n.plus(x, 2), axis=1)]


def concat_returned_twice(n: Net) -> list[str]:
    x = n.input(1, 7)
    c = n.concat(n.plus(x, 1), n.plus(x, 2), axis=1)
    d = n.concat(c, n.plus(x, 3), axis=1)
    return [c, d]


def returned_slice(n: Net) -> list[str]:
    x = n.input(1, 9)
    a = n.plus(x, 1)
    return [n.take(a, 1, 2, 3), n.plus(a, 1), n.take(x, 1, 1, 5)]


def returned_shape_of_slice(n: Net) -> list[str]:
    x = n.input(1, 9)
    return [n.reshape(n.take(n.plus(x, 1), 1, 2, 3), 3)]


def returned_permute(n: Net) -> list[str]:
    x = n.input(1, 9)
    return [n.permute(x, 1, 0)]


def slices(n: Net) -> list[str]:
    x = n.plus(n.input(1, 6, 5, 4), 1)
    channel = n.take(x, 1, 3, 1)
    return [n.add(n.plus(n.take(x, 1, 1, 1), 1), channel), n.plus(n.take(channel, 2, 1, 3), 1)]


def slices_with_gaps(n: Net) -> list[str]:
    x = n.plus(n.input(1, 6, 5, 4), 1)
    return [n.plus(n.take(x, 1, 0, 3, 2), 1), n.plus(n.take(x, 2, 1, 3), 1)]


def backwards(n: Net) -> list[str]:
    x = n.plus(n.input(5, 4), 1)
    return [n.plus(n.take(x, 0, 4, 5, -1), 1), n.plus(n.take(x, 0, 4, 1, -1), 1)]


def slice_of_slice(n: Net) -> list[str]:
    x = n.plus(n.input(1, 40, 3), 1)
    y = n.take(n.reshape(n.take(x, 1, 4, 30), 1, 10, 9), 1, 2, 7)
    return [n.plus(n.take(y, 1, 1, 2), 1), n.plus(x, 2)]


def slice_of_input(n: Net) -> list[str]:
    x = n.input(4, 5)
    return [n.add(n.plus(n.take(x, 0, 1, 2), 1), n.take(x, 0, 2, 2))]


def concat_of_concat(n: Net) -> list[str]:
    x = n.input(1, 33)
    value = n.plus(x, 1)
    for i in range(6):
        value = n.concat(value, n.plus(x, i), axis=1)
    return [n.plus(value, 1)]


def dense_block(n: Net) -> list[str]:
    x = n.input(1, 33)
    parts = [n.plus(x, 1)]
    for i in range(4):
        joined = n.concat(*parts, axis=1) if len(parts) > 1 else parts[0]
        parts.append(n.plus(n.take(joined, 1, 0, 33), i))
    return [n.plus(n.concat(*parts, axis=1), 1)]


def reshape_between(n: Net) -> list[str]:
    x = n.input(1, 6, 5)
    a = n.reshape(n.plus(x, 1), 1, 30)
    c = n.concat(a, n.reshape(n.plus(x, 2), 1, 30), axis=1)
    return [n.plus(n.concat(n.reshape(c, 60), n.plus(n.take(n.reshape(c, 60), 0, 4, 8), 1)), 1)]


def permute_of_ones(n: Net) -> list[str]:
    x = n.input(1, 6, 1, 5)
    a = n.permute(n.plus(x, 1), 2, 1, 3, 0)
    return [n.plus(n.concat(a, a, axis=1), 1), n.plus(n.permute(n.plus(x, 2), 0, 2, 1, 3), 1)]


def permute_of_more(n: Net) -> list[str]:
    x = n.input(1, 6, 1, 5)
    return [n.plus(n.permute(n.plus(x, 2), 3, 1, 0, 2), 1)]


def split_in_order(n: Net) -> list[str]:
    x = n.plus(n.input(1, 30), 1)
    a, b = n.take(x, 1, 0, 10), n.take(x, 1, 10, 20)
    return [n.plus(n.concat(a, b, axis=1), 1)]


def split_in_order_of_input(n: Net) -> list[str]:
    x = n.input(1, 30)
    c = n.concat(n.take(x, 1, 5, 10), n.take(x, 1, 15, 10), axis=1)
    return [n.plus(c, 1), n.plus(x, 1)]


def split_in_order_and_return(n: Net) -> list[str]:
    x = n.plus(n.input(1, 30), 1)
    return [n.concat(n.take(x, 1, 0, 10), n.take(x, 1, 10, 20), axis=1)]


def split_in_another_order(n: Net) -> list[str]:
    x = n.plus(n.input(1, 30), 1)
    a, b, c = (n.take(x, 1, 10 * i, 10) for i in range(3))
    return [n.plus(n.concat(c, a, b, axis=1), 1)]


def split_and_more(n: Net) -> list[str]:
    """A block of YOLOv8: both halves, and what is computed of the second one."""
    x = n.plus(n.input(1, 30, 7), 1)
    a, b = n.take(x, 1, 0, 15), n.take(x, 1, 15, 15)
    c = n.plus(b, 3)
    return [n.plus(n.concat(a, b, c, n.add(c, a), axis=1), 1)]


def half_of_a_split(n: Net) -> list[str]:
    x = n.plus(n.input(1, 30), 1)
    b = n.take(x, 1, 15, 15)
    return [n.plus(n.concat(b, n.plus(b, 3), axis=1), 1), n.plus(n.take(x, 1, 0, 15), 1)]


def overlapping_slices(n: Net) -> list[str]:
    x = n.plus(n.input(1, 30), 1)
    return [n.plus(n.concat(n.take(x, 1, 0, 20), n.take(x, 1, 10, 20), axis=1), 1)]


def split_with_a_guest(n: Net) -> list[str]:
    """The whole would cover a part of the result that is something else."""
    x = n.plus(n.input(1, 30), 1)
    a, b = n.take(x, 1, 0, 10), n.take(x, 1, 20, 10)
    return [n.plus(n.concat(a, n.plus(a, 1), b, axis=1), 1)]


def one_operand(n: Net) -> list[str]:
    x = n.plus(n.input(1, 30), 1)
    return [n.plus(n.concat(x, axis=1), 1)]


NETS: list[tuple[Callable[[Net], list[str]], int | None]] = [
    (operands, 0),
    (operand_of_later_ops, 0),
    (concat_dies_before_operand, 0),
    (unused_operand_parts, 0),
    (not_contiguous, 2),
    (two_concats_of_one_value, 1),
    (the_same_value_twice, 1),
    (model_input, 2),
    (other_shape_of_the_input, 1),
    (returned_concat, 0),
    (returned_operand, 1),
    (returned_shape_of_operand, 1),
    (concat_returned_twice, 1),
    (returned_slice, 2),
    (returned_shape_of_slice, 1),
    (returned_permute, 1),
    (slices, 0),
    (slices_with_gaps, 2),
    (backwards, 5),
    (slice_of_slice, 0),
    (slice_of_input, 0),
    (concat_of_concat, 0),
    (dense_block, 0),
    (reshape_between, 0),
    (permute_of_ones, 1),
    (permute_of_more, None),  # moves, with as many commands as it takes
    (split_in_order, 0),
    (split_in_order_of_input, 0),
    (split_in_order_and_return, 0),
    (split_in_another_order, 3),
    (split_and_more, 0),
    (half_of_a_split, 1),
    (overlapping_slices, 2),
    (split_with_a_guest, 2),
    (one_operand, 0),
]


@pytest.mark.parametrize("element", ["f32", "f16"])
@pytest.mark.parametrize(("build", "commands"), NETS, ids=[build.__name__ for build, _ in NETS])
def test_values_survive_sharing(
    build: Callable[[Net], list[str]], commands: int | None, element: str
) -> None:
    net = Net(element)
    left = check(net, build(net))
    assert left == commands or (commands is None and left > 0)


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed: int) -> None:
    """Everything is read in the end, so whatever was overwritten shows."""
    rng = np.random.default_rng(seed)
    net = Net()
    values = [net.input(1, 600), net.input(3, 200)]

    def pick() -> str:
        # Mostly what is new: chains, and operands that live long.
        recent = values[-6:] if rng.random() < 0.7 else values
        return recent[rng.integers(len(recent))]

    def grow() -> str:
        value = pick()
        shape = net.shapes[value]
        what = rng.integers(7)
        if what == 0:
            return net.reshape(value, *([1, prod(shape)] if shape[0] > 1 else [2, prod(shape) // 2]))
        if what == 1:
            axis = int(rng.integers(2))
            size = int(rng.integers(1, shape[axis] + 1)) // 2 * 2 or shape[axis]
            return net.take(value, axis, int(rng.integers(shape[axis] - size + 1)), size)
        if what == 2:
            half = shape[1] // 2
            a, b = net.take(value, 1, 0, half), net.take(value, 1, half, shape[1] - half)
            return net.concat(a, b, net.plus(b, 1), axis=1)
        if what <= 4:
            others = [net.reshape(v, 1, prod(net.shapes[v])) for v in {value, pick(), pick()}]
            rng.shuffle(others)
            return net.concat(*others, axis=1)
        return net.plus(value, int(rng.integers(1, 9)))

    for _ in range(25):
        made = grow()
        if prod(net.shapes[made]) % 2 == 0 and prod(net.shapes[made]) < 20000:
            values.append(made)
    flat = [net.reshape(v, 1, prod(net.shapes[v])) for v in [*net.shapes] if v not in net.inputs]
    outputs = [net.plus(net.concat(*flat, axis=1), 0)]
    outputs += [v for v in {pick(), pick()} if v not in net.inputs]
    check(net, list(dict.fromkeys(outputs)))


def test_relu_of_a_concat_is_not_dropped() -> None:
    net = Net()
    x = net.input(1, 3, 2, 2)
    y = net.concat(net.plus(x, 1), net.plus(x, 2), axis=0)  # batches have no local form, which could do it
    net.lines[-1] = net.lines[-1].replace("axis = 0 : si32", "axis = 0 : si32, do_relu = true")
    with pytest.raises(tpumlir.UnsupportedError, match=r"expected a Relu of its own behind tpu\.Concat"):
        tpumlir.Module(net.module([y])).compile()


def test_peak_memory_is_not_more_than_of_the_parts() -> None:
    net = Net()
    x = net.input(1, 1024)
    y = net.concat(*(net.plus(x, i) for i in range(8)), axis=1)
    core = net.module([net.plus(y, 1)])
    # The input, the output and eight pages of the parts, which are the result as well.
    core.run_pipeline("weight-reorder,address-assign")
    assert codegen.compile(core).ctx_size == 4096 * (1 + 8 + 8)
